#include "cards/card_file.h"

#include <gtest/gtest.h>

#include "cards/settings.h"
#include "cards/store.h"
#include "cards/testing.h"
#include "containers/test_files.h"

namespace carat {
namespace {

using testing::file_text, testing::make_card, testing::make_record, testing::TempDirectory,
    testing::write_file;

TEST(CardFile, a_card_is_named_by_file_run_or_variant) {
  TempDirectory directory;
  const std::string path = directory / "card.json", store_path = directory / "s";
  Scorecard card = make_card("a");
  card.complete = true;
  card.records = {make_record("t", "1", 1)};
  ASSERT_TRUE(write_card(path, card, true).ok());
  EXPECT_FALSE(std::filesystem::exists(path + ".partial"));
  EXPECT_EQ(load_card(path, store_path, "")->records.size(), 1u);

  EXPECT_NE(load_card("a", store_path, "").error().message.find("there is no store"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(store_path));
  ASSERT_TRUE((*Store::open(store_path))->add_card(card).ok());
  EXPECT_EQ(load_card("a", store_path, "")->run, 1);
  EXPECT_EQ(load_card("1", store_path, "")->variant.name, "a");
}

TEST(CardFile, errors_name_the_file) {
  TempDirectory directory;
  const std::string path = directory / "card.json";
  EXPECT_EQ(read_card(path).error().code, Code::no_input);
  write_file(path, "{");
  EXPECT_NE(read_card(path).error().message.find(path + ": not valid JSON"), std::string::npos);
  write_file(path, "{}");
  EXPECT_NE(read_card(path).error().message.find(path + ": schema_version is missing"), std::string::npos);
  EXPECT_EQ(write_card(directory / "none/card.json", make_card("a"), true).error().code, Code::io);
  std::filesystem::create_directory(directory / "taken.json");
  EXPECT_EQ(write_card(directory / "taken.json", make_card("a"), true).error().code, Code::io);
  EXPECT_FALSE(std::filesystem::exists(directory / "taken.json.partial"));
}

TEST(Settings, what_differs_is_named_by_its_path) {
  const Variant a = make_card("a").variant;
  Variant b = a;
  EXPECT_TRUE(differing_settings(a, b).empty());
  b.name = "b";
  b.model = "elsewhere/a.gguf";
  b.settings = {{"kv", "f16"}, {"activations", "int8_32"}};
  EXPECT_TRUE(differing_settings(a, b).empty());
  b.settings["kv"] = "q8_0";
  ASSERT_EQ(differing_settings(a, b).size(), 1u);
  EXPECT_EQ(differing_settings(a, b)[0].member, "kv");
  EXPECT_EQ(differing_settings(a, b)[0].second, "q8_0");
  b.settings["sampling"] = {{"temperature", 0.5}};
  b.model_digest = "other";
  const auto differences = differing_settings(a, b);
  ASSERT_EQ(differences.size(), 3u);
  EXPECT_EQ(differences[0].member, "model");
  EXPECT_EQ(differences[2].member, "sampling.temperature");
  EXPECT_EQ(differences[2].first, "-");
  b = a;
  b.settings = {};
  EXPECT_EQ(differing_settings(a, b).size(), a.settings.size());
}

}  // namespace
}  // namespace carat
