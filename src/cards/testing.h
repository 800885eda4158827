// Records and cards for the tests of cards/ and of what reads them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "cards/scorecard.h"

namespace carat::testing {

inline Record make_record(std::string task, std::string item, double score,
                          std::vector<std::string> slices = {}) {
  Record r;
  r.task = std::move(task);
  r.item = std::move(item);
  r.cluster = r.item;
  r.slices = std::move(slices);
  r.metrics = {{"acc", score}};
  r.question = "What is " + r.item + "?";
  r.answer = score > 0 ? "right" : "wrong";
  r.expected = "right";
  return r;
}

inline Scorecard make_card(std::string variant) {
  Scorecard card;
  card.variant.name = std::move(variant);
  card.variant.model = card.variant.name + ".gguf";
  card.variant.model_digest = std::string(64, 'a');
  card.variant.settings = {{"activations", "int8_32"}, {"kv", "f16"}};
  card.suite = "basics";
  card.suite_version = "1.0";
  card.suite_digest = std::string(64, 'd');
  card.file_bytes = 123'456'789;
  card.provenance = {{"date", "2026-11-21T20:00:00Z"}, {"threads", 2}};
  card.performance = {{"first_token", {{"p50", 0.1}}}};
  return card;
}

}  // namespace carat::testing
