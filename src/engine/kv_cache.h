// Keys and values of one session, one array per layer (kernels/kv_format.h). They grow as the conversation
// does: most conversations are much shorter than the context a model could hold, whose cache may be larger
// than its weights.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "arch/model_config.h"
#include "base/checked.h"
#include "base/error.h"
#include "model/kv_view.h"

namespace carat {

class KvCache {
 public:
  KvCache(const ModelConfig& c, KvEncoding encoding)
      : format_{encoding, c.kv_heads, c.head_dim}, layers_(c.layers) {}

  /// Makes room for `positions`, keeping the first `kept`. Capacity doubles, so that growing costs each
  /// position a constant number of copies; it never passes `limit`. Where the memory is not to be had
  /// (usage), the cache holds what it held: some layers may have more room than it counts on.
  Status reserve(int64_t positions, int64_t kept, int64_t limit) {
    if (positions <= capacity_) return {};
    const int64_t capacity = std::min(limit, std::max(round_up(positions, kKvChunk), 2 * capacity_));
    views_.resize(layers_.size());
    for (size_t l = 0; l < layers_.size(); ++l) {
      Memory larger = allocate(format_.bytes(capacity));
      if (!larger)
        return usage_error(
            "no memory for the keys and values of {} positions, {} MB; a shorter context needs less",
            capacity, static_cast<int64_t>(layers_.size()) * format_.bytes(capacity) >> 20);
      if (kept > 0) std::memcpy(larger.get(), layers_[l].get(), format_.bytes(kept));
      layers_[l] = std::move(larger);
      views_[l] = {layers_[l].get(), format_, Place::cpu};
    }
    capacity_ = capacity;
    return {};
  }

  /// Copies positions [first, last) from a cache of the same shape; there is room for them.
  void copy(const KvCache& other, int64_t first, int64_t last) {
    const int64_t begin = format_.bytes(first / kKvChunk * kKvChunk), end = format_.bytes(last);
    for (size_t l = 0; l < layers_.size(); ++l)
      std::memcpy(layers_[l].get() + begin, other.layers_[l].get() + begin, end - begin);
  }

  const std::vector<KvView>& views() const { return views_; }  ///< one per layer

 private:
  struct Free {
    void operator()(uint8_t* p) const { std::free(p); }
  };
  using Memory = std::unique_ptr<uint8_t[], Free>;

  /// Large caches ask for large pages: with those of 4 KB, looking up addresses took a tenth to a quarter of
  /// a long context's time. Null where there is no memory.
  static Memory allocate(int64_t bytes) {
    constexpr int64_t page = 2 << 20;
    const int64_t alignment = bytes >= page ? page : 64;
    const auto size = static_cast<size_t>(round_up(bytes, alignment));
    auto* p = static_cast<uint8_t*>(std::aligned_alloc(static_cast<size_t>(alignment), size));
    if (p != nullptr && bytes >= page) (void)madvise(p, size, MADV_HUGEPAGE);  // a wish
    return Memory(p);
  }

  KvFormat format_;
  int64_t capacity_ = 0;
  std::vector<Memory> layers_;
  std::vector<KvView> views_;
};

}  // namespace carat
