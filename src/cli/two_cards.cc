#include "cli/two_cards.h"

#include "cards/card_file.h"
#include "cli/card_options.h"
#include "evaluate/staleness.h"

namespace carat {
void add_two_cards_options(CLI::App& app, TwoCardsOptions& options) {
  app.add_option("BASELINE", options.baseline,
                 "What is compared with: a run's number or a variant's name in the "
                 "store,\nor a card in a file (*.json)")
      ->type_name("")
      ->required();
  app.add_option("CANDIDATE", options.candidate, "What is to be judged, named in the same way")
      ->type_name("")
      ->required();
  add_suite_option(app, options.suite);
  add_store_option(app, options.store);
}

Result<TwoCards> load_two_cards(const Context& context, const TwoCardsOptions& options) {
  TwoCards out;
  CARAT_TRY(const ChosenSuite suite, choose_suite(context, options.suite));
  out.suite_digest = suite.digest;
  CARAT_TRY(out.baseline, load_card(options.baseline, options.store, suite.name));
  CARAT_TRY(out.candidate, load_card(options.candidate, options.store, suite.name));
  CARAT_DO(note_unfinished_runs(options.store, out.baseline, out.notes));
  CARAT_DO(note_unfinished_runs(options.store, out.candidate, out.notes));
  return out;
}

Result<std::vector<std::string>> stale_since(const TwoCards& cards, const Context& context,
                                             std::vector<std::string>& unknown) {
  const Scorecard* const both[] = {&cards.baseline, &cards.candidate};
  CARAT_TRY(const auto found, find_staleness(context, both, cards.suite_digest));
  std::vector<std::string> stale;
  for (size_t i = 0; i < found.size(); ++i) {
    for (const std::string& reason : found[i].reasons) stale.push_back(stale_sentence(*both[i], reason));
    unknown.insert(unknown.end(), found[i].unknown.begin(), found[i].unknown.end());
  }
  return stale;
}

}  // namespace carat
