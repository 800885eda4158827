#include "cards/sqlite.h"

#include <unistd.h>

#include <limits>

namespace carat {
namespace {

/// Writers hold the file for milliseconds; one that waits longer than this waits for something broken.
constexpr int kBusyMilliseconds = 30'000;
/// Texts of records are some hundred characters; a crafted file may claim a gigabyte.
constexpr int kLongestValue = 64 << 20;

/// A file on a medium that cannot be written has no place for SQLite's shared memory; it may be read as it
/// is, provided no log is left beside it.
std::string immutable_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '%' || c == '?' || c == '#')
      uri += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    else
      uri += c;
  }
  return uri + "?immutable=1";
}

bool is_on_read_only_medium(const std::string& path) {
  const size_t slash = path.find_last_of('/');
  const std::string directory = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  return access(path.c_str(), W_OK) != 0 && access(directory.c_str(), W_OK) != 0 &&
         access((path + "-wal").c_str(), F_OK) != 0;
}

}  // namespace

Statement& Statement::bind(std::string_view text) {
  keep(sqlite3_bind_text64(statement_.get(), next_++, text.empty() ? "" : text.data(), text.size(),
                           SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}
Statement& Statement::bind(int64_t value) {
  keep(sqlite3_bind_int64(statement_.get(), next_++, value));
  return *this;
}
Statement& Statement::bind(double value) {
  keep(sqlite3_bind_double(statement_.get(), next_++, value));
  return *this;
}
Statement& Statement::bind_null() {
  keep(sqlite3_bind_null(statement_.get(), next_++));
  return *this;
}

Result<bool> Statement::step() {
  const int result = bound_ == SQLITE_OK ? sqlite3_step(statement_.get()) : bound_;
  if (result == SQLITE_ROW) return true;
  if (result == SQLITE_DONE) return false;
  Error e = database_->failed(result);
  reset();
  return e;
}

Status Statement::run() {
  CARAT_TRY(bool more, step());
  while (more) {
    CARAT_TRY(more, step());
  }
  reset();
  return {};
}

void Statement::reset() {
  sqlite3_reset(statement_.get());
  next_ = 1;
  bound_ = SQLITE_OK;
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_.get(), column));
  if (!data) return {};
  return {data, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}
int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
double Statement::number(int column) const {
  if (sqlite3_column_type(statement_.get(), column) == SQLITE_NULL)
    return std::numeric_limits<double>::quiet_NaN();
  return sqlite3_column_double(statement_.get(), column);
}

Result<std::unique_ptr<Database>> Database::open(const std::string& path) {
  std::unique_ptr<Database> database(new Database(path));
  const bool immutable = is_on_read_only_medium(path);
  const std::string name = immutable ? immutable_uri(path) : path;
  const int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
                    (immutable ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE);
  sqlite3* handle = nullptr;
  const int result = sqlite3_open_v2(name.c_str(), &handle, flags, nullptr);
  database->handle_.reset(handle);
  if (result != SQLITE_OK) return database->failed(result);
  sqlite3_busy_timeout(handle, kBusyMilliseconds);
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kLongestValue);
  // The file may be crafted: its schema may not call functions, nor the program damage it by accident.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  CARAT_DO(
      database->execute("PRAGMA cell_size_check = ON; PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL"));
  return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  const int result =
      sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  if (result != SQLITE_OK) return failed(result);
  return Statement(*this, statement);
}

Status Database::execute(const char* sql) {
  const int result = sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr);
  if (result != SQLITE_OK) return failed(result);
  return {};
}

Status Database::transaction(const std::function<Status()>& body) {
  CARAT_DO(execute("BEGIN IMMEDIATE"));
  Status status = body();
  if (status) status = execute("COMMIT");
  // After a full disk SQLite may have rolled back already.
  if (!status && sqlite3_get_autocommit(handle_.get()) == 0) (void)execute("ROLLBACK");
  return status;
}

Result<int64_t> Database::integer(std::string_view sql) {
  CARAT_TRY(Statement statement, prepare(sql));
  CARAT_TRY(const bool found, statement.step());
  return found ? statement.integer(0) : 0;
}

Error Database::failed(int result) const {
  const char* said = handle_ ? sqlite3_errmsg(handle_.get()) : sqlite3_errstr(result);
  switch (result & 0xff) {
    case SQLITE_NOTADB:
      return bad_data("{} is not a store of scores: it is no SQLite database; name another file", path_);
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:
    case SQLITE_MISMATCH:
      return bad_data(
          "{}: the store is damaged ({}); move it away, and what can be saved is written by "
          "`sqlite3 OLD .recover | sqlite3 NEW`",
          path_, said);
    case SQLITE_CANTOPEN:
      return error(Code::no_input, "{}: cannot open the store ({})", path_, said);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return error(Code::io, "{}: another process has held the store for {} seconds; try again", path_,
                   kBusyMilliseconds / 1000);
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return error(Code::io,
                   "{}: the store may not be written ({}); mend its permissions or name another file", path_,
                   said);
    case SQLITE_FULL:
      return error(Code::io,
                   "{}: no space left for the store ({}); what was finished before is kept: make "
                   "space and run the same command again",
                   path_, said);
    case SQLITE_IOERR:
      return error(Code::io,
                   "{}: reading or writing the store failed ({}); what was finished before is kept: "
                   "is the disk full?",
                   path_, said);
    case SQLITE_NOMEM:
      return error(Code::internal, "{}: out of memory in SQLite", path_);
    case SQLITE_TOOBIG:
      return bad_data("{}: a text or value is longer than the {} MB that the store takes", path_,
                      kLongestValue >> 20);
    default:
      return error(Code::internal, "{}: SQLite says: {} ({})", path_, said, result);
  }
}

}  // namespace carat
