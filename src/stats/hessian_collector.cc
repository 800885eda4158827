#include "stats/hessian_collector.h"

#include "stats/gram.h"

namespace carat {

HessianCollector::HessianCollector(ThreadPool& pool, const KernelTable& kernels, ActivationScheme scheme,
                                   HessianWriter& writer)
    : pool_(pool), kernels_(kernels), scheme_(scheme), writer_(writer), squares_(writer.places().size()) {
  for (const HessianPlace& place : writer.places()) tokens_.emplace_back(static_cast<size_t>(place.matrices));
}

void HessianCollector::input(const InputPlace& at, const float* x, int64_t tokens, int64_t columns) {
  const std::vector<HessianPlace>& places = writer_.places();
  for (size_t p = 0; p < places.size(); ++p) {
    if (places[p].layer != at.layer || places[p].input != at.input) continue;
    tokens_[p][static_cast<size_t>(at.matrix)] += static_cast<uint64_t>(tokens);
    if (p < writer_.completed()) return;
    const auto size = static_cast<size_t>(columns * columns);
    squares_[p].resize(size * static_cast<size_t>(places[p].matrices));
    accumulate_gram(pool_, kernels_, scheme_, x, tokens, columns,
                    squares_[p].data() + size * static_cast<size_t>(at.matrix));
    return;
  }
}

Status HessianCollector::leave(int64_t beyond) {
  const std::vector<HessianPlace>& places = writer_.places();
  for (size_t p = writer_.completed(); p < places.size(); ++p) {
    if (places[p].layer >= beyond || places[p].input == LinearInput::output) break;
    CARAT_DO(writer_.write(squares_[p]));
    squares_[p] = {};
  }
  return {};
}

Status HessianCollector::finish() {
  while (writer_.completed() < writer_.places().size())
    CARAT_DO(writer_.write(squares_[writer_.completed()]));
  return writer_.finish(tokens_);
}

}  // namespace carat
