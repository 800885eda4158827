#include "cli/budget_options.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "containers/mapped_file.h"
#include "stats/replace_file.h"

namespace carat {
namespace {

/// A finite number above 0, or nothing; `rest` is what follows it.
std::optional<double> leading_number(std::string_view text, std::string_view& rest) {
  double value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failure != std::errc{} || !std::isfinite(value) || value <= 0) return std::nullopt;
  rest = text.substr(static_cast<size_t>(end - text.data()));
  return value;
}

Result<double> parse_positive(std::string_view option, std::string_view text) {
  std::string_view rest;
  const auto value = leading_number(text, rest);
  if (!value || !rest.empty()) return usage_error("{} takes a number above 0, not '{}'", option, text);
  return *value;
}

Result<BudgetOptions> budget_options(const CalibrationText& text, const BudgetArguments& arguments,
                                     const std::string& out) {
  BudgetOptions budget;
  CARAT_TRY(budget.goal, parse_goal(arguments));
  budget.text = &text;
  budget.sensitivities = arguments.sensitivities;
  if (budget.sensitivities.empty() && !out.empty()) budget.sensitivities = out + ".sensitivities";
  return budget;
}

/// What is written beside the model must not take the place of the model, or of what it was made from.
Status check_beside(const Checkpoint& checkpoint, const std::string& out, std::string_view option,
                    const std::string& path) {
  if (path.empty()) return {};
  if (is_one_of(path, checkpoint.files)) return usage_error("{} {} is a file of the source", option, path);
  if (path == out || same_file(path, out)) return usage_error("{} {} is the output itself", option, path);
  const std::string directory = std::filesystem::path(path).parent_path().string();
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored))
    return usage_error("{} {} is a directory; name a file in it", option, path);
  if (!directory.empty() && !std::filesystem::is_directory(directory, ignored))
    return usage_error("{} {}: there is no directory {}", option, path, directory);
  return {};
}

Status check_places(const Checkpoint& checkpoint, const BudgetArguments& arguments, const std::string& out) {
  CARAT_DO(check_beside(checkpoint, out, "--write-recipe", arguments.recipe));
  CARAT_DO(check_beside(checkpoint, out, "--sensitivities", arguments.sensitivities));
  if (out.empty()) return {};
  CARAT_DO(check_beside(checkpoint, out, "the recipe's file", out + ".recipe.toml"));
  return check_beside(checkpoint, out, "the sensitivities' file", out + ".sensitivities");
}

/// How to go on after an interruption or a full disk.
Error said_what_is_kept(Error e, const std::string& sensitivities) {
  if (e.code != Code::interrupted && e.code != Code::io) return e;
  if (e.message.find("with --resume goes on") != std::string::npos)  // with the file that was being written
    e.message += fmt::format(", and from what was measured of single tensors in {}", sensitivities);
  else if (sensitivities.empty())
    e.message += "; nothing of what was measured is kept, as no file is named for it (--sensitivities FILE)";
  else if (file_exists(sensitivities))
    e.message += fmt::format(
        "; what was measured of single tensors is in {}, and the same command with --resume goes on from "
        "there (files that were tried already are made again)",
        sensitivities);
  else
    e.message += "; nothing was measured yet, and the same command begins again";
  return e;
}

json::object estimate_json(const Estimate& e) {
  return {{"mean", e.mean}, {"standard_error", e.standard_error}};
}

}  // namespace

void add_budget_options(CLI::App& app, BudgetArguments& arguments) {
  const auto a_budget = CLI::Validator(
      [](const std::string& text) {
        return text.empty() ? std::string("a budget is not empty") : std::string();
      },
      "");
  app.add_option("--size", arguments.size,
                 "In place of --to: find the recipe of least KL divergence whose file is at\n"
                 "most this large (4.2GiB, 500MB, bytes); needs --text to measure on")
      ->type_name("SIZE")
      ->check(a_budget);
  app.add_option("--bpw", arguments.bits, "The same for so many bits per weight")
      ->type_name("BITS")
      ->check(a_budget);
  app.add_option("--max-kl", arguments.divergence,
                 "The smallest file whose mean KL from the source, on text held out of --text,\n"
                 "is at most this (nats per token)")
      ->type_name("KL")
      ->check(a_budget);
  app.add_option("--sensitivities", arguments.sensitivities,
                 "Where what each tensor costs is kept, and taken from by later runs for other\n"
                 "budgets (default: OUT.sensitivities)")
      ->type_name("FILE");
  app.add_option("--write-recipe", arguments.recipe,
                 "Rule file for the recipe found, which --to takes (default: OUT.recipe.toml)")
      ->type_name("FILE");
}

Result<uint64_t> parse_size(std::string_view text) {
  const auto wrong = [&] {
    return usage_error("'{}' is not a size, such as 4.2GiB, 500MB or a number of bytes", text);
  };
  std::string_view unit;
  const auto value = leading_number(text, unit);
  if (!value) return wrong();
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  struct Unit {
    std::string_view name;
    double bytes;
  };
  static constexpr Unit units[] = {{"", 1},         {"B", 1},        {"kB", 1e3},    {"KB", 1e3},
                                   {"MB", 1e6},     {"GB", 1e9},     {"TB", 1e12},   {"KiB", 1024.0},
                                   {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}};
  for (const Unit& u : units)
    if (u.name == unit && *value * u.bytes < 0x1p63) return static_cast<uint64_t>(*value * u.bytes);
  return wrong();
}

Result<BudgetGoal> parse_goal(const BudgetArguments& arguments) {
  if (!arguments.size.empty() + !arguments.bits.empty() + !arguments.divergence.empty() > 1)
    return usage_error("--size, --bpw and --max-kl are budgets of different kinds; give one of them");
  BudgetGoal goal;
  if (!arguments.size.empty()) {
    CARAT_TRY(goal.bytes, parse_size(arguments.size));
  } else if (!arguments.bits.empty()) {
    goal.kind = BudgetGoal::Kind::bits_per_weight;
    CARAT_TRY(goal.limit, parse_positive("--bpw", arguments.bits));
  } else {
    goal.kind = BudgetGoal::Kind::divergence;
    CARAT_TRY(goal.limit, parse_positive("--max-kl", arguments.divergence));
  }
  return goal;
}

Result<BudgetPlan> run_budget_plan(const Context& context, const Checkpoint& checkpoint,
                                   const CalibrationText& text, const QuantizeOptions& options,
                                   const BudgetArguments& arguments, const std::string& out) {
  CARAT_DO(check_places(checkpoint, arguments, out));
  CARAT_TRY(const BudgetOptions budget, budget_options(text, arguments, out));
  auto planned = plan_budget(context, checkpoint, options, budget);
  if (!planned) return said_what_is_kept(std::move(planned).error(), budget.sensitivities);
  BudgetPlan plan = *std::move(planned);
  if (!arguments.recipe.empty()) CARAT_DO(replace_file(arguments.recipe, plan.rule_file));
  return plan;
}

Result<BudgetResult> run_budget(const Context& context, const Checkpoint& checkpoint,
                                const CalibrationText& text, const QuantizeOptions& options,
                                const BudgetArguments& arguments, const std::string& out) {
  CARAT_DO(check_places(checkpoint, arguments, out));
  CARAT_TRY(const BudgetOptions budget, budget_options(text, arguments, out));
  auto result = quantize_to_budget(context, checkpoint, out, options, budget);
  if (!result) {
    Error e = std::move(result).error();
    return said_what_is_kept(std::move(e), budget.sensitivities);
  }
  CARAT_DO(
      replace_file(arguments.recipe.empty() ? out + ".recipe.toml" : arguments.recipe, result->rule_file));
  return result;
}

json::object budget_json(const BudgetPlan& plan) {
  return {{"predicted_kl", plan.predicted_kl},
          {"measured_tensors", plan.measured_tensors},
          {"known_tensors", plan.known_tensors}};
}

json::object budget_json(const BudgetResult& result) {
  json::array rounds;
  for (const BudgetRound& r : result.rounds)
    rounds.push_back(
        {{"bytes", r.bytes}, {"predicted_kl", r.predicted_kl}, {"kl", estimate_json(r.measured_kl)}});
  return {{"predicted_kl", result.rounds[result.kept].predicted_kl},
          {"kl", estimate_json(result.rounds[result.kept].measured_kl)},
          {"held_out_tokens", result.held_out_tokens},
          {"probing_tokens", result.probing_tokens},
          {"measured_tensors", result.measured_tensors},
          {"known_tensors", result.known_tensors},
          {"rounds", std::move(rounds)},
          {"kept_round", result.kept}};
}

std::string budget_text(const BudgetResult& result) {
  std::string out;
  for (size_t i = 0; i < result.rounds.size(); ++i) {
    const BudgetRound& r = result.rounds[i];
    out += fmt::format("  file {}{}: {} bytes, mean KL predicted {:.5f}, measured {:.5f} +- {:.5f}\n", i + 1,
                       i == result.kept ? " (kept)" : "", r.bytes, r.predicted_kl, r.measured_kl.mean,
                       r.measured_kl.standard_error);
  }
  out += fmt::format("  measured on {} tokens of calibration text held out from all else\n",
                     result.held_out_tokens);
  return out;
}

}  // namespace carat
