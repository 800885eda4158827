// One token along the rows of codebook encodings: blocks are read in the order of the file, four rows side by
// side, whose totals share the sums over lanes. What the blocks' codes meet is prepared once per panel.
//
// Totals are those of panels, bit for bit: integers, and one order of blocks. The next four rows are asked
// for meanwhile; without that, half as many bytes are read.
//
// Included inside a target region, after generic/quantized_panel.h.

namespace carat {
namespace {

/// Blocks (of E, with 256 columns) must offer
///   Activations                  what the rounded activations of a block's columns become
///   prepare(a, i, activations)   these, for block i
///   totals(b, activations, to)   the exact sums of scale * level * a over blocks *b[0] .. *b[3], four
///   integers d(block)                     f16 bits
template <class S, class E, class Blocks>
struct RowsByFour {
  using Block = typename E::Block;

  /// Blocks of a row whose activations are prepared at a time, so that they stay in the first-level cache.
  static constexpr int64_t kMost = 32;
  /// Bytes that are asked for ahead, at least.
  static constexpr int64_t kAhead = 8192;

  struct Working {
    alignas(64) typename Blocks::Activations activations[kMost];
    alignas(64) int32_t totals[kMost * kPanelRows];  ///< [block, row]
    alignas(64) uint16_t d[kMost * kPanelRows];
  };

  /// Totals of `count` blocks of four rows; to_totals and to_d are at the first row's place.
  static void multiply(const uint8_t* const* rows, int64_t count, int64_t ahead,
                       const typename Blocks::Activations* activations, int32_t* to_totals, uint16_t* to_d) {
    const Block* b[4];
    for (int r = 0; r < 4; ++r) b[r] = reinterpret_cast<const Block*>(rows[r]);
    for (int64_t i = 0; i < count; ++i) {
      unrolled<4>([&](auto r) CARAT_INLINE_LAMBDA {
        const char* next = reinterpret_cast<const char*>(b[r]) + ahead;
        for (int64_t line = 0; line < int64_t{sizeof(Block)}; line += 64)
          __builtin_prefetch(next + line, 0, 2);
      });
      Blocks::totals(b, activations[i], to_totals + kPanelRows * i);
      unrolled<4>([&](auto r) CARAT_INLINE_LAMBDA { to_d[kPanelRows * i + r] = Blocks::d(*b[r]++); });
    }
  }

  /// y[r] for activations rounded in groups of 256.
  static void run(const WeightRows& w, const RoundedActivations& a, float* y) {
    Working s;
    typename S::F sum = S::zero();
    const int64_t blocks = w.columns / 256;
    const int64_t four_rows = 4 * w.row_bytes;
    const int64_t ahead = (kAhead + four_rows - 1) / four_rows * four_rows;
    for (int64_t first = 0; first < blocks; first += kMost) {
      const int64_t count = blocks - first < kMost ? blocks - first : kMost;
      for (int64_t i = 0; i < count; ++i) Blocks::prepare(a, first + i, s.activations[i]);
      for (int row = 0; row < w.rows; row += 4) {
        const uint8_t* rows[4];
        for (int r = 0; r < 4; ++r)  // the last row stands in for those that are not there
          rows[r] = w.data + (row + r < w.rows ? row + r : w.rows - 1) * w.row_bytes +
                    first * int64_t{sizeof(Block)};
        multiply(rows, count, ahead, s.activations, s.totals + row, s.d + row);
      }
      for (int64_t i = 0; i < count; ++i) {
        const auto total = S::convert(S::load_i(s.totals + kPanelRows * i));
        const auto factor = S::mul(S::load_f16(s.d + kPanelRows * i), S::set(E::kUnit));
        sum = S::mul_add(S::mul(total, factor), S::set(a.scales[8 * (first + i) + 7]), sum);
      }
    }
    S::store_n(sum, y, w.rows);
  }
};

}  // namespace
}  // namespace carat
