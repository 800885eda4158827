// Rows of grouped encodings: a strip of rows is transposed whole, since groups may be as wide as rows; its
// parameters are chosen and stored, and codes are the nearest under them as they are stored.
//
// Included inside a target region after grouped_fit.h and search_rows.h; includes nothing.

namespace carat {
namespace {

/// A strip of rows, in memory of the caller.
struct GroupedStrip {
  F* x;                         ///< [column]
  F *scale, *zero;              ///< [group]
  float *row_scale, *row_zero;  ///< [group], of one row

  static int64_t bytes(int64_t columns) {
    const int64_t groups = columns / 32;
    return (columns + 2 * groups) * int64_t{sizeof(F)} + 2 * groups * int64_t{sizeof(float)};
  }
  static CARAT_ALWAYS_INLINE GroupedStrip in(void* scratch, int64_t columns) {
    const int64_t groups = columns / 32;
    F* const x = static_cast<F*>(scratch);
    F* const scale = x + columns;
    auto* const row = reinterpret_cast<float*>(scale + 2 * groups);
    return {x, scale, scale + groups, row, row + groups};
  }
};

/// Writes the parameters of `rows` rows. Where what is stored is not what was chosen (NF4), s.scale becomes
/// what is stored.
template <class E>
CARAT_LANES void store_parameters(const GroupShape& shape, const GroupedStrip& s, int rows, uint8_t* out,
                                  int64_t row_bytes) {
  for (int r = 0; r < rows; ++r, out += row_bytes) {
    for (int64_t g = 0; g < shape.groups; ++g) s.row_scale[g] = s.scale[g][r], s.row_zero[g] = s.zero[g][r];
    E::write_parameters(s.row_scale, s.row_zero, shape.groups, out);
    if constexpr (std::is_same_v<E, NF4>) {
      E::read_parameters(out, shape.groups, 0, shape.groups, s.row_scale, s.row_zero);
      for (int64_t g = 0; g < shape.groups; ++g)
        for (int lane = r; lane < (r + 1 == rows ? kSearchLanes : r + 1); ++lane)  // and of its copies
          s.scale[g][lane] = s.row_scale[g];
    }
  }
}

/// Codes [column][lane] of 32 columns, as rows.
CARAT_LANES void transpose_codes(const I* codes, uint8_t (*rows)[32]) {
  using Codes = uint8_t __attribute__((vector_size(kSearchLanes)));
  for (int j = 0; j < 32; j += kSearchLanes) {
    F m[kSearchLanes];
    for (int k = 0; k < kSearchLanes; ++k) m[k] = (F)codes[j + k];
    transpose(m);
    for (int r = 0; r < kSearchLanes; ++r) {
      const Codes c = __builtin_convertvector((I)m[r], Codes);
      std::memcpy(&rows[r][j], &c, sizeof c);
    }
  }
}

template <class E>
CARAT_LANES void pack_codes(const uint8_t (*codes)[32], int rows, uint8_t* out, int64_t row_bytes) {
  for (int r = 0; r < rows; ++r) {
    typename E::Block block;
    E::pack(codes[r], block);
    std::memcpy(out + r * row_bytes, &block, sizeof block);
  }
}

template <class E>
CARAT_LANES void write_codes(const GroupShape& shape, const GroupedStrip& s, int rows, uint8_t* out,
                             int64_t row_bytes) {
  out += shape.codes_at;
  for (int64_t g = 0; g < shape.groups; ++g) {
    const LevelRange range = level_range<E>(s.zero[g]);
    const F inverse = ratio(splat(1), s.scale[g]);
    for (int64_t column = g * shape.width; column < (g + 1) * shape.width; column += 32) {
      I codes[32];
      for (int j = 0; j < 32; ++j)
        codes[j] = group_code<E>(nearest_group_level<E>(s.x[column + j] * inverse, range), range);
      uint8_t by_row[kSearchLanes][32];
      transpose_codes(codes, by_row);
      pack_codes<E>(by_row, rows, out, row_bytes);
      out += sizeof(typename E::Block);
    }
  }
}

template <class E, Choice kChoice>
void round_grouped_rows(const SearchArgs& args) {
  const GroupShape& shape = args.groups;
  const GroupedStrip s = GroupedStrip::in(args.scratch, args.columns);
  for (int64_t row = 0; row < args.rows; row += kSearchLanes) {
    const int rows = static_cast<int>(args.rows - row < kSearchLanes ? args.rows - row : kSearchLanes);
    uint8_t* out = args.out + row * args.row_bytes;
    load_columns(args, row, 0, args.columns, s.x);
    for (int64_t g = 0; g < shape.groups; ++g) {
      const F* x = s.x + g * shape.width;
      GroupFit fit;
      if (args.scale) {
        fit = {splat(args.scale[g]), splat(args.zero[g])};
      } else if constexpr (kChoice == Choice::nearest) {
        const Range r = group_range(x, shape.width);
        fit = fit_of_range<E>(r.low, r.high);
      } else if constexpr (kChoice == Choice::half_quadratic) {
        fit = half_quadratic_group<E>(x, shape.width);
      } else if (args.importance) {
        fit = found_group<E>(x, shape.width, ColumnWeights{args.importance + g * shape.width});
      } else {
        fit = found_group<E>(x, shape.width, EvenColumns{});
      }
      s.scale[g] = fit.scale;
      s.zero[g] = fit.zero;
    }
    store_parameters<E>(shape, s, rows, out, args.row_bytes);
    write_codes<E>(shape, s, rows, out, args.row_bytes);
  }
}

template <class E>
void decode_groups(const GroupShape& shape, const uint8_t* row, int64_t columns, float* out) {
  decode_grouped<E>(shape, row, 0, columns, out);
}

}  // namespace
}  // namespace carat
