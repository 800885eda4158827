#include "gates/policy.h"

#include <set>

#include "base/digest.h"
#include "containers/mapped_file.h"
#include "containers/quote.h"
#include "containers/toml_table.h"
#include "gates/metrics.h"

namespace carat {
namespace {

constexpr uint64_t kLargestPolicy = 4 << 20;
constexpr int64_t kSchemaVersion = 1;
constexpr int64_t kMostItems = 1'000'000'000;
constexpr double kMostMargin = 1e6, kMostLimit = 1e18;

struct QuantityName {
  Quantity quantity;
  std::string_view name;
  bool time;
};
constexpr QuantityName kQuantities[] = {
    {Quantity::first_token_seconds, "first_token_seconds", true},
    {Quantity::seconds_per_token, "seconds_per_token", true},
    {Quantity::answer_seconds, "answer_seconds", true},
    {Quantity::memory_bytes, "memory_bytes", false},
    {Quantity::file_bytes, "file_bytes", false},
    {Quantity::price_per_million_tokens, "price_per_million_tokens", false},
};

// What a rule starts from.
struct Defaults {
  Tier tier = Tier::blocking;
  int64_t minimum_items = 1;
  std::vector<StandIn> stand_ins;
};

Status read_tier(TomlTable& table, Tier& tier) {
  CARAT_TRY(const auto found, table.text("tier"));
  const std::string text = found.value_or(std::string(tier_name(tier)));
  if (text != "blocking" && text != "advisory")
    return table.mistake("tier", fmt::format("a tier is \"blocking\" or \"advisory\", not {}", quote(text)));
  tier = text == "blocking" ? Tier::blocking : Tier::advisory;
  return {};
}

// no_headroom = {kl = 0.05, gold_nll = 0.05}
Status read_stand_ins(TomlTable& table, std::vector<StandIn>& out) {
  CARAT_TRY(auto margins, table.table("no_headroom"));
  if (!margins) return {};
  out.clear();
  for (const auto& [key, value] : margins->raw()) {
    const std::string metric(key.str());
    const MetricFacts* facts = find_metric(metric);
    if (!facts || facts->judgement)
      return margins->mistake(metric, fmt::format("{} cannot stand in for a judgement; kl, gold_nll, nll, "
                                                  "bits_per_byte and same_top can",
                                                  quote(metric)));
    CARAT_TRY(const auto margin, margins->number(metric, 0, kMostMargin));
    out.push_back({metric, *margin});
  }
  return margins->finish();
}

Status read_defaults(TomlTable& table, Defaults& out) {
  CARAT_DO(read_tier(table, out.tier));
  CARAT_TRY(const auto items, table.integer("minimum_items", 1, kMostItems));
  out.minimum_items = items.value_or(1);
  CARAT_DO(read_stand_ins(table, out.stand_ins));
  return table.finish();
}

Result<Rule> read_rule(TomlTable table, const Defaults& defaults) {
  Rule rule;
  rule.line = table.line();
  CARAT_TRY(const auto task, table.text("task"));
  CARAT_TRY(const auto dimension, table.text("dimension"));
  CARAT_TRY(const auto slice, table.text("slice"));
  CARAT_TRY(const auto metric, table.text("metric"));
  rule.task = task.value_or("*"), rule.dimension = dimension.value_or("*"), rule.slice = slice.value_or("");
  rule.metric = metric.value_or("");
  if (metric && !find_metric(*metric))
    return table.mistake("metric",
                         fmt::format("there is no metric {} whose direction is known", quote(*metric)));
  rule.tier = defaults.tier, rule.minimum_items = defaults.minimum_items, rule.stand_ins = defaults.stand_ins;
  CARAT_DO(read_tier(table, rule.tier));
  CARAT_TRY(const auto margin, table.number("margin", 0, kMostMargin));
  CARAT_TRY(const auto relative, table.number("margin_relative", 0, kMostMargin));
  if (margin.has_value() == relative.has_value())
    return table.mistake("margin",
                         "a rule has either 'margin' or 'margin_relative': the damage that is allowed");
  rule.relative = relative.has_value();
  rule.margin = rule.relative ? *relative : *margin;
  CARAT_TRY(const auto items, table.integer("minimum_items", 1, kMostItems));
  if (items) rule.minimum_items = *items;
  CARAT_DO(read_stand_ins(table, rule.stand_ins));
  CARAT_DO(table.finish());
  return rule;
}

Result<Limit> read_limit(TomlTable table, const Defaults& defaults) {
  Limit limit;
  limit.line = table.line();
  CARAT_TRY(const std::string quantity, table.needed_text("quantity"));
  const auto* known = std::ranges::find(kQuantities, quantity, &QuantityName::name);
  if (known == std::end(kQuantities)) {
    std::string names;
    for (const auto& q : kQuantities) names += fmt::format("{}{}", names.empty() ? "" : ", ", q.name);
    return table.mistake("quantity", fmt::format("there is no quantity {}, only {}", quote(quantity), names));
  }
  limit.quantity = known->quantity;
  CARAT_TRY(const auto percentile, table.number("percentile", 1, 99.99));
  if (percentile && !known->time) return table.mistake("percentile", "only times have percentiles");
  limit.percentile = percentile.value_or(95) / 100;
  CARAT_TRY(limit.at_most, table.number("at_most", 0, kMostLimit));
  CARAT_TRY(limit.at_most_ratio, table.number("at_most_ratio", 0, kMostLimit));
  if (!limit.at_most && !limit.at_most_ratio)
    return table.mistake("at_most", "a limit needs 'at_most', 'at_most_ratio' (of the baseline's) or both");
  CARAT_TRY(limit.price_per_hour, table.number("price_per_hour", 0, kMostLimit));
  if (limit.price_per_hour && limit.quantity != Quantity::price_per_million_tokens)
    return table.mistake("price_per_hour", "belongs to the quantity price_per_million_tokens");
  limit.tier = defaults.tier;
  CARAT_DO(read_tier(table, limit.tier));
  CARAT_DO(table.finish());
  return limit;
}

// [[...key]]: an array of tables, empty where the key is missing.
Result<std::vector<TomlTable>> tables_at(TomlTable& table, std::string_view key, const std::string& what) {
  std::vector<TomlTable> out;
  const toml::node* node = table.find(key);
  if (!node) return out;
  const toml::array* array = node->as_array();
  if (!array) return table.mistake(key, fmt::format("write [[{}]] for each", what));
  for (const toml::node& element : *array) {
    const toml::table* t = element.as_table();
    if (!t) return table.mistake(key, fmt::format("write [[{}]] for each", what));
    out.emplace_back(*t, table.file(), fmt::format("[[{}]]", what));
  }
  return out;
}

Result<Surface> read_surface(TomlTable table, std::string name, const Defaults& defaults) {
  Surface out;
  out.name = std::move(name);
  CARAT_TRY(const auto description, table.text("description"));
  out.description = description.value_or("");
  CARAT_TRY(const auto rules, tables_at(table, "rule", fmt::format("surface.{}.rule", out.name)));
  for (const TomlTable& t : rules) {
    CARAT_TRY(Rule rule, read_rule(t, defaults));
    out.rules.push_back(std::move(rule));
  }
  CARAT_TRY(const auto limits, tables_at(table, "limit", fmt::format("surface.{}.limit", out.name)));
  for (const TomlTable& t : limits) {
    CARAT_TRY(const Limit limit, read_limit(t, defaults));
    out.limits.push_back(limit);
  }
  CARAT_DO(table.finish());
  if (out.rules.empty() && out.limits.empty())
    return table.mistake("", "a surface needs a rule or a limit; without one nothing is decided");
  return out;
}

}  // namespace

std::string_view tier_name(Tier tier) { return tier == Tier::blocking ? "blocking" : "advisory"; }

std::string_view quantity_name(Quantity quantity) {
  return std::ranges::find(kQuantities, quantity, &QuantityName::quantity)->name;
}

// Greedy with one place to return to: linear in practice, never worse than the product of the lengths.
bool fits(std::string_view pattern, std::string_view name) {
  size_t p = 0, n = 0, star = std::string_view::npos, mark = 0;
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++, mark = n;
    } else if (p < pattern.size() && pattern[p] == name[n]) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1, n = ++mark;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

Result<Policy> parse_policy(std::string_view text, const std::string& path) {
  CARAT_TRY(const toml::table parsed, parse_toml(text, path));
  TomlTable root(parsed, path, "the policy");
  Policy out;
  out.path = path;
  out.digest = sha256_hex(text);
  CARAT_TRY(const auto version, root.integer("schema_version", 0, kMostItems));
  if (version.value_or(kSchemaVersion) != kSchemaVersion)
    return root.mistake("schema_version",
                        fmt::format("this program knows schema_version {} only", kSchemaVersion));
  CARAT_TRY(auto statistics, root.table("statistics"));
  if (statistics) {
    CARAT_TRY(const auto confidence, statistics->number("confidence", 0.5, 0.9999));
    CARAT_TRY(const auto power, statistics->number("power", 0.5, 0.9999));
    CARAT_TRY(const auto missing, statistics->number("missing", 0, 1));
    CARAT_DO(statistics->finish());
    out.confidence = confidence.value_or(out.confidence), out.power = power.value_or(out.power);
    out.missing = missing.value_or(out.missing);
  }
  Defaults defaults;
  CARAT_TRY(auto table, root.table("defaults"));
  if (table) CARAT_DO(read_defaults(*table, defaults));
  CARAT_TRY(auto surfaces, root.table("surface"));
  if (surfaces) {
    for (const auto& [key, value] : surfaces->raw()) {
      const std::string name(key.str());
      CARAT_TRY(const auto surface, surfaces->table(name));
      CARAT_TRY(Surface read, read_surface(*surface, name, defaults));
      out.surfaces.push_back(std::move(read));
    }
  }
  CARAT_DO(root.finish());
  if (out.surfaces.empty()) return root.mistake("surface", "a policy needs a surface: [surface.default]");
  return out;
}

Result<Policy> read_policy(const std::string& path) {
  CARAT_TRY(const std::string text, read_small_file(path, kLargestPolicy));
  return parse_policy(text, path);
}

}  // namespace carat
