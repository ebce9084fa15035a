// SPDX-License-Identifier: Apache-2.0
// Volumes in the database: one row a volume. A row comes before its directory and goes after it, so that a
// volume's options are never lost to a kill between the two: a row without a directory is given an empty one.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "db/database.h"
#include "engine/volume_driver.h"

namespace berth::engine {

struct VolumeRecord {
  std::string name;
  Timestamp created;
  std::map<std::string, std::string> labels;
  VolumeOptions options;
  std::string made_for;       // the container that an anonymous one was made for, where there was one
  bool goes_with_it = false;  // --rm, or `rm -v` has begun
  bool removing = false;      // decided: what is left of it goes, whatever happens meanwhile
};

std::vector<db::Migration> volume_migrations();

// Inserts or replaces.
Result<void> save_volume(db::Database& database, const VolumeRecord& record, Durability durability);
Result<void> delete_volume(db::Database& database, const std::string& name, Durability durability);

struct LoadedVolumes {
  std::vector<VolumeRecord> records;
  std::map<std::string, std::string> damaged;  // name -> why its row cannot be read: the engine always starts
};
Result<LoadedVolumes> load_volumes(db::Database& database);

// Docker's mark of a volume that nobody gave a name.
inline constexpr const char* kAnonymousLabel = "com.docker.volume.anonymous";

}  // namespace berth::engine
