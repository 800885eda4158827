// Error feedback into grouped encodings, as feedback_rows.h does it for blocks.
//
// A group of at most 256 columns gets its parameters when it is reached, for its weights as they are
// compensated by then. Wider groups and rows, NF4, whose scales are stored together, and groups whose columns
// are not reached together get theirs first, for the weights as they are.
//
// Included inside a target region after grouped_rows.h and feedback_rows.h; includes nothing.

namespace carat {
namespace {

template <class E>
struct GroupedFeedback {
  static constexpr int kStrips = static_cast<int>(kFeedbackRows / kSearchLanes);
  using Codes = uint8_t __attribute__((vector_size(kSearchLanes)));

  /// By position: weights, then, once they are rounded, errors. [position]
  F* x[kStrips];
  F* compensated[kStrips];            ///< of the panel
  F *scale[kStrips], *zero[kStrips];  ///< [group]
  Codes* codes[kStrips];              ///< [column]
  F* loaded;                          ///< [column], of one strip
  F cost[kStrips];
  float *row_scale, *row_zero;  ///< [group], of one row

  static int64_t bytes(int64_t columns) {
    const int64_t groups = columns / 32;
    return kStrips *
               ((columns + kPanel + 2 * groups) * int64_t{sizeof(F)} + columns * int64_t{sizeof(Codes)}) +
           columns * int64_t{sizeof(F)} + 2 * groups * int64_t{sizeof(float)};
  }
  GroupedFeedback(void* scratch, int64_t columns) {
    const int64_t groups = columns / 32;
    auto* at = static_cast<uint8_t*>(scratch);
    const auto take = [&](auto*& pointer, int64_t count) {
      pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(at);
      at += count * static_cast<int64_t>(sizeof *pointer);
    };
    for (auto*& p : x) take(p, columns);
    for (auto*& p : compensated) take(p, kPanel);
    for (auto*& p : scale) take(p, groups);
    for (auto*& p : zero) take(p, groups);
    take(loaded, columns);
    for (auto*& p : codes) take(p, columns);
    take(row_scale, groups);
    take(row_zero, groups);
    for (F& c : cost) c = F{};
  }
  GroupedStrip strip(int i) const { return {loaded, scale[i], zero[i], row_scale, row_zero}; }
};

template <class E, bool kEven>
CARAT_LANES GroupFit fit_group(const F* x, int64_t n, const float* weight) {
  if constexpr (kEven)
    return (void)weight, found_group<E>(x, n, EvenColumns{});
  else
    return found_group<E>(x, n, ColumnWeights{weight});
}

/// Rounds 32 positions, on which all errors before them have been taken up.
template <class E, bool kEven>
CARAT_LANES void round_positions(const FeedbackArgs& args, GroupedFeedback<E>& s, int strip, int64_t panel,
                                 int64_t first) {
  using Codes = typename GroupedFeedback<E>::Codes;
  F* const compensated = s.compensated[strip] + (first - panel);
  int64_t group = -1, from = 0;  // columns of the group begin there
  F scale{}, inverse{};
  LevelRange range{};
  for (int64_t j = 0; j < 32; ++j) {
    const int64_t column = args.order ? args.order[first + j] : first + j;
    if (group < 0 || column < from || column >= from + args.groups.width) {
      group = column / args.groups.width, from = group * args.groups.width;
      scale = s.scale[strip][group], inverse = ratio(splat(1), scale);
      range = level_range<E>(s.zero[strip][group]);
    }
    const F level = nearest_group_level<E>(compensated[j] * inverse, range), value = scale * level;
    s.codes[strip][column] = __builtin_convertvector(group_code<E>(level, range), Codes);
    s.x[strip][first + j] -= value;
    const F loss = compensated[j] - value;
    s.cost[strip] += kEven ? loss * loss : splat(args.weight[column]) * loss * loss;
    const F error = s.x[strip][first + j];
    for (int64_t k = j + 1; k < 32; ++k) {
      const float* factor = feedback_slice(args.slices, first + k) + (first + j) * kFeedbackSlice;
      compensated[k] = fused(error, every_lane<F>(factor[(first + k) % kFeedbackSlice]), compensated[k]);
    }
  }
}

/// Puts a strip's weights into place, and chooses its parameters where that cannot wait.
template <class E, bool kEven>
CARAT_LANES void load_grouped(const FeedbackArgs& args, GroupedFeedback<E>& s, int strip, bool open) {
  const SearchArgs rows{.weights = args.weights, .rows = args.rows, .columns = args.columns};
  const int64_t width = args.groups.width, first = strip * int64_t{kSearchLanes};
  load_columns(rows, first, 0, args.columns, s.loaded);
  if (open) {
    for (int64_t g = 0; g < args.groups.groups; ++g) {
      GroupFit fit{};
      if (args.scale)
        fit = {splat(args.scale[g]), splat(args.zero[g])};
      else
        fit = fit_group<E, kEven>(s.loaded + g * width, width, kEven ? nullptr : args.weight + g * width);
      s.scale[strip][g] = fit.scale;
      s.zero[strip][g] = fit.zero;
    }
    const int64_t left = args.rows - first;
    store_parameters<E>(args.groups, s.strip(strip),
                        static_cast<int>(left < kSearchLanes ? left : kSearchLanes),
                        args.out + first * args.row_bytes, args.row_bytes);
  }
  for (int64_t column = 0; column < args.columns; ++column)
    s.x[strip][args.order ? args.position[column] : column] = s.loaded[column];
}

/// Chooses the parameters of the group whose columns are at positions from `first` on.
template <class E, bool kEven>
CARAT_LANES void open_group(const FeedbackArgs& args, GroupedFeedback<E>& s, int strip, int64_t panel,
                            int64_t first) {
  const int64_t width = args.groups.width;
  const F* weights = s.compensated[strip] + (first - panel);
  F x[kPanel];
  float w[kPanel];
  const int64_t column = args.order ? args.order[first] / width * width : first;
  for (int64_t j = 0; j < width; ++j) {
    const int64_t at = args.order ? args.order[first + j] - column : j;
    x[at] = clamp(weights[j], -kLargestWeight, kLargestWeight);
    if constexpr (!kEven) w[at] = args.weight[column + at];
  }
  const GroupFit fit = fit_group<E, kEven>(x, width, w);
  s.scale[strip][column / width] = fit.scale;
  s.zero[strip][column / width] = fit.zero;
}

template <class E>
CARAT_LANES void write_grouped(const FeedbackArgs& args, const GroupedFeedback<E>& s, int strip,
                               bool opened) {
  const int64_t first = strip * int64_t{kSearchLanes}, left = args.rows - first;
  const int rows = static_cast<int>(left < kSearchLanes ? left : kSearchLanes);
  uint8_t* out = args.out + first * args.row_bytes;
  if (!opened) store_parameters<E>(args.groups, s.strip(strip), rows, out, args.row_bytes);
  out += args.groups.codes_at;
  for (int64_t column = 0; column < args.columns; column += 32) {
    uint8_t by_row[kSearchLanes][32];
    for (int j = 0; j < 32; ++j)
      for (int r = 0; r < kSearchLanes; ++r) by_row[r][j] = s.codes[strip][column + j][r];
    pack_codes<E>(by_row, rows, out, args.row_bytes);
    out += sizeof(typename E::Block);
  }
  for (int r = 0; r < rows; ++r) args.cost[first + r] = static_cast<double>(s.cost[strip][r]);
}

template <class E, bool kEven>
void grouped_feedback_as(const FeedbackArgs& args) {
  GroupedFeedback<E> s(args.scratch, args.columns);
  const int64_t width = args.groups.width;
  const bool late = IntegerLevels<E> && width <= kPanel && !args.scale && (!args.order || args.grouped);
  const int64_t step = late ? kPanel / width * width : kPanel;
  const int used = static_cast<int>((args.rows + kSearchLanes - 1) / kSearchLanes);
  const int strips = used + used % 2;  // lanes past the last row repeat it
  for (int strip = 0; strip < strips; ++strip) load_grouped<E, kEven>(args, s, strip, !late);
  for (int64_t panel = 0; panel < args.columns; panel += step) {
    const int64_t end = panel + step < args.columns ? panel + step : args.columns;
    for (int strip = 0; strip < strips; ++strip)
      std::memcpy(s.compensated[strip], s.x[strip] + panel, static_cast<size_t>(end - panel) * sizeof(F));
    for (int64_t begin = 0; begin < panel; begin += kErrorChunk)
      for (int strip = 0; strip < strips; strip += 2)
        take_up(args, s, strip, panel, panel, end - panel, begin,
                begin + kErrorChunk < panel ? begin + kErrorChunk : panel);
    for (int strip = 0; strip < strips; strip += 2) {
      int64_t taken = panel;  // errors before it have been taken up by the whole group
      for (int64_t first = panel; first < end; first += 32) {
        if (late && first % width == 0) {
          take_up(args, s, strip, panel, first, width, panel, first);
          taken = first;
          for (int of = strip; of < strip + 2; ++of) open_group<E, kEven>(args, s, of, panel, first);
        } else {
          take_up(args, s, strip, panel, first, 32, taken, first);
        }
        for (int of = strip; of < strip + 2; ++of) round_positions<E, kEven>(args, s, of, panel, first);
      }
    }
  }
  for (int strip = 0; strip < used; ++strip) write_grouped<E>(args, s, strip, !late);
}

template <class E>
void grouped_feedback(const FeedbackArgs& args) {
  if (args.weight)
    grouped_feedback_as<E, false>(args);
  else
    grouped_feedback_as<E, true>(args);
}

template <class E>
void add_grouped_kind(SearchTable& table) {
  constexpr size_t i = kind_of<E>();
  table.decode_groups[i] = decode_groups<E>;
  table.nearest[i] = round_grouped_rows<E, Choice::nearest>;
  table.search[i] = round_grouped_rows<E, Choice::search>;
  table.half_quadratic[i] = round_grouped_rows<E, Choice::half_quadratic>;
  table.search_scratch[i] = GroupedStrip::bytes;
  table.feedback[i] = grouped_feedback<E>;
  table.feedback_scratch[i] = GroupedFeedback<E>::bytes;
}

template <class... E>
void add_grouped(SearchTable& table, EncodingList<E...>) {
  (add_grouped_kind<E>(table), ...);
}

}  // namespace
}  // namespace carat
