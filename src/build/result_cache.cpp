// SPDX-License-Identifier: Apache-2.0
#include "build/result_cache.h"

#include <algorithm>

#include "base/log.h"

namespace berth::build {
namespace {

constexpr const char* kSchema = R"(
CREATE TABLE build_results(
  key TEXT NOT NULL PRIMARY KEY,
  diff_id TEXT NOT NULL,
  created INTEGER NOT NULL,
  last_used INTEGER NOT NULL,
  uses INTEGER NOT NULL,
  size INTEGER NOT NULL,
  description TEXT NOT NULL
) WITHOUT ROWID;
)";

Result<CachedResult> read_row(const db::Statement& row) {
  Digest key = TRY(row.digest(0));
  Digest diff_id = TRY(row.digest(1));
  return CachedResult{std::move(key), std::move(diff_id), {row.integer(2)}, {row.integer(3)},
                      row.integer(4), row.integer(5),     row.text(6)};
}

}  // namespace

std::vector<db::Migration> migrations() {
  return {{.room = "build", .version = 1, .sql = kSchema, .additive = true}};
}

Result<void> ResultCache::load() {
  std::vector<CachedResult> found;
  {
    db::Transaction transaction = TRY(database_.read());
    db::Statement select = TRY(transaction.prepare(
        "SELECT key, diff_id, created, last_used, uses, size, description FROM build_results"));
    while (TRY(select.step())) {
      Result<CachedResult> row = read_row(select);
      if (row) found.push_back(std::move(*row));
    }
  }
  std::vector<Digest> lost;
  {
    std::lock_guard lock(mutex_);
    for (CachedResult& result : found) {
      if (!layers_.has(result.diff_id)) {
        lost.push_back(result.key);
        continue;
      }
      image::Lease lease = images_.lease({result.diff_id});
      Digest key = result.key;
      entries_.insert_or_assign(std::move(key), Entry{std::move(result), std::move(lease)});
    }
  }
  for (const Digest& key : lost) TRY(remove(key));
  return {};
}

std::optional<CachedResult> ResultCache::find(const Digest& key) {
  std::lock_guard lock(mutex_);
  auto found = entries_.find(key);
  if (found == entries_.end() || !layers_.has(found->second.result.diff_id)) return std::nullopt;
  found->second.result.last_used = now();
  ++found->second.result.uses;
  found->second.used = true;
  return found->second.result;
}

Result<void> ResultCache::add(CachedResult result) {
  image::Lease lease = images_.lease({result.diff_id});
  {
    db::Transaction transaction = TRY(database_.begin(Durability::visible));
    TRY(transaction.run(
        "INSERT OR REPLACE INTO build_results(key, diff_id, created, last_used, uses, size, description) "
        "VALUES(?, ?, ?, ?, ?, ?, ?)",
        result.key, result.diff_id, result.created.nanoseconds, result.last_used.nanoseconds, result.uses,
        result.size, result.description));
    TRY(transaction.commit());
  }
  image::Lease replaced;  // released after the lock: layers may be collected then
  std::lock_guard lock(mutex_);
  Digest key = result.key;
  Entry& entry = entries_.try_emplace(std::move(key), Entry{result, {}, false}).first->second;
  replaced = std::exchange(entry.lease, std::move(lease));
  entry.result = std::move(result);
  return {};
}

Result<bool> ResultCache::keep(CachedResult result) {
  const std::optional<CachedResult> known = find(result.key);
  if (known && known->diff_id == result.diff_id) return false;
  TRY(add(std::move(result)));
  return true;
}

Result<void> ResultCache::save_uses() {
  std::vector<CachedResult> used;
  {
    std::lock_guard lock(mutex_);
    for (auto& [key, entry] : entries_)
      if (std::exchange(entry.used, false)) used.push_back(entry.result);
  }
  if (used.empty()) return {};
  db::Transaction transaction = TRY(database_.begin(Durability::visible));
  for (const CachedResult& result : used)
    TRY(transaction.run("UPDATE build_results SET last_used = ?, uses = ? WHERE key = ?",
                        result.last_used.nanoseconds, result.uses, result.key));
  return transaction.commit();
}

std::vector<CachedResult> ResultCache::list() const {
  std::vector<CachedResult> results;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [key, entry] : entries_) results.push_back(entry.result);
  }
  std::ranges::sort(results,
                    [](const CachedResult& a, const CachedResult& b) { return a.last_used > b.last_used; });
  return results;
}

Result<void> ResultCache::remove(const Digest& key) {
  {
    db::Transaction transaction = TRY(database_.begin(Durability::visible));
    TRY(transaction.run("DELETE FROM build_results WHERE key = ?", key));
    TRY(transaction.commit());
  }
  image::Lease released;
  std::lock_guard lock(mutex_);
  auto found = entries_.find(key);
  if (found == entries_.end()) return {};
  released = std::move(found->second.lease);
  entries_.erase(found);
  return {};
}

}  // namespace berth::build
