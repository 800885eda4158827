#include "stats/calibration_text.h"

#include <gtest/gtest.h>

#include "arch/open_model.h"

namespace carat {
namespace {

std::shared_ptr<const Tokenizer> stories_tokenizer() {
  auto model = open_model(CARAT_SOURCE_DIR "/golden/stories260K.gguf");
  EXPECT_TRUE(model.ok());
  auto tokenizer = Tokenizer::from_metadata(model->metadata);
  EXPECT_TRUE(tokenizer.ok());
  return *tokenizer;
}

std::string words(size_t n) {
  std::string text;
  for (size_t i = 0; i < n; ++i) text += i % 2 ? "Lily saw a dog. " : "Tom has a red ball. ";
  return text;
}

TEST(CalibrationText, sequences_follow_each_other_and_begin_with_bos) {
  const auto tokenizer = stories_tokenizer();
  const auto text = cut_calibration_text(*tokenizer, {{"a.txt", words(200)}}, {.context = 64});
  ASSERT_TRUE(text.ok()) << text.error().message;
  const auto whole = tokenizer->encode(words(200), false, false);
  ASSERT_TRUE(whole.ok());
  ASSERT_EQ(text->sequences.size(), whole->size() / 63);
  std::vector<TokenId> joined;
  for (const auto& s : text->sequences) {
    ASSERT_EQ(s.size(), 64u);
    EXPECT_EQ(s.front(), tokenizer->bos());
    joined.insert(joined.end(), s.begin() + 1, s.end());
  }
  EXPECT_TRUE(std::equal(joined.begin(), joined.end(), whole->begin()));
  EXPECT_EQ(text->tokens(), static_cast<int64_t>(64 * text->sequences.size()));
}

TEST(CalibrationText, fewer_sequences_come_from_all_texts) {
  const auto tokenizer = stories_tokenizer();
  const std::vector<NamedText> texts = {{"a", words(100)}, {"b", words(400)}};
  const auto all = cut_calibration_text(*tokenizer, texts, {.context = 32});
  const auto some = cut_calibration_text(*tokenizer, texts, {.context = 32, .sequences = 10});
  ASSERT_TRUE(all.ok() && some.ok());
  ASSERT_EQ(some->sequences.size(), 10u);
  EXPECT_EQ(some->sequences.front(), all->sequences.front());
  EXPECT_EQ(some->sequences[5], all->sequences[all->sequences.size() / 2]);
  EXPECT_NE(some->digest, all->digest);
}

TEST(CalibrationText, what_cannot_serve_is_named) {
  const auto tokenizer = stories_tokenizer();
  const auto refused = [&](NamedText text) {
    const auto cut = cut_calibration_text(*tokenizer, {std::move(text)}, {.context = 64});
    EXPECT_FALSE(cut.ok());
    return cut.ok() ? "" : cut.error().message;
  };
  EXPECT_EQ(refused({"empty.txt", ""}), "empty.txt: is empty; calibration needs text");
  EXPECT_NE(refused({"latin1.txt", "caf\xe9 au lait"}).find("latin1.txt: is not UTF-8 at byte 3"),
            std::string::npos);
  EXPECT_NE(refused({"short.txt", "Once upon a time"}).find("fewer than the 63"), std::string::npos);
}

}  // namespace
}  // namespace carat
