#include "cards/card_file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cards/store.h"
#include "containers/durable.h"
#include "containers/mapped_file.h"

namespace carat {
namespace {

/// A hundred thousand records with their texts; the tree in memory takes about twice that.
constexpr uint64_t kLargestCard = 256 << 20;

}  // namespace

Result<Scorecard> read_card(const std::string& path) {
  CARAT_TRY(const std::string text, read_small_file(path, kLargestCard));
  auto value = parse_json(text);
  if (!value) return std::move(value).error().within(path);
  auto card = scorecard_from_json(*value);
  if (!card) return std::move(card).error().within(path);
  return card;
}

Status write_card(const std::string& path, const Scorecard& card, bool with_records) {
  return write_whole_file(path, pretty_json(to_json(card, with_records)));
}

Result<Scorecard> load_card(const std::string& name, const std::string& store_path, std::string_view suite) {
  if (name.ends_with(".json") || name.find('/') != std::string::npos) {
    CARAT_TRY(Scorecard card, read_card(name));
    card.run = 0;
    return card;
  }
  if (!file_exists(store_path))
    return error(Code::no_input,
                 "no run '{}': there is no store {} yet; `carat evaluate` makes one, and a card in "
                 "a file is named with its ending .json",
                 name, store_path);
  CARAT_TRY(const auto store, Store::open(store_path));
  CARAT_TRY(const int64_t run, store->find_run(name, suite));
  return store->card(run, true);
}

Status write_whole_file(const std::string& path, std::string_view text) {
  const std::string partial = path + ".partial";
  Status status = write_synced_file(partial, text);
  if (status && std::rename(partial.c_str(), path.c_str()) != 0)
    status = error(Code::io, "{}: cannot be replaced: {}", path, std::strerror(errno));
  if (status) return sync_directory_of(path);
  std::remove(partial.c_str());
  return status;
}

}  // namespace carat
