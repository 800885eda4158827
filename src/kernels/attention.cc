// How attention is handed to threads. An item is the queries of some tokens that share a key-value head.
// Where there are too few items for the threads (a single token of a model with few heads), each item's
// positions are split into spans, and a second job merges what they gave; the kernel computes the same either
// way.
#include <algorithm>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/scratch.h"

namespace carat {
namespace {

/// Rows of queries that share a chunk while it is in the first-level cache, while their scores and outputs
/// stay in the second.
constexpr int64_t kRows = 64;

int64_t tokens_of_item(const AttentionArgs& args) { return std::max<int64_t>(1, kRows / args.group()); }

/// Items of one call: its heads, times blocks of tokens, times spans where it is split.
struct Work {
  const AttentionArgs* args;
  int64_t first_item;
  int64_t blocks;
  int64_t first_span = 0, spans = 0;  ///< 0: not split
  float* parts = nullptr;             ///< [kv_heads, spans]
  int64_t part_floats = 0;

  int64_t items() const { return blocks * args->format.kv_heads * std::max<int64_t>(1, spans); }
};

AttentionItem item_of(const Work& w, int64_t head, int64_t block) {
  const AttentionArgs& args = *w.args;
  const int64_t tokens = tokens_of_item(args);
  AttentionItem item{&args, static_cast<int>(head), block * tokens,
                     std::min(args.tokens, (block + 1) * tokens)};
  item.scratch = scratch<float, 2>(attention_scratch(item.rows(), args.format.channels()));
  return item;
}

}  // namespace

void attention(const KernelTable& k, ThreadPool& pool, std::span<const AttentionArgs> calls) {
  thread_local std::vector<Work> all;
  all.clear();
  int64_t items = 0;
  for (const AttentionArgs& args : calls) {
    if (args.tokens <= 0) continue;
    all.push_back({&args, 0, ceil_div(args.tokens, tokens_of_item(args))});
    items += all.back().items();
  }
  if (all.empty()) return;

  // Eight items per thread balance even where contexts differ in length.
  if (pool.threads() > 1 && items < 8 * pool.threads()) {
    int64_t floats = 0;
    for (Work& w : all) {
      if (w.blocks > 1) continue;
      const AttentionArgs& args = *w.args;
      w.first_span = args.first_visible(0) / kAttentionSpan;
      w.spans = ceil_div(args.first_position + args.tokens, kAttentionSpan) - w.first_span;
      w.part_floats = AttentionPart::floats(args.tokens * args.group(), args.format.channels());
      floats += args.format.kv_heads * w.spans * w.part_floats;
    }
    float* parts = scratch<float, 3>(floats);
    for (Work& w : all) {
      w.parts = parts;
      parts += w.args->format.kv_heads * w.spans * w.part_floats;
    }
  }
  items = 0;
  for (Work& w : all) {
    w.first_item = items;
    items += w.items();
  }

  const std::span<const Work> work = all;  // the pool's threads have their own thread_local
  pool.parallel_for(items, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Work& w = *(std::ranges::upper_bound(work, i, {}, &Work::first_item) - 1);
      const int64_t heads = w.args->format.kv_heads, at = i - w.first_item;
      if (w.spans == 0) {
        // Late tokens see more: theirs come first.
        k.attention[static_cast<size_t>(w.args->format.encoding)](
            item_of(w, at % heads, w.blocks - 1 - at / heads));
        continue;
      }
      AttentionItem item = item_of(w, at % heads, 0);
      item.span = w.first_span + at / heads;
      item.part = w.parts + (at % heads * w.spans + at / heads) * w.part_floats;
      k.attention[static_cast<size_t>(w.args->format.encoding)](item);
    }
  });
  items = 0;
  for (Work& w : all) {  // now an item is the spans of one head, and whole calls have none
    w.first_item = items;
    if (w.spans > 0) items += w.args->format.kv_heads;
  }
  pool.parallel_for(items, 1, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      const Work& w = *(std::ranges::upper_bound(work, i, {}, &Work::first_item) - 1);
      const int64_t head = i - w.first_item;
      AttentionItem item = item_of(w, head, 0);
      item.span = w.first_span;
      item.part = w.parts + head * w.spans * w.part_floats;
      k.finish_attention(item, w.spans);
    }
  });
}

}  // namespace carat
