#include "evaluate/staleness.h"

#include "base/digest.h"
#include "evaluate/testing.h"

namespace carat {
namespace {

class StalenessTest : public ::testing::Test {
 protected:
  Staleness find(const Scorecard& card, std::string_view suite_digest = "") {
    const Scorecard* const cards[] = {&card, &card};
    auto found = find_staleness(context_, cards, suite_digest);
    EXPECT_TRUE(found.ok()) << found.error().message;
    EXPECT_EQ(found->size(), 2u);
    EXPECT_EQ((*found)[0].reasons, (*found)[1].reasons);
    return (*found)[1];
  }
  void write(std::string_view text) {
    std::ofstream(directory_ / "m.gguf", std::ios::binary) << text;
    card_.variant.model = directory_ / "m.gguf";
  }

  testing::TempDirectory directory_;
  ThreadPool pool_{1};
  Cancellation cancellation_;
  Progress progress_;
  Context context_{pool_, cancellation_, progress_};
  Scorecard card_;
};

TEST_F(StalenessTest, AFileOfTheSameSizeWithOtherBytesIsFound) {
  write("weights");
  card_.variant.model_digest = sha256_hex("weights");
  EXPECT_TRUE(find(card_).reasons.empty());
  EXPECT_TRUE(find(card_).unknown.empty());
  write("wfights");
  ASSERT_EQ(find(card_).reasons.size(), 1u);
  EXPECT_NE(find(card_).reasons[0].find("is another file now"), std::string::npos);
}

TEST_F(StalenessTest, WhatIsNoFileHereIsUnknown) {
  card_.variant.model = "http://127.0.0.1:8080";
  card_.variant.model_digest = std::string(64, 'a');
  EXPECT_TRUE(find(card_).reasons.empty());
  EXPECT_EQ(find(card_).unknown.size(), 1u);
}

TEST_F(StalenessTest, AnotherProgramAndAnotherSuiteAreReasons) {
  card_.provenance = {{"carat_version", "0.0.1"}};
  card_.suite_digest = std::string(64, 'b');
  EXPECT_EQ(find(card_, std::string(64, 'b')).reasons.size(), 1u);
  EXPECT_NE(find(card_).reasons[0].find("0.0.1"), std::string::npos);
  EXPECT_EQ(find(card_, std::string(64, 'c')).reasons.size(), 2u);
}

}  // namespace
}  // namespace carat
