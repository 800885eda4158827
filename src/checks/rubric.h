// rubric: a model of the user's choosing rates the answers of a conversation. The check has no model, so here
// an answer is only turned into what the judge is asked, and the judge's words into a rating; who asks is
// above (evaluate/judge.h). Without a judge the answer is unscored.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "containers/json.h"

namespace carat {

struct Rubric {
  std::string text;  ///< what a good answer is
  double low = 1, high = 10;
};

/// From a task's check_with: {"rubric", "low", "high"}, each of which may be missing.
Result<Rubric> read_rubric(const json::object& settings);

/// What the judge is asked: the rubric, the conversation (role, text), and reference answers, where the item
/// has any ("reference": texts, one per generated turn).
std::string judge_prompt(const Rubric& rubric, const std::vector<std::pair<std::string, std::string>>& turns,
                         const json::object& expected);

/// The number after the last "Rating:" of a line of its own, if it lies within the rubric's bounds.
std::optional<double> read_rating(const Rubric& rubric, std::string_view judgement);

}  // namespace carat
