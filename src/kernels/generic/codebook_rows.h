// Rows in, blocks of codebook encodings out; and error feedback with their codes.
//
// Feedback is that of feedback_rows.h with atoms in the place of columns: an atom's code is chosen for its
// columns as all columns before the atom have compensated them, under the weights that the metric has on its
// diagonal, and its errors are then fed on. Columns come in their own order: an order that cuts atoms has no
// codes for them.
//
// Included inside a target region after codebook_block.h and feedback_rows.h; includes nothing.

namespace carat {
namespace {

template <class E>
using AtomCodes = I[E::kAtoms];

/// One copy of the search for all who need it: it is long.
template <class E, bool kEven>
__attribute__((noinline)) CodebookSolution<E> found_codebook_solution(const Strip<E, kEven>& s) {
  return codebook_solution<E>(s);
}

template <class E, bool kEven>
CARAT_LANES void choose_codes(const Strip<E, kEven>& s, const CodebookSolution<E>& p, AtomCodes<E>& codes) {
  for (int i = 0; i < E::kLeaves; ++i) {
    const F* x = s.x + i * E::kLeaf;
    const auto w = leaf_weights<E>(s, i);
    const F scale = p.leaf_scale(i);
    F shift{};
    if constexpr (kShifted<E>)
      if constexpr (E::kLeafShift) shift = leaf_shift<E>(x, w, scale);
    for (int j = 0; j < E::kLeaf; j += E::kAtom)
      codes[(i * E::kLeaf + j) / E::kAtom] = choose_atom<E>(x + j, w + j, scale, shift).code;
  }
}

template <class E>
CARAT_LANES void write_codebook_block(const CodebookSolution<E>& p, const I* codes, int r, uint8_t* out) {
  typename E::Planes planes;
  planes.d = float_to_f16(p.d[r]);
  for (size_t i = 0; i < planes.scale.size(); ++i) planes.scale[i] = static_cast<int8_t>(p.scale[i][r]);
  for (size_t a = 0; a < planes.code.size(); ++a) planes.code[a] = static_cast<uint32_t>(codes[a][r]);
  typename E::Block block;
  E::pack(planes, block);
  std::memcpy(out, &block, sizeof block);
}

template <class E, Choice kChoice>
void round_codebook_rows(const SearchArgs& args) {
  constexpr bool kEven = kChoice != Choice::search;
  const int64_t row_bytes = args.columns / E::kBlock * static_cast<int64_t>(sizeof(typename E::Block));
  Strip<E, kEven> strip;
  AtomCodes<E> codes;
  for (int64_t row = 0; row < args.rows; row += kSearchLanes) {
    const int rows = static_cast<int>(args.rows - row < kSearchLanes ? args.rows - row : kSearchLanes);
    uint8_t* out = args.out + row * row_bytes;
    for (int64_t column = 0; column < args.columns; column += E::kBlock) {
      load_strip<E>(args, row, column, strip);
      if constexpr (!kEven) weigh_strip<E>(args, column, strip);
      const CodebookSolution<E> p =
          kChoice == Choice::nearest ? peak_solution<E>(strip) : found_codebook_solution<E, kEven>(strip);
      choose_codes<E>(strip, p, codes);
      for (int r = 0; r < rows; ++r) write_codebook_block<E>(p, codes, r, out + r * row_bytes);
      out += sizeof(typename E::Block);
    }
  }
}

template <class E>
void search_codebook_rows(const SearchArgs& args) {
  if (args.importance || args.weight != ErrorWeight::uniform)
    round_codebook_rows<E, Choice::search>(args);
  else
    round_codebook_rows<E, Choice::even_search>(args);
}

/// The strips of a task; as FeedbackState.
template <class E>
struct CodebookFeedbackState {
  static constexpr int kStrips = static_cast<int>(kFeedbackRows / kSearchLanes);

  F* x[kStrips];            ///< by column: weights, then, once they are rounded, errors
  F* compensated[kStrips];  ///< of the panel
  I* codes[kStrips];        ///< [atom]
  CodebookSolution<E>* solutions[kStrips];
  F cost[kStrips];

  static int64_t bytes(int64_t columns) {
    return kStrips * (columns * int64_t{sizeof(F)} + kPanel * int64_t{sizeof(F)} +
                      columns / E::kAtom * int64_t{sizeof(I)} +
                      columns / E::kBlock * int64_t{sizeof(CodebookSolution<E>)});
  }
  CodebookFeedbackState(void* scratch, int64_t columns) {
    auto* at = static_cast<uint8_t*>(scratch);
    const auto take = [&](auto*& pointer, int64_t count) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(at);
      at += count * static_cast<int64_t>(sizeof *pointer);
    };
    for (auto*& p : x) take(p, columns);
    for (auto*& p : compensated) take(p, kPanel);
    for (auto*& p : codes) take(p, columns / E::kAtom);
    for (auto*& p : solutions) take(p, columns / E::kBlock);
    for (F& c : cost) c = F{};
  }
};

template <class E, bool kEven>
CARAT_LANES void weigh_columns(const FeedbackArgs& args, int64_t first, int n,
                               std::conditional_t<kEven, Ones, F*> w) {
  if constexpr (!kEven)
    for (int j = 0; j < n; ++j) w[j] = splat(args.weight[first + j]);
}

/// Rounds the atoms of a leaf, on whose columns all errors before the leaf have been taken up.
template <class E, bool kEven>
CARAT_LANES void round_atoms(const FeedbackArgs& args, CodebookFeedbackState<E>& s, int strip, int64_t panel,
                             int64_t first) {
  F* const compensated = s.compensated[strip] + (first - panel);
  const CodebookSolution<E>& p = s.solutions[strip][first / E::kBlock];
  const F scale = p.leaf_scale(static_cast<int>(first % E::kBlock / E::kLeaf));
  std::conditional_t<kEven, Ones, F[E::kLeaf]> w;
  weigh_columns<E, kEven>(args, first, E::kLeaf, w);
  const auto clamped = [&](int j, int n, F* x) __attribute__((always_inline)) {
    for (int k = 0; k < n; ++k) x[k] = clamp(compensated[j + k], -kLargestWeight, kLargestWeight);
  };
  F x[E::kLeaf], shift{};
  if constexpr (kShifted<E>)
    if constexpr (E::kLeafShift) {
      clamped(0, E::kLeaf, x);
      shift = leaf_shift<E>(x, w + 0, scale);
    }
  for (int j = 0; j < E::kLeaf; j += E::kAtom) {
    clamped(j, E::kAtom, x);
    const I code = choose_atom<E>(x, w + j, scale, shift).code;
    s.codes[strip][(first + j) / E::kAtom] = code;
    F level[E::kAtom];
    for (int r = 0; r < kSearchLanes; ++r) {
      int8_t levels[E::kAtom];
      E::expand(static_cast<uint32_t>(code[r]), levels);
      for (int k = 0; k < E::kAtom; ++k) level[k][r] = static_cast<float>(levels[k]);
    }
    for (int k = j; k < j + E::kAtom; ++k) {
      const F value = scale * level[k - j], loss = compensated[k] - value;
      s.cost[strip] += w[k] * loss * loss;
      s.x[strip][first + k] -= value;
      const F error = s.x[strip][first + k];
      for (int later = k + 1; later < E::kLeaf; ++later) {
        const float* factor = feedback_slice(args.slices, first + later) + (first + k) * kFeedbackSlice;
        compensated[later] =
            fused(error, every_lane<F>(factor[(first + later) % kFeedbackSlice]), compensated[later]);
      }
    }
  }
}

template <class E, bool kEven>
CARAT_LANES void open_codebook_block(const FeedbackArgs& args, CodebookFeedbackState<E>& s, int strip,
                                     int64_t first) {
  Strip<E, kEven> block;
  for (int j = 0; j < E::kBlock; ++j)
    block.x[j] = clamp(s.compensated[strip][j], -kLargestWeight, kLargestWeight);
  weigh_columns<E, kEven>(args, first, E::kBlock, block.w);
  s.solutions[strip][first / E::kBlock] = found_codebook_solution<E, kEven>(block);
}

/// Refits a leaf's integer to its weights as they are compensated once it is reached. Rows that nothing was
/// added to stay as they are.
template <class E, bool kEven>
CARAT_LANES void refit_codebook_leaf(const FeedbackArgs& args, CodebookFeedbackState<E>& s, int strip,
                                     int64_t panel, int64_t first) {
  F x[E::kLeaf];
  std::conditional_t<kEven, Ones, F[E::kLeaf]> w;
  weigh_columns<E, kEven>(args, first, E::kLeaf, w);
  I changed{};
  for (int j = 0; j < E::kLeaf; ++j) {
    const F compensated = s.compensated[strip][first - panel + j];
    changed |= compensated != s.x[strip][first + j];
    x[j] = clamp(compensated, -kLargestWeight, kLargestWeight);
  }
  CodebookSolution<E>& p = s.solutions[strip][first / E::kBlock];
  F& scale = p.scale[first % E::kBlock / E::kLeaf];
  const LeafStep step = step_leaf<E>(x, w + 0, p.d, scale, kNearSteps);
  scale = changed ? step.scale : scale;
}

template <class E, bool kEven>
void codebook_feedback_as(const FeedbackArgs& args) {
  static_assert(E::kBlock == kPanel);
  CodebookFeedbackState<E> s(args.scratch, args.columns);
  const int used = static_cast<int>((args.rows + kSearchLanes - 1) / kSearchLanes);
  const int strips = used + used % 2;  // lanes past the last row repeat it
  const SearchArgs rows{.weights = args.weights, .rows = args.rows, .columns = args.columns};
  for (int strip = 0; strip < strips; ++strip)
    for (int64_t column = 0; column < args.columns; column += E::kBlock)
      load_columns(rows, strip * kSearchLanes, column, E::kBlock, s.x[strip] + column);
  for (int64_t panel = 0; panel < args.columns; panel += kPanel) {
    for (int strip = 0; strip < strips; ++strip)
      std::memcpy(s.compensated[strip], s.x[strip] + panel, kPanel * sizeof(F));
    for (int64_t begin = 0; begin < panel; begin += kErrorChunk)
      for (int strip = 0; strip < strips; strip += 2)
        take_up(args, s, strip, panel, panel, kPanel, begin, begin + kErrorChunk);
    for (int strip = 0; strip < strips; strip += 2)
      for (int64_t first = panel; first < panel + kPanel; first += E::kLeaf) {
        take_up(args, s, strip, panel, first, E::kLeaf, panel, first);
        for (int of = strip; of < strip + 2; ++of) {
          if (first == panel)
            open_codebook_block<E, kEven>(args, s, of, first);
          else
            refit_codebook_leaf<E, kEven>(args, s, of, panel, first);
          round_atoms<E, kEven>(args, s, of, panel, first);
        }
      }
  }
  const int64_t blocks = args.columns / E::kBlock;
  for (int64_t row = 0; row < args.rows; ++row) {
    const int64_t strip = row / kSearchLanes;
    const auto r = static_cast<int>(row % kSearchLanes);
    uint8_t* out = args.out + row * blocks * static_cast<int64_t>(sizeof(typename E::Block));
    for (int64_t b = 0; b < blocks; ++b)
      write_codebook_block<E>(s.solutions[strip][b], s.codes[strip] + b * E::kAtoms, r,
                              out + b * static_cast<int64_t>(sizeof(typename E::Block)));
    args.cost[row] = static_cast<double>(s.cost[strip][r]);
  }
}

template <class E>
void codebook_feedback(const FeedbackArgs& args) {
  if (args.weight)
    codebook_feedback_as<E, false>(args);
  else
    codebook_feedback_as<E, true>(args);
}

template <class E>
void add_codebook(SearchTable& table) {
  if constexpr (E::kAtom > 1) {
    constexpr size_t i = kind_of<E>();
    table.nearest[i] = round_codebook_rows<E, Choice::nearest>;
    table.search[i] = search_codebook_rows<E>;
    table.feedback[i] = codebook_feedback<E>;
    table.feedback_scratch[i] = CodebookFeedbackState<E>::bytes;
  }
}
template <class... E>
void add_codebooks(SearchTable& table, EncodingList<E...>) {
  (add_codebook<E>(table), ...);
}

}  // namespace
}  // namespace carat
