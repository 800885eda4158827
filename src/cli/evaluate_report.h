// What `carat evaluate` found out, as text.
#pragma once

#include <string>
#include <vector>

#include "cards/store.h"
#include "evaluate/noise.h"
#include "suites/suite.h"

namespace carat {

/// The card as a table: dimensions, their tasks with every metric, their slices with the task's first metric.
/// `tasks` says which metrics count; null (a card from the store) shows all of them.
std::string card_text(const Scorecard& card, const std::vector<Task>* tasks);

/// The runs of a store, latest last.
std::string history_text(const std::vector<RunSummary>& runs);
json::array history_json(const std::vector<RunSummary>& runs);

std::string noise_text(const std::vector<NoiseFloor>& floors);
json::array noise_json(const std::vector<NoiseFloor>& floors);

}  // namespace carat
