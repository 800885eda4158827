// What suites are asked and how items come out of lines.
#include "suites/suite.h"

#include <set>

#include "suites/suite_testing.h"

namespace carat {
namespace {

using testing::all_items;
using testing::says;
using testing::SuiteDirectory;
using Texts = std::vector<std::string>;

TEST(Suite, TenLinesOfAUser) {
  SuiteDirectory d;
  d.file("suite.toml", R"([suite]
name = "mine"
[[task]]
name = "capitals"
kind = "generate"
check = "exact"
items = "capitals.jsonl"
)");
  d.file("capitals.jsonl", R"({"prompt": "Capital of France?", "answer": "Paris", "slice": "europe"}
{"prompt": "Capital of Peru?", "answer": "Lima", "slice": "america"}

)");
  const auto suite = d.good();
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->name(), "mine");
  EXPECT_EQ(suite->version(), "1");
  ASSERT_EQ(suite->tasks().size(), 1u);
  const Task& task = suite->tasks()[0];
  EXPECT_EQ(task.dimension, "capitals");
  EXPECT_EQ(task.metrics, (Texts{"exact", "f1", "tokens", "truncated", "looped"}));
  EXPECT_EQ(suite->items(0), 2);
  const auto items = all_items(*suite);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_EQ(items[1].id, "2");
  EXPECT_EQ(items[1].cluster, "2");
  EXPECT_EQ(items[1].slices, Texts{"america"});
  ASSERT_EQ(items[1].turns.size(), 1u);
  EXPECT_EQ(items[1].turns[0].role, "user");
  EXPECT_EQ(items[1].turns[0].content, "Capital of Peru?");
  EXPECT_EQ(items[1].prompt, "");
  EXPECT_EQ(items[1].expected.at("answer").as_string(), "Lima");
}

TEST(Suite, ChoicesInTheirPlainFields) {
  SuiteDirectory d;
  d.tasks("[[task]]\nname = \"c\"\nkind = \"choice\"\nitems = \"i.jsonl\"\n");
  d.file("i.jsonl",
         "{\"prompt\": \"Sugar is\", \"choices\": [\"sour\", \"sweet\"], \"answer\": \"sweet\"}\n"
         "{\"context\": \"Salt is\", \"choices\": [\"white\", \"blue\", \"red\"], \"gold\": 0, \"id\": 7}\n"
         "{\"contexts\": [\"A so B\", \"A so C\"], \"continuation\": \"won.\", \"gold\": 1}\n");
  const auto suite = d.good();
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->tasks()[0].metrics, (Texts{"acc", "acc_norm", "gold_nll", "chance"}));
  const auto items = all_items(*suite);
  EXPECT_EQ(items[0].contexts, Texts{"Sugar is"});
  EXPECT_EQ(items[0].choices, (Texts{" sour", " sweet"}));
  EXPECT_EQ(items[0].gold, 1);
  EXPECT_EQ(items[1].id, "7");
  EXPECT_EQ(items[1].gold, 0);
  EXPECT_EQ(items[2].contexts, (Texts{"A so B", "A so C"}));
  EXPECT_EQ(items[2].choices, (Texts{" won.", " won."}));
}

TEST(Suite, OneContinuationIsAskedWhetherItIsGreedy) {
  SuiteDirectory d;
  d.tasks("[[task]]\nname = \"c\"\nkind = \"choice\"\nitems = \"i.jsonl\"\ndelimiter = \"\"\n");
  d.file("i.jsonl", "{\"context\": \"To be or not to\", \"continuation\": \" be\"}\n");
  const auto suite = d.good();
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->tasks()[0].metrics, (Texts{"greedy", "gold_nll"}));
  EXPECT_EQ(all_items(*suite)[0].choices, Texts{" be"});
}

TEST(Suite, TemplatesOverTheFieldsOfALine) {
  SuiteDirectory d;
  d.tasks(R"([[task]]
name = "c"
kind = "choice"
items = "i.jsonl"
context = "Q: {{ question | trim }}\n{% for o in options %}{{ 'ABC'[loop.index0] }}. {{ o }}\n{% endfor %}A:"
choices = ["A", "B", "C"]
gold = "{{ label }}"
id = "q{{ n }}"
slice_by = ["subject", "tags"]
cluster_by = "passage"
[[task]]
name = "g"
kind = "generate"
check = "exact"
items = "i.jsonl"
turns = "{{ [question, 'Why?'] | tojson }}"
tools = '[{"type": "function", "function": {"name": "f"}}]'
expected = {answer = "{{ options[label | int] }}"}
[[task]]
name = "p"
kind = "perplexity"
items = "i.jsonl"
text = "{{ passage }}"
)");
  d.file(
      "i.jsonl",
      R"({"n": 1, "question": " x? ", "options": ["u", "v", "w"], "label": "2", "subject": "law", "tags": ["hard", 3], "passage": "a\nlong one"})"
      "\n");
  const auto suite = d.good();
  ASSERT_TRUE(suite);
  const Item choice = all_items(*suite, 0)[0];
  EXPECT_EQ(choice.id, "q1");
  EXPECT_EQ(choice.contexts, Texts{"Q: x?\nA. u\nB. v\nC. w\nA:"});
  EXPECT_EQ(choice.choices, (Texts{" A", " B", " C"}));
  EXPECT_EQ(choice.gold, 2);
  EXPECT_EQ(choice.slices, (Texts{"subject=law", "tags=hard", "tags=3"}));
  EXPECT_EQ(choice.cluster.size(), 16u) << "a passage is named by a sum of it";
  const Item generate = all_items(*suite, 1)[0];
  ASSERT_EQ(generate.turns.size(), 2u);
  EXPECT_EQ(generate.turns[1].content, "Why?");
  EXPECT_EQ(generate.tools.size(), 1u);
  EXPECT_EQ(generate.expected.at("answer").as_string(), "w");
  EXPECT_EQ(all_items(*suite, 2)[0].text, "a\nlong one");
}

TEST(Suite, ExamplesOfTheSameSubjectComeBeforeTheQuestion) {
  SuiteDirectory d;
  d.tasks(R"([[task]]
name = "c"
kind = "choice"
items = "test.jsonl"
preamble = "About {{ subject }}.\n\n"
context = "Q: {{ q }}\nA:"
choices = ["A", "B"]
gold = "{{ a }}"
[task.few_shot]
items = "dev.jsonl"
count = 2
match = "subject"
)");
  d.file("dev.jsonl", R"({"subject": "x", "q": "x1", "a": 0}
{"subject": "y", "q": "y1", "a": 1}
{"subject": "x", "q": "x2", "a": 1}
{"subject": "y", "q": "y2", "a": 0}
{"subject": "x", "q": "x3", "a": 0}
)");
  d.file("test.jsonl", R"({"subject": "y", "q": "why", "a": 1}
{"subject": "x", "q": "what", "a": 0}
)");
  const auto items = all_items(*d.good());
  EXPECT_EQ(items[0].contexts[0], "About y.\n\nQ: y1\nA: B\n\nQ: y2\nA: A\n\nQ: why\nA:");
  EXPECT_EQ(items[1].contexts[0], "About x.\n\nQ: x1\nA: A\n\nQ: x2\nA: B\n\nQ: what\nA:");

  d.file("test.jsonl", R"({"subject": "z", "q": "why", "a": 1})");
  EXPECT_TRUE(says(d.complaint(), "test.jsonl:1: there are no examples with subject \"z\" in dev.jsonl"));
  d.file("dev.jsonl", R"({"subject": "z", "q": "why", "a": 1})");
  EXPECT_TRUE(says(d.complaint(), "dev.jsonl: 1 examples with subject \"z\" and not 2"));
  d.file("dev.jsonl", "");
  EXPECT_TRUE(says(d.complaint(), "dev.jsonl: no examples"));
}

TEST(Suite, ExamplesOfGenerationShowTheirAnswer) {
  SuiteDirectory d;
  d.tasks(R"([[task]]
name = "g"
kind = "generate"
check = "numeric"
items = "test.jsonl"
prompt = "Question: {{ question }}\nAnswer:"
expected = {answer = "{{ answer.split('####')[-1] | trim }}"}
generation = {chat = false, stop = ["Question:"], max_tokens = 99, temperature = 0.5}
few_shot = {items = "dev.jsonl", count = 1, answer = "{{ answer }}"}
)");
  d.file("dev.jsonl", R"({"question": "1+1?", "answer": "It is\n#### 2"})");
  d.file("test.jsonl", R"({"question": "2+2?", "answer": "Well\n#### 4"})");
  const auto suite = d.good();
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->tasks()[0].generation.stop, Texts{"Question:"});
  EXPECT_EQ(suite->tasks()[0].generation.max_tokens, 99);
  EXPECT_EQ(suite->tasks()[0].generation.temperature, 0.5);
  const Item item = all_items(*suite)[0];
  EXPECT_EQ(item.prompt, "Question: 1+1?\nAnswer: It is\n#### 2\n\nQuestion: 2+2?\nAnswer:");
  EXPECT_TRUE(item.turns.empty());
  EXPECT_EQ(item.expected.at("answer").as_string(), "4");
}

TEST(Suite, ItemsOfSeveralFilesAreOneTask) {
  SuiteDirectory d;
  d.tasks("[[task]]\nname = \"p\"\nkind = \"perplexity\"\nitems = [\"a.jsonl\", \"b.jsonl\"]\n");
  d.file("a.jsonl", "\xef\xbb\xbf{\"text\": \"one\"}\r\n{\"text\": \"two\"}");
  d.file("b.jsonl", "{\"text\": \"three\"}");
  const auto suite = d.good();
  ASSERT_TRUE(suite);
  EXPECT_EQ(suite->items(0), 3);
  EXPECT_EQ(all_items(*suite)[2].id, "3");
}

TEST(Suite, TheSinkMayStop) {
  SuiteDirectory d;
  d.tasks("[[task]]\nname = \"p\"\nkind = \"perplexity\"\nitems = \"a.jsonl\"\n");
  d.file("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
  int seen = 0;
  const Status s = d.good()->for_each(0, [&](Item&&) -> Status {
    ++seen;
    return error(Code::interrupted, "enough");
  });
  EXPECT_EQ(seen, 1);
  EXPECT_EQ(s.error().message, "enough");
}

TEST(Suite, AFileThatChangedSinceIsNoticed) {
  SuiteDirectory d;
  d.tasks("[[task]]\nname = \"p\"\nkind = \"perplexity\"\nitems = \"a.jsonl\"\n");
  d.file("a.jsonl", "{\"text\": \"one\"}\n");
  const auto suite = d.good();
  const auto read = [&] { return suite->for_each(0, [](Item&&) -> Status { return {}; }); };
  EXPECT_TRUE(read().ok());
  const auto time = std::filesystem::last_write_time(d / "a.jsonl");
  d.file("a.jsonl", "{\"text\": \"ten\"}\n");
  std::filesystem::last_write_time(d / "a.jsonl", time);  // the same size and time: the sum tells
  ASSERT_FALSE(read().ok());
  EXPECT_EQ(read().error().code, Code::bad_data);
  EXPECT_TRUE(says(read().error().message, "a.jsonl: changed since the suite was opened"));
  d.file("a.jsonl", "{\"text\": \"eleven\"}\n");
  EXPECT_TRUE(says(read().error().message, "changed"));
  std::filesystem::remove(d / "a.jsonl");
  EXPECT_EQ(read().error().code, Code::no_input);
}

constexpr std::string_view kTask = R"([[task]]
name = "g"
dimension = "d"
kind = "generate"
items = "i.jsonl"
metrics = ["exact"]
check = "exact"
[task.check_with]
ignore_case = true
ignore_articles = true
[task.generation]
max_tokens = 10
temperature = 1
)";
constexpr std::string_view kLine = R"({"prompt": "a", "answer": "b", "slice": "s", "id": "1", "note": 1})";

TEST(SuiteDigest, DependsOnWhatIsAskedAndNothingElse) {
  SuiteDirectory d;
  d.tasks(std::string(kTask)).file("i.jsonl", kLine);
  const std::string digest = d.digest();
  EXPECT_EQ(digest.size(), 64u);

  SuiteDirectory other;
  other.file("suite.toml", R"(# another spelling
[[task]]
check_with = {ignore_articles = true, ignore_case = true}
check = 'exact'
prompt = "{{ p }}"
generation.temperature = 1.0
generation.max_tokens = 0xA
kind = "generate"
items = ["other.jsonl"]
metrics = "exact"
"dimension" = "d"
name = "g"
[suite]
version = "4"
name = "renamed"
)");
  other.file("other.jsonl", R"({"id": 1, "slices": ["s"], "p": "a",   "expected": {"answer": "b"}})");
  EXPECT_EQ(other.digest(), digest);
}

// The same prompts, and other lengths to divide by.
TEST(SuiteDigest, TellsADelimiterFromASpaceInTheChoices) {
  SuiteDirectory d;
  const std::string task = "[[task]]\nname = \"c\"\nkind = \"choice\"\nitems = \"i.jsonl\"\n";
  d.tasks(task).file("i.jsonl", R"({"context": "1", "choices": ["a", "b"], "gold": 0})");
  const std::string digest = d.digest();
  d.tasks(task + "delimiter = \"\"\n")
      .file("i.jsonl", R"({"context": "1", "choices": [" a", " b"], "gold": 0})");
  EXPECT_NE(d.digest(), digest);
}

TEST(SuiteDigest, ChangesWithEveryThingThatMatters) {
  SuiteDirectory d;
  d.tasks(std::string(kTask)).file("i.jsonl", kLine);
  std::set<std::string> digests{d.digest()};
  const std::pair<std::string, std::string> lines[] = {{"\"a\"", "\"A\""},
                                                       {"\"b\"", "\"B\""},
                                                       {"\"s\"", "\"S\""},
                                                       {"\"1\"", "\"2\""},
                                                       {"\"note\": 1", "\"cluster\": \"c\""}};
  const std::pair<std::string, std::string> tasks[] = {{"\"g\"", "\"h\""},
                                                       {"\"d\"", "\"e\""},
                                                       {"case = true", "case = false"},
                                                       {"[\"exact\"]", "[\"f1\"]"},
                                                       {"tokens = 10", "tokens = 11"},
                                                       {"temperature = 1", "temperature = 0"},
                                                       {"temperature = 1", "temperature = 1\nchat = false"},
                                                       {"temperature = 1", "temperature = 1\nstop = \"x\""},
                                                       {"temperature = 1", "temperature = 1\nsystem = \"x\""},
                                                       {"temperature = 1", "temperature = 1\nseed = 1"}};
  const auto replaced = [](std::string_view text, const auto& change) {
    std::string out(text);
    const size_t at = out.find(change.first);
    EXPECT_NE(at, std::string::npos) << change.first;
    return out.replace(at, change.first.size(), change.second);
  };
  for (const auto& change : lines) {
    d.file("i.jsonl", replaced(kLine, change));
    EXPECT_TRUE(digests.insert(d.digest()).second) << change.second;
  }
  d.file("i.jsonl", kLine);
  for (const auto& change : tasks) {
    d.tasks(replaced(kTask, change));
    EXPECT_TRUE(digests.insert(d.digest()).second) << change.second;
  }
}

}  // namespace
}  // namespace carat
