// What `carat bench` found out, as text and as JSON.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "containers/json.h"
#include "measure/rounding_rate.h"
#include "measure/speed.h"

namespace carat {

struct BenchReport {
  std::string model, isa, activation_scheme, kv;
  uint64_t file_bytes = 0;
  std::string reference;  ///< what engine 1 of `speed` is; empty where there is none
  SpeedReport speed;
  std::optional<StartTimes> start;
  std::vector<RoundingRate> rounding;
  std::vector<double> sustained;  ///< tokens per second in each part of `sustained_seconds`
  double sustained_seconds = 0;
  std::vector<ProfileReport> profiles;
};

/// Tables of at most 80 columns.
std::string bench_text(const BenchReport& report);
json::object bench_json(const BenchReport& report);

}  // namespace carat
