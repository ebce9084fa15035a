// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <set>

#include "base/clock.h"
#include "base/log.h"
#include "db/connection.h"

namespace berth::db {
namespace {

using StepName = std::pair<std::string, int>;  // room and version

Result<void> check_numbering(std::span<const Migration> migrations) {
  std::map<std::string, int> last;
  for (const Migration& migration : migrations)
    if (migration.version != ++last[migration.room])
      return fail(ErrorKind::invalid, "migration {} of {} is out of order: {} is next", migration.version,
                  migration.room, last[migration.room]);
  return {};
}

Result<std::map<StepName, bool>> recorded_steps(Transaction& transaction) {
  TRY(transaction.run(
      "CREATE TABLE IF NOT EXISTS migrations("
      "room TEXT NOT NULL, version INTEGER NOT NULL, additive INTEGER NOT NULL, applied TEXT NOT NULL,"
      "PRIMARY KEY(room, version)) WITHOUT ROWID"));
  std::map<StepName, bool> steps;
  Statement select = TRY(transaction.prepare("SELECT room, version, additive FROM migrations"));
  while (TRY(select.step())) steps[{select.text(0), static_cast<int>(select.integer(1))}] = select.boolean(2);
  return steps;
}

Result<void> refuse_newer(const std::map<StepName, bool>& recorded, std::span<const Migration> migrations,
                          const std::string& path) {
  std::set<StepName> known;
  for (const Migration& migration : migrations) known.emplace(migration.room, migration.version);
  for (const auto& [step, additive] : recorded) {
    if (known.contains(step)) continue;
    if (!additive)
      return fail(ErrorKind::unsupported,
                  "the database {} was written by a newer version of this program (step {} of {}); start "
                  "that version, "
                  "or restore the database from before the upgrade",
                  path, step.second, step.first);
    log_info("db", "{} has step {} of {} from a newer version, which this one can live with", path,
             step.second, step.first);
  }
  return {};
}

}  // namespace

Result<void> migrate(Database& database, std::span<const Migration> migrations) {
  TRY(check_numbering(migrations));
  Transaction transaction = TRY(database.begin(Durability::durable));
  std::map<StepName, bool> recorded = TRY(recorded_steps(transaction));
  TRY(refuse_newer(recorded, migrations, database.path()));
  for (const Migration& migration : migrations) {
    if (recorded.contains({migration.room, migration.version})) continue;
    TRY_AS(fmt::format("step {} of {}", migration.version, migration.room),
           transaction.run_script(migration.sql));
    TRY(transaction.run("INSERT INTO migrations(room, version, additive, applied) VALUES(?, ?, ?, ?)",
                        migration.room, migration.version, migration.additive, format_time(now())));
  }
  return transaction.commit();
}

}  // namespace berth::db
