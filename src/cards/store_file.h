// What makes an SQLite file a store of scores: its tables, its marks, and how it comes to be. Internal to
// cards/.
#pragma once

#include "cards/sqlite.h"

namespace carat {

/// As Store::open.
Result<std::unique_ptr<Database>> open_store_file(const std::string& path);

}  // namespace carat
