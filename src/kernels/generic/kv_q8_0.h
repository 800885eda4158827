// Keys and values of a chunk in Q8_0 (kernels/kv_format.h), over a Simd type S: what they meet is rounded to
// 16 bits, so that sums of products are exact integers, two products to a lane and instruction. Widening the
// codes to floats instead would make Q8_0 slower than F16 wherever several heads share them.
//
// Included inside a target region, after generic/kv_f16.h.

namespace carat {
namespace {

template <class S>
struct KvQ8_0 {
  using F = typename S::F;
  using I = typename S::I;
  static constexpr KvEncoding kEncoding = KvEncoding::q8_0;
  static constexpr int64_t kBlock = 32;
  /// What queries and weights are rounded to: 32 products with codes, and 64, stay below 2^31.
  static constexpr float kSteps = 32767.0f;

  static CARAT_ALWAYS_INLINE const uint16_t* scales(const uint8_t* plane, int64_t channels) {
    return reinterpret_cast<const uint16_t*>(plane + kKvChunk * channels);
  }

  /// A query row: 16 floats, of which the first is the scale, and 16-bit codes.
  static constexpr int64_t query_floats(int64_t channels) { return 16 + (channels + 31) / 32 * 16; }
  static void prepare_query(const float* q, int64_t head_dim, int64_t channels, float* to) {
    alignas(64) float rotated[kLargestHead];
    q = rotate(q, head_dim, rotated);
    const auto g = Elementwise<S>::group_scale(q, head_dim, kSteps);
    auto* codes = reinterpret_cast<int16_t*>(to + 16);
    to[0] = g.scale;
    for (int64_t d = 0; d < channels; d += 16)
      S::store_i16(Elementwise<S>::round_codes(S::load_n(q + d, head_dim - d), g), codes + d);
  }

  static constexpr int64_t kLargestHead = 1024, kLargestRotation = 256;

  /// Queries and keys are multiplied by a Hadamard matrix over the root of its size, which spreads a large
  /// channel over all and leaves scores as they are: the divergence that Q8_0 keys and values cause in
  /// SmolLM2-135M is 0.00019 nats with it and 0.00068 without. Sizes are the largest power of two that
  /// divides the head, from 32 to 256; heads that have none are left alone. Each stage maps pairs to sums, in
  /// the first half, and differences.
  static const float* rotate(const float* x, int64_t head_dim, float* out) {
    int64_t n = head_dim & -head_dim;
    n = n < kLargestRotation ? n : kLargestRotation;
    if (n < 32 || head_dim > kLargestHead) return x;
    const F norm = S::set(1.0f / __builtin_sqrtf(static_cast<float>(n)));
    for (int64_t block = 0; block < head_dim; block += n) {
      alignas(64) float stages[2][kLargestRotation];
      const float* from = x + block;
      float* to = stages[0];
      for (int64_t size = n; size > 1; size /= 2) {
        for (int64_t i = 0; i < n / 2; i += 16) {
          F even, odd;
          S::load_pairs(from + 2 * i, even, odd);
          S::store(S::add(even, odd), to + i);
          S::store(S::sub(even, odd), to + n / 2 + i);
        }
        from = to;
        to = to == stages[0] ? stages[1] : stages[0];
      }
      for (int64_t i = 0; i < n; i += 16) S::store(S::mul(S::load(from + i), norm), out + block + i);
    }
    return out;
  }

  /// As there is an exact sum beside each sum: with four vectors, 4 to 6 rows had more of them than there are
  /// registers, and 5 rows took longer than 8 (Zen 4: 47 and 92 Gop/s).
  static constexpr int score_vectors(int rows) {
    const int most = vectors_beside<S>(rows);
    return most == 4 && 2 * 4 * rows > S::kAttentionSums ? 2 : most;
  }

  /// scores[h, position] = scale of q[h] * sum over blocks of (exact sum) * scale of the key, fused.
  template <int H>
  static CARAT_ALWAYS_INLINE void score(const uint8_t* plane, const uint8_t* next, int64_t channels,
                                        const float* q, float* scores_out, int64_t score_stride) {
    constexpr int P = score_vectors(H);
    const int64_t row = query_floats(channels);
    for (int64_t first = 0; first < kKvChunk; first += 16 * P) {
      F sum[H][P];
      for_each_sum<H, P>([&](int h, int i) CARAT_INLINE_LAMBDA { sum[h][i] = S::zero(); });
      for (int64_t block = 0; block < channels; block += kBlock) {
        const int64_t end = block + kBlock < channels ? block + kBlock : channels;
        I dot[H][P];
        for_each_sum<H, P>([&](int h, int i) CARAT_INLINE_LAMBDA { dot[h][i] = S::set_i(0); });
        for (int64_t d = block; d < end; d += 2) {
          prefetch_vectors<P>(next + d * kKvChunk + 2 * first);
          I key[P];
          CARAT_UNROLL
          for (int i = 0; i < P; ++i) key[i] = S::load_i8(plane + d * kKvChunk + 2 * (first + 16 * i));
          CARAT_UNROLL
          for (int h = 0; h < H; ++h) {
            const I x = S::set_i(load_32(q + h * row + 16 + d / 2));
            CARAT_UNROLL
            for (int i = 0; i < P; ++i) dot[h][i] = S::dot_i16(dot[h][i], key[i], x);
          }
        }
        const int64_t scale_at = block / kBlock * kKvChunk + first;
        const uint16_t* d = scales(plane, channels) + scale_at;
        prefetch_vectors<P>(reinterpret_cast<const uint8_t*>(scales(next, channels) + scale_at));
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) {
          const F scale = S::load_f16(d + 16 * i);
          CARAT_UNROLL
          for (int h = 0; h < H; ++h) sum[h][i] = S::mul_add(S::convert(dot[h][i]), scale, sum[h][i]);
        }
      }
      for_each_sum<H, P>([&](int h, int i) CARAT_INLINE_LAMBDA {
        S::store(S::mul(sum[h][i], S::set(q[h * row])), scores_out + h * score_stride + first + 16 * i);
      });
    }
  }

  /// out[h] += (exact sum) * scale: the weights times the scales of a block of values are rounded together.
  template <int H>
  static CARAT_ALWAYS_INLINE void accumulate(const uint8_t* plane, const uint8_t* next, int64_t channels,
                                             const float* weights, int64_t weight_stride, int64_t lo,
                                             int64_t hi, float* out) {
    constexpr int P = vectors_beside<S>(H) < 2 ? 1 : 2;
    alignas(64) int16_t codes[H][kKvChunk];
    float scale[H];
    for (int64_t block = 0; block < channels; block += kBlock) {
      const uint16_t* d = scales(plane, channels) + block / kBlock * kKvChunk;
      prefetch_vectors<4>(
          reinterpret_cast<const uint8_t*>(scales(next, channels) + block / kBlock * kKvChunk));
      for (int h = 0; h < H; ++h) {
        alignas(64) float x[kKvChunk];
        for (int64_t j = 0; j < kKvChunk; j += 16)
          S::store(S::keep_range(S::mul(S::load(weights + h * weight_stride + j), S::load_f16(d + j)), lo - j,
                                 hi - j, S::zero()),
                   x + j);
        const auto g = Elementwise<S>::group_scale(x, kKvChunk, kSteps);
        for (int64_t j = 0; j < kKvChunk; j += 16)
          S::store_i16(Elementwise<S>::round_codes(S::load(x + j), g), codes[h] + j);
        scale[h] = g.scale;
      }
      int64_t c = block;
      const int64_t end = block + kBlock < channels ? block + kBlock : channels;
      for (; c + 16 * P <= end; c += 16 * P)
        accumulate_channels<H, P>(plane + 2 * c, next + 2 * c, channels, codes[0], scale, lo, hi, out + c);
      for (; c < end; c += 16)
        accumulate_channels<H, 1>(plane + 2 * c, next + 2 * c, channels, codes[0], scale, lo, hi, out + c);
    }
  }

  template <int H, int P>
  static CARAT_ALWAYS_INLINE void accumulate_channels(const uint8_t* values, const uint8_t* next,
                                                      int64_t channels, const int16_t* codes,
                                                      const float* scale, int64_t lo, int64_t hi,
                                                      float* out) {
    I dot[H][P];
    for_each_sum<H, P>([&](int h, int i) CARAT_INLINE_LAMBDA { dot[h][i] = S::set_i(0); });
    for (int64_t j = lo / 2 * 2; j < hi; j += 2) {
      prefetch_vectors<P>(next + j * channels);
      I v[P];
      CARAT_UNROLL
      for (int i = 0; i < P; ++i) v[i] = S::load_i8(values + j * channels + 32 * i);
      CARAT_UNROLL
      for (int h = 0; h < H; ++h) {
        const I x = S::set_i(load_32(codes + h * kKvChunk + j));
        CARAT_UNROLL
        for (int i = 0; i < P; ++i) dot[h][i] = S::dot_i16(dot[h][i], v[i], x);
      }
    }
    for_each_sum<H, P>([&](int h, int i) CARAT_INLINE_LAMBDA {
      float* to = out + h * channels + 16 * i;
      S::store(S::mul_add(S::convert(dot[h][i]), S::set(scale[h]), S::load(to)), to);
    });
  }

  /// Codes of one block: x / scale to the nearest, the scale being largest / 127 in f16. What is not finite
  /// makes the scale NaN.
  static CARAT_ALWAYS_INLINE uint16_t round_block(const float* x, int64_t n, int8_t* codes) {
    const uint16_t bits = float_to_f16(Elementwise<S>::group_scale(x, n, 127.0f).scale);
    const float scale = f16_to_float(bits);
    const F inverse = S::set(scale > 0.0f ? 1.0f / scale : 0.0f);  // NaN, too, means codes of 0
    for (int64_t i = 0; i < kBlock; i += 16) {
      const F code =
          S::mul(S::keep_range(S::load_n(x + i, n - i), 0, scale > 0.0f ? 16 : 0, S::zero()), inverse);
      S::store_i8(S::round(S::min(S::max(code, S::set(-127.0f)), S::set(127.0f))), codes + i);
    }
    return bits;
  }

  /// Stores the key and the value of one position and head at place `at` of a chunk.
  static void append(const float* k, const float* v, int64_t head_dim, int64_t channels, int64_t at,
                     uint8_t* key_plane, uint8_t* value_plane) {
    alignas(64) float rotated[kLargestHead];
    k = rotate(k, head_dim, rotated);
    alignas(64) int8_t codes[kBlock];
    for (int64_t block = 0; block < channels; block += kBlock) {
      const int64_t n = channels - block < kBlock ? channels - block : kBlock;
      const int64_t scale_at = kKvChunk * channels + 2 * (block / kBlock * kKvChunk + at);
      const uint16_t k_scale =
          round_block(k + block, head_dim - block < kBlock ? head_dim - block : kBlock, codes);
      __builtin_memcpy(key_plane + scale_at, &k_scale, 2);
      for (int64_t d = 0; d < n; d += 2)
        __builtin_memcpy(key_plane + (block + d) * kKvChunk + 2 * at, codes + d, 2);
      const uint16_t v_scale =
          round_block(v + block, head_dim - block < kBlock ? head_dim - block : kBlock, codes);
      __builtin_memcpy(value_plane + scale_at, &v_scale, 2);
      for (int64_t d = 0; d < n; ++d)
        value_plane[at / 2 * 2 * channels + 2 * (block + d) + at % 2] = static_cast<uint8_t>(codes[d]);
    }
  }
};

}  // namespace
}  // namespace carat
