#include "cli/feedback_options.h"

#include <charconv>
#include <iterator>
#include <string>
#include <vector>

namespace carat {
namespace {

constexpr ColumnOrder kOrders[] = {ColumnOrder::natural, ColumnOrder::descending, ColumnOrder::grouped};

std::vector<LinearInput> all_inputs() {
  std::vector<LinearInput> out(std::begin(layer_inputs), std::end(layer_inputs));
  out.push_back(LinearInput::output);
  return out;
}

std::string input_names() {
  std::string out;
  for (const LinearInput input : all_inputs())
    out += fmt::format("{}{}", out.empty() ? "" : ", ", linear_input_name(input));
  return out;
}

/// "0.4" or "down=0.2" into `feedback`; what is wrong with it, or nothing.
std::string read_share(const std::string& text, WalkFeedback& feedback) {
  const size_t sign = text.find('=');
  const std::string number = sign == text.npos ? text : text.substr(sign + 1);
  double share = -1;
  const auto [end, failure] = std::from_chars(number.data(), number.data() + number.size(), share);
  if (failure != std::errc() || end != number.data() + number.size() || !(share >= 0 && share <= 1))
    return fmt::format("'{}' is not a share from 0 to 1", number);
  if (sign == text.npos) {
    feedback.shrink = share;
    return {};
  }
  for (const LinearInput input : all_inputs())
    if (linear_input_name(input) == text.substr(0, sign)) {
      feedback.shrink_of[input] = share;
      return {};
    }
  return fmt::format("matrices that read '{}' are not known; there are {}", text.substr(0, sign),
                     input_names());
}

}  // namespace

void add_feedback_options(CLI::App& app, WalkFeedback& feedback) {
  app.add_option_function<std::string>(
         "--order",
         [&feedback](const std::string& name) {
           for (const ColumnOrder order : kOrders)
             if (column_order_name(order) == name) feedback.order = order;
         },
         "gptq: which columns are rounded first: natural (the default), descending (those that\n"
         "matter most; scales are chosen before), grouped (the same inside blocks)")
      ->check([](const std::string& name) {
        for (const ColumnOrder order : kOrders)
          if (column_order_name(order) == name) return std::string();
        return fmt::format("unknown order '{}'; there are natural, descending, grouped", name);
      })
      ->type_name("ORDER");
  app.add_option_function<std::vector<std::string>>(
         "--shrink",
         [&feedback](const std::vector<std::string>& shares) {
           for (const std::string& share : shares) read_share(share, feedback);
         },
         fmt::format("gptq: how far Hessians are drawn towards their diagonals, 0 to 1; of matrices\n"
                     "that read one kind of input by its name, as in 0.4,down=0.2. Default: {}",
                     feedback.shrink))
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check([](const std::string& share) {
        WalkFeedback ignored;
        return read_share(share, ignored);
      })
      ->type_name("SHARE");
  app.add_option("--damp", feedback.damp, "gptq: what is added to the diagonal, as a share of its mean")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("SHARE");
  app.add_option("--propagate", feedback.propagate,
                 "gptq: how far weights are moved to make up for what rounding earlier ones did to\n"
                 "their inputs, 0 to 1; 0.5 is a good share, and takes two to three times as long;\n"
                 "with --text only")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("SHARE");
}

}  // namespace carat
