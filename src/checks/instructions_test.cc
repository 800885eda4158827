#include <set>

#include "checks/check_testing.h"
#include "checks/language.h"
#include "checks/sentences.h"

namespace carat {
namespace {

struct Case {
  const char *kind, *arguments;
  std::vector<std::string> right, wrong;
};

TEST(Instructions, EveryKindIsJudgedAsPublished) {
  const Case cases[] = {
      {"change_case:capital_word_frequency",
       R"({"capital_relation": "at least", "capital_frequency": 3})",
       {"NASA AND I", "DON'T GO", "U.S.A. (ESA) \"CERN\""},
       {"NASA and I", "Nasa And Esa"}},
      {"change_case:english_capital",
       "{}",
       {"THE DOG IS IN THE HOUSE AND IT IS NOT MINE."},
       {"The dog", "123"}},
      {"change_case:english_lowercase",
       "{}",
       {"the dog is in the house and it is not mine."},
       {"The dog", ""}},
      {"combination:repeat_prompt",
       R"({"prompt_to_repeat": "Say it."})",
       {"say it. Here it is."},
       {"Here: say it."}},
      {"combination:two_responses",
       "{}",
       {"a\n******\nb", "******a******b"},
       {"a", "a******a", "a******b******c"}},
      {"detectable_content:number_placeholders", R"({"num_placeholders": 2})", {"[a] and [b c]"}, {"[a] b"}},
      {"detectable_content:postscript",
       R"({"postscript_marker": "P.P.S"})",
       {"x\nP.P.S. y", "p. p. s y"},
       {"P.S. x"}},
      {"detectable_format:constrained_response",
       "{}",
       {"So: My answer is maybe."},
       {"My answer is perhaps."}},
      {"detectable_format:json_format", "{}", {"{\"a\": [1]}", "```json\n1\n```"}, {"a", "```json\n{\n```"}},
      {"detectable_format:multiple_sections",
       R"({"section_spliter": "Section", "num_sections": 2})",
       {"Section 1 a Section 2 b"},
       {"Section 1 a", "SECTION 1 SECTION 2"}},
      {"detectable_format:number_bullet_lists",
       R"({"num_bullets": 2})",
       {"* a\n- b", " * a\n* b"},
       {"* a", "** a\n** b"}},
      {"detectable_format:number_highlighted_sections",
       R"({"num_highlights": 2})",
       {"*a* *b*", "**a** x *b*"},
       {"*a*", "* * * *"}},
      {"detectable_format:title", "{}", {"<<A title>>"}, {"<A title>", "<<>>", "<<\n>>"}},
      {"keywords:existence", R"({"keywords": ["Cat", "dog"]})", {"dogs and cats"}, {"dogs"}},
      {"keywords:forbidden_words", R"({"forbidden_words": ["cat"]})", {"category"}, {"A CAT!"}},
      {"keywords:frequency",
       R"({"keyword": "cat", "relation": "less than", "frequency": 2})",
       {"cat", ""},
       {"Cat, category"}},
      {"keywords:frequency",
       R"({"keyword": "C++ (", "relation": "at least", "frequency": 1})",
       {"c++ ("},
       {"ccc"}},
      {"keywords:letter_frequency",
       R"({"letter": "E", "let_relation": "at least", "let_frequency": 2})",
       {"eE"},
       {"e"}},
      {"language:response_language",
       R"({"language": "de"})",
       {"Das ist ein Haus, und ich bin nicht sicher, ob es mir gehört."},
       {"This is a house and I am not sure that it is mine.",
        "Это дом, и я не уверен, что он мой, но это так."}},
      {"length_constraints:nth_paragraph_first_word",
       R"({"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Weekend"})",
       {"a\n\nweekend, yes"},
       {"weekend\n\na", "a\n\nb\n\nweekend", "a"}},
      {"length_constraints:number_paragraphs",
       R"({"num_paragraphs": 2})",
       {"a\n***\nb", "a *** b ***"},
       {"a", "a\n\nb", "a *** *** b"}},
      {"length_constraints:number_sentences",
       R"({"relation": "at least", "num_sentences": 2})",
       {"One. Two."},
       {"Dr. Smith is one."}},
      {"length_constraints:number_words",
       R"({"relation": "less than", "num_words": 3})",
       {"one-two"},
       {"a b c"}},
      {"punctuation:no_comma", "{}", {"a b"}, {"a, b"}},
      {"startend:end_checker",
       R"({"end_phrase": "The end."})",
       {"x. THE END.", "\"x the end.\""},
       {"The end. x"}},
      {"startend:quotation", "{}", {" \"a\" "}, {"\"a", "\"", "a"}},
  };
  const auto check = check_of("instructions");
  std::set<std::string_view> kinds;
  for (const Case& c : cases) {
    kinds.insert(c.kind);
    const json::object expected =
        object_of(fmt::format(R"({{"instruction_id_list": ["{}"], "kwargs": [{}]}})", c.kind, c.arguments));
    for (const auto* list : {&c.right, &c.wrong}) {
      for (const std::string& reply : *list) {
        const Verdict v = judge(*check, Answer{{reply.empty() ? " \n" : reply}, {}, false}, expected);
        if (reply.empty()) continue;  // no reply follows nothing, see below
        EXPECT_EQ(metric(v, "prompt_strict"), list == &c.right) << c.kind << ": " << reply;
      }
    }
  }
  EXPECT_EQ(kinds.size(), 25u);
}

TEST(Instructions, SharesAndLooseForms) {
  const auto check = check_of("instructions");
  const json::object two = object_of(
      R"({"instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {"unused": null}]})");
  const Verdict half = judge(*check, Answer{{"a b"}, {}, false}, two);
  EXPECT_EQ(metric(half, "prompt_strict"), 0);
  EXPECT_EQ(metric(half, "instruction_strict"), 0.5);
  EXPECT_EQ(half.reason, "Not followed: startend:quotation.");
  const Verdict loose = judge(*check, Answer{{"Sure, here it is:\n\"**a b**\""}, {}, false}, two);
  EXPECT_EQ(metric(loose, "prompt_strict"), 0);
  EXPECT_EQ(metric(loose, "prompt_loose"), 1);
  EXPECT_EQ(metric(judge(*check, Answer{{" \n"}, {}, false}, two), "instruction_loose"), 0);
}

TEST(Instructions, WhatCannotBeToldIsLeftOpen) {
  const auto check = check_of("instructions");
  const Verdict open = judge(*check, "Tak.", R"({"instruction_id_list": ["language:response_language"],
    "kwargs": [{"language": "pl"}]})");
  EXPECT_EQ(open.kind, Verdict::Kind::unscored);
  EXPECT_NE(open.reason.find("language:response_language"), std::string::npos);
  const Verdict rest = judge(*check, "Tak.", R"({"instruction_id_list": ["language:response_language",
    "punctuation:no_comma"], "kwargs": [{"language": "pl"}, {}]})");
  EXPECT_EQ(metric(rest, "prompt_strict"), 1);
  EXPECT_NE(rest.reason.find("language:response_language"), std::string::npos);
}

TEST(Instructions, ArgumentsAreNeeded) {
  const auto check = check_of("instructions");
  for (
      const char* wrong :
      {"{}", R"({"instruction_id_list": ["punctuation:no_comma"], "kwargs": []})",
       R"({"instruction_id_list": ["punctuation:none"], "kwargs": [{}]})",
       R"({"instruction_id_list": ["keywords:existence"], "kwargs": [{"keywords": null}]})",
       R"({"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"relation": "more than", "num_words": 1}]})",
       R"({"instruction_id_list": ["length_constraints:number_words"], "kwargs": [{"relation": "at least"}]})"}) {
    EXPECT_FALSE(check->accepts(object_of(wrong)).ok()) << wrong;
  }
  for (json::object item : shared_lines("ifeval/input_data.jsonl")) {
    item.erase("key");
    item.erase("prompt");
    const Status accepted = check->accepts(item);
    EXPECT_TRUE(accepted.ok()) << (accepted.ok() ? "" : accepted.error().message);
  }
}

TEST(Sentences, EndAtMarksThatEndThem) {
  const std::pair<const char*, size_t> cases[] = {{"", 0},
                                                  {"One", 1},
                                                  {"One. Two? Three!", 3},
                                                  {"One.Two", 1},
                                                  {"Dr. Smith came. He sat.", 2},
                                                  {"In the U.S. it is so.", 1},
                                                  {"It is 3.5 miles. Far.", 2},
                                                  {"She said: \"Go!\" Then he went.", 2},
                                                  {"\xe2\x80\x9cGo!\xe2\x80\x9d Then he went.", 2},
                                                  {"J. Smith is here.", 1},
                                                  {"1. First we go. 2. Then we eat.", 4},
                                                  {"Wait... what? Yes.", 2},
                                                  {"a\nb\nc", 1},
                                                  {"Really?! Yes.", 2},
                                                  {"(One.) Two.", 2},
                                                  {"What is this?", 1}};
  for (const auto& [text, count] : cases) EXPECT_EQ(count_sentences(text), count) << text;
}

TEST(Languages, AreToldByScriptAndByWords) {
  const std::pair<const char*, const char*> cases[] = {
      {"en", "This is a text that you can read, and it is not very long."},
      {"es", "Este es un texto que se puede leer y no es muy largo, pero está bien para una prueba."},
      {"pt", "Este é um texto que você pode ler e não é muito longo, mas está bem para uma prova."},
      {"fr",
       "Ceci est un texte que vous pouvez lire et il n'est pas très long, mais il suffit pour une épreuve."},
      {"it", "Questo è un testo che si può leggere e non è molto lungo, ma va bene per una prova."},
      {"pl", "To jest tekst, który można przeczytać, i nie jest on bardzo długi, ale wystarczy do próby."},
      {"fi", "Tämä on teksti, joka on helppo lukea, mutta se ei ole kovin pitkä ja se on vain koe."},
      {"vi", "Đây là một văn bản mà bạn có thể đọc và nó không dài, nhưng đủ cho một bài kiểm tra."},
      {"sw", "Hii ni habari ya watu wa nchi yetu na kazi yao, lakini si ndefu sana kwa sababu ni jaribio."},
      {"ru", "Это текст, который можно прочитать, и он не очень длинный, но для проверки это хорошо."},
      {"uk", "Це текст, який можна прочитати, і він не дуже довгий, але для перевірки цього досить."},
      {"bg", "Това е текст, който може да се прочете, и не е много дълъг, но за проба е добре."},
      {"ar", "هذا نص يمكن أن تقرأه وهو ليس طويلا ولكن هو كاف من أجل اختبار في هذا اليوم"},
      {"fa", "این یک متن است که می توان آن را خواند و برای آزمایش خوب است"},
      {"ur", "یہ ایک متن ہے جو پڑھا جا سکتا ہے اور یہ لمبا نہیں ہے"},
      {"hi", "यह एक पाठ है जिसे पढ़ा जा सकता है और यह लंबा नहीं है"},
      {"mr", "हे एक पत्र आहे आणि ते मोठे नाही पण चाचणी साठी पुरेसे आहे"},
      {"ne", "यो एक पाठ हो र यो लामो छैन तर परीक्षण को लागि पर्याप्त छ"},
      {"he", "זה טקסט קצר"},
      {"ko", "이것은 글입니다"},
      {"ja", "これは文章です"},
      {"zh", "这是一段文字"},
      {"th", "นี่คือข้อความ"},
      {"ta", "இது ஒரு உரை"},
      {"te", "ఇది ఒక వచనం"},
      {"kn", "ಇದು ಒಂದು ಪಠ್ಯ"},
      {"ml", "ഇത് ഒരു വാചകം"},
      {"gu", "આ એક લખાણ છે"},
      {"pa", "ਇਹ ਇੱਕ ਲਿਖਤ ਹੈ"},
      {"bn", "এটি একটি লেখা"}};
  for (const auto& [code, text] : cases) EXPECT_EQ(detect_language(text).value_or("none"), code) << text;
  for (const char* unclear : {"", "42", "OK", "Pizza Berlin Café", "a и b ж"}) {
    EXPECT_EQ(detect_language(unclear), std::nullopt) << unclear;
  }
}

}  // namespace
}  // namespace carat
