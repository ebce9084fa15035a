// SPDX-License-Identifier: Apache-2.0
// The inside of a Database: the SQLite handle, its settings, and compiled statements kept for reuse.
#pragma once
#include <sqlite3.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "db/database.h"
#include "db/log_room.h"

namespace berth::db {

struct CloseHandle {
  void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
};
using StatementHandle = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

// SQLite's last error on this handle, as ours: `task` says what was tried.
std::unexpected<Error> sqlite_failure(sqlite3* handle, int code, std::string_view task);

struct Database::Connection {
  // Opens the file, checks that it is sound and sets the connection up. ErrorKind::corrupt: set it aside.
  static Result<std::unique_ptr<Connection>> open(const std::string& path);
  explicit Connection(const std::string& path) : log_room(path + "-wal") {}

  Result<void> execute(const char* sql);            // statements without results
  Result<std::string> first_text(const char* sql);  // the first column of the first row
  Result<StatementHandle> take_statement(std::string_view sql);
  void give_back(sqlite3_stmt* statement) noexcept;
  Result<void> set_durability(Durability durability);

  std::unique_ptr<sqlite3, CloseHandle> handle;
  std::unordered_multimap<std::string, StatementHandle> idle;  // by their text; destroyed before the handle
  std::atomic<std::thread::id> owner{};                        // the thread whose transaction is open
  int live_statements = 0;
  Durability durability = Durability::durable;
  bool durability_known = false;
  LogRoom log_room;
};

// Brings the schema up to date, or says why it must not be touched.
Result<void> migrate(Database& database, std::span<const Migration> migrations);

}  // namespace berth::db
