// SPDX-License-Identifier: Apache-2.0
// All containers of an engine, by id, by name and by a prefix of the id. Names are unique; the database holds
// them to that too.
#pragma once
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "db/database.h"
#include "engine/container.h"
#include "engine/disk_reserve.h"

namespace berth::engine {

class Registry {
 public:
  Registry(db::Database& database, DiskReserve& reserve) : database_(database), reserve_(reserve) {}

  // From the database, at start. Returns what could not be read, a sentence each.
  Result<std::vector<std::string>> load();

  // Records a new container, durably. A taken name is a conflict; an empty one is given a free made-up name.
  Result<ContainerPointer> add(ContainerRecord record, image::Lease lease);

  // By full id, by name with or without its slash, by a unique prefix of the id. Docker's words when there is
  // none. Steps of builds are not found.
  Result<ContainerPointer> find(std::string_view reference) const;
  ContainerPointer find_by_id(const std::string& id) const;  // null when there is none
  std::vector<ContainerPointer> all() const;                 // newest first
  std::vector<ContainerPointer> shown() const;               // those that are no steps of a build

  Result<void> rename(const ContainerPointer& container, const std::string& name);
  // Forgets it: name and id are free when this returns.
  Result<void> remove(const ContainerPointer& container);

  // Writes what has changed in the record or the state. Takes the container's mutex.
  Result<void> save(const ContainerPointer& container, Durability durability);

 private:
  Result<void> check_free(const std::string& name) const;  // with mutex_ held
  std::string made_up_name() const;

  db::Database& database_;
  DiskReserve& reserve_;  // for save() and remove(), which must work on a full disk
  mutable std::mutex mutex_;
  std::map<std::string, ContainerPointer> by_id_;
  std::map<std::string, std::string> id_by_name_;
};

// [a-zA-Z0-9][a-zA-Z0-9_.-]+
bool valid_container_name(std::string_view name);

}  // namespace berth::engine
