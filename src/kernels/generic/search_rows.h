// Rows in, blocks out: transposing strips of weights, weighing them, and packing what was chosen for them.
//
// Included inside a target region after search_block.h, search_floats.h and search_measure.h; includes
// nothing.

namespace carat {
namespace {

/// Larger magnitudes saturate every encoding; clamping them keeps sums of squares finite.
inline constexpr float kLargestWeight = 0x1p36f;

/// n columns, a multiple of 32, of a strip of rows.
CARAT_LANES void load_columns(const SearchArgs& args, int64_t row, int64_t column, int64_t n, F* to) {
  const float* rows[kSearchLanes];
  for (int r = 0; r < kSearchLanes; ++r) {  // lanes past the last row repeat it and are not written
    const int64_t i = row + r < args.rows ? row + r : args.rows - 1;
    rows[r] = args.weights + i * args.columns + column;
  }
  for (int64_t j = 0; j < n; j += kSearchLanes) {
    F m[kSearchLanes];
    for (int r = 0; r < kSearchLanes; ++r) std::memcpy(&m[r], rows[r] + j, sizeof(F));
    transpose(m);
    for (int k = 0; k < kSearchLanes; ++k) {
      const F x = m[k] == m[k] ? m[k] : F{};
      to[j + k] = clamp(x, -kLargestWeight, kLargestWeight);
    }
  }
}

template <class E, bool kEven>
CARAT_LANES void load_strip(const SearchArgs& args, int64_t row, int64_t column, Strip<E, kEven>& s) {
  load_columns(args, row, column, E::kBlock, s.x);
}

template <class E>
CARAT_LANES void weigh_strip(const SearchArgs& args, int64_t column, Strip<E, false>& s) {
  const float* importance = args.importance ? args.importance + column : nullptr;
  for (int j = 0; j < E::kBlock; ++j) s.w[j] = splat(importance ? importance[j] : 1.0f);
  if (args.weight == ErrorWeight::uniform) return;
  F mean_square{};
  for (int j = 0; j < E::kBlock; ++j) mean_square += s.x[j] * s.x[j];
  mean_square /= static_cast<float>(E::kBlock);
  F root{};
  for (int k = 0; k < kSearchLanes; ++k) root[k] = std::sqrt(mean_square[k]);
  for (int j = 0; j < E::kBlock; ++j)
    s.w[j] *= args.weight == ErrorWeight::square ? s.x[j] * s.x[j] : root + magnitude(s.x[j]);
}

/// Row r of a block: its stored parameters and its codes.
template <class E>
CARAT_LANES void write_block(const Solution<E>& p, int r, const uint8_t* codes, uint8_t* out) {
  typename E::Planes planes;
  planes.d = float_to_f16(p.d[r]);
  planes.m = E::kOffset == Offset::none ? uint16_t{0} : float_to_f16(p.m[r]);
  for (size_t i = 0; i < planes.scale.size(); ++i) planes.scale[i] = static_cast<int8_t>(p.scale[i][r]);
  if constexpr (E::kOwnScales)
    for (size_t i = 0; i < planes.own.size(); ++i) planes.own[i] = E::OwnScale::from_float(p.scale[i][r]);
  for (size_t i = 0; i < planes.min.size(); ++i) planes.min[i] = static_cast<uint8_t>(p.min[i][r]);
  std::memcpy(planes.code.data(), codes, E::kBlock);
  typename E::Block block;
  E::pack(planes, block);
  std::memcpy(out, &block, sizeof block);
}

template <class E, bool kEven>
CARAT_LANES void write_strip(const Strip<E, kEven>& s, const Solution<E>& p, int rows, uint8_t* out,
                             int64_t row_bytes) {
  using Codes = uint8_t __attribute__((vector_size(kSearchLanes)));
  uint8_t codes[kSearchLanes][E::kBlock];
  for (int i = 0; i < E::kLeaves; ++i) {
    const F inverse = ratio(splat(1), p.leaf_scale(i)), offset = p.leaf_offset(i);
    for (int j = i * E::kLeaf; j < (i + 1) * E::kLeaf; j += kSearchLanes) {
      F m[kSearchLanes];
      for (int k = 0; k < kSearchLanes; ++k) {
        F t = s.x[j + k];
        if constexpr (E::kOffset != Offset::none) t -= offset;
        m[k] = (F)nearest_code<E>(t * inverse);
      }
      transpose(m);
      for (int r = 0; r < kSearchLanes; ++r) {
        const Codes c = __builtin_convertvector((I)m[r], Codes);
        std::memcpy(&codes[r][j], &c, sizeof c);
      }
    }
  }
  for (int r = 0; r < rows; ++r) write_block<E>(p, r, codes[r], out + r * row_bytes);
}

/// One copy of the search for all who need it: it is long.
template <class E, bool kEven>
__attribute__((noinline)) Solution<E> found_solution(const Strip<E, kEven>& s) {
  return search_solution<E>(s);
}

enum class Choice { nearest, half_quadratic, search, even_search };

template <class E, Choice kChoice>
void round_rows(const SearchArgs& args) {
  constexpr bool kEven = kChoice != Choice::search;
  const int64_t row_bytes = args.columns / E::kBlock * static_cast<int64_t>(sizeof(typename E::Block));
  Strip<E, kEven> strip;
  for (int64_t row = 0; row < args.rows; row += kSearchLanes) {
    const int rows = static_cast<int>(args.rows - row < kSearchLanes ? args.rows - row : kSearchLanes);
    uint8_t* out = args.out + row * row_bytes;
    for (int64_t column = 0; column < args.columns; column += E::kBlock) {
      load_strip<E>(args, row, column, strip);
      if constexpr (!kEven) weigh_strip<E>(args, column, strip);
      Solution<E> solution;
      if constexpr (kChoice == Choice::nearest)
        solution = nearest_solution<E>(strip);
      else if constexpr (kChoice == Choice::half_quadratic)
        solution = half_quadratic_solution<E>(strip);
      else
        solution = found_solution<E>(strip);
      write_strip<E>(strip, solution, rows, out, row_bytes);
      out += sizeof(typename E::Block);
    }
  }
}

template <class E>
void search_rows(const SearchArgs& args) {
  if (args.importance || args.weight != ErrorWeight::uniform)
    round_rows<E, Choice::search>(args);
  else
    round_rows<E, Choice::even_search>(args);
}

}  // namespace
}  // namespace carat
