#include "evaluate/staleness.h"

#include <filesystem>
#include <map>

#include "arch/open_model.h"
#include "containers/quote.h"
#include "evaluate/machine.h"

namespace carat {
namespace {

namespace fs = std::filesystem;

/// Of the files that a model at this path consists of; of the file itself where it is no model.
Result<std::string> digest_now(const Context& context, const std::string& path) {
  const auto checkpoint = open_model(path);
  return model_digest(context, checkpoint ? checkpoint->files : std::vector<std::string>{path});
}

}  // namespace

std::string stale_sentence(const Scorecard& card, std::string_view reason) {
  return fmt::format("the card of {} is stale: {}", quote(card.variant.name), reason);
}

Result<std::vector<Staleness>> find_staleness(const Context& context, std::span<const Scorecard* const> cards,
                                              std::string_view suite_digest) {
  std::map<std::string, std::string> digests;  // by path
  std::vector<Staleness> out;
  for (const Scorecard* card : cards) {
    Staleness& found = out.emplace_back();
    const json::string* version = json_string(card->provenance.if_contains("carat_version"));
    if (version && *version != CARAT_VERSION)
      found.reasons.push_back(
          fmt::format("made by carat {}, this is " CARAT_VERSION, quote(std::string_view(*version))));
    if (!suite_digest.empty() && card->suite_digest != suite_digest)
      found.reasons.push_back(fmt::format("the suite has changed since, from digest {} to {}",
                                          quote(card->suite_digest.substr(0, 12)),
                                          suite_digest.substr(0, 12)));
    const std::string& model = card->variant.model;
    std::error_code ignored;
    if (card->variant.model_digest.empty() || !fs::exists(model, ignored)) {
      found.unknown.push_back(
          fmt::format("whether the model of {} ({}) is still what was measured was not looked at: it is no "
                      "file here",
                      quote(card->variant.name), quote(model)));
      continue;
    }
    const auto [digest, is_new] = digests.try_emplace(model);
    if (is_new) {
      CARAT_TRY(digest->second, digest_now(context, model));
    }
    if (digest->second != card->variant.model_digest)
      found.reasons.push_back(fmt::format("{} is another file now", quote(model)));
  }
  return out;
}

}  // namespace carat
