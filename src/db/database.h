// SPDX-License-Identifier: Apache-2.0
// One SQLite file with the engine's desired state, in write-ahead-log mode. A Database is one connection
// behind a mutex: whoever wants to read or write opens a Transaction, which owns the connection until it
// ends.
//
//   Transaction transaction = TRY(database.begin(Durability::durable));
//   Statement insert = TRY(transaction.prepare("INSERT INTO volumes(name) VALUES(?)"));
//   TRY(insert.run(name));
//   TRY(transaction.commit());
//
//   Transaction snapshot = TRY(database.read());
//   Statement select = TRY(snapshot.prepare("SELECT name FROM volumes ORDER BY name"));
//   while (TRY(select.step())) names.push_back(select.text(0));
//
// Lifecycle: a Statement lives inside its Transaction, a Transaction inside the Database. A Transaction that
// is not committed rolls back. Keep transactions short, and never open a second one in the same thread while
// the first is open: that is refused, since it would wait for itself.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/digest.h"
#include "base/error.h"
#include "base/file.h"

struct sqlite3;
struct sqlite3_stmt;

namespace berth::db {

// One numbered step of a room's schema. Steps of a room are applied in the order of their versions, once.
// `additive` says that programs that do not know the step can still use the database (a new table, or a new
// column with a default); any other unknown step makes an older program refuse the file.
struct Migration {
  std::string room;
  int version = 0;  // 1, 2, 3, ... without gaps
  std::string sql;  // one or more statements
  bool additive = false;
};

class Database;
class Transaction;

// A prepared statement. Parameters are numbered from 1, columns from 0. Text and blobs are copied both ways.
class Statement {
 public:
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Binds values in order: integers, bool, double, text, Digest (as text), std::nullopt and empty optionals
  // (NULL), Blob.
  struct Blob {
    std::string_view bytes;
  };
  template <class... Values>
  Result<void> bind(const Values&... values) {
    TRY(rewind());
    int position = 0;
    (bind_one(++position, values), ...);
    return finish_binding(position);
  }

  // True with a row, false at the end.
  Result<bool> step();
  // Binds, steps to the end and rewinds: for INSERT, UPDATE, DELETE. Returns the number of rows it changed.
  template <class... Values>
  Result<std::int64_t> run(const Values&... values) {
    TRY(bind(values...));
    return run_to_end();
  }

  bool is_null(int column) const;
  std::int64_t integer(int column) const;
  double real(int column) const;
  bool boolean(int column) const { return integer(column) != 0; }
  std::string text(int column) const;                          // NULL is ""
  std::optional<std::string> optional_text(int column) const;  // NULL is nullopt
  std::string blob(int column) const { return text(column); }  // bytes as they are
  Result<Digest> digest(int column) const;  // a stored text that is no digest is ErrorKind::corrupt

 private:
  friend class Transaction;
  Statement(Database& database, sqlite3_stmt* statement) : database_(&database), statement_(statement) {}
  Result<void> rewind();
  Result<void> finish_binding(int bound);
  Result<std::int64_t> run_to_end();
  void bind_text(int position, std::string_view text);
  void bind_blob(int position, std::string_view bytes);
  void bind_integer(int position, std::int64_t value);
  void bind_real(int position, double value);
  void bind_null(int position);

  void bind_one(int position, std::nullopt_t) { bind_null(position); }
  void bind_one(int position, const Blob& value) { bind_blob(position, value.bytes); }
  void bind_one(int position, const Digest& value) { bind_text(position, value.text()); }
  template <class T>
  void bind_one(int position, const std::optional<T>& value) {
    value ? bind_one(position, *value) : bind_null(position);
  }
  template <class T>
  void bind_one(int position, const T& value) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      bind_integer(position, static_cast<std::int64_t>(value));
    } else if constexpr (std::is_floating_point_v<T>) {
      bind_real(position, value);
    } else {
      bind_text(position, std::string_view(value));
    }
  }

  Database* database_;
  sqlite3_stmt* statement_;
  int binding_error_ = 0;
};

// Exclusive use of the connection, inside one SQLite transaction. Rolls back unless committed.
class Transaction {
 public:
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  // `sql` is one statement; the same text is compiled once and then reused.
  Result<Statement> prepare(std::string_view sql);
  // prepare() and run() in one.
  template <class... Values>
  Result<std::int64_t> run(std::string_view sql, const Values&... values) {
    Statement statement = TRY(prepare(sql));
    return statement.run(values...);
  }
  // Several statements without parameters or results.
  Result<void> run_script(const std::string& sql);
  // With Durability::durable, what was written is on the disk when this returns success. Statements of this
  // transaction must be gone by then.
  Result<void> commit();

  std::int64_t last_row() const;  // the rowid of the last INSERT

 private:
  friend class Database;
  Transaction(Database& database, std::unique_lock<std::mutex> lock, bool writable)
      : database_(&database), lock_(std::move(lock)), writable_(writable) {}
  void end() noexcept;

  Database* database_;
  std::unique_lock<std::mutex> lock_;
  bool writable_;
  bool open_ = true;
};

class Database {
 public:
  // Opens or makes the file (mode 0600) and brings its schema up to date. A file that is not a sound database
  // is renamed to "<path>.corrupt-<time>" with its log, an error line says so, and an empty one takes its
  // place: see set_aside(). A file with unknown steps of a newer program is refused (ErrorKind::unsupported)
  // and left as it is.
  static Result<std::unique_ptr<Database>> open(const std::string& path,
                                                std::span<const Migration> migrations);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  // For writing. Waits for the connection. `durable` costs a sync of the log at commit; `visible` does not:
  // others see it at once and it survives a crash of this program, but a power cut may lose it (never tear
  // it). The next durable commit makes all earlier ones durable too.
  Result<Transaction> begin(Durability durability);
  // A consistent view for reading; statements that write are refused.
  Result<Transaction> read();

  const std::string& path() const noexcept { return path_; }
  // Where a damaged file went in this open(); empty when there was none. Whoever deletes what the database
  // does not name must not do so after that.
  const std::string& set_aside() const noexcept { return set_aside_; }

  // The whole of SQLite's integrity and foreign key checks: one line a finding, empty when sound.
  Result<std::string> check();

 private:
  friend class Statement;
  friend class Transaction;
  struct Connection;
  explicit Database(std::string path);
  Result<Transaction> start(bool writable, Durability durability);

  std::string path_;
  std::string set_aside_;
  std::mutex mutex_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace berth::db
