// The table of an instruction set's functions, from the list of encodings.
//
// Included inside a target region after all other search_*.h and feedback_*.h; includes nothing.

namespace carat {
namespace {

template <class E>
void add_to(SearchTable& table) {
  constexpr size_t i = kind_of<E>();
  table.decode[i] = decode_values<E>;
  if constexpr (E::kFloat) {
    table.nearest[i] = table.search[i] = table.half_quadratic[i] = convert_rows<E>;
  } else if constexpr (E::kAtom == 1) {
    table.nearest[i] = round_rows<E, Choice::nearest>;
    table.search[i] = search_rows<E>;
    table.half_quadratic[i] = round_rows<E, Choice::half_quadratic>;
    table.feedback[i] = feedback_rows<E>;
    table.feedback_scratch[i] = FeedbackState<E>::bytes;
  }
}

template <class... E>
SearchTable make_search_table(EncodingList<E...>) {
  SearchTable table;
  (add_to<E>(table), ...);
  table.measure = measure_row<false>;
  table.measure_floats = measure_row<true>;
  table.factor = {factor_update, factor_diagonal, factor_solve};
  return table;
}

}  // namespace
}  // namespace carat
