// MBPP: a small program from a sentence and three tests. lm-evaluation-harness: mbpp, whose three examples
// are problems 2, 3 and 4 of the set (Austin et al. 2021, arXiv:2108.07732, CC BY 4.0). They are never asked,
// and stand here because parts of the set may lack them.
#include "suites/importers/importers.h"
#include "suites/importers/reading.h"

namespace carat {

namespace {

struct Example {
  int64_t id;
  std::string_view text, code;
  std::string_view tests[3];
};

constexpr Example kExamples[] = {
    {2,
     "Write a function to find the similar elements from the given two tuple lists.",
     "def similar_elements(test_tup1, test_tup2):\r\n"
     "  res = tuple(set(test_tup1) & set(test_tup2))\r\n"
     "  return (res) ",
     {"assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)",
      "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)",
      "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)"}},
    {3,
     "Write a python function to identify non-prime numbers.",
     "import math\r\n"
     "def is_not_prime(n):\r\n"
     "    result = False\r\n"
     "    for i in range(2,int(math.sqrt(n)) + 1):\r\n"
     "        if n % i == 0:\r\n"
     "            result = True\r\n"
     "    return result",
     {"assert is_not_prime(2) == False", "assert is_not_prime(10) == True",
      "assert is_not_prime(35) == True"}},
    {4,
     "Write a function to find the largest integers from a given list of numbers using heap queue algorithm.",
     "import heapq as hq\r\n"
     "def heap_queue_largest(nums,n):\r\n"
     "  largest_nums = hq.nlargest(n, nums)\r\n"
     "  return largest_nums",
     {"assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],3)==[85, 75, 65] ",
      "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],2)==[85, 75] ",
      "assert heap_queue_largest( [25, 35, 22, 85, 14, 65, 75, 22, 58],5)==[85, 75, 65, 58, 35]"}}};

}  // namespace

Result<std::string> read_mbpp(const ImportRequest& request, ImportSink& sink) {
  for (const Example& e : kExamples)
    CARAT_DO(sink.example({{"text", e.text},
                           {"tests", json::array(std::begin(e.tests), std::end(e.tests))},
                           {"setup", ""},
                           {"code", e.code}}));
  const auto take = [&](const std::string& place, json::object&& line) -> Status {
    CARAT_TRY(const int64_t id, integer_field(line, "task_id", place));
    CARAT_TRY(std::string text, text_field(line, "text", place));
    CARAT_TRY(const auto tests, texts_field(line, "test_list", place));
    if (tests.size() < 3)
      return bad_data("{}: \"test_list\" has {} tests and not three", place, tests.size());
    for (const Example& e : kExamples)
      if (e.id == id) return {};
    const json::string* setup = json_string(line.if_contains("test_setup_code"));
    return sink.item(place, {{"id", std::to_string(id)},
                             {"text", std::move(text)},
                             {"tests", json::array(tests.begin(), tests.end())},
                             {"setup", setup ? *setup : json::string()}});
  };
  CARAT_DO(for_each_object(request.files, take));
  return fmt::format(
      "kind = \"generate\"\n"
      "check = \"python\"\n"
      "prompt = \"You are an expert Python programmer, and here is your task: {{{{ text }}}} Your code "
      "should pass "
      "these tests:\\n\\n{{{{ tests[0] }}}}\\n{{{{ tests[1] }}}}\\n{{{{ tests[2] }}}}\\n[BEGIN]\\n\"\n"
      "delimiter = \"\"\n"
      "expected = \"{{{{ {{'tests': tests, 'setup': setup}} | tojson }}}}\"\n"
      "generation = {{chat = false, max_tokens = 512, stop = [\"[DONE]\"]}}\n"
      "few_shot = {{items = \"{}\", count = 3, answer = \"{{{{ code }}}}\\n[DONE]\"}}\n",
      sink.examples_file());
}

}  // namespace carat
