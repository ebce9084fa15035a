// SPDX-License-Identifier: Apache-2.0
#include "db/connection.h"

#include <fcntl.h>

namespace berth::db {
namespace {

constexpr std::size_t kIdleStatements = 128;

ErrorKind kind_of(int code) {
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorKind::corrupt;
    case SQLITE_CONSTRAINT:
      return ErrorKind::conflict;
    case SQLITE_FULL:
    case SQLITE_NOMEM:
      return ErrorKind::exhausted;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorKind::unavailable;
    case SQLITE_TOOBIG:
    case SQLITE_RANGE:
    case SQLITE_MISMATCH:
      return ErrorKind::invalid;
    default:
      return ErrorKind::system;
  }
}

// Memory stays near 1 MiB: the engine is resident and its records are small. No mmap: a damaged disk must be
// an error, not SIGBUS. That goes for the log's index too, which others would share through a mapped file: a
// disk that is full when its pages are touched kills the process. With exclusive locking, which has to be
// asked for before the log is first read, the index is in memory. trusted_schema and cell_size_check: the
// file may have been tampered with.
constexpr const char* kSettings =
    "PRAGMA locking_mode=EXCLUSIVE;"
    "PRAGMA cache_size=-1024;"
    "PRAGMA mmap_size=0;"
    "PRAGMA temp_store=MEMORY;"
    "PRAGMA foreign_keys=ON;"
    "PRAGMA trusted_schema=OFF;"
    "PRAGMA cell_size_check=ON;"
    "PRAGMA journal_size_limit=4194304;";

}  // namespace

std::unexpected<Error> sqlite_failure(sqlite3* handle, int code, std::string_view task) {
  const char* text =
      handle && sqlite3_errcode(handle) == code ? sqlite3_errmsg(handle) : sqlite3_errstr(code);
  int system_code = handle ? sqlite3_system_errno(handle) : 0;
  if ((code & 0xff) == SQLITE_IOERR && system_code != 0) return fail_errno(system_code, "{}: {}", task, text);
  return fail(kind_of(code), "{}: {}", task, text);
}

Result<std::unique_ptr<Database::Connection>> Database::Connection::open(const std::string& path) {
  // Made by us first, so that it is nobody else's to read from its first moment on; SQLite gives its log the
  // same mode.
  { Fd file = TRY(open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600)); }
  auto connection = std::make_unique<Connection>(path);
  sqlite3* handle = nullptr;
  int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  connection->handle.reset(handle);
  if (code != SQLITE_OK) return sqlite_failure(handle, code, "open the database " + path);
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, 5000);
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  TRY(connection->execute(kSettings));
  std::string sound = TRY(connection->first_text("PRAGMA quick_check(1)"));
  if (sound != "ok") return fail(ErrorKind::corrupt, "the database {} is damaged: {}", path, sound);
  std::string mode = TRY(connection->first_text("PRAGMA journal_mode=WAL"));
  if (mode != "wal")
    return fail(ErrorKind::unsupported, "the file system of {} does not allow SQLite's write-ahead log",
                path);
  return connection;
}

Result<void> Database::Connection::execute(const char* sql) {
  int code = sqlite3_exec(handle.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return sqlite_failure(handle.get(), code, "the database");
  return {};
}

Result<std::string> Database::Connection::first_text(const char* sql) {
  sqlite3_stmt* raw = nullptr;
  int code = sqlite3_prepare_v2(handle.get(), sql, -1, &raw, nullptr);
  StatementHandle statement(raw);
  if (code == SQLITE_OK) code = sqlite3_step(raw);
  if (code == SQLITE_DONE) return std::string();
  if (code != SQLITE_ROW) return sqlite_failure(handle.get(), code, "the database");
  const unsigned char* text = sqlite3_column_text(raw, 0);
  return std::string(text ? reinterpret_cast<const char*>(text) : "");
}

Result<StatementHandle> Database::Connection::take_statement(std::string_view sql) {
  std::string key(sql);
  if (auto found = idle.find(key); found != idle.end()) {
    StatementHandle statement = std::move(found->second);
    idle.erase(found);
    return statement;
  }
  sqlite3_stmt* raw = nullptr;
  const char* rest = nullptr;
  int code = sqlite3_prepare_v3(handle.get(), key.data(), static_cast<int>(key.size()),
                                SQLITE_PREPARE_PERSISTENT, &raw, &rest);
  StatementHandle statement(raw);
  if (code != SQLITE_OK) return sqlite_failure(handle.get(), code, "prepare \"" + key + "\"");
  if (!raw || std::string_view(rest).find_first_not_of(" \t\n;") != std::string_view::npos)
    return fail(ErrorKind::invalid, "prepare takes one statement, not \"{}\"", key);
  return statement;
}

void Database::Connection::give_back(sqlite3_stmt* statement) noexcept {
  StatementHandle owned(statement);
  sqlite3_reset(statement);
  sqlite3_clear_bindings(statement);
  if (idle.size() >= kIdleStatements) return;
  idle.emplace(sqlite3_sql(statement), std::move(owned));
}

Result<void> Database::Connection::set_durability(Durability wanted) {
  if (durability_known && durability == wanted) return {};
  // In WAL mode NORMAL syncs at checkpoints alone: what a power cut takes is whole transactions, the newest.
  TRY(execute(wanted == Durability::durable ? "PRAGMA synchronous=FULL" : "PRAGMA synchronous=NORMAL"));
  // A checkpoint syncs, so commits that need not be durable leave it to the next one that must be, until the
  // log has 16 MiB.
  sqlite3_wal_autocheckpoint(handle.get(), wanted == Durability::durable ? 1000 : 4000);
  durability = wanted;
  durability_known = true;
  return {};
}

}  // namespace berth::db
