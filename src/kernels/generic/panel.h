// What the products with rounded and with float activations share.
//
// Included inside a target region, after generic/prelude.h and one simd/<isa>.h.

namespace carat {
namespace {

/// body(integral_constant<int, i>) for i from 0 to n - 1, without a loop.
template <class Body, int... i>
CARAT_ALWAYS_INLINE void unrolled_over(Body&& body, std::integer_sequence<int, i...>) {
  (body(std::integral_constant<int, i>{}), ...);
}
template <int n, class Body>
CARAT_ALWAYS_INLINE void unrolled(Body&& body) {
  unrolled_over(body, std::make_integer_sequence<int, n>{});
}

/// Tokens that share one unpacking of a panel: their sums stay in the first-level cache.
inline constexpr int64_t kTokenBlock = 128;

/// Asks for a share of the next panel's sixteen rows, while a panel is worked on: step `step` of
/// kSteps within a tile of kBytes per row. A tile at byte `at` of the rows has next = w.next + 2 * at.
///
/// The rows are asked for as eight runs of two each, in step with the panel's own tiles, and not further
/// ahead. On Zen 4, kernels that compute as fast as the memory delivers then read 95 % of what one thread
/// that only reads gets (docs/performance.md); four runs read 90 %, one run 75 %, no requests 40 %, requests
/// into the first-level cache or past it 55 to 70 %, requests for every other line 50 to 60 %, lanes that lie
/// far apart, so that the processor itself sees sixteen runs, 65 %. Requests in bursts of 26 instead of 8
/// cost a quarter: a core holds few at a time.
template <int step, int kSteps, int kBytes>
CARAT_ALWAYS_INLINE void ask_for_next_panel(const SixteenRows& rows, const uint8_t* next) {
  constexpr int kLines = (2 * kBytes + 63) / 64;
  unrolled<kLines>([&](auto line) CARAT_INLINE_LAMBDA {
    if constexpr (line * kSteps / kLines == step)
      unrolled<8>([&](auto run) CARAT_INLINE_LAMBDA {
        __builtin_prefetch(next + rows.distance<2 * run>() + 64 * line, 0, 2);
      });
  });
}

}  // namespace
}  // namespace carat
