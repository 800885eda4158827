// How error feedback goes for the matrices of a model: what of it depends on what a matrix reads.
#pragma once

#include <map>
#include <string>

#include <fmt/format.h>

#include "encodings/encoding.h"
#include "model/linear_input.h"
#include "rounders/hessian.h"

namespace carat {

struct WalkFeedback : FeedbackOptions {
  /// In place of `shrink`, for the matrices that read these.
  std::map<LinearInput, double> shrink_of;
  /// Of what inputs have lost already, the share that weights make up for (rounders/input_drift.h); 0: none
  /// of it.
  double propagate = 0;

  /// For a matrix that reads `input` and becomes `target`.
  FeedbackOptions at(LinearInput input, const Encoding& target) const {
    FeedbackOptions out = *this;
    if (const auto own = shrink_of.find(input); own != shrink_of.end()) out.shrink = own->second;
    if (order == ColumnOrder::grouped) {
      out.block = target.block;
      out.leaf = target.leaf;
    }
    return out;
  }
  /// "0.4", or "0.4 down 0.2": the shares that Hessians are drawn to their diagonals by.
  std::string shrink_words() const {
    std::string out = fmt::format("{}", shrink);
    for (const auto& [input, share] : shrink_of)
      if (share != shrink) out += fmt::format(" {} {}", linear_input_name(input), share);
    return out;
  }
  /// All that changes what is rounded, for records.
  std::string words() const {
    return fmt::format("shrink {} damp {} order {}", shrink_words(), damp, column_order_name(order)) +
           (propagate > 0 ? fmt::format(" propagate {}", propagate) : "");
  }
};

}  // namespace carat
