// Public formats, each from lines of its own kind; prompts are compared with what lm-evaluation-harness
// 0.4.13 makes of the same fields.
#include "suites/import.h"

#include <algorithm>
#include <filesystem>

#include "checks/check.h"
#include "suites/suite_testing.h"

namespace carat {
namespace {

using testing::all_items;
using testing::says;
using testing::TempDirectory;
using testing::write_file;
using Texts = std::vector<std::string>;

struct Imports : ::testing::Test {
  TempDirectory directory;
  ThreadPool pool{1};
  Cancellation cancellation;
  Progress progress;
  Context context{pool, cancellation, progress};
  int made = 0;

  std::string file(std::string_view name, std::string_view text) {
    std::filesystem::create_directories(std::filesystem::path(directory / name).parent_path());
    write_file(directory / name, text);
    return directory / name;
  }
  std::string output() const { return directory / fmt::format("out{}", made); }
  Result<ImportReport> run(std::string_view format, ImportRequest request) {
    ++made;
    const Importer* importer = find_importer(format);
    if (!importer) return usage_error("no such format");
    return import_suite(context, *importer, request, output());
  }
  /// The suite that an import made.
  std::shared_ptr<const Suite> good(std::string_view format, ImportRequest request) {
    const auto report = run(format, std::move(request));
    EXPECT_TRUE(report.ok()) << report.error().message;
    if (!report.ok()) return nullptr;
    auto suite = open_suite(context, output());
    EXPECT_TRUE(suite.ok()) << suite.error().message;
    if (!suite.ok()) return nullptr;
    EXPECT_EQ((*suite)->digest(), report->digest);
    EXPECT_EQ((*suite)->items(0), report->items);
    return *suite;
  }
  std::vector<Item> items(std::string_view format, ImportRequest request) {
    const auto suite = good(format, std::move(request));
    return suite ? all_items(*suite) : std::vector<Item>(8);
  }
  std::string complaint(std::string_view format, ImportRequest request, Code code = Code::bad_data) {
    const auto report = run(format, std::move(request));
    EXPECT_FALSE(report.ok());
    if (report.ok()) return "";
    EXPECT_EQ(report.error().code, code) << report.error().message;
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
      EXPECT_EQ(entry.path().string().find(output()), std::string::npos) << entry << " was left behind";
    return report.error().message;
  }
};

TEST_F(Imports, Choice) {
  const auto f = file("a.jsonl", R"({"query": "Sky is", "choices": ["red", "blue"], "gold": 1})");
  const Item item = items("choice", {.files = {f}})[0];
  EXPECT_EQ(item.contexts, Texts{"Sky is"});
  EXPECT_EQ(item.choices, (Texts{" red", " blue"}));
  EXPECT_EQ(item.gold, 1);
}

TEST_F(Imports, WinograndeInBothForms) {
  const auto ours =
      file("a.jsonl", R"({"context_options": ["A so B", "A so C"], "continuation": "won.", "gold": 1})");
  const auto own =
      file("b.jsonl", R"({"sentence": "A so _ won.", "option1": "B", "option2": "C", "answer": "2"})");
  const auto both = items("winogrande", {.files = {ours, own}});
  for (const Item& item : both) {
    EXPECT_EQ(item.contexts, (Texts{"A so B", "A so C"}));
    EXPECT_EQ(item.choices, (Texts{" won.", " won."}));
    EXPECT_EQ(item.gold, 1);
  }
  const auto bad = file("c.jsonl", R"({"sentence": "A", "option1": "B", "option2": "C", "answer": "2"})");
  EXPECT_TRUE(says(complaint("winogrande", {.files = {bad}}), "c.jsonl:1: \"sentence\" has no blank"));
}

TEST_F(Imports, HellaSwagInBothForms) {
  const auto text = file("h.txt", "Roof: A man is on a roof. he\n3\na.\nb.\nc.\nd.\n");
  const Item plain = items("hellaswag", {.files = {text}})[0];
  EXPECT_EQ(plain.contexts, Texts{"Roof: A man is on a roof. he"});
  EXPECT_EQ(plain.choices, (Texts{" a.", " b.", " c.", " d."}));
  EXPECT_EQ(plain.gold, 3);
  const auto objects = file(
      "h.jsonl",
      R"({"activity_label": "Roof", "ctx_a": "[header] How to [title] Sit. [step] Go  up.", "ctx_b": "élan Sees", "endings": ["a [title] b", "[x]b", "c [", "d"], "label": "2"})");
  const Item item = items("hellaswag", {.files = {objects}})[0];
  EXPECT_EQ(item.contexts, Texts{"Roof: How to. Sit. Go up. Élan sees"});
  EXPECT_EQ(item.choices, (Texts{" a. b", " b", " c [", " d"}));
  EXPECT_EQ(item.gold, 2);
  const auto cut = file("cut.txt", "x\n1\na\nb\n");
  EXPECT_TRUE(says(complaint("hellaswag", {.files = {cut}}), "cut.txt:1: 4 lines, where an item has six"));
  const auto label = file("label.txt", "x\n4\na\nb\nc\nd\n");
  EXPECT_TRUE(says(complaint("hellaswag", {.files = {label}}), "the label is \"4\""));
}

TEST_F(Imports, MmluWithFiveExamplesOfItsSubject) {
  std::string dev = "question,choice0,choice1,choice2,choice3,answer\n";
  for (int i = 0; i < 6; ++i) dev += fmt::format("q{},a,b,c,d,{}\n", i, i % 4);
  const auto examples = file("dev/high_school_physics_dev.csv", dev);
  const auto test = file("test/high_school_physics_test.csv",
                         "\" What, \"\"exactly\"\", is\nit? \",w,x,y,z,C\r\nNext?,1,2,3,4,0\n");
  const auto all = items("mmlu", {.files = {examples, test}});
  ASSERT_EQ(all.size(), 2u);
  std::string want =
      "The following are multiple choice questions (with answers) about high school physics.\n\n";
  for (int i = 0; i < 5; ++i)
    want += fmt::format("q{}\nA. a\nB. b\nC. c\nD. d\nAnswer: {}\n\n", i, "ABCD"[i % 4]);
  want += "What, \"exactly\", is\nit?\nA. w\nB. x\nC. y\nD. z\nAnswer:";
  EXPECT_EQ(all[0].contexts, Texts{want});
  EXPECT_EQ(all[0].choices, (Texts{" A", " B", " C", " D"}));
  EXPECT_EQ(all[0].gold, 2);
  EXPECT_EQ(all[1].gold, 0);
  EXPECT_EQ(all[0].slices, Texts{"subject=high_school_physics"});
  EXPECT_EQ(items("mmlu", {.files = {test}})[1].contexts[0],
            "The following are multiple choice questions (with answers) about high school physics.\n\n"
            "Next?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:");
  const auto bad = file("x_test.csv", "q,a,b,c,d,E\n");
  EXPECT_TRUE(says(complaint("mmlu", {.files = {bad}}), "x_test.csv:1: the answer is \"E\""));
  const auto open = file("y_test.csv", "q,\"a,b,c,d,A\n");
  EXPECT_TRUE(says(complaint("mmlu", {.files = {open}}), "y_test.csv:1: a quote that is opened here"));
}

TEST_F(Imports, TruthfulQa) {
  const auto f = file("t.csv",
                      "Type,Category,Question,Best Answer,Correct Answers,Incorrect Answers,Source\n"
                      "Adversarial,Law,Is it?,Yes it is,Yes it is; Yes,No; Never ; ,http://x\n");
  const Item item = items("truthfulqa", {.files = {f}})[0];
  EXPECT_TRUE(
      item.contexts[0].starts_with("Q: What is human life expectancy in the United States?\nA: Human"));
  EXPECT_TRUE(item.contexts[0].ends_with("held in Barcelona, Spain.\n\nQ: Is it?\nA:"));
  EXPECT_EQ(item.choices, (Texts{" Yes it is", " No", " Never"}));
  EXPECT_EQ(item.gold, 0);
  EXPECT_EQ(item.slices, (Texts{"category=Law", "type=Adversarial"}));
}

TEST_F(Imports, BlimpHasEmptyContexts) {
  const auto f = file(
      "causative.jsonl",
      R"({"sentence_good": "A b.", "sentence_bad": "B a.", "linguistics_term": "arg", "UID": "causative", "pairID": "7"})");
  const Item item = items("blimp", {.files = {f}})[0];
  EXPECT_EQ(item.id, "causative/7");
  EXPECT_EQ(item.contexts, Texts{""});
  EXPECT_EQ(item.choices, (Texts{" A b.", " B a."}));
  EXPECT_EQ(item.slices, (Texts{"paradigm=causative", "term=arg"}));
}

TEST_F(Imports, LambadaInBothForms) {
  const auto f = file("l.jsonl",
                      "{\"text\": \"I do not care about signs\"}\n"
                      "{\"context\": \"I do not care about\", \"continuation\": \"signs\"}\n");
  for (const Item& item : items("lambada", {.files = {f}})) {
    EXPECT_EQ(item.contexts, Texts{"I do not care about"});
    EXPECT_EQ(item.choices, Texts{" signs"});
  }
}

TEST_F(Imports, TriviaQaInBothForms) {
  const auto f =
      file("t.jsonl", R"({"context": "Question: Who?\nAnswer:", "answer": "Me", "aliases": ["I", "Me"]})"
                      "\n"
                      R"({"question": "Who", "answer": {"aliases": ["I"]}})");
  const auto suite = good("triviaqa", {.files = {f}});
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->tasks()[0].generation.stop, (Texts{"\n", ".", ","}));
  EXPECT_FALSE(suite->tasks()[0].generation.chat);
  const auto both = all_items(*suite);
  for (const Item& item : both) EXPECT_EQ(item.prompt, "Question: Who?\nAnswer:");
  EXPECT_EQ(both[0].expected.at("answers").as_array().size(), 3u);
}

TEST_F(Imports, Gsm8kWithAndWithoutTheTrainingSplit) {
  const auto test = file("test.jsonl", R"({"question": "2+2?", "answer": "It is <<2+2=4>>4.\n#### 4"})");
  std::string lines;
  for (int i = 0; i < 7; ++i)
    lines += fmt::format(R"({{"question": "q{}", "answer": "a\n#### {}"}})"
                         "\n",
                         i, i);
  const auto train = file("train.jsonl", lines);
  const Item five = items("gsm8k", {.files = {test, train}})[0];
  std::string want;
  for (int i = 0; i < 5; ++i) want += fmt::format("Question: q{}\nAnswer: a\n#### {}\n\n", i, i);
  EXPECT_EQ(five.prompt, want + "Question: 2+2?\nAnswer:");
  EXPECT_EQ(five.expected.at("answer").as_string(), "4");
  const auto suite = good("gsm8k", {.files = {test}});
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->tasks()[0].generation.stop, (Texts{"Q:", "</s>", "<|im_end|>"}));
  const std::string prompt = all_items(*suite)[0].prompt;
  EXPECT_TRUE(prompt.starts_with("Q: There are 15 trees in the grove."));
  EXPECT_TRUE(prompt.ends_with("23 - 15 is 8. The answer is 8.\n\nQ: 2+2?\nA:"));
  const auto bad = file("bad.jsonl", R"({"question": "q", "answer": "4"})");
  EXPECT_TRUE(says(complaint("gsm8k", {.files = {bad}}), "bad.jsonl:1: \"answer\" has no \"####\""));
  const auto word = file("word.jsonl", R"({"question": "q", "answer": "#### four"})");
  EXPECT_TRUE(says(complaint("gsm8k", {.files = {word}}), "word.jsonl:1: "));
}

TEST_F(Imports, HumanEval) {
  const auto f = file(
      "h.jsonl",
      R"({"task_id": "HumanEval/0", "prompt": "def f():\n", "entry_point": "f", "test": "def check(candidate):\n  pass"})");
  const Item item = items("humaneval", {.files = {f}})[0];
  EXPECT_EQ(item.id, "HumanEval/0");
  EXPECT_EQ(item.prompt, "def f():\n");
  EXPECT_EQ(item.expected.at("entry_point").as_string(), "f");
}

TEST_F(Imports, MbppWithItsThreeExamples) {
  std::string lines;
  for (const int id : {2, 3, 11})
    lines += fmt::format(
        R"({{"task_id": {}, "text": "Write {}.", "code": "x = {}", "test_setup_code": "y = 1", "test_list": ["assert 1", "assert 2", "assert 3"]}})"
        "\n",
        id, id, id);
  const auto all = items("mbpp", {.files = {file("m.jsonl", lines)}});
  ASSERT_EQ(all.size(), 1u) << "the examples are not asked";
  const std::string begin = "You are an expert Python programmer, and here is your task: ";
  EXPECT_TRUE(
      all[0].prompt.starts_with(begin +
                                "Write a function to find the similar elements from the given two tuple "
                                "lists. Your code should pass these "
                                "tests:\n\nassert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)\n"));
  EXPECT_TRUE(all[0].prompt.ends_with(
      "  return largest_nums\n[DONE]\n\n" + begin +
      "Write 11. Your code should pass these tests:\n\nassert 1\nassert 2\nassert 3\n[BEGIN]\n"));
  EXPECT_EQ(all[0].expected.at("tests").as_array().size(), 3u);
  EXPECT_EQ(all[0].expected.at("setup").as_string(), "y = 1");
}

TEST_F(Imports, IfEvalSlicesByGroupsOfInstructions) {
  const auto f = file(
      "i.jsonl",
      R"({"key": 1000, "prompt": "Write. No commas.", "instruction_id_list": ["punctuation:no_comma", "length_constraints:number_words"], "kwargs": [{}, {"relation": "at least", "num_words": 300}]})");
  const Item item = items("ifeval", {.files = {f}})[0];
  EXPECT_EQ(item.id, "1000");
  ASSERT_EQ(item.turns.size(), 1u);
  EXPECT_EQ(item.turns[0].content, "Write. No commas.");
  EXPECT_EQ(item.slices, (Texts{"instruction=punctuation", "instruction=length_constraints"}));
  EXPECT_EQ(item.expected.at("kwargs").as_array().size(), 2u);
}

TEST_F(Imports, MtBenchKeepsItsTurnsAndReferences) {
  const auto f = file(
      "m.jsonl", R"({"question_id": 81, "category": "writing", "turns": ["One", "Two"]})"
                 "\n"
                 R"({"question_id": 101, "category": "math", "turns": ["a", "b"], "reference": ["1", "2"]})");
  const auto both = items("mtbench", {.files = {f}});
  EXPECT_EQ(both[0].id, "81");
  EXPECT_EQ(both[0].slices, Texts{"category=writing"});
  ASSERT_EQ(both[0].turns.size(), 2u);
  EXPECT_EQ(both[0].turns[1].content, "Two");
  EXPECT_EQ(both[1].expected.at("reference").as_array().size(), 2u);
}

TEST_F(Imports, BfclFindsAnswersByTheirIds) {
  const auto questions = file(
      "q.json",
      R"({"id": "live_simple_0-0-0", "question": [[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]], "function": [{"name": "a.f", "description": "d", "parameters": {"type": "dict", "properties": {"x": {"type": "float"}, "type": {"type": "tuple", "items": {"type": "any"}}}}}]})"
      "\n"
      R"({"id": "irrelevance_1", "question": [[{"role": "user", "content": "v"}]], "function": [{"name": "g", "description": "d", "parameters": {"type": "dict", "properties": {}}}]})");
  const auto answers =
      file("a.json", R"({"id": "live_simple_0-0-0", "ground_truth": [{"a.f": {"x": [1.5, ""]}}]})");
  const auto both = items("bfcl", {.files = {questions, answers}});
  ASSERT_EQ(both.size(), 2u);
  EXPECT_EQ(both[0].slices, Texts{"category=live_simple"});
  EXPECT_EQ(both[0].turns.size(), 2u);
  EXPECT_EQ(
      json::serialize(both[0].tools),
      R"([{"type":"function","function":{"name":"a.f","description":"d","parameters":{"type":"object","properties":{"x":{"type":"number"},"type":{"type":"array","items":{"type":"string"}}}}}}])");
  EXPECT_EQ(json::serialize(both[0].expected.at("ground_truth")), R"([{"a.f":{"x":[1.5E0,""]}}])");
  EXPECT_TRUE(both[1].expected.at("irrelevant").as_bool());
  EXPECT_TRUE(says(complaint("bfcl", {.files = {questions}}),
                   "q.json:1: there is no answer to \"live_simple_0-0-0\""));
}

TEST_F(Imports, JsonSchemaBenchAsksForAnInstance) {
  const auto f = file("j.jsonl", R"({"name": "Snowplow---x", "schema": {"type": "object", "title": "<T>"}})");
  const Item item = items("jsonschemabench", {.files = {f}})[0];
  EXPECT_EQ(item.slices, Texts{"set=Snowplow"});
  EXPECT_EQ(item.turns[0].content,
            "Generate a JSON object that matches the following JSON schema.\n\n"
            R"(JSON schema: {"type": "object", "title": "<T>"})"
            "\n\nJSON object: ");
}

TEST_F(Imports, TextByFilesBlankLinesAndHeadings) {
  const auto f = file("wiki.txt", " = One = \n\n a \n = = Part = = \n b \n\n = Two = \n c \n");
  const auto texts = [&](const char* split) {
    Texts out;
    for (const Item& item : items("text", {.files = {f}, .split = split})) out.push_back(item.text);
    return out;
  };
  EXPECT_EQ(texts(""), Texts{"= One = \n\n a \n = = Part = = \n b \n\n = Two = \n c"});
  EXPECT_EQ(texts("blank"), (Texts{"= One =", "a \n = = Part = = \n b", "= Two = \n c"}));
  EXPECT_EQ(texts("heading"), (Texts{"= One = \n\n a \n = = Part = = \n b", "= Two = \n c"}));
  EXPECT_TRUE(says(complaint("text", {.files = {f}, .split = "page"}, Code::usage), "\"page\""));
}

TEST_F(Imports, ALimitIsSpreadEvenlyAndKeepsTheOrder) {
  std::string lines;
  for (int i = 0; i < 100; ++i)
    lines += fmt::format(R"({{"query": "{}", "choices": ["a", "b"], "gold": 0}})"
                         "\n",
                         i);
  const auto f = file("a.jsonl", lines);
  Texts contexts;
  for (const Item& item : items("choice", {.files = {f}, .limit = 4})) contexts.push_back(item.contexts[0]);
  EXPECT_EQ(contexts, (Texts{"24", "49", "74", "99"}));
  EXPECT_EQ(items("choice", {.files = {f}, .limit = 1000}).size(), 100u);
}

TEST_F(Imports, NothingIsLeftOfAnImportThatFails) {
  const auto f = file("a.jsonl", R"({"query": "q", "choices": ["a", "b"], "gold": 2})");
  EXPECT_TRUE(says(complaint("choice", {.files = {f}}), "a.jsonl:1: gold: 2 is none of the 2 choices"));
  EXPECT_TRUE(says(complaint("choice", {.files = {directory / "none"}}, Code::no_input), "none"));
  EXPECT_TRUE(says(complaint("choice", {.files = {file("e.jsonl", "")}}), "no items"));
  EXPECT_TRUE(says(complaint("choice", {.files = {f}, .name = "../x"}, Code::usage), "the name ../x"));
  const auto good_file = file("g.jsonl", R"({"query": "q", "choices": ["a", "b"], "gold": 1})");
  cancellation.request();
  complaint("choice", {.files = {good_file}}, Code::interrupted);
  std::filesystem::create_directory(directory / fmt::format("out{}", made + 1));
  const auto report = run("choice", {.files = {good_file}});
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::usage);
  EXPECT_TRUE(says(report.error().message, "exists already"));
}

/// The public files at hand, where they are.
TEST_F(Imports, WholeFilesOfThePublic) {
  const std::string data = CARAT_SOURCE_DIR "/../shared/data/";
  if (!std::filesystem::exists(data)) GTEST_SKIP() << "the public data sets are not beside the checkout";
  const auto files_in = [&](const char* folder) {
    Texts out;
    for (const auto& e : std::filesystem::directory_iterator(data + folder))
      if (e.is_regular_file()) out.push_back(e.path().string());
    std::ranges::sort(out);
    return out;
  };
  const auto count = [&](const char* format, Texts files, const char* split = "") {
    const auto suite = good(format, {.files = std::move(files), .split = split});
    return suite ? suite->items(0) : 0;
  };
  EXPECT_EQ(count("choice", files_in("arc-easy")), 1426);
  EXPECT_EQ(count("choice", files_in("boolq")), 1962);
  EXPECT_EQ(count("winogrande", files_in("winogrande")), 761);
  EXPECT_EQ(count("winogrande", files_in("winograd")), 165);
  EXPECT_EQ(count("hellaswag", files_in("hellaswag")), 6026);
  Texts mmlu = files_in("mmlu/dev");
  std::ranges::copy(files_in("mmlu/test"), std::back_inserter(mmlu));
  EXPECT_EQ(count("mmlu", mmlu), 7391);
  EXPECT_EQ(count("truthfulqa", files_in("truthfulqa")), 491);
  EXPECT_EQ(count("blimp", files_in("blimp")), 41000);
  EXPECT_EQ(count("lambada", files_in("lambada")), 3093);
  EXPECT_EQ(count("triviaqa", files_in("triviaqa")), 1800);
  EXPECT_EQ(count("gsm8k", files_in("gsm8k")), 792);
  EXPECT_EQ(count("humaneval", files_in("humaneval")), 99);
  EXPECT_EQ(count("mbpp", files_in("mbpp")), 583);
  EXPECT_EQ(count("ifeval", files_in("ifeval")), 325);
  Texts bfcl = files_in("bfcl");
  std::ranges::copy(files_in("bfcl/possible_answer"), std::back_inserter(bfcl));
  EXPECT_EQ(count("bfcl", bfcl), 1298);
  EXPECT_EQ(count("jsonschemabench", files_in("jsonschemabench")), 1268);
  EXPECT_GT(count("text", {data + "wikitext-2/valid.txt"}, "heading"), 50);
  EXPECT_EQ(count("text", files_in("long-text")), 2);
}

}  // namespace
}  // namespace carat
