// Error feedback: columns are rounded one after the other, and what they lost is made up for by those that
// follow (GPTQ, Frantar et al. 2022, algorithm 1, in the form of rounders/hessian.h).
//
// A block's parameters are chosen, as the search chooses them, for the weights as they are compensated when
// the block is reached ("opened"); its codes follow column by column. Where columns come in an order of their
// own, all blocks are opened first, on the weights as they are.
//
// Nearly all time goes into sums over errors of earlier columns. They are taken up late and in order: for
// each panel of kPanel columns once, from all errors before it; for each leaf of the panel, from those of the
// panel; and within a leaf one by one. Each sum is that of one column's errors in order whatever the cut, so
// neither panels nor instruction sets change a bit. Rejected: spreading each panel's errors over all later
// columns, GPTQ's lazy batches, which writes every weight once per panel; one strip of rows at a time, for
// which the factor would come from memory 1/4 as often as products use it.
//
// Included inside a target region after search_rows.h and feedback_products.h; includes nothing.

namespace carat {
namespace {

/// Columns that are taken up together; every block's boundary is one of a panel, or inside it.
inline constexpr int64_t kPanel = 256;
/// Steps that a leaf's integers may take when it is reached. One lowers the loss on other text by 1 %
/// (IQ4_XS) to 5 % (Q2_K), the second by up to 0.5 % more.
inline constexpr int kRefits = 2;
/// Errors of this many columns, of two strips, stay in the first-level cache.
inline constexpr int64_t kErrorChunk = 128;

/// The strips of a task.
template <class E>
struct FeedbackState {
  static constexpr int kStrips = static_cast<int>(kFeedbackRows / kSearchLanes);
  using Codes = uint8_t __attribute__((vector_size(kSearchLanes)));

  /// By position: weights, then, once they are rounded, errors. [position]
  F* x[kStrips];
  F* compensated[kStrips];          ///< of the panel
  Codes* codes[kStrips];            ///< [column]
  Solution<E>* solutions[kStrips];  ///< [block]
  F cost[kStrips];

  static int64_t bytes(int64_t columns) {
    const int64_t blocks = columns / E::kBlock;
    return kStrips * (columns * int64_t{sizeof(F)} + kPanel * int64_t{sizeof(F)} +
                      blocks * int64_t{sizeof(Solution<E>)} + columns * int64_t{sizeof(Codes)});
  }
  FeedbackState(void* scratch, int64_t columns) {
    auto* at = static_cast<uint8_t*>(scratch);
    const auto take = [&](auto*& pointer, int64_t count) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(at);
      at += count * static_cast<int64_t>(sizeof *pointer);
    };
    for (auto*& p : x) take(p, columns);
    for (auto*& p : compensated) take(p, kPanel);
    for (auto*& p : solutions) take(p, columns / E::kBlock);
    for (auto*& p : codes) take(p, columns);
    for (F& c : cost) c = F{};
  }
};

inline const float* feedback_slice(const float* slices, int64_t position) {
  const int64_t s = position / kFeedbackSlice;
  return slices + kFeedbackSlice * kFeedbackSlice * s * (s + 1) / 2;
}

/// Adds to compensated columns [first, first + count) of two strips what the errors [begin, end) cost them;
/// by position, those of `first` being the panel's column first - panel.
template <class State>
CARAT_LANES void take_up(const FeedbackArgs& args, const State& s, int strip, int64_t panel, int64_t first,
                         int64_t count, int64_t begin, int64_t end) {
  const auto* errors0 = reinterpret_cast<const float*>(s.x[strip] + begin);
  const auto* errors1 = reinterpret_cast<const float*>(s.x[strip + 1] + begin);
  for (int64_t k = first; k < first + count; k += kProductColumns) {
    F *const to0 = s.compensated[strip] + (k - panel), *const to1 = s.compensated[strip + 1] + (k - panel);
    F sums[kProductColumns][2];
    for (int c = 0; c < kProductColumns; ++c) sums[c][0] = to0[c], sums[c][1] = to1[c];
    const float* factor = feedback_slice(args.slices, k) + begin * kFeedbackSlice + k % kFeedbackSlice;
    add_products_of(errors0, errors1, kSearchLanes, factor, kFeedbackSlice, end - begin, sums);
    for (int c = 0; c < kProductColumns; ++c) to0[c] = sums[c][0], to1[c] = sums[c][1];
  }
}

/// Chooses the code of one column of a strip, and turns its weight into its error.
template <class E, bool kEven>
CARAT_LANES void round_column(const FeedbackArgs& args, FeedbackState<E>& s, int strip, int64_t position,
                              int64_t column, F compensated, F scale, F inverse, F offset) {
  using Codes = typename FeedbackState<E>::Codes;
  F t = compensated;
  if constexpr (E::kOffset != Offset::none) t -= offset;
  const F level = nearest_level<E>(t * inverse);
  F value = scale * level;
  if constexpr (E::kOffset != Offset::none) value += offset;
  I code;
  if constexpr (kLinear<E>)
    code = __builtin_convertvector(level - kLowLevel<E>, I);
  else
    code = nearest_code<E>(t * inverse);
  s.codes[strip][column] = __builtin_convertvector(code, Codes);
  s.x[strip][position] -= value;
  const F loss = compensated - value;
  s.cost[strip] += kEven ? loss * loss : splat(args.weight[column]) * loss * loss;
}

/// Rounds a leaf's worth of positions, on which all errors before them have been taken up.
template <class E, bool kEven>
CARAT_LANES void round_leaf(const FeedbackArgs& args, FeedbackState<E>& s, int strip, int64_t panel,
                            int64_t first) {
  F* const compensated = s.compensated[strip] + (first - panel);
  const Solution<E>* p = s.solutions[strip] + first / E::kBlock;
  int leaf = static_cast<int>(first % E::kBlock / E::kLeaf);
  F scale = p->leaf_scale(leaf), offset = p->leaf_offset(leaf), inverse = ratio(splat(1), scale);
  for (int64_t j = 0; j < E::kLeaf; ++j) {
    int64_t column = first + j;
    if (args.order) {
      column = args.order[column];
      p = s.solutions[strip] + column / E::kBlock;
      leaf = static_cast<int>(column % E::kBlock / E::kLeaf);
      scale = p->leaf_scale(leaf), offset = p->leaf_offset(leaf), inverse = ratio(splat(1), scale);
    }
    round_column<E, kEven>(args, s, strip, first + j, column, compensated[j], scale, inverse, offset);
    const F error = s.x[strip][first + j];
    for (int64_t k = j + 1; k < E::kLeaf; ++k) {
      const float* factor = feedback_slice(args.slices, first + k) + (first + j) * kFeedbackSlice;
      compensated[k] = fused(error, every_lane<F>(factor[(first + k) % kFeedbackSlice]), compensated[k]);
    }
  }
}

/// Chooses the parameters of the block that begins at `column` for weights at consecutive positions from
/// `first` on.
template <class E, bool kEven>
CARAT_LANES void open_block(const FeedbackArgs& args, FeedbackState<E>& s, int strip, const F* weights,
                            int64_t first, int64_t column) {
  Strip<E, kEven> block;
  for (int j = 0; j < E::kBlock; ++j) {
    const int64_t at = args.grouped ? args.order[first + j] - column : j;
    block.x[at] = clamp(weights[j], -kLargestWeight, kLargestWeight);
    if constexpr (!kEven) block.w[at] = splat(args.weight[column + at]);
  }
  s.solutions[strip][column / E::kBlock] = found_solution<E>(block);
}

/// Refits a leaf's integers to its weights as they are compensated once it is reached, under the outer
/// parameters that the block was opened with. Rows that nothing was added to stay as they are.
template <class E, bool kEven>
CARAT_LANES void refit_leaf(const FeedbackArgs& args, FeedbackState<E>& s, int strip, int64_t panel,
                            int64_t first, int64_t column) {
  F x[E::kLeaf];
  std::conditional_t<kEven, Ones, F[E::kLeaf]> w;
  I changed{};
  for (int j = 0; j < E::kLeaf; ++j) {
    const F compensated = s.compensated[strip][first - panel + j];
    changed |= compensated != s.x[strip][first + j];
    x[j] = clamp(compensated, -kLargestWeight, kLargestWeight);
    if constexpr (!kEven) w[j] = splat(args.weight[args.grouped ? args.order[first + j] : first + j]);
  }
  Leaf<E, kEven> leaf;
  leaf.set(x, w);
  const int i = static_cast<int>(column % E::kBlock / E::kLeaf);
  Solution<E>& p = s.solutions[strip][column / E::kBlock];
  const F scale = p.scale[i], min = p.min[i];
  Moments sums;
  for (int step = 0; step < kRefits; ++step) improve_leaf<E, kEven>(leaf, i, 1, p, sums);
  p.scale[i] = changed ? p.scale[i] : scale;
  p.min[i] = changed ? p.min[i] : min;
}

/// Puts a strip's weights into place; opens its blocks where columns have an order of their own.
template <class E, bool kEven>
CARAT_LANES void load_weights(const FeedbackArgs& args, FeedbackState<E>& s, int strip) {
  const SearchArgs rows{.weights = args.weights, .rows = args.rows, .columns = args.columns};
  Strip<E, true> block;
  for (int64_t column = 0; column < args.columns; column += E::kBlock) {
    load_strip<E>(rows, strip * kSearchLanes, column, block);
    if (args.order && !args.grouped) open_block<E, kEven>(args, s, strip, block.x, column, column);
    for (int j = 0; j < E::kBlock; ++j)
      s.x[strip][args.order ? args.position[column + j] : column + j] = block.x[j];
  }
}

template <class E>
CARAT_LANES void write_rows(const FeedbackArgs& args, const FeedbackState<E>& s, int strip) {
  const int64_t blocks = args.columns / E::kBlock, first = strip * int64_t{kSearchLanes};
  for (int64_t row = first; row < args.rows && row < first + kSearchLanes; ++row) {
    const auto r = static_cast<int>(row - first);
    uint8_t* out = args.out + row * blocks * static_cast<int64_t>(sizeof(typename E::Block));
    for (int64_t b = 0; b < blocks; ++b) {
      uint8_t codes[E::kBlock];
      for (int j = 0; j < E::kBlock; ++j) codes[j] = s.codes[strip][b * E::kBlock + j][r];
      write_block<E>(s.solutions[strip][b], r, codes,
                     out + b * static_cast<int64_t>(sizeof(typename E::Block)));
    }
    args.cost[row] = static_cast<double>(s.cost[strip][r]);
  }
}

template <class E, bool kEven>
void feedback_rows_as(const FeedbackArgs& args) {
  FeedbackState<E> s(args.scratch, args.columns);
  const int used = static_cast<int>((args.rows + kSearchLanes - 1) / kSearchLanes);
  const int strips = used + used % 2;  // lanes past the last row repeat it
  for (int strip = 0; strip < strips; ++strip) load_weights<E, kEven>(args, s, strip);
  for (int64_t panel = 0; panel < args.columns; panel += kPanel) {
    const int64_t end = panel + kPanel < args.columns ? panel + kPanel : args.columns;
    for (int strip = 0; strip < strips; ++strip)
      std::memcpy(s.compensated[strip], s.x[strip] + panel, static_cast<size_t>(end - panel) * sizeof(F));
    for (int64_t begin = 0; begin < panel; begin += kErrorChunk)
      for (int strip = 0; strip < strips; strip += 2)
        take_up(args, s, strip, panel, panel, end - panel, begin, begin + kErrorChunk);
    for (int strip = 0; strip < strips; strip += 2)
      for (int64_t first = panel; first < end; first += E::kLeaf) {
        take_up(args, s, strip, panel, first, E::kLeaf, panel, first);
        for (int of = strip; of < strip + 2; ++of) {
          if (!args.order || args.grouped) {
            const int64_t column = args.order ? args.order[first] : first,
                          begin = column - column % E::kBlock;
            if (first % E::kBlock == 0)
              open_block<E, kEven>(args, s, of, s.compensated[of] + (first - panel), first, begin);
            else if constexpr (E::kTwoLevel)
              refit_leaf<E, kEven>(args, s, of, panel, first, column);
          }
          round_leaf<E, kEven>(args, s, of, panel, first);
        }
      }
  }
  for (int strip = 0; strip < used; ++strip) write_rows<E>(args, s, strip);
}

template <class E>
void feedback_rows(const FeedbackArgs& args) {
  if (args.weight)
    feedback_rows_as<E, false>(args);
  else
    feedback_rows_as<E, true>(args);
}

}  // namespace
}  // namespace carat
