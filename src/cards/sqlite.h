// SQLite with owners and errors as values. Internal to cards/.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace carat {

class Database;

/// A prepared statement: bind values in order, step through rows, reset to begin anew.
class Statement {
 public:
  Statement& bind(std::string_view text);
  Statement& bind(int64_t value);
  /// NaN is stored as NULL, which is SQLite's own rule.
  Statement& bind(double value);
  Statement& bind_null();
  /// Whether there is a row. A value that could not be bound is said here.
  Result<bool> step();
  /// For statements without rows: steps, then resets.
  Status run();
  void reset();

  // Columns of the row, from 0.
  std::string text(int column) const;
  int64_t integer(int column) const;
  double number(int column) const;  ///< NULL is NaN

 private:
  friend class Database;
  Statement(Database& database, sqlite3_stmt* statement)
      : database_(&database), statement_(statement, &sqlite3_finalize) {}
  void keep(int result) {
    if (bound_ == SQLITE_OK) bound_ = result;
  }

  Database* database_;
  std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement_;
  int next_ = 1, bound_ = SQLITE_OK;
};

class Database {
 public:
  /// An existing file; read-only where it may not be written.
  static Result<std::unique_ptr<Database>> open(const std::string& path);

  Result<Statement> prepare(std::string_view sql);
  /// One or more statements without values.
  Status execute(const char* sql);
  /// `body` between BEGIN IMMEDIATE and COMMIT; rolled back where either fails.
  Status transaction(const std::function<Status()>& body);
  Result<int64_t> integer(std::string_view sql);
  int64_t last_row() const { return sqlite3_last_insert_rowid(handle_.get()); }
  bool read_only() const { return sqlite3_db_readonly(handle_.get(), "main") == 1; }
  /// The sentence for what SQLite just answered.
  Error failed(int result) const;

 private:
  explicit Database(std::string path) : path_(std::move(path)) {}

  std::string path_;
  std::unique_ptr<sqlite3, int (*)(sqlite3*)> handle_{nullptr, &sqlite3_close_v2};
};

}  // namespace carat
