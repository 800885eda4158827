// Keys and values of a chunk in F16 (kernels/kv_format.h), over a Simd type S: widened in registers, exactly,
// and used at once for every row of the block.
//
// Included inside a target region, after generic/elementwise.h.

namespace carat {
namespace {

/// Vectors of positions or channels that H rows take side by side: as many sums as there are registers for.
template <class S>
constexpr int vectors_beside(int rows) {
  return 4 * rows <= S::kAttentionSums ? 4 : 2 * rows <= S::kAttentionSums ? 2 : 1;
}

/// Asks for the next plane's part that lies where P vectors of 32 bytes are read in this one: into the
/// second-level cache, since the first is full of this one (asked for there, long contexts took twice the
/// time).
template <int P>
CARAT_ALWAYS_INLINE void prefetch_vectors(const uint8_t* next) {
  CARAT_UNROLL
  for (int i = 0; i < P; i += 2) __builtin_prefetch(next + 32 * i, 0, 2);
}

/// body(h, i) for the sums of H rows and P vectors beside each other, which stay in registers.
template <int H, int P, class Body>
CARAT_ALWAYS_INLINE void for_each_sum(Body&& body) {
  CARAT_UNROLL
  for (int h = 0; h < H; ++h) {
    CARAT_UNROLL
    for (int i = 0; i < P; ++i) body(h, i);
  }
}

template <class S>
struct KvF16 {
  using F = typename S::F;
  static constexpr KvEncoding kEncoding = KvEncoding::f16;

  /// A query row is read as it is, padded with zeros.
  static constexpr int64_t query_floats(int64_t channels) { return channels; }
  static void prepare_query(const float* q, int64_t head_dim, int64_t channels, float* to) {
    for (int64_t d = 0; d < channels; d += 16) S::store(S::load_n(q + d, head_dim - d), to + d);
  }

  /// scores[h, position] = q[h] . key for the 64 positions of a chunk, each a fused sum over the channels in
  /// order. `next` is the plane that will be read after this one.
  template <int H>
  static CARAT_ALWAYS_INLINE void score(const uint8_t* plane, const uint8_t* next, int64_t channels,
                                        const float* q, float* scores, int64_t score_stride) {
    constexpr int P = vectors_beside<S>(H);
    const auto* keys = reinterpret_cast<const uint16_t*>(plane);
    for (int64_t first = 0; first < kKvChunk; first += 16 * P) {
      F sum[H][P];
      for_each_sum<H, P>([&](int h, int i) CARAT_INLINE_LAMBDA { sum[h][i] = S::zero(); });
      for (int64_t d = 0; d < channels; ++d) {
        prefetch_vectors<P>(next + 2 * (d * kKvChunk + first));
        F key[P];
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) key[i] = S::load_f16(keys + d * kKvChunk + first + 16 * i);
        CARAT_UNROLL
        for (int h = 0; h < H; ++h) {
          const F x = S::set(q[h * channels + d]);
          CARAT_UNROLL
          for (int i = 0; i < P; ++i) sum[h][i] = S::mul_add(key[i], x, sum[h][i]);
        }
      }
      for_each_sum<H, P>([&](int h, int i) CARAT_INLINE_LAMBDA {
        S::store(sum[h][i], scores + h * score_stride + first + 16 * i);
      });
    }
  }

  /// out[h] += the chunk's values, weighted by weights[h]: fused, positions lo .. hi in order.
  template <int H>
  static CARAT_ALWAYS_INLINE void accumulate(const uint8_t* plane, const uint8_t* next, int64_t channels,
                                             const float* weights, int64_t weight_stride, int64_t lo,
                                             int64_t hi, float* out) {
    constexpr int P = vectors_beside<S>(H);
    const auto* values = reinterpret_cast<const uint16_t*>(plane);
    int64_t c = 0;
    for (; c + 16 * P <= channels; c += 16 * P)
      accumulate_channels<H, P>(values + c, next + 2 * c, channels, weights, weight_stride, lo, hi, out + c);
    for (; c < channels; c += 16)
      accumulate_channels<H, 1>(values + c, next + 2 * c, channels, weights, weight_stride, lo, hi, out + c);
  }

  template <int H, int P>
  static CARAT_ALWAYS_INLINE void accumulate_channels(const uint16_t* values, const uint8_t* next,
                                                      int64_t channels, const float* weights,
                                                      int64_t weight_stride, int64_t lo, int64_t hi,
                                                      float* out) {
    F sum[H][P];
    for_each_sum<H, P>([&](int h, int i)
                           CARAT_INLINE_LAMBDA { sum[h][i] = S::load(out + h * channels + 16 * i); });
    for (int64_t j = lo; j < hi; ++j) {
      prefetch_vectors<P>(next + 2 * j * channels);
      F v[P];
      CARAT_UNROLL
      for (int i = 0; i < P; ++i) v[i] = S::load_f16(values + j * channels + 16 * i);
      CARAT_UNROLL
      for (int h = 0; h < H; ++h) {
        const F x = S::set(weights[h * weight_stride + j]);
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) sum[h][i] = S::mul_add(v[i], x, sum[h][i]);
      }
    }
    for_each_sum<H, P>([&](int h, int i)
                           CARAT_INLINE_LAMBDA { S::store(sum[h][i], out + h * channels + 16 * i); });
  }

  /// Stores the key and the value of one position and head at place `at` of a chunk.
  static void append(const float* k, const float* v, int64_t head_dim, int64_t channels, int64_t at,
                     uint8_t* key_plane, uint8_t* value_plane) {
    auto* keys = reinterpret_cast<uint16_t*>(key_plane) + at;
    auto* values = reinterpret_cast<uint16_t*>(value_plane) + at * channels;
    for (int64_t d = 0; d < channels; d += 16) {
      alignas(64) uint16_t key[16];
      S::store_f16(S::load_n(k + d, head_dim - d), key);
      CARAT_UNROLL
      for (int i = 0; i < 16; ++i) keys[(d + i) * kKvChunk] = key[i];
      S::store_f16(S::load_n(v + d, head_dim - d), values + d);
    }
  }
};

}  // namespace
}  // namespace carat
