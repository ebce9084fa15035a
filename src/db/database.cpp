// SPDX-License-Identifier: Apache-2.0
#include "db/database.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "base/clock.h"
#include "base/log.h"
#include "db/connection.h"

namespace berth::db {
namespace {

// The log goes along: it may hold what the file lacks. The shared-memory index is rebuilt from both.
Result<std::string> move_aside(const std::string& path) {
  std::string target = path + ".corrupt-" + format_time(now());
  if (::rename(path.c_str(), target.c_str()) != 0)
    return fail_errno(errno, "set the database {} aside", path);
  std::string log = path + "-wal";
  if (::rename(log.c_str(), (target + "-wal").c_str()) != 0 && errno != ENOENT)
    return fail_errno(errno, "set the database log {} aside", log);
  ::unlink((path + "-shm").c_str());
  return target;
}

}  // namespace

Database::Database(std::string path) : path_(std::move(path)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::string& path,
                                                 std::span<const Migration> migrations) {
  std::unique_ptr<Database> database(new Database(path));
  for (int attempt = 0;; ++attempt) {
    Result<void> opened = [&]() -> Result<void> {
      database->connection_ = TRY(Connection::open(path));
      return migrate(*database, migrations);
    }();
    if (opened) return database;
    if (opened.error().kind != ErrorKind::corrupt || attempt > 0)
      return std::unexpected(std::move(opened).error());
    database->connection_.reset();
    database->set_aside_ = TRY(move_aside(path));
    log_error("db", "{}; it is kept as {} and an empty database takes its place", opened.error().message,
              database->set_aside_);
  }
}

Result<Transaction> Database::begin(Durability durability) { return start(true, durability); }
Result<Transaction> Database::read() { return start(false, Durability::visible); }

Result<Transaction> Database::start(bool writable, Durability durability) {
  if (connection_->owner.load(std::memory_order_relaxed) == std::this_thread::get_id())
    return fail(ErrorKind::conflict, "a transaction is open in this thread already");
  std::unique_lock<std::mutex> lock(mutex_);
  if (writable) TRY(connection_->set_durability(durability));
  StatementHandle begin = TRY(connection_->take_statement(writable ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED"));
  int code = sqlite3_step(begin.get());
  connection_->give_back(begin.release());
  if (code != SQLITE_DONE) return sqlite_failure(connection_->handle.get(), code, "begin a transaction");
  connection_->owner.store(std::this_thread::get_id(), std::memory_order_relaxed);
  return Transaction(*this, std::move(lock), writable);
}

Result<std::string> Database::check() {
  Transaction transaction = TRY(read());
  std::string findings;
  {
    Statement integrity = TRY(transaction.prepare("PRAGMA integrity_check(100)"));
    while (TRY(integrity.step()))
      if (integrity.text(0) != "ok") findings += integrity.text(0) + "\n";
  }
  Statement keys = TRY(transaction.prepare("PRAGMA foreign_key_check"));
  while (TRY(keys.step()))
    findings += "a row of " + keys.text(0) + " refers to a row of " + keys.text(2) + " that is not there\n";
  return findings;
}

// ---- Transaction

Transaction::Transaction(Transaction&& other) noexcept
    : database_(other.database_),
      lock_(std::move(other.lock_)),
      writable_(other.writable_),
      open_(std::exchange(other.open_, false)) {}

Transaction::~Transaction() {
  if (!lock_.owns_lock()) return;
  end();
  database_->connection_->owner.store({}, std::memory_order_relaxed);
}

void Transaction::end() noexcept {
  if (!std::exchange(open_, false)) return;
  // SQLite may have rolled back by itself after a full disk or an I/O error.
  sqlite3* handle = database_->connection_->handle.get();
  if (sqlite3_get_autocommit(handle) == 0) sqlite3_exec(handle, "ROLLBACK", nullptr, nullptr, nullptr);
}

Result<Statement> Transaction::prepare(std::string_view sql) {
  if (!open_) return fail(ErrorKind::conflict, "the transaction has ended");
  StatementHandle handle = TRY(database_->connection_->take_statement(sql));
  if (!writable_ && !sqlite3_stmt_readonly(handle.get()))
    return fail(ErrorKind::invalid, "\"{}\" writes, in a transaction for reading", sql);
  ++database_->connection_->live_statements;
  return Statement(*database_, handle.release());
}

Result<void> Transaction::run_script(const std::string& sql) {
  if (!open_ || !writable_) return fail(ErrorKind::invalid, "a script needs an open transaction for writing");
  return database_->connection_->execute(sql.c_str());
}

Result<void> Transaction::commit() {
  if (!open_) return fail(ErrorKind::conflict, "the transaction has ended");
  Database::Connection& connection = *database_->connection_;
  StatementHandle statement = TRY(connection.take_statement("COMMIT"));
  int code = sqlite3_step(statement.get());
  Result<void> result;
  if (code != SQLITE_DONE) result = sqlite_failure(connection.handle.get(), code, "commit to the database");
  connection.give_back(statement.release());
  if (!result) {
    end();
    return result;
  }
  open_ = false;
  if (writable_) connection.log_room.keep_ahead();
  // Statements that are still there give themselves back later, and need the connection for that.
  if (connection.live_statements == 0) {
    connection.owner.store({}, std::memory_order_relaxed);
    lock_.unlock();
  }
  return result;
}

std::int64_t Transaction::last_row() const {
  return sqlite3_last_insert_rowid(database_->connection_->handle.get());
}

// ---- Statement

Statement::Statement(Statement&& other) noexcept
    : database_(other.database_),
      statement_(std::exchange(other.statement_, nullptr)),
      binding_error_(other.binding_error_) {}

Statement::~Statement() {
  if (!statement_) return;
  --database_->connection_->live_statements;
  database_->connection_->give_back(statement_);
}

Result<void> Statement::rewind() {
  sqlite3_reset(statement_);  // returns the last step's error again: that was reported then
  sqlite3_clear_bindings(statement_);
  binding_error_ = SQLITE_OK;
  return {};
}

Result<void> Statement::finish_binding(int bound) {
  int wanted = sqlite3_bind_parameter_count(statement_);
  if (bound != wanted)
    return fail(ErrorKind::invalid, "\"{}\" takes {} values, not {}", sqlite3_sql(statement_), wanted, bound);
  if (binding_error_ != SQLITE_OK)
    return sqlite_failure(database_->connection_->handle.get(), binding_error_, "bind a value");
  return {};
}

Result<bool> Statement::step() {
  int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return sqlite_failure(database_->connection_->handle.get(), code, sqlite3_sql(statement_));
}

Result<std::int64_t> Statement::run_to_end() {
  while (TRY(step())) continue;
  std::int64_t changed = sqlite3_changes64(database_->connection_->handle.get());
  sqlite3_reset(statement_);
  return changed;
}

void Statement::bind_text(int position, std::string_view text) {
  // A null pointer would bind NULL; an empty text is not that.
  const char* data = text.data() ? text.data() : "";
  binding_error_ |=
      sqlite3_bind_text64(statement_, position, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
}

void Statement::bind_blob(int position, std::string_view bytes) {
  const char* data = bytes.data() ? bytes.data() : "";
  binding_error_ |= sqlite3_bind_blob64(statement_, position, data, bytes.size(), SQLITE_TRANSIENT);
}

void Statement::bind_integer(int position, std::int64_t value) {
  binding_error_ |= sqlite3_bind_int64(statement_, position, value);
}
void Statement::bind_real(int position, double value) {
  binding_error_ |= sqlite3_bind_double(statement_, position, value);
}
void Statement::bind_null(int position) { binding_error_ |= sqlite3_bind_null(statement_, position); }

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }
std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_, column); }
double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Statement::text(int column) const {
  const void* data = sqlite3_column_blob(statement_, column);
  int size = sqlite3_column_bytes(statement_, column);
  return data ? std::string(static_cast<const char*>(data), static_cast<std::size_t>(size)) : std::string();
}

std::optional<std::string> Statement::optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return text(column);
}

Result<Digest> Statement::digest(int column) const {
  Result<Digest> digest = Digest::parse(text(column));
  if (!digest)
    return fail(ErrorKind::corrupt, "the database {} holds a digest that is none: {}", database_->path(),
                digest.error().message);
  return digest;
}

}  // namespace berth::db
