// Options of quantize that give a budget in place of a recipe.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "cli/console.h"
#include "quantize/budget.h"

namespace carat {

struct BudgetArguments {
  std::string size, bits, divergence;  ///< as given; at most one
  std::string sensitivities, recipe;   ///< files
  bool given() const { return !size.empty() || !bits.empty() || !divergence.empty(); }
};
void add_budget_options(CLI::App& app, BudgetArguments& arguments);

/// Bytes from "4.2GiB", "500 MB", "124172160"; usage error for anything else.
Result<uint64_t> parse_size(std::string_view text);
/// usage error for numbers of no sense, or more than one budget.
Result<BudgetGoal> parse_goal(const BudgetArguments& arguments);

/// Does what quantize does with a recipe; `out` is empty for a dry run. The recipe found is written to
/// arguments.recipe or OUT.recipe.toml, sensitivities are kept in arguments.sensitivities or
/// OUT.sensitivities.
Result<BudgetPlan> run_budget_plan(const Context& context, const Checkpoint& checkpoint,
                                   const CalibrationText& text, const QuantizeOptions& options,
                                   const BudgetArguments& arguments, const std::string& out);
Result<BudgetResult> run_budget(const Context& context, const Checkpoint& checkpoint,
                                const CalibrationText& text, const QuantizeOptions& options,
                                const BudgetArguments& arguments, const std::string& out);
json::object budget_json(const BudgetResult& result);
json::object budget_json(const BudgetPlan& plan);
std::string budget_text(const BudgetResult& result);

}  // namespace carat
