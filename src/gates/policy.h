// What may be lost: a TOML file of named surfaces (where a variant is to be used), each with rules for slices
// and limits for times, memory, bytes and price. docs/gates.md describes the file.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace carat {

enum class Tier { blocking, advisory };
std::string_view tier_name(Tier tier);

/// How much of a metric may be lost where accuracy cannot tell (no headroom).
struct StandIn {
  std::string metric;
  double margin = 0;
};

/// Slices whose names fit, and the damage allowed on each. Patterns: '*' stands for any text; everything else
/// for itself.
struct Rule {
  std::string task = "*", dimension = "*";
  std::string slice;   ///< "" = the whole task
  std::string metric;  ///< "" = the first that the records of the task have
  Tier tier = Tier::blocking;
  double margin = 0;
  bool relative = false;  ///< margin is a share of the baseline's mean
  int64_t minimum_items = 1;
  std::vector<StandIn> stand_ins;
  int64_t line = 0;
};

enum class Quantity {
  first_token_seconds,
  seconds_per_token,
  answer_seconds,
  memory_bytes,
  file_bytes,
  price_per_million_tokens
};
std::string_view quantity_name(Quantity quantity);

struct Limit {
  Quantity quantity = Quantity::file_bytes;
  double percentile = 0.95;                      ///< of times
  std::optional<double> at_most, at_most_ratio;  ///< absolute; of the baseline's. At least one
  std::optional<double> price_per_hour;          ///< of the machine, where the cards hold no price per token
  Tier tier = Tier::blocking;
  int64_t line = 0;
};

struct Surface {
  std::string name, description;
  std::vector<Rule> rules;
  std::vector<Limit> limits;
};

struct Policy {
  std::string path, digest;  ///< SHA-256 of the text
  double confidence = 0.95;  ///< two-sided: each verdict errs in (1 - confidence) / 2
  double power = 0.8;        ///< for the number of items that would decide
  double missing = 0.02;     ///< share of items that may lack a pair before a slice cannot pass
  std::vector<Surface> surfaces;
};

/// Errors: no_input; bad_data with file and line: syntax, unknown keys and metrics, numbers out of range, no
/// surfaces, a surface without rules and limits.
Result<Policy> read_policy(const std::string& path);
Result<Policy> parse_policy(std::string_view text, const std::string& path);

/// Whether a name fits a pattern of a rule.
bool fits(std::string_view pattern, std::string_view name);

}  // namespace carat
