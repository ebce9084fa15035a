// SPDX-License-Identifier: Apache-2.0
#include "engine/volume_records.h"

#include "base/json.h"

namespace berth::engine {
namespace {

std::string encode(const VolumeRecord& record) {
  return json::serialize(json::object{{"created", record.created.nanoseconds},
                                      {"labels", berth::to_json(record.labels)},
                                      {"options", berth::to_json(record.options)},
                                      {"madeFor", record.made_for},
                                      {"goesWithIt", record.goes_with_it},
                                      {"removing", record.removing}});
}

Result<VolumeRecord> decode(std::string name, std::string_view text) {
  json::value document = TRY(parse_json(text, "the volume's record"));
  VolumeRecord record;
  record.name = std::move(name);
  ObjectReader in(document, "");
  in.read("created", record.created.nanoseconds);
  in.read("labels", record.labels);
  in.read("options", record.options);
  in.read("madeFor", record.made_for);
  in.read("goesWithIt", record.goes_with_it);
  in.read("removing", record.removing);
  TRY(in.finish());
  return record;
}

}  // namespace

std::vector<db::Migration> volume_migrations() {
  return {{.room = "volumes",
           .version = 1,
           .sql = "CREATE TABLE volumes(name TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;",
           .additive = true}};
}

Result<void> save_volume(db::Database& database, const VolumeRecord& record, Durability durability) {
  db::Transaction transaction = TRY(database.begin(durability));
  TRY(transaction.run("INSERT OR REPLACE INTO volumes(name, record) VALUES(?, ?)", record.name,
                      encode(record)));
  return transaction.commit();
}

Result<void> delete_volume(db::Database& database, const std::string& name, Durability durability) {
  db::Transaction transaction = TRY(database.begin(durability));
  TRY(transaction.run("DELETE FROM volumes WHERE name = ?", name));
  return transaction.commit();
}

Result<LoadedVolumes> load_volumes(db::Database& database) {
  LoadedVolumes found;
  db::Transaction transaction = TRY(database.read());
  db::Statement select = TRY(transaction.prepare("SELECT name, record FROM volumes ORDER BY name"));
  while (TRY(select.step())) {
    Result<VolumeRecord> record = decode(select.text(0), select.text(1));
    if (record)
      found.records.push_back(std::move(*record));
    else
      found.damaged[select.text(0)] = record.error().message;
  }
  return found;
}

}  // namespace berth::engine
