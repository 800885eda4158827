#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cards/testing.h"

namespace carat {
namespace {

using testing::make_card, testing::make_record;

Scorecard full_card() {
  Scorecard card = make_card("Q4_K_M");
  card.run = 7;
  card.reference = std::string(64, 'b');
  card.complete = true;
  Record odd = make_record("t", "2", 0.1 + 0.2, {"länge=1k", "\"quoted\""});
  odd.repeat = 3;
  odd.cluster = "passage 1";
  odd.outcome = Outcome::scored;
  odd.metrics = {{"loglik", -std::numeric_limits<double>::infinity()}, {"kl", 1.0 / 3}, {"x", 5e-324}};
  odd.weight = 1e-7;
  odd.answer = "<script>\n\x01\xf0\x9f\x98\x80";
  odd.reason = "because";
  odd.prompt_tokens = 12;
  odd.generated_tokens = 34;
  odd.truncated = odd.looped = true;
  odd.seconds = 0.3;
  odd.first_token_seconds = 0.2;
  Record failed = make_record("t", "3", 0);
  failed.outcome = Outcome::failed;
  failed.metrics.clear();
  card.records = {make_record("t", "1", 1), odd, failed};
  card.scores = sum_up(card.records, {{"t", "general"}});
  return card;
}

Result<Scorecard> read(const std::string& text) {
  CARAT_TRY(const json::value value, parse_json(text));
  return scorecard_from_json(value);
}

TEST(CardJson, a_card_comes_back_as_it_was) {
  const Scorecard card = full_card();
  const std::string text = pretty_json(to_json(card, true));
  const auto back = read(text);
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(pretty_json(to_json(*back, true)), text);
  ASSERT_EQ(back->records.size(), 3u);
  EXPECT_EQ(back->records[1].metrics, card.records[1].metrics);
  EXPECT_EQ(back->records[1].answer, card.records[1].answer);
  EXPECT_EQ(back->records[1].slices, card.records[1].slices);
  EXPECT_EQ(back->records[1].weight, card.records[1].weight);
  EXPECT_EQ(back->records[2].outcome, Outcome::failed);
  EXPECT_EQ(back->scores.size(), card.scores.size());
  EXPECT_EQ(back->scores[1].value.mean, card.scores[1].value.mean);
  EXPECT_EQ(back->variant.settings, card.variant.settings);
  EXPECT_EQ(back->run, 7);
  EXPECT_TRUE(back->complete);
}

TEST(CardJson, records_may_be_left_out) {
  const json::value value = to_json(full_card(), false);
  EXPECT_EQ(json_find(value, "records"), nullptr);
  EXPECT_TRUE(scorecard_from_json(value).ok());
}

TEST(CardJson, text_that_is_not_utf8_is_mended) {
  Scorecard card = make_card("a\xff");
  card.variant.settings["k\xfe"] = json::array{json::string("\xc3"), NAN};
  card.records = {make_record("t", "1", 1)};
  card.records[0].answer = "cut \xe2\x82";
  const auto back = read(pretty_json(to_json(card, true)));
  ASSERT_TRUE(back.ok()) << back.error().message;
  EXPECT_EQ(back->variant.name, "a\xef\xbf\xbd");
  EXPECT_EQ(back->records[0].answer, "cut \xef\xbf\xbd\xef\xbf\xbd");
  EXPECT_EQ(back->variant.settings.at("k\xef\xbf\xbd").as_array()[1].as_string(), "NaN");
}

/// Every member of the wrong type, one after the other, and each left out: an error that names the member,
/// or an optional one.
TEST(CardJson, members_of_the_wrong_type_are_named) {
  const json::value good = to_json(full_card(), true);
  const json::value wrong[] = {nullptr, true, -1, "text", json::array{1}, json::object{{"a", 1}}, 1e300};
  int refused = 0;
  const auto try_member = [&](const std::string& name, const std::function<json::object&(json::value&)>& at) {
    json::value copy = good;
    std::vector<std::string> keys;
    for (const auto& [key, value] : at(copy)) keys.emplace_back(key);
    for (const std::string& key : keys) {
      for (const json::value& other : wrong) {
        copy = good;
        if (at(copy)[key].kind() == other.kind()) continue;
        at(copy)[key] = other;
        const auto card = scorecard_from_json(copy);
        if (card.ok()) continue;
        ++refused;
        EXPECT_EQ(card.error().code, Code::bad_data);
        EXPECT_TRUE(card.error().message.find(key) != std::string::npos || key == "schema_version")
            << name << "." << key << ": " << card.error().message;
      }
      copy = good;
      at(copy).erase(key);
      const auto without = scorecard_from_json(copy);
      const std::string message = without.ok() ? key : without.error().message;
      EXPECT_NE(message.find(key), std::string::npos) << message;
    }
  };
  try_member("", [](json::value& v) -> json::object& { return v.as_object(); });
  for (const char* part : {"variant", "suite"})
    try_member(part, [&](json::value& v) -> json::object& { return v.as_object()[part].as_object(); });
  for (const char* part : {"scores", "records"})
    try_member(
        part, [&](json::value& v) -> json::object& { return v.as_object()[part].as_array()[1].as_object(); });
  EXPECT_GT(refused, 200);
}

TEST(CardJson, what_is_no_card_is_refused_with_a_reason) {
  const auto message = [](const std::string& text) {
    const auto card = read(text);
    return card.ok() ? "accepted" : card.error().message;
  };
  EXPECT_NE(message("[]").find("no object"), std::string::npos);
  EXPECT_NE(message("{}").find("schema_version is missing"), std::string::npos);
  EXPECT_NE(message(R"({"schema_version": 2})").find("reads 1"), std::string::npos);
  json::value twice = to_json(full_card(), true);
  auto& records = twice.as_object()["records"].as_array();
  records.push_back(records[0]);
  EXPECT_NE(message(pretty_json(twice)).find("twice"), std::string::npos);
  json::value negative = to_json(full_card(), true);
  negative.as_object()["records"].as_array()[1].as_object()["weight"] = -2.0;
  EXPECT_NE(message(pretty_json(negative)).find("records[1].weight"), std::string::npos);
}

TEST(CardJson, records_come_back_in_order) {
  Scorecard card = full_card();
  std::swap(card.records[0], card.records[2]);
  const auto back = read(pretty_json(to_json(card, true)));
  ASSERT_TRUE(back.ok());
  EXPECT_EQ(back->records[0].item, "1");
}

}  // namespace
}  // namespace carat
