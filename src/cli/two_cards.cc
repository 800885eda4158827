#include "cli/two_cards.h"

#include <filesystem>
#include <fstream>

#include "base/digest.h"
#include "cards/card_file.h"
#include "cards/store.h"
#include "containers/quote.h"
#include "suites/suite.h"

namespace carat {
namespace {

constexpr size_t kDigestPiece = 1 << 20;

bool is_card_file(std::string_view name) {
  return name.ends_with(".json") || name.find('/') != std::string_view::npos;
}

Result<std::string> file_digest(const std::string& path, const Context& context) {
  std::ifstream in(path, std::ios::binary);
  std::error_code unreadable;
  const auto size = std::filesystem::file_size(path, unreadable);
  if (!in || unreadable) return error(Code::no_input, "{}: cannot be read", path);
  Sha256 digest;
  std::vector<char> piece(kDigestPiece);
  context.progress.begin("digest", "B", size);
  uint64_t done = 0;
  while (in.read(piece.data(), kDigestPiece), in.gcount() > 0) {
    CARAT_DO(context.check());
    digest.update(std::string_view(piece.data(), static_cast<size_t>(in.gcount())));
    context.progress.update(done += static_cast<uint64_t>(in.gcount()), path);
  }
  context.progress.end();
  if (in.bad()) return error(Code::no_input, "{}: reading failed", path);
  return digest.hex();
}

Status check_model(const Variant& variant, const Context& context, std::vector<std::string>& stale,
                   std::vector<std::string>& unknown) {
  std::error_code ignored;
  if (variant.model_digest.empty() || !std::filesystem::is_regular_file(variant.model, ignored)) {
    unknown.push_back(
        fmt::format("whether the model of {} ({}) is still what was measured was not looked at: "
                    "it is no file here",
                    quote(variant.name), quote(variant.model)));
    return {};
  }
  CARAT_TRY(const std::string now, file_digest(variant.model, context));
  if (now != variant.model_digest)
    stale.push_back(fmt::format("the card of {} is stale: {} is another file now", quote(variant.name),
                                quote(variant.model)));
  return {};
}

}  // namespace

void add_two_cards_options(CLI::App& app, TwoCardsOptions& options) {
  options.store = default_store_path();
  app.add_option("BASELINE", options.baseline,
                 "What is compared with: a run's number or a variant's name in the "
                 "store,\nor a card in a file (*.json)")
      ->type_name("")
      ->required();
  app.add_option("CANDIDATE", options.candidate, "What is to be judged, named in the same way")
      ->type_name("")
      ->required();
  app.add_option("--suite", options.suite, "Suite whose runs are meant: its name or digest, or its directory")
      ->type_name("SUITE");
  app.add_option("--store", options.store,
                 "Where results are kept (default: $CARAT_STORE, else\n~/.local/state/carat/scores.sqlite)")
      ->type_name("PATH");
}

Result<TwoCards> load_two_cards(const TwoCardsOptions& options) {
  TwoCards out;
  std::string suite = options.suite;
  std::error_code ignored;
  if (std::filesystem::is_directory(suite, ignored) || suite.ends_with(".toml")) {
    CARAT_TRY(const auto opened, open_suite(suite));
    out.suite_digest = opened->digest();
    suite = opened->name();
  }
  CARAT_TRY(out.baseline, load_card(options.baseline, options.store, suite));
  CARAT_TRY(out.candidate, load_card(options.candidate, options.store, suite));
  if (is_card_file(options.baseline)) out.baseline.run = 0;
  if (is_card_file(options.candidate)) out.candidate.run = 0;
  return out;
}

Result<std::vector<std::string>> stale_since(const TwoCards& cards, const Context& context,
                                             std::vector<std::string>& unknown) {
  std::vector<std::string> stale;
  for (const Scorecard* card : {&cards.baseline, &cards.candidate}) {
    const json::string* version = json_string(card->provenance.if_contains("carat_version"));
    if (version && *version != CARAT_VERSION)
      stale.push_back(
          fmt::format("the card of {} is stale: measured with carat {}, and this is " CARAT_VERSION,
                      quote(card->variant.name), quote(std::string_view(*version))));
    if (!cards.suite_digest.empty() && card->suite_digest != cards.suite_digest)
      stale.push_back(
          fmt::format("the card of {} is stale: the suite has changed since, from digest {} to {}",
                      quote(card->variant.name), quote(card->suite_digest.substr(0, 12)),
                      cards.suite_digest.substr(0, 12)));
    CARAT_DO(check_model(card->variant, context, stale, unknown));
  }
  return stale;
}

}  // namespace carat
