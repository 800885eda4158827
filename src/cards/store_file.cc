#include "cards/store_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

namespace carat {
namespace {

constexpr int64_t kApplicationId = 0x63617274;  // "cart"; in the file's header
constexpr int64_t kStoreVersion = 1;            // user_version

constexpr const char* kSchema = R"(
CREATE TABLE runs (
  run INTEGER PRIMARY KEY AUTOINCREMENT,
  variant TEXT NOT NULL, model TEXT NOT NULL, model_digest TEXT NOT NULL, settings TEXT NOT NULL,
  reference TEXT NOT NULL,
  suite TEXT NOT NULL, suite_version TEXT NOT NULL, suite_digest TEXT NOT NULL,
  provenance TEXT NOT NULL, performance TEXT NOT NULL,
  file_bytes INTEGER NOT NULL, date TEXT NOT NULL, complete INTEGER NOT NULL
) STRICT;
CREATE INDEX runs_by_variant ON runs (variant);
CREATE TABLE scores (
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE, position INTEGER NOT NULL,
  task TEXT NOT NULL, dimension TEXT NOT NULL, slice TEXT NOT NULL, metric TEXT NOT NULL,
  mean REAL, standard_error REAL, low REAL, high REAL,
  scored INTEGER NOT NULL, clusters INTEGER NOT NULL,
  items INTEGER NOT NULL, unscored INTEGER NOT NULL, failed INTEGER NOT NULL,
  PRIMARY KEY (run, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE records (
  record INTEGER PRIMARY KEY,
  run INTEGER NOT NULL REFERENCES runs ON DELETE CASCADE,
  task TEXT NOT NULL, item TEXT NOT NULL, repeat INTEGER NOT NULL,
  cluster TEXT NOT NULL, slices TEXT NOT NULL, outcome INTEGER NOT NULL, weight REAL NOT NULL,
  question TEXT NOT NULL, answer TEXT NOT NULL, expected TEXT NOT NULL, reason TEXT NOT NULL,
  prompt_tokens INTEGER NOT NULL, generated_tokens INTEGER NOT NULL,
  truncated INTEGER NOT NULL, looped INTEGER NOT NULL,
  seconds REAL NOT NULL, first_token_seconds REAL NOT NULL,
  UNIQUE (run, task, item, repeat)
) STRICT;
CREATE TABLE metrics (
  record INTEGER NOT NULL REFERENCES records ON DELETE CASCADE, position INTEGER NOT NULL,
  name TEXT NOT NULL, value REAL,
  PRIMARY KEY (record, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE decisions (
  decision INTEGER PRIMARY KEY,
  baseline INTEGER REFERENCES runs, candidate INTEGER REFERENCES runs,
  surface TEXT NOT NULL, verdict TEXT NOT NULL, reason TEXT NOT NULL, author TEXT NOT NULL,
  date TEXT NOT NULL, policy_digest TEXT NOT NULL, details TEXT NOT NULL
) STRICT;
)";

/// Whether the file has to be given its tables; an error where it is not ours. Another process may do so just
/// now, in one commit: whoever sees its tables sees its marks.
Result<bool> is_new(Database& database, const std::string& path) {
  CARAT_TRY(const int64_t objects, database.integer("SELECT count(*) FROM sqlite_schema"));
  CARAT_TRY(const int64_t application, database.integer("PRAGMA application_id"));
  if (objects == 0 && application == 0) return true;
  CARAT_TRY(const int64_t version, database.integer("PRAGMA user_version"));
  if (application != kApplicationId)
    return bad_data("{} is an SQLite database, but no store of scores; name another file", path);
  if (version != kStoreVersion)
    return bad_data(
        "{} is a store of version {}; this carat reads and writes version {}: name another file, "
        "or export its cards as JSON with the carat that wrote it",
        path, version, kStoreVersion);
  return false;
}

/// For its owner alone: questions and answers may be private. SQLite gives its log the same mode.
Status create_file(const std::string& path) {
  std::error_code failure;
  const std::filesystem::path directory = std::filesystem::path(path).parent_path();
  if (!directory.empty()) std::filesystem::create_directories(directory, failure);
  if (failure)
    return error(Code::io, "cannot create the directory {}: {}", directory.string(), failure.message());
  const int fd = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  if (fd >= 0) close(fd);
  if (fd < 0 && errno != EEXIST)
    return error(Code::io, "cannot create the store {}: {}", path, std::strerror(errno));
  return {};
}

}  // namespace

Result<std::unique_ptr<Database>> open_store_file(const std::string& path) {
  if (access(path.c_str(), F_OK) != 0) CARAT_DO(create_file(path));
  CARAT_TRY(auto database, Database::open(path));
  CARAT_TRY(bool fresh, is_new(*database, path));
  if (fresh && database->read_only())
    return error(Code::no_input, "{} is empty and may not be written: there are no runs in it", path);
  if (fresh) {
    // Someone else may be doing the same: the first one to get the lock makes the tables.
    CARAT_DO(database->execute("PRAGMA journal_mode = WAL"));
    const Status made = database->transaction([&]() -> Status {
      CARAT_TRY(fresh, is_new(*database, path));
      if (!fresh) return {};
      CARAT_DO(database->execute(kSchema));
      return database->execute(
          fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplicationId, kStoreVersion)
              .c_str());
    });
    if (!made) return made.error();
  }
  return database;
}

}  // namespace carat
