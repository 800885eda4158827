// Suites that are wrong, by mistake or on purpose: each is told with file, line and key.
#include <sys/stat.h>

#include "suites/suite_testing.h"

namespace carat {
namespace {

using testing::says;
using testing::SuiteDirectory;

constexpr std::string_view kGood = R"([[task]]
name = "t"
kind = "choice"
items = "i.jsonl"
)";
constexpr std::string_view kGoodLine = R"({"context": "c", "choices": ["a", "b"], "gold": 0})";

struct Wrong {
  std::string text, sentence;
};

TEST(HostileSuite, SettingsThatMakeNoSense) {
  const Wrong cases[] = {
      {"x = 1", "suite.toml:4: "},
      {"[[task]]\nkind = \"choice\"", "suite.toml:4: [[task]]: needs 'name'"},
      {"[[task]]\nname = 5", "suite.toml:5: [[task]]: 'name' must be a string"},
      {"[[task]]\nname = \"a\\u0007\"\nkind = \"choice\"", "control characters"},
      {"[[task]]\nname = \"t\"\nkind = \"quiz\"", "suite.toml:6: task \"t\": there is no kind \"quiz\""},
      {"[[task]]\nname = \"t\"\nkind = \"choice\"", "suite.toml:4: task \"t\": needs either 'items'"},
      {std::string(kGood) + "prompts = \"x\"", "suite.toml:8: task \"t\": there is no key \"prompts\""},
      {std::string(kGood) + "check = \"exact\"", "only tasks of kind generate have a check"},
      {std::string(kGood) + "generation = {}", "only tasks of kind generate have 'generation'"},
      {std::string(kGood) + "metrics = [\"acc\", \"bleu\"]", "there is no metric \"bleu\" here, only acc,"},
      {std::string(kGood) + "metrics = [\"acc\", \"acc\"]", "the metric \"acc\" is named twice"},
      {std::string(kGood) + "metrics = {a = 1}", "'metrics' must be a string or an array of strings"},
      {std::string(kGood) + "context = \"{{ x\"",
       "suite.toml:8: task \"t\": the template of 'context': line 1"},
      {std::string(kGood) + "context = \"{{ strftime_now('%d') }}\"", "asks the same every day"},
      {std::string(kGood) + "expected = 1", "'expected' must be a template"},
      {std::string(kGood) + "few_shot = {items = \"i.jsonl\", count = 1}", "give their answers away"},
      {std::string(kGood) + "few_shot = {items = \"d.jsonl\"}", "needs 'count'"},
      {std::string(kGood) + "few_shot = {items = \"d.jsonl\", count = 0}", "'count' must be a whole number"},
      {std::string(kGood) + "few_shot = {items = \"/etc/x\", count = 1}", "not within the suite's directory"},
      {std::string(kGood) + "generate = {kind = \"needle\"}", "needs either 'items'"},
      {std::string(kGood) + kGood.data(), "there are two tasks \"t\""},
      {"[task]\nname = \"t\"", "needs tasks, each a table [[task]]"},
      {"[[task]]\nname = \"t\"\nkind = \"choice\"\nitems = \"../x\"", "\"../x\" is not within"},
      {"[[task]]\nname = \"t\"\nkind = \"choice\"\nitems = \"a/../../x\"", "is not within"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\nitems = \"i\"", "needs 'check'"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"guess\"",
       "there is no check \"guess\", only "},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"exact\"\ncheck_with = {case = true}", "case"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"exact\"\ncheck_with = {x = nan}", "nan"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"exact\"\ngeneration = {max_tokens = 0}",
       "'max_tokens' must be a whole number from 1"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"exact\"\ngeneration = {temperature = nan}",
       "'temperature' must be a number"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"exact\"\ngeneration = {stop = [\"\"]}",
       "empty"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"exact\"\ngeneration = {chat = 1}",
       "'chat' must be true or false"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"contains\"\ngenerate = {kind = \"hay\"}",
       "there is no kind \"hay\", only needle"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"contains\"\ngenerate = {kind = \"needle\", "
       "lengths = [1]}",
       "'lengths' must be an array"},
      {"[[task]]\nname = \"t\"\nkind = \"generate\"\ncheck = \"exact\"\ngenerate = {kind = \"needle\"}",
       "suite.toml:4: "},
      {"[[task]\n", "suite.toml:4: "},
  };
  for (const Wrong& wrong : cases) {
    SuiteDirectory d;
    d.tasks(wrong.text).file("i.jsonl", kGoodLine);
    EXPECT_TRUE(says(d.complaint(), wrong.sentence)) << wrong.text;
  }
}

TEST(HostileSuite, LinesThatAreNoItems) {
  const Wrong cases[] = {
      {"{", "not valid JSON"},
      {"[]", "not a JSON object"},
      {R"({"context": 1, "choices": ["a", "b"], "gold": 0})", "'context' must be a string"},
      {R"({"context": "c", "gold": 0})", "needs either 'choices' or 'continuation'"},
      {R"({"context": "c", "choices": [], "gold": 0})", "'choices' must be an array of 1 to"},
      {R"({"context": "c", "choices": ["a", 1], "gold": 0})", "'choices' must be an array of 1 to"},
      {R"({"context": "c", "choices": ["a", ""], "gold": 0})", "a choice is empty"},
      {R"({"context": "c", "choices": ["a", "b"]})", "needs 'gold'"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": 2})", "gold: 2 is none of the 2 choices"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": -1})", "gold: -1 is none of the 2 choices"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": 0.5})", "'gold' must be the number of a choice"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": "c"})", "gold: \"c\" is none of the 2 choices"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": {}})", "'gold' must be the number"},
      {R"({"contexts": ["x", "y", "z"], "choices": ["a", "b"], "gold": 0})", "3 contexts and 2 choices"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": 0, "id": []})", "'id' must be a text"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": 0, "id": "a\u0000b"})", "'id' must be a text"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": 0, "slice": 1})", "'slice' must be a string"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": 0, "slice": "a\nb"})", "holds control characters"},
      {R"({"context": "c", "choices": ["a", "b"], "gold": 0, "slices": {"a": [[]]}})", "to slice by"},
      {"{\"context\": \"\xff\"}", "not UTF-8 at byte 14 of the line"},
      {"{\"context\": \"\xed\xa0\x80\"}", "not UTF-8"},
      {std::string(R"({"context": ")") + std::string(17 << 20, 'x') + "\"}", "a line longer than 16 MB"},
      {std::string(100000, '['), "not valid JSON"},
  };
  for (const Wrong& wrong : cases) {
    SuiteDirectory d;
    d.tasks(std::string(kGood)).file("i.jsonl", std::string(kGoodLine) + "\n" + wrong.text + "\n");
    const std::string complaint = d.complaint();
    EXPECT_TRUE(says(complaint, "i.jsonl:2: ")) << wrong.text.substr(0, 100);
    EXPECT_TRUE(says(complaint, wrong.sentence)) << wrong.text.substr(0, 100);
    EXPECT_LT(complaint.size(), 400u);
  }
}

TEST(HostileSuite, GenerationItems) {
  const std::string task =
      "[[task]]\nname = \"t\"\nkind = \"generate\"\nitems = \"i.jsonl\"\ncheck = \"exact\"\n";
  const Wrong cases[] = {
      {R"({"answer": "x"})", "needs either 'prompt' or 'turns'"},
      {R"({"prompt": "p", "turns": ["q"], "answer": "x"})", "needs either 'prompt' or 'turns'"},
      {R"({"prompt": "", "answer": "x"})", "'prompt' is empty"},
      {R"({"prompt": "p"})", "answer"},
      {R"({"prompt": "p", "expected": []})", "'expected' must be an object"},
      {R"({"prompt": "p", "answer": "x", "tools": {}})", "'tools' must be an array"},
      {R"({"turns": [], "answer": "x"})", "'turns' must be an array of 1 to"},
      {R"({"turns": [{"role": "god", "content": "c"}], "answer": "x"})", "there is no role \"god\""},
      {R"({"turns": [{"role": "user"}], "answer": "x"})", "'turns' must be an array"},
      {R"({"turns": [{"role": "assistant", "content": "c"}], "answer": "x"})", "none is a user's"},
      {R"({"turns": [""], "answer": "x"})", "the text of a user is empty"},
  };
  for (const Wrong& wrong : cases) {
    SuiteDirectory d;
    d.tasks(task).file("i.jsonl", wrong.text);
    EXPECT_TRUE(says(d.complaint(), wrong.sentence)) << wrong.text;
  }
  SuiteDirectory d;
  d.tasks(task + "generation = {chat = false}").file("i.jsonl", R"({"turns": ["q"], "answer": "x"})");
  EXPECT_TRUE(says(d.complaint(), "'turns' are for chat"));
}

TEST(HostileSuite, DuplicateIdsEmptyTasksMissingFiles) {
  SuiteDirectory d;
  d.tasks(std::string(kGood));
  EXPECT_TRUE(says(d.complaint(Code::no_input), "i.jsonl"));
  d.file("i.jsonl", "\n  \n");
  EXPECT_TRUE(says(d.complaint(), "suite.toml:4: task \"t\" has no items"));
  const std::string line = R"({"id": "same", "context": "c", "choices": ["a", "b"], "gold": 0})";
  d.file("i.jsonl", line + "\n" + line + "\n");
  EXPECT_TRUE(says(d.complaint(), "i.jsonl:2: the id \"same\" is there twice in task \"t\""));
  std::filesystem::remove(d / "i.jsonl");
  ASSERT_EQ(mkfifo((d / "i.jsonl").c_str(), 0600), 0);
  EXPECT_TRUE(says(d.complaint(Code::no_input), "not a regular file"));
  d.file("suite.toml", "task = [1]\nsuite = {name = \"t\"}");
  EXPECT_TRUE(says(d.complaint(), "suite.toml:1: suite file: write tasks as [[task]]"));
  d.file("suite.toml", "task = [1]");
  EXPECT_TRUE(says(d.complaint(), "suite.toml: needs a table [suite]"));
  SuiteDirectory empty;
  EXPECT_TRUE(says(empty.complaint(Code::no_input), "suite.toml"));
}

TEST(HostileSuite, AMisspeltFieldOfATemplateIsAnError) {
  SuiteDirectory d;
  d.tasks(std::string(kGood) + "context = \"{{ quetsion }}\"").file("i.jsonl", kGoodLine);
  EXPECT_TRUE(
      says(d.complaint(), "i.jsonl:1: context: the template uses \"quetsion\", which the item does not"));
  for (const char* fine : {"{{ x | default('y') }}", "{% if x is defined %}{{ x }}{% endif %}",
                           "{% set x = 1 %}{{ x }}", "{% for x in range(2) %}{{ loop.index }}{% endfor %}",
                           "{% macro m(x) %}{{ x }}{% endmacro %}{{ m(context) }}"}) {
    d.tasks(std::string(kGood) + "context = \"" + fine + "\"");
    EXPECT_TRUE(d.good()) << fine;
  }
  d.tasks(std::string(kGood) +
          "context = \"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}"
          "{% endfor %}\"");
  EXPECT_TRUE(says(d.complaint(), "context: line 1: the template takes too many steps"));
}

TEST(HostileSuite, DeepAndLargeFiles) {
  SuiteDirectory d;
  std::string deep = "a";
  for (int i = 0; i < 300000; ++i) deep += ".a";
  d.file("suite.toml", deep + " = 1\n");
  EXPECT_TRUE(says(d.complaint(), "a key of more than"));
  d.file("suite.toml", "x = " + std::string(100000, '['));
  EXPECT_TRUE(says(d.complaint(), "suite.toml"));
  d.file("suite.toml", "# " + std::string(5 << 20, 'x'));
  EXPECT_TRUE(says(d.complaint(), "suite.toml"));
  for (const char* header : {"[!]", "[[@", "  [ [", "[=]"}) {
    d.file("suite.toml", std::string("x = [\n  [1],\n]\n") + header);
    EXPECT_TRUE(says(d.complaint(), "suite.toml:4: the name of a table begins with")) << header;
  }
  for (const char* name : {"\xd1\xa2 = 1", "a\x01 = 1", "a = \xff"}) {
    d.file("suite.toml", std::string("\xef\xbb\xbf# \xd1\xa2\n") + name);
    EXPECT_TRUE(says(d.complaint(), "suite.toml:2: a character that TOML allows in strings")) << name;
  }
  for (const char* value : {"[}", "]", "{a = 1]", "[1}"}) {
    d.file("suite.toml", std::string("x = ") + value);
    EXPECT_TRUE(says(d.complaint(), "that closes none")) << value;
  }
  // Dots within strings and comments are no chain of keys.
  d.tasks(std::string(kGood) + "# ........................................................\ncontext = '''" +
          std::string(100, '.') + "'''\n");
  d.file("i.jsonl", kGoodLine);
  EXPECT_TRUE(d.good());
}

TEST(HostileSuite, ReadingALargeOneCanBeInterrupted) {
  SuiteDirectory d;
  d.tasks("[[task]]\nname = \"t\"\nkind = \"perplexity\"\nitems = \"i.jsonl\"\n");
  d.file("i.jsonl", "{\"text\": \"a\"}\n");
  ASSERT_TRUE(d.open().ok());
  Cancellation cancellation;
  cancellation.request();
  const auto suite = d.open(cancellation);
  ASSERT_FALSE(suite.ok());
  EXPECT_EQ(suite.error().code, Code::interrupted);
}

}  // namespace
}  // namespace carat
