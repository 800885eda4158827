// Causal grouped-query attention over spans of kAttentionSpan cache positions, over a Simd type S and the way
// keys and values are stored, Kv (kv_f16.h, kv_q8_0.h).
//
// A row is one query head of one token; the rows of an item share a key-value head, so that each chunk of the
// cache is read once for all of them. Within a span: all scores of all rows, chunk by chunk; then each row's
// maximum m, its weights e^(score - m) and their sum l; then the weighted values o, chunk by chunk. Spans
// begin at multiples of kAttentionSpan whatever the batch and are merged in order of position: threads can
// take different spans of a long context, and a token's result depends neither on that nor on what else is
// in the batch. Positions that a token does not see take part in none of its sums.
//
// Included inside a target region, after generic/elementwise.h.

namespace carat {
namespace {

template <class S, class Kv>
struct Attention {
  using F = typename S::F;
  static constexpr int64_t kSpan = kAttentionSpan;

  /// Positions that a token sees, or their part in a span or chunk, counted from its begin.
  struct Range {
    int64_t lo, hi;
    Range within(int64_t begin, int64_t size) const {
      const int64_t a = lo > begin ? lo - begin : 0, b = hi - begin < size ? hi - begin : size;
      return {a, b};
    }
    bool empty() const { return lo >= hi; }
  };
  static Range visible(const AttentionArgs& args, int64_t token) {
    return {args.first_visible(token), args.first_position + token + 1};
  }

  /// The rows of an item and what is computed for them in one span.
  struct Rows {
    const AttentionArgs& args;
    const uint8_t* cache;  ///< planes of the item's key-value head in chunk 0
    int64_t group, channels, token_begin, tokens;
    float* queries;  ///< [rows, query_floats]
    float* scores;   ///< [rows, kSpan]
    AttentionPart part;

    Range seen(int64_t token) const { return visible(args, token_begin + token); }
  };

  /// Rows first .. end meet a chunk's keys, H at a time. `next` is the plane that will be read after this
  /// one: one stream of a few KB at a time is too short for the processor to foresee.
  template <int H>
  static CARAT_ALWAYS_INLINE void score(const Rows& r, const uint8_t* keys, const uint8_t* next,
                                        int64_t place, int64_t first, int64_t end) {
    for (; first + H <= end; first += H)
      Kv::template score<H>(keys, next, r.channels, r.queries + first * Kv::query_floats(r.channels),
                            r.scores + first * kSpan + place, kSpan);
    if constexpr (H > 1) {
      if (first < end) score<H - 1>(r, keys, next, place, first, end);
    }
  }
  /// The same with its values.
  template <int H>
  static CARAT_ALWAYS_INLINE void accumulate(const Rows& r, const uint8_t* values, const uint8_t* next,
                                             int64_t place, Range seen, int64_t first, int64_t end) {
    for (; first + H <= end; first += H)
      Kv::template accumulate<H>(values, next, r.channels, r.scores + first * kSpan + place, kSpan, seen.lo,
                                 seen.hi, r.part.out + first * r.channels);
    if constexpr (H > 1) {
      if (first < end) accumulate<H - 1>(r, values, next, place, seen, first, end);
    }
  }

  /// Turns a span's scores into weights.
  static void softmax(float* scores, const AttentionArgs& args, Range seen, float& maximum, float& sum) {
    const F none = S::set(-__builtin_inff());
    const int64_t begin = seen.lo / 16 * 16;
    const float cap = args.softcap, twice_inverse = cap > 0.0f ? 2.0f / cap : 0.0f;
    F top = none;
    for (int64_t i = begin; i < seen.hi; i += 16) {
      const F scaled = S::mul(S::load(scores + i), S::set(args.scale));
      const F score = cap > 0.0f ? Elementwise<S>::capped(scaled, cap, twice_inverse) : scaled;
      const F s = S::keep_range(score, seen.lo - i, seen.hi - i, none);
      S::store(s, scores + i);
      top = S::max(top, s);
    }
    maximum = S::max_of_lanes(top);
    F sums = S::zero();
    for (int64_t i = begin; i < seen.hi; i += 16) {
      const F weight = Elementwise<S>::exp(S::sub(S::load(scores + i), S::set(maximum)));
      S::store(weight, scores + i);
      sums = S::add(sums, weight);
    }
    sum = S::sum_of_lanes(sums);
  }

  /// Fills r.part for the span that begins at `span`, for the rows whose tokens see any of it.
  static void one_span(const Rows& r, int64_t span) {
    const KvFormat& format = r.args.format;
    const uint8_t* planes = r.cache + span / kKvChunk * format.chunk_bytes();
    const Range first = r.seen(0), last = r.seen(r.tokens - 1);
    const Range any = Range{first.lo, last.hi}.within(span, kSpan);
    const int64_t begin = any.lo / kKvChunk * kKvChunk;
    const auto seen_by_all = [&](int64_t place) {
      return last.lo <= span + place && first.hi >= span + place + kKvChunk;
    };

    const auto plane = [&](int64_t place) { return planes + place / kKvChunk * format.chunk_bytes(); };
    const int64_t value_plane = format.plane_bytes();
    for (int64_t place = begin; place < any.hi; place += kKvChunk) {
      const uint8_t* next = place + kKvChunk < any.hi ? plane(place + kKvChunk) : plane(begin) + value_plane;
      if (seen_by_all(place)) {
        score<S::kAttentionRows>(r, plane(place), next, place, 0, r.tokens * r.group);
        continue;
      }
      for (int64_t t = 0; t < r.tokens; ++t)
        if (!r.seen(t).within(span + place, kKvChunk).empty())
          score<S::kAttentionRows>(r, plane(place), next, place, t * r.group, (t + 1) * r.group);
    }
    for (int64_t t = 0; t < r.tokens; ++t) {
      const Range seen = r.seen(t).within(span, kSpan);
      if (seen.empty()) continue;
      for (int64_t i = t * r.group; i < (t + 1) * r.group; ++i) {
        softmax(r.scores + i * kSpan, r.args, seen, r.part.maximum[i], r.part.sum[i]);
        for (int64_t c = 0; c < r.channels; c += 16) S::store(S::zero(), r.part.out + i * r.channels + c);
      }
    }
    for (int64_t place = begin; place < any.hi; place += kKvChunk) {
      const uint8_t* values = plane(place) + value_plane;
      // After the last: keys of the next span.
      const uint8_t* next = place + kKvChunk < any.hi           ? plane(place + kKvChunk) + value_plane
                            : span + place + kKvChunk < last.hi ? plane(place + kKvChunk)
                                                                : values;
      if (seen_by_all(place)) {
        accumulate<S::kAttentionRows>(r, values, next, place, {0, kKvChunk}, 0, r.tokens * r.group);
        continue;
      }
      for (int64_t t = 0; t < r.tokens; ++t) {
        const Range seen = r.seen(t).within(span + place, kKvChunk);
        if (!seen.empty())
          accumulate<S::kAttentionRows>(r, values, next, place, seen, t * r.group, (t + 1) * r.group);
      }
    }
  }

  static CARAT_ALWAYS_INLINE float first_lane(F x) {
    alignas(64) float lanes[16];
    S::store(x, lanes);
    return lanes[0];
  }
  /// Adds what a later span gave a row to what those before it gave.
  static void merge_row(const AttentionPart& total, const AttentionPart& part, int64_t row,
                        int64_t channels) {
    const float before = total.maximum[row], here = part.maximum[row];
    const float raised = before > here ? before : here;
    const F keep = Elementwise<S>::exp(S::set(before - raised));
    const F take = Elementwise<S>::exp(S::set(here - raised));
    total.maximum[row] = raised;
    total.sum[row] =
        first_lane(S::mul_add(S::set(part.sum[row]), take, S::mul(S::set(total.sum[row]), keep)));
    const float* from = part.out + row * channels;
    float* out = total.out + row * channels;
    for (int64_t c = 0; c < channels; c += 16)
      S::store(S::mul_add(S::load(from + c), take, S::mul(S::load(out + c), keep)), out + c);
  }
  /// The same for all rows that see the span.
  static void merge(const AttentionItem& item, const AttentionPart& total, const AttentionPart& part,
                    int64_t span) {
    const AttentionArgs& args = *item.args;
    const int64_t group = args.group(), channels = args.format.channels();
    for (int64_t t = item.token_begin; t < item.token_end; ++t) {
      const Range seen = visible(args, t);
      if (seen.within(span, kSpan).empty()) continue;
      for (int64_t i = (t - item.token_begin) * group; i < (t + 1 - item.token_begin) * group; ++i) {
        if (seen.lo < span) {
          merge_row(total, part, i, channels);
          continue;
        }
        total.maximum[i] = part.maximum[i];
        total.sum[i] = part.sum[i];
        for (int64_t c = i * channels; c < (i + 1) * channels; c += 16)
          S::store(S::load(part.out + c), total.out + c);
      }
    }
  }

  static int64_t row_offset(const AttentionItem& item, int64_t row) {
    const int64_t group = item.args->group();
    const int64_t token = item.token_begin + row / group, head = item.kv_head * group + row % group;
    return (token * item.args->heads + head) * item.args->format.head_dim;
  }

  /// A sink is a position more, whose weight counts and whose value is zero.
  static void join_sink(const AttentionPart& total, int64_t row, float sink, int64_t channels) {
    const float before = total.maximum[row], raised = before > sink ? before : sink;
    const F keep = Elementwise<S>::exp(S::set(before - raised));
    const F weight = Elementwise<S>::exp(S::set(sink - raised));
    total.sum[row] = first_lane(S::mul_add(S::set(total.sum[row]), keep, weight));
    float* out = total.out + row * channels;
    for (int64_t c = 0; c < channels; c += 16) S::store(S::mul(S::load(out + c), keep), out + c);
  }

  static void write_out(const AttentionItem& item, const AttentionPart& total) {
    const int64_t head_dim = item.args->format.head_dim, channels = item.args->format.channels();
    const int64_t group = item.args->group();
    for (int64_t i = 0; i < item.rows(); ++i) {
      float* to = item.args->out + row_offset(item, i);
      if (item.args->sinks) join_sink(total, i, item.args->sinks[item.kv_head * group + i % group], channels);
      const F sum = S::set(total.sum[i]);
      for (int64_t d = 0; d < head_dim; d += 16)
        S::store_n(S::div(S::load(total.out + i * channels + d), sum), to + d, head_dim - d);
    }
  }

  static void run(const AttentionItem& item) {
    const AttentionArgs& args = *item.args;
    const KvFormat& format = args.format;
    const int64_t rows = item.rows(), channels = format.channels();
    const int64_t query_floats = Kv::query_floats(channels);
    float* queries = item.scratch;
    float* scores = queries + rows * query_floats;
    float* parts = scores + rows * kSpan;
    for (int64_t i = 0; i < rows; ++i)
      Kv::prepare_query(args.q + row_offset(item, i), format.head_dim, channels, queries + i * query_floats);

    Rows r{args,
           args.cache + 2 * item.kv_head * format.plane_bytes(),
           args.group(),
           channels,
           item.token_begin,
           item.token_end - item.token_begin,
           queries,
           scores,
           AttentionPart(item.part ? item.part : parts, rows, channels)};
    if (item.part) {
      one_span(r, item.span * kSpan);
      return;
    }
    const AttentionPart total(parts + AttentionPart::floats(rows, channels), rows, channels);
    const int64_t end = visible(args, item.token_end - 1).hi;
    for (int64_t span = visible(args, item.token_begin).lo / kSpan * kSpan; span < end; span += kSpan) {
      one_span(r, span);
      merge(item, total, r.part, span);
    }
    write_out(item, total);
  }

  /// Merges the parts that single-span items of the same tokens and head left one after the other.
  static void finish(const AttentionItem& item, int64_t spans) {
    const int64_t rows = item.rows(), channels = item.args->format.channels();
    const AttentionPart total(item.scratch, rows, channels);
    for (int64_t s = 0; s < spans; ++s)
      merge(item, total, AttentionPart(item.part + s * AttentionPart::floats(rows, channels), rows, channels),
            (item.span + s) * kSpan);
    write_out(item, total);
  }

  static void append(const KvFormat& format, uint8_t* cache, int64_t position, int64_t tokens, const float* k,
                     const float* v) {
    const int64_t plane = format.plane_bytes();
    for (int64_t t = 0; t < tokens; ++t) {
      uint8_t* planes = cache + (position + t) / kKvChunk * format.chunk_bytes();
      for (int64_t head = 0; head < format.kv_heads; ++head) {
        const int64_t row = (t * format.kv_heads + head) * format.head_dim;
        Kv::append(k + row, v + row, format.head_dim, format.channels(), (position + t) % kKvChunk,
                   planes + 2 * head * plane, planes + (2 * head + 1) * plane);
      }
    }
  }

  static constexpr void add_to(KernelTable& table) {
    constexpr auto i = static_cast<size_t>(Kv::kEncoding);
    table.attention[i] = &run;
    table.finish_attention = &finish;
    table.append_kv[i] = &append;
  }
};

}  // namespace
}  // namespace carat
