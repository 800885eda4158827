// The most an instruction set can do on one core: what kernels are compared with. Included inside a target
// region, as the rest of this folder.
//
// Chains of independent operations in registers, long enough to hide the latency of any current core (4
// cycles, two units). The read loop touches every cache line and does next to nothing with it. Two streams at
// a time: on a Zen 4, one core reads 8 % more so than with one stream, 3 % more than with 16, and up to 45 %
// more than with software prefetch, at any distance from 512 bytes to 8 kB.

namespace carat {
namespace {

/// kFloatChains and kDotChains sums: as many as fit into the registers beside the operands. Before this
/// header, a hide(S::I&) has to be declared that keeps the compiler from knowing a value.
template <class S, int kFloatChains, int kDotChains>
struct Peaks {
  static double f32(int64_t rounds, float* sink) {
    typename S::F sum[kFloatChains];
    CARAT_UNROLL
    for (int i = 0; i < kFloatChains; ++i) sum[i] = S::set(static_cast<float>(i));
    const auto a = S::load(sink), b = S::load(sink + 16);
    for (int64_t r = 0; r < rounds; ++r) {
      CARAT_UNROLL
      for (int i = 0; i < kFloatChains; ++i) sum[i] = S::mul_add(a, b, sum[i]);
    }
    auto total = sum[0];
    CARAT_UNROLL
    for (int i = 1; i < kFloatChains; ++i) total = S::add(total, sum[i]);
    S::store(total, sink);
    return 2.0 * S::kLanes * kFloatChains * static_cast<double>(rounds);
  }

  static double int8(int64_t rounds, float* sink) {
    typename S::Dot sum[kDotChains];
    CARAT_UNROLL
    for (int i = 0; i < kDotChains; ++i) sum[i] = S::dot_start(i);
    auto codes = S::and_i(S::load_i(sink), S::set_i(0x0f0f0f0f));
    int8_t activations[4];
    std::memcpy(activations, sink + 16, 4);
    for (int64_t r = 0; r < rounds; ++r) {
      // As products do: a few steps, then their narrower sums (where there are such) are folded.
      CARAT_UNROLL
      for (int step = 0; step < 8; ++step) {
        CARAT_UNROLL
        for (int i = 0; i < kDotChains; ++i) {
          hide(codes);
          S::template dot_step<false>(sum[i], codes, activations);
        }
      }
      CARAT_UNROLL
      for (int i = 0; i < kDotChains; ++i) S::dot_fold(sum[i]);
    }
    auto total = S::dot_sum(sum[0]);
    CARAT_UNROLL
    for (int i = 1; i < kDotChains; ++i) total = S::add_i(total, S::dot_sum(sum[i]));
    S::store_i(total, sink);
    return 2.0 * 4 * 8 * S::kLanes * kDotChains * static_cast<double>(rounds);
  }

  static void read(const uint8_t* p, int64_t bytes, float* sink) {
    auto a = S::load_i(sink), b = a, c = a, d = a;
    const int64_t half = bytes / 2;
    for (int64_t at = 0; at < half; at += 128) {
      a = S::xor_i(a, S::load_i(p + at));
      b = S::xor_i(b, S::load_i(p + at + 64));
      c = S::xor_i(c, S::load_i(p + half + at));
      d = S::xor_i(d, S::load_i(p + half + at + 64));
    }
    S::store_i(S::xor_i(S::xor_i(a, b), S::xor_i(c, d)), sink);
  }

  static constexpr void add_to(KernelTable& table) {
    table.peaks.f32 = f32;
    table.peaks.int8 = int8;
    table.peaks.read = read;
  }
};

}  // namespace
}  // namespace carat
