#include "evaluate/choice_metrics.h"

#include <algorithm>

namespace carat {
namespace {

std::string_view without_divider(std::string_view choice) {
  if (choice.size() > 1 && choice.front() == ' ') choice.remove_prefix(1);
  return choice;
}

/// Index of the largest value, the first of equals.
int64_t best_of(std::span<const LikelihoodReply> replies, const Item& item,
                int64_t (*length)(std::string_view)) {
  int64_t best = 0;
  double most = 0;
  for (size_t i = 0; i < replies.size(); ++i) {
    const double value = length ? replies[i].log_probability /
                                      static_cast<double>(std::max<int64_t>(1, length(item.choices[i])))
                                : replies[i].log_probability;
    if (i == 0 || value > most) {
      best = static_cast<int64_t>(i);
      most = value;
    }
  }
  return best;
}

}  // namespace

int64_t choice_bytes(std::string_view choice) { return static_cast<int64_t>(without_divider(choice).size()); }

int64_t choice_characters(std::string_view choice) {
  return std::ranges::count_if(without_divider(choice), [](char c) { return (c & 0xc0) != 0x80; });
}

ChoiceScore score_choice(const Item& item, std::span<const LikelihoodReply> replies) {
  ChoiceScore out;
  if (replies.size() == 1) {
    out.metrics = {{"greedy", replies[0].greedy ? 1 : 0}, {"gold_nll", -replies[0].log_probability}};
    return out;
  }
  const auto right = [&](int64_t choice) { return choice == item.gold ? 1.0 : 0.0; };
  out.chosen = best_of(replies, item, nullptr);
  out.metrics = {{"acc", right(out.chosen)},
                 {"acc_norm", right(best_of(replies, item, choice_bytes))},
                 {"acc_chars", right(best_of(replies, item, choice_characters))},
                 {"gold_nll", -replies[item.gold].log_probability},
                 {"chance", 1.0 / static_cast<double>(replies.size())}};
  return out;
}

}  // namespace carat
