// Keys and values of one session, f16, one pair of arrays per layer. They grow as the conversation does: most
// conversations are much shorter than the context a model could hold, whose cache may be larger than its
// weights.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "arch/model_config.h"
#include "model/kv_view.h"

namespace carat {

class KvCache {
 public:
  explicit KvCache(const ModelConfig& c) : row_(int64_t{c.kv_heads} * c.head_dim), layers_(c.layers) {}

  /// Makes room for `positions`, keeping the first `kept` rows. Capacity doubles, so that growing costs
  /// each row a constant number of copies; it never passes `limit`.
  void reserve(int64_t positions, int64_t kept, int64_t limit) {
    if (positions <= capacity_) return;
    constexpr int64_t step = 256;
    const int64_t capacity = std::min(limit, std::max(round_up(positions, step), 2 * capacity_));
    views_.clear();
    for (Layer& layer : layers_) {
      grow(layer.k, kept, capacity);
      grow(layer.v, kept, capacity);
      views_.push_back({layer.k.get(), layer.v.get(), Place::cpu});
    }
    capacity_ = capacity;
  }

  const std::vector<KvView>& views() const { return views_; }  ///< one per layer

 private:
  struct Layer {
    std::unique_ptr<uint16_t[]> k, v;  ///< [capacity, kv_heads, head_dim]
  };

  void grow(std::unique_ptr<uint16_t[]>& rows, int64_t kept, int64_t capacity) const {
    auto larger = std::make_unique_for_overwrite<uint16_t[]>(capacity * row_);
    if (kept > 0) std::memcpy(larger.get(), rows.get(), kept * row_ * sizeof(uint16_t));
    rows = std::move(larger);
  }

  int64_t row_;  ///< elements of one position
  int64_t capacity_ = 0;
  std::vector<Layer> layers_;
  std::vector<KvView> views_;
};

}  // namespace carat
