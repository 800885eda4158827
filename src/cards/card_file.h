// Cards as files, and where a user may name either a file or a run of the store.
#pragma once

#include <string>

#include "cards/scorecard.h"

namespace carat {

/// Errors: no_input; bad_data naming file and key.
Result<Scorecard> read_card(const std::string& path);
/// Replaces the file as a whole or not at all.
Status write_card(const std::string& path, const Scorecard& card, bool with_records);

/// A name with a '/' or the ending ".json" is a file; anything else a run or variant of the store
/// (Store::find_run), which is not created for this. The run of a card from a file is 0.
Result<Scorecard> load_card(const std::string& name, const std::string& store_path, std::string_view suite);

/// Any text, as write_card writes it: for reports.
Status write_whole_file(const std::string& path, std::string_view text);

}  // namespace carat
