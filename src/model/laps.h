// A stopwatch along the straight line of the forward pass: each operation is followed by a mark that books
// the time since the one before. Does nothing where there is no profile.
#pragma once

#include <algorithm>
#include <span>
#include <string>

#include "base/profile.h"
#include "base/stopwatch.h"
#include "kernels/kernels.h"

namespace carat {

class Laps {
 public:
  explicit Laps(Profile* profile) : profile_(profile) {}

  void mark(std::string_view operation) {
    if (profile_) book(operation, "", {});
  }

  /// After matmul() or multiply(), with their targets.
  void product(std::string_view operation, ActivationScheme scheme, const auto& targets, int64_t tokens) {
    if (!profile_) return;
    std::string encodings;
    Profile::Cost cost;
    for (const auto& target : targets) {
      const WeightView& w = target.weight;
      if (encodings.find(w.encoding->name) == std::string::npos)
        encodings += fmt::format("{}{}", encodings.empty() ? "" : " ", w.encoding->name);
      cost.bytes += static_cast<double>(w.rows) * static_cast<double>(w.row_bytes);
      counted(operands(*w.encoding, scheme), cost) += 2.0 * static_cast<double>(w.rows * w.columns * tokens);
    }
    book(operation, encodings, cost);
  }

  void attention(std::span<const AttentionArgs> sequences) {
    if (!profile_) return;
    Profile::Cost cost;
    for (const AttentionArgs& a : sequences) {
      const int64_t end = a.first_position + a.tokens;
      for (int64_t p = a.first_position; p < end; ++p) {
        const int64_t seen = a.window > 0 ? std::min(p + 1, a.window) : p + 1;
        cost.f32 += 4.0 * static_cast<double>(int64_t{a.heads} * a.format.head_dim * seen);
      }
      cost.bytes +=
          static_cast<double>(a.format.position_bytes() * (a.window > 0 ? std::min(end, a.window) : end));
    }
    book("attention", "", cost);
  }

 private:
  void book(std::string_view operation, std::string_view detail, const Profile::Cost& cost) {
    profile_->add(operation, detail, watch_.seconds(), cost);
    watch_.restart();  // the booking itself is nobody's time
  }

  Profile* profile_;
  Stopwatch watch_;
};

}  // namespace carat
