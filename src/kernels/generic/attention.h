// Causal grouped-query attention over chunks of kAttentionChunk cache positions, over a Simd type S.
//
// A chunk's keys are transposed into panels (16 positions in the lanes) and its values widened to floats once
// for all tokens of the item and all query heads of the group. Per query the softmax is online: maximum m,
// sum of weights l (16 partial sums) and output o are rescaled when a chunk raises m. Chunks begin at
// multiples of kAttentionChunk whatever the batch, and positions that a token does not see take no part in
// its sums, so a token's result does not depend on what else is in the batch.
//
// Included inside a target region, after generic/elementwise.h.

namespace carat {
namespace {

template <class S>
struct Attention {
  using F = typename S::F;
  static constexpr int64_t kChunk = kAttentionChunk;

  /// What all queries of an item share: one chunk of the cache, ready for products.
  struct Chunk {
    float* keys;       ///< [kChunk / 16, channels, 16 positions]
    float* values;     ///< [kChunk, channels]
    uint16_t* padded;  ///< [16, channels]
    int64_t channels;  ///< head_dim rounded up to 16, padded with zeros
  };

  static CARAT_ALWAYS_INLINE void load_keys(const uint16_t* keys, int64_t stride, int64_t n, int64_t head_dim,
                                            const Chunk& c) {
    for (int64_t first = 0; first < n; first += 16) {
      const int64_t rows = n - first < 16 ? n - first : 16;
      const uint16_t* p = keys + first * stride;
      int64_t row_stride = stride;
      if (rows < 16 || head_dim != c.channels) {
        __builtin_memset(c.padded, 0, static_cast<size_t>(32 * c.channels));
        for (int64_t r = 0; r < rows; ++r)
          __builtin_memcpy(c.padded + r * c.channels, p + r * stride, static_cast<size_t>(2 * head_dim));
        p = c.padded;
        row_stride = c.channels;
      }
      float* panel = c.keys + first * c.channels;
      for (int64_t d = 0; d < c.channels; d += 8)
        LoadF16::template columns<S>(reinterpret_cast<const uint8_t*>(p + d), 2 * row_stride, panel + 16 * d);
    }
    for (int64_t first = (n + 15) / 16 * 16; first < kChunk; first += 16)
      for (int64_t d = 0; d < c.channels; ++d) S::store(S::zero(), c.keys + first * c.channels + 16 * d);
  }

  static CARAT_ALWAYS_INLINE void load_values(const uint16_t* values, int64_t stride, int64_t n,
                                              int64_t head_dim, const Chunk& c) {
    for (int64_t j = 0; j < n; ++j) {
      int64_t d = 0;
      for (; d + 16 <= head_dim; d += 16)
        S::store(S::load_f16(values + j * stride + d), c.values + j * c.channels + d);
      if (d < head_dim) {
        alignas(64) uint16_t tail[16] = {};
        for (int64_t i = d; i < head_dim; ++i) tail[i - d] = values[j * stride + i];
        S::store(S::load_f16(tail), c.values + j * c.channels + d);
      }
    }
  }

  /// scores[h, position] = q[h] . key, each a fused sum over the channels in order.
  template <int H>
  static CARAT_ALWAYS_INLINE void score(const Chunk& c, const float* q, int64_t head_dim, float* scores) {
    constexpr int P = S::kVectors;
    for (int64_t first = 0; first < kChunk / 16; first += P) {
      const float* keys = c.keys + 16 * first * c.channels;
      F sum[H][P];
      CARAT_UNROLL
      for (int h = 0; h < H; ++h) {
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) sum[h][i] = S::zero();
      }
      for (int64_t d = 0; d < head_dim; ++d) {
        F key[P];
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) key[i] = S::load(keys + 16 * (i * c.channels + d));
        CARAT_UNROLL
        for (int h = 0; h < H; ++h) {
          const F x = S::set(q[h * head_dim + d]);
          CARAT_UNROLL
          for (int i = 0; i < P; ++i) sum[h][i] = S::mul_add(key[i], x, sum[h][i]);
        }
      }
      CARAT_UNROLL
      for (int h = 0; h < H; ++h) {
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) S::store(sum[h][i], scores + h * kChunk + 16 * (first + i));
      }
    }
  }

  /// out[h] = out[h] * keep[h] + the chunk's values weighted by weights[h], positions lo..hi in order.
  template <int H, int P>
  static CARAT_ALWAYS_INLINE void accumulate(const Chunk& c, int64_t channel, int64_t lo, int64_t hi,
                                             const float* weights, const float* keep, float* out) {
    F sum[H][P];
    CARAT_UNROLL
    for (int h = 0; h < H; ++h) {
      CARAT_UNROLL
      for (int i = 0; i < P; ++i)
        sum[h][i] = S::mul(S::load(out + h * c.channels + channel + 16 * i), S::set(keep[h]));
    }
    for (int64_t j = lo; j < hi; ++j) {
      const float* values = c.values + j * c.channels + channel;
      F v[P];
      CARAT_UNROLL
      for (int i = 0; i < P; ++i) v[i] = S::load(values + 16 * i);
      CARAT_UNROLL
      for (int h = 0; h < H; ++h) {
        const F x = S::set(weights[h * kChunk + j]);
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) sum[h][i] = S::mul_add(v[i], x, sum[h][i]);
      }
    }
    CARAT_UNROLL
    for (int h = 0; h < H; ++h) {
      CARAT_UNROLL
      for (int i = 0; i < P; ++i) S::store(sum[h][i], out + h * c.channels + channel + 16 * i);
    }
  }

  /// Turns scores into weights e^(score - maximum), zero outside lo..hi; returns the factor for what came
  /// before.
  static CARAT_ALWAYS_INLINE float softmax(float* scores, float scale, int64_t lo, int64_t hi, float& maximum,
                                           float* weight_sums) {
    constexpr int kVectors = kChunk / 16;
    const F none = S::set(-__builtin_inff());
    F s[kVectors];
    F top = none;
    CARAT_UNROLL
    for (int i = 0; i < kVectors; ++i) {
      s[i] = S::keep_range(S::mul(S::load(scores + 16 * i), S::set(scale)), lo - 16 * i, hi - 16 * i, none);
      top = S::max(top, s[i]);
    }
    const float chunk_maximum = S::max_of_lanes(top);
    const float raised = maximum > chunk_maximum ? maximum : chunk_maximum;
    const F keep = Elementwise<S>::exp(S::set(maximum - raised));
    maximum = raised;
    F sums = S::mul(S::load(weight_sums), keep);
    CARAT_UNROLL
    for (int i = 0; i < kVectors; ++i) {
      const F weight = Elementwise<S>::exp(S::sub(s[i], S::set(raised)));
      S::store(weight, scores + 16 * i);
      sums = S::add(sums, weight);
    }
    S::store(sums, weight_sums);
    alignas(64) float factor[16];
    S::store(keep, factor);
    return factor[0];
  }

  struct Queries {
    const float* q;  ///< [H, head_dim]
    float* out;      ///< [H, channels]
    float* sums;     ///< [H, 16]
    float* maximum;  ///< [H, 16], the first of each
  };

  template <int H>
  static CARAT_ALWAYS_INLINE void one_chunk(const Chunk& c, const Queries& x, int64_t head_dim, float scale,
                                            int64_t lo, int64_t hi) {
    alignas(64) float scores[H * kChunk];
    float keep[H];
    score<H>(c, x.q, head_dim, scores);
    for (int h = 0; h < H; ++h)
      keep[h] = softmax(scores + h * kChunk, scale, lo, hi, x.maximum[16 * h], x.sums + 16 * h);
    int64_t channel = 0;
    for (; channel + 16 * S::kVectors <= c.channels; channel += 16 * S::kVectors)
      accumulate<H, S::kVectors>(c, channel, lo, hi, scores, keep, x.out);
    for (; channel < c.channels; channel += 16) accumulate<H, 1>(c, channel, lo, hi, scores, keep, x.out);
  }

  /// Heads [h, n) of one token, H at a time, the rest by halves.
  template <int H>
  static CARAT_ALWAYS_INLINE void all_heads(const Chunk& c, const Queries& x, int h, int n, int64_t head_dim,
                                            float scale, int64_t lo, int64_t hi) {
    for (; h + H <= n; h += H)
      one_chunk<H>(c, {x.q + h * head_dim, x.out + h * c.channels, x.sums + 16 * h, x.maximum + 16 * h},
                   head_dim, scale, lo, hi);
    if constexpr (H > 1) {
      if (h < n) all_heads<H / 2>(c, x, h, n, head_dim, scale, lo, hi);
    }
  }

  static int64_t first_visible(const AttentionArgs& args, int64_t token) {
    const int64_t past = args.first_position + token + 1 - args.window;
    return args.window > 0 && past > 0 ? past : 0;
  }

  static void run(const AttentionItem& item) {
    const AttentionArgs& args = *item.args;
    const int group = args.heads / args.kv_heads;
    const int64_t head_dim = args.head_dim, channels = (head_dim + 15) / 16 * 16;
    const int64_t queries = (item.token_end - item.token_begin) * group;
    const Chunk c{item.scratch, item.scratch + kChunk * channels,
                  reinterpret_cast<uint16_t*>(item.scratch + 2 * kChunk * channels), channels};
    float* out = item.scratch + 2 * kChunk * channels + 8 * channels;
    float* sums = out + queries * channels;
    float* maximum = sums + queries * 16;
    for (int64_t i = 0; i < queries * (channels + 16); i += 16) S::store(S::zero(), out + i);
    for (int64_t i = 0; i < queries; ++i) maximum[16 * i] = -__builtin_inff();

    const int64_t end = args.first_position + item.token_end;
    const int64_t begin = first_visible(args, item.token_begin) / kChunk * kChunk;
    for (int64_t chunk = begin; chunk < end; chunk += kChunk) {
      const int64_t n = end - chunk < kChunk ? end - chunk : kChunk;
      const int64_t offset = chunk * args.kv_stride + item.kv_head * head_dim;
      load_keys(args.k_cache + offset, args.kv_stride, n, head_dim, c);
      load_values(args.v_cache + offset, args.kv_stride, n, head_dim, c);
      for (int64_t t = item.token_begin; t < item.token_end; ++t) {
        int64_t lo = first_visible(args, t) - chunk, hi = args.first_position + t + 1 - chunk;
        lo = lo > 0 ? lo : 0;
        hi = hi < kChunk ? hi : kChunk;
        if (lo >= hi) continue;
        const int64_t first = (t - item.token_begin) * group;
        const Queries x{args.q + (t * args.heads + item.kv_head * group) * head_dim, out + first * channels,
                        sums + 16 * first, maximum + 16 * first};
        all_heads<S::kHeads>(c, x, 0, group, head_dim, args.scale, lo, hi);
      }
    }
    for (int64_t i = 0; i < queries; ++i) {
      const F sum = S::set(S::sum_of_lanes(S::load(sums + 16 * i)));
      const int64_t token = item.token_begin + i / group, head = item.kv_head * group + i % group;
      float* to = args.out + (token * args.heads + head) * head_dim;
      for (int64_t d = 0; d < head_dim; d += 16)
        S::store_n(S::div(S::load(out + i * channels + d), sum), to + d, head_dim - d);
    }
  }
};

}  // namespace
}  // namespace carat
