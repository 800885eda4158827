// Operations on rows of floats, written once over a Simd type (simd/portable.h documents those).
// Included inside a target region, after generic/prelude.h.

namespace carat {
namespace {

template <class S>
struct Elementwise {
  using F = typename S::F;
  using I = typename S::I;

  /// e^x, at most 2 units in the last place from the true value; 1 for 0; 0 below -87.3; x above 88 counts as
  /// 88; NaN stays NaN. x = n ln 2 + r with |r| <= ln 2 / 2 (ln 2 in two parts, so that r is exact to 2^-30
  /// of itself), then the Taylor polynomial of degree 7, whose remainder is below 2^-27.
  static CARAT_ALWAYS_INLINE F exp(F x) {
    const F lowest = S::set(-87.3f);
    const F clamped = S::max(lowest, S::min(S::set(88.0f), x));
    // Adding 1.5 * 2^23 rounds to an integer, which then sits in the low mantissa bits.
    const F shift = S::set(12582912.0f);
    const F shifted = S::mul_add(clamped, S::set(1.44269504f), shift);
    const F n = S::sub(shifted, shift);
    F r = S::mul_add(n, S::set(-0.693359375f), clamped);
    r = S::mul_add(n, S::set(2.12194440e-4f), r);
    F p = S::set(1.0f / 5040);
    p = S::mul_add(p, r, S::set(1.0f / 720));
    p = S::mul_add(p, r, S::set(1.0f / 120));
    p = S::mul_add(p, r, S::set(1.0f / 24));
    p = S::mul_add(p, r, S::set(1.0f / 6));
    p = S::mul_add(p, r, S::set(0.5f));
    p = S::mul_add(p, r, S::set(1.0f));
    p = S::mul_add(p, r, S::set(1.0f));
    const I power = S::template shift_left<23>(S::add_i(S::bits(shifted), S::set_i(127)));
    return S::select_less(x, lowest, S::zero(), S::mul(p, S::from_bits(power)));
  }

  /// Below this a group of activations counts as zero: its scale's inverse would not be finite.
  static constexpr float kSmallest = 0x1p-100f;

  /// How the numbers of one group are rounded: code = round(x * inverse) in [-steps, steps], value = code *
  /// scale.
  struct GroupScale {
    float inverse, scale;
  };
  static CARAT_ALWAYS_INLINE GroupScale group_scale(const float* x, int64_t n, float steps = 127.0f) {
    const I magnitude = S::set_i(0x7fffffff);
    // As integers, magnitudes order like the numbers, with infinity and NaN above all.
    I largest_lanes = S::set_i(0);
    for (int64_t i = 0; i < n; i += 16)
      largest_lanes = S::max_i(largest_lanes, S::and_i(S::bits(S::load_n(x + i, n - i)), magnitude));
    const int32_t largest_bits = S::max_of_lanes_i(largest_lanes);
    float largest;
    __builtin_memcpy(&largest, &largest_bits, 4);
    if (largest_bits >= 0x7f800000) return {0.0f, __builtin_nanf("")};
    if (!(largest >= kSmallest)) return {0.0f, 0.0f};
    return {steps / largest, largest / steps};
  }
  /// Codes of 16 activations. NaN and infinity become code 0 under a scale that is NaN.
  static CARAT_ALWAYS_INLINE I round_codes(F x, GroupScale g) {
    return g.inverse == 0.0f ? S::set_i(0) : S::round(S::mul(x, S::set(g.inverse)));
  }

  static void round_activations(const float* x, int64_t n, int64_t group, int8_t* codes, int64_t tile_stride,
                                float* scales, int32_t* sums16, int32_t* sums32) {
    for (int64_t begin = 0; begin < n; begin += group) {
      const int64_t end = begin + group < n ? begin + group : n;
      const GroupScale g = group_scale(x + begin, end - begin);
      for (int64_t b = begin / 32; b < end / 32; ++b) {
        const I low = round_codes(S::load(x + 32 * b), g);
        const I high = round_codes(S::load(x + 32 * b + 16), g);
        int8_t* to = codes + b / 8 * tile_stride + b % 8 * 32;
        S::store_i8(low, to);
        S::store_i8(high, to + 16);
        scales[b] = g.scale;
        sums16[2 * b] = S::sum_of_lanes_i(low);
        sums16[2 * b + 1] = S::sum_of_lanes_i(high);
        sums32[b] = sums16[2 * b] + sums16[2 * b + 1];
      }
    }
  }

  static void round_trip(const float* x, int64_t n, int64_t group, float* out) {
    for (int64_t begin = 0; begin < n; begin += group) {
      const int64_t end = begin + group < n ? begin + group : n;
      const GroupScale g = group_scale(x + begin, end - begin);
      for (int64_t i = begin; i < end; i += 16)
        S::store_n(S::mul(S::convert(round_codes(S::load_n(x + i, end - i), g)), S::set(g.scale)), out + i,
                   end - i);
    }
  }

  static void rms_norm(const float* x, const float* gain, float epsilon, int64_t n, float* out) {
    F squares = S::zero();
    for (int64_t i = 0; i < n; i += 16) {
      const F v = S::load_n(x + i, n - i);
      squares = S::mul_add(v, v, squares);
    }
    const float mean = S::sum_of_lanes(squares) / static_cast<float>(n);
    const F factor = S::set(1.0f / __builtin_sqrtf(mean + epsilon));
    for (int64_t i = 0; i < n; i += 16)
      S::store_n(S::mul(S::mul(S::load_n(x + i, n - i), factor), S::load_n(gain + i, n - i)), out + i, n - i);
  }

  static void layer_norm(const float* x, const float* gain, const float* bias, float epsilon, int64_t n,
                         float* out) {
    F sums = S::zero();
    for (int64_t i = 0; i < n; i += 16) sums = S::add(sums, S::load_n(x + i, n - i));
    const F mean = S::set(S::sum_of_lanes(sums) / static_cast<float>(n));
    F squares = S::zero();
    for (int64_t i = 0; i < n; i += 16) {
      const F v = S::keep_range(S::sub(S::load_n(x + i, n - i), mean), 0, n - i, S::zero());
      squares = S::mul_add(v, v, squares);
    }
    const float variance = S::sum_of_lanes(squares) / static_cast<float>(n);
    const F factor = S::set(1.0f / __builtin_sqrtf(variance + epsilon));
    for (int64_t i = 0; i < n; i += 16) {
      const F scaled =
          S::mul(S::mul(S::sub(S::load_n(x + i, n - i), mean), factor), S::load_n(gain + i, n - i));
      S::store_n(bias ? S::add(scaled, S::load_n(bias + i, n - i)) : scaled, out + i, n - i);
    }
  }

  static CARAT_ALWAYS_INLINE void rotate(F& a, F& b, F cos, F sin) {
    const F a_sin = S::mul(a, sin);
    const F b_sin = S::sub(S::zero(), S::mul(b, sin));
    a = S::mul_add(a, cos, b_sin);
    b = S::mul_add(b, cos, a_sin);
  }
  static void rope(float* x, int rotary_dim, const float* cos, const float* sin, bool interleaved) {
    const int half = rotary_dim / 2;
    for (int i = 0; i < half; i += 16) {
      const int n = half - i < 16 ? half - i : 16;
      const F c = S::load_n(cos + i, n), s = S::load_n(sin + i, n);
      F a, b;
      if (!interleaved) {
        a = S::load_n(x + i, n);
        b = S::load_n(x + half + i, n);
        rotate(a, b, c, s);
        S::store_n(a, x + i, n);
        S::store_n(b, x + half + i, n);
      } else if (n == 16) {
        S::load_pairs(x + 2 * i, a, b);
        rotate(a, b, c, s);
        S::store_pairs(a, b, x + 2 * i);
      } else {
        alignas(64) float pairs[32] = {};
        for (int j = 0; j < 2 * n; ++j) pairs[j] = x[2 * i + j];
        S::load_pairs(pairs, a, b);
        rotate(a, b, c, s);
        S::store_pairs(a, b, pairs);
        for (int j = 0; j < 2 * n; ++j) x[2 * i + j] = pairs[j];
      }
    }
  }

  static void silu_mul(float* gate, const float* up, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) {
      const F g = S::load_n(gate + i, n - i);
      const F denominator = S::add(S::set(1.0f), exp(S::sub(S::zero(), g)));
      S::store_n(S::mul(S::div(g, denominator), S::load_n(up + i, n - i)), gate + i, n - i);
    }
  }

  static CARAT_ALWAYS_INLINE F gelu_of(F x) {
    // -2 sqrt(2 / pi) (x + 0.044715 x^3)
    const F cubic = S::mul_add(S::mul(x, x), S::set(-0.0713548163f), S::set(-1.59576912f));
    return S::div(x, S::add(S::set(1.0f), exp(S::mul(cubic, x))));
  }
  static void gelu_mul(float* gate, const float* up, int64_t n) {
    for (int64_t i = 0; i < n; i += 16)
      S::store_n(S::mul(gelu_of(S::load_n(gate + i, n - i)), S::load_n(up + i, n - i)), gate + i, n - i);
  }
  static void gelu(float* x, int64_t n) {
    for (int64_t i = 0; i < n; i += 16) S::store_n(gelu_of(S::load_n(x + i, n - i)), x + i, n - i);
  }

  /// cap * tanh(x / cap) as cap - 2 cap / (e^(2 x / cap) + 1); twice_inverse is 2 / cap.
  static CARAT_ALWAYS_INLINE F capped(F x, float cap, float twice_inverse) {
    const F denominator = S::add(exp(S::mul(x, S::set(twice_inverse))), S::set(1.0f));
    return S::sub(S::set(cap), S::div(S::set(2.0f * cap), denominator));
  }
  static void softcap(float* x, float cap, int64_t n) {
    const float twice_inverse = 2.0f / cap;
    for (int64_t i = 0; i < n; i += 16)
      S::store_n(capped(S::load_n(x + i, n - i), cap, twice_inverse), x + i, n - i);
  }

  static void add(float* x, const float* y, int64_t n) {
    for (int64_t i = 0; i < n; i += 16)
      S::store_n(S::add(S::load_n(x + i, n - i), S::load_n(y + i, n - i)), x + i, n - i);
  }

  static LogSumExp log_sum_exp(const float* x, int64_t n) {
    const float infinity = __builtin_inff();
    // Sixteen running maxima, and at which step each was met first (in the bits of a float vector).
    F best = S::set(-infinity), where = S::from_bits(S::set_i(0));
    for (int64_t i = 0; i < n; i += 16) {
      const F v = S::keep_range(S::load_n(x + i, n - i), 0, n - i, S::set(-infinity));
      where = S::select_less(best, v, S::from_bits(S::set_i(static_cast<int32_t>(i / 16))), where);
      best = S::select_less(best, v, v, best);
    }
    alignas(64) float largest[16];
    alignas(64) int32_t step[16];
    S::store(best, largest);
    S::store_i(S::bits(where), step);
    LogSumExp result;
    float top = largest[0];
    result.argmax = int64_t{step[0]} * 16;
    for (int lane = 1; lane < 16 && lane < n; ++lane) {
      const int64_t index = int64_t{step[lane]} * 16 + lane;
      if (largest[lane] > top || (largest[lane] == top && index < result.argmax)) {
        top = largest[lane];
        result.argmax = index;
      }
    }
    typename S::D sum = S::zero_d();
    for (int64_t i = 0; i < n; i += 16) {
      const F e = exp(S::sub(S::load_n(x + i, n - i), S::set(top)));
      sum = S::add_d(sum, S::keep_range(e, 0, n - i, S::zero()));
    }
    result.value = static_cast<double>(top) + __builtin_log(S::sum_of_lanes_d(sum));
    return result;
  }

  static double weighted_difference(const float* x, const float* y, float top, float shift, int64_t n) {
    typename S::D sum = S::zero_d();
    for (int64_t i = 0; i < n; i += 16) {
      const F a = S::load_n(x + i, n - i);
      const F difference = S::sub(S::sub(a, S::load_n(y + i, n - i)), S::set(shift));
      const F term = S::mul(exp(S::sub(a, S::set(top))), difference);
      sum = S::add_d(sum, S::keep_range(term, 0, n - i, S::zero()));
    }
    return S::sum_of_lanes_d(sum);
  }

  static constexpr void add_to(KernelTable& table) {
    table.round_activations = &round_activations;
    table.round_trip = &round_trip;
    table.rms_norm = &rms_norm;
    table.layer_norm = &layer_norm;
    table.rope = &rope;
    table.silu_mul = &silu_mul;
    table.gelu_mul = &gelu_mul;
    table.gelu = &gelu;
    table.softcap = &softcap;
    table.add = &add;
    table.log_sum_exp = &log_sum_exp;
    table.weighted_difference = &weighted_difference;
  }
};

}  // namespace
}  // namespace carat
