// SPDX-License-Identifier: Apache-2.0
// Container records in the database: one row a container, its configuration as one JSON document and the
// state that was last observed as another.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "db/database.h"
#include "engine/container.h"

namespace berth::engine {

std::vector<db::Migration> migrations();

struct StoredContainer {
  ContainerRecord record;
  keeper::State state;
};

// What a power cut may take. Records of containers that remove themselves need not survive one.
Durability durability_of(const ContainerRecord& record);

Result<void> insert_container(db::Database& database, const ContainerRecord& record,
                              const keeper::State& state);
Result<void> update_container(db::Database& database, const ContainerRecord& record,
                              const keeper::State& state, Durability durability);
Result<void> delete_container(db::Database& database, const ContainerRecord& record);

// A row that cannot be read is reported in `damaged` (its id and why) and left out: the engine always starts.
Result<std::vector<StoredContainer>> load_containers(db::Database& database,
                                                     std::vector<std::string>& damaged);

// A value that is made once and then stays: the engine's id, for one.
Result<std::string> remembered_value(db::Database& database, const std::string& name,
                                     const std::string& first_value);

}  // namespace berth::engine
