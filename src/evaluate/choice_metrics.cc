#include "evaluate/choice_metrics.h"

#include <algorithm>

namespace carat {
namespace {

int64_t one(std::string_view) { return 1; }

int64_t bytes(std::string_view text) { return static_cast<int64_t>(text.size()); }

int64_t characters(std::string_view text) {
  return std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; });
}

/// Index of the largest log-probability by length, the first of equals.
int64_t best_of(std::span<const LikelihoodReply> replies, const Item& item, size_t delimiter,
                int64_t (*length)(std::string_view)) {
  int64_t best = 0;
  double most = 0;
  for (size_t i = 0; i < replies.size(); ++i) {
    const std::string_view choice = item.choices[i];
    const int64_t by = std::max<int64_t>(1, length(choice.substr(std::min(delimiter, choice.size()))));
    const double value = replies[i].log_probability / static_cast<double>(by);
    if (i == 0 || value > most) {
      best = static_cast<int64_t>(i);
      most = value;
    }
  }
  return best;
}

}  // namespace

ChoiceScore score_choice(const Item& item, size_t delimiter, std::span<const LikelihoodReply> replies) {
  ChoiceScore out;
  if (replies.size() == 1) {
    out.metrics = {{"greedy", replies[0].greedy ? 1 : 0}, {"gold_nll", -replies[0].log_probability}};
    return out;
  }
  const auto right = [&](int64_t choice) { return choice == item.gold ? 1.0 : 0.0; };
  out.chosen = best_of(replies, item, delimiter, one);
  out.metrics = {{"acc", right(out.chosen)},
                 {"acc_norm", right(best_of(replies, item, delimiter, bytes))},
                 {"acc_chars", right(best_of(replies, item, delimiter, characters))},
                 {"gold_nll", -replies[item.gold].log_probability},
                 {"chance", 1.0 / static_cast<double>(replies.size())}};
  return out;
}

}  // namespace carat
