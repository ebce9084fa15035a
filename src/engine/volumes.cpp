// SPDX-License-Identifier: Apache-2.0
// Volumes as objects: made, found, removed. What containers do with them is in volumes_use.cpp, what an
// engine does at its start in volumes_load.cpp.
#include "engine/volumes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/delete_tree.h"
#include "engine/validation.h"
#include "sys/mounts.h"

namespace berth::engine {

Volumes::Volumes(const Settings& settings, db::Database& database, DiskReserve& reserve,
                 const Registry& registry, EventBus& events, WorkQueue& work)
    : settings_(settings),
      database_(database),
      reserve_(reserve),
      registry_(registry),
      events_(events),
      work_(work) {}

VolumePlace Volumes::place_of(const std::string& name) const {
  return {settings_.volumes_directory() + "/" + name};
}

Volumes::Pointer Volumes::find_pointer(const std::string& name) const {
  std::lock_guard lock(mutex_);
  auto found = volumes_.find(name);
  return found == volumes_.end() ? nullptr : found->second;
}

VolumeState Volumes::state_of(const Volume& volume) const {
  return {volume.record, place_of(volume.record.name).data(), volume.referring};
}

void Volumes::publish(const std::string& volume, std::string action,
                      std::map<std::string, std::string> extra) {
  extra["driver"] = "local";
  events_.publish({"volume", std::move(action), volume, std::move(extra), {}});
}

Result<VolumeState> Volumes::find(const std::string& name) const {
  std::lock_guard lock(mutex_);
  auto found = volumes_.find(name);
  if (found == volumes_.end()) return fail(ErrorKind::not_found, "get {}: no such volume", name);
  return state_of(*found->second);
}

std::vector<VolumeState> Volumes::all() const {
  std::lock_guard lock(mutex_);
  std::vector<VolumeState> list;
  for (const auto& [name, volume] : volumes_) list.push_back(state_of(*volume));
  return list;
}

Result<void> Volumes::make_directories_of(const std::string& name) const {
  const VolumePlace place = place_of(name);
  TRY(make_directories(place.directory, 0701));
  // What is mounted there may be a server's that does not answer, and is a directory.
  if (sys::is_mount_point(place.data()).value_or(false)) return {};
  return make_directories(place.data(), 0755);
}

// With changes_ held.
Result<Volumes::Pointer> Volumes::make(VolumeRecord record, Durability durability) {
  const std::string name = record.name;
  TRY(save_volume(database_, record, durability));
  if (Result<void> made = make_directories_of(name); !made) {
    Result<void> deleted =
        reserve_.even_on_a_full_disk([&] { return delete_volume(database_, name, durability); });
    if (!deleted) log_warning("engine", "volume {}: {}", name, deleted.error().message);
    return std::unexpected(std::move(made).error());
  }
  auto volume = std::make_shared<Volume>();
  volume->record = std::move(record);
  {
    std::lock_guard lock(mutex_);
    volumes_[name] = volume;
  }
  publish(name, "create");
  return volume;
}

Result<VolumeState> Volumes::create(const NewVolume& wanted) {
  const std::string task = "create " + wanted.name;
  if (!wanted.driver.empty() && wanted.driver != "local")
    return fail(ErrorKind::not_found, "{}: volume driver \"{}\" is not installed: use local", task,
                wanted.driver);
  if (!wanted.name.empty() && !valid_volume_name(wanted.name))
    return fail(ErrorKind::invalid,
                "{}: \"{}\" includes invalid characters for a local volume name, only "
                "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed, two at least. If you intended to pass a host "
                "directory, use absolute path",
                task, wanted.name);
  TRY_AS(task, check_volume_options(wanted.options));
  VolumeRecord record;
  record.name = wanted.name.empty() ? random_identifier() : wanted.name;
  record.created = now();
  record.labels = wanted.labels;
  record.options = wanted.options;
  if (wanted.name.empty()) record.labels[kAnonymousLabel] = "";

  std::lock_guard changes(changes_);
  Pointer volume = find_pointer(record.name);
  if (volume && !wanted.options.empty() && volume->record.options != wanted.options)
    return fail(ErrorKind::conflict,
                "{}: a volume of this name exists with other options: remove it, or choose another name",
                task);
  if (!volume) volume = TRY_AS(task, make(std::move(record), Durability::durable));
  std::lock_guard lock(mutex_);
  return state_of(*volume);
}

std::string Volumes::users_text(const std::set<std::string>& containers) const {
  std::string ids, names;
  for (const std::string& id : containers) {
    ids += (ids.empty() ? "" : ", ") + id;
    ContainerPointer container = registry_.find_by_id(id);
    if (!container) continue;
    std::lock_guard lock(container->mutex);
    names += (names.empty() ? "" : ", ") + container->record.name;
  }
  return fmt::format("[{}]{}", ids, names.empty() ? "" : " (container " + names + ")");
}

// Out of sight under a name of its own: a volume of the same name may be made at once.
Result<void> Volumes::put_aside(const std::string& name) {
  TRY(make_directories(aside_directory(), 0700));
  const std::string from = place_of(name).directory;
  const std::string to = fmt::format("{}/{}", aside_directory(), random_identifier());
  if (std::rename(from.c_str(), to.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno(errno, "remove {}", from);
  }
  work_.add([this, to] {
    delete_tree(to);
    reserve_.replenish();
  });
  return {};
}

// Whatever lies on it is taken off, also where the options say nothing of it: it is not this volume's to
// delete.
Result<void> Volumes::take_away(const std::string& name) {
  const std::string data = place_of(name).data();
  if (sys::is_mount_point(data).value_or(false)) TRY(unmount_volume(data));
  return put_aside(name);
}

// The row goes last: a directory that a power cut brings back without it would be a volume again.
Result<void> Volumes::forget_record(const std::string& name) {
  Fd directory = TRY(open_file(settings_.volumes_directory(), O_RDONLY | O_DIRECTORY));
  TRY_AS("sync " + settings_.volumes_directory(), sync_directory(directory.get()));
  return reserve_.even_on_a_full_disk([&] { return delete_volume(database_, name, Durability::visible); });
}

// With changes_ held, so that nobody begins to refer to it meanwhile.
Result<void> Volumes::remove_held(const Pointer& volume) {
  const std::string& name = volume->record.name;
  std::set<std::string> users;
  {
    std::lock_guard lock(mutex_);
    users = volume->referring;
  }
  if (!users.empty())
    return fail(ErrorKind::conflict, "remove {}: volume is in use - {}", name, users_text(users));
  std::lock_guard operation(volume->operation);
  VolumeRecord record = volume->record;
  record.removing = true;
  TRY(reserve_.even_on_a_full_disk([&] { return save_volume(database_, record, Durability::durable); }));
  if (Result<void> taken = take_away(name); !taken) {
    Result<void> restored = reserve_.even_on_a_full_disk(
        [&] { return save_volume(database_, volume->record, Durability::durable); });
    if (!restored) log_warning("engine", "volume {}: {}", name, restored.error().message);
    return std::unexpected(std::move(taken).error());
  }
  // Should this fail, the mark above is there and the next start deletes the row.
  if (Result<void> forgotten = forget_record(name); !forgotten)
    log_warning("engine", "volume {}: {}", name, forgotten.error().message);
  {
    std::lock_guard lock(mutex_);
    volumes_.erase(name);
  }
  publish(name, "destroy");
  return {};
}

Result<void> Volumes::remove(const std::string& name) {
  std::lock_guard changes(changes_);
  Pointer volume = find_pointer(name);
  if (!volume) return fail(ErrorKind::not_found, "get {}: no such volume", name);
  return remove_held(volume);
}

std::vector<VolumeDeletion> Volumes::prune(const std::function<bool(const VolumeState&)>& wanted) {
  std::vector<VolumeDeletion> deleted;
  for (const VolumeState& state : all()) {
    if (!state.containers.empty() || !state.record.options.empty() || !wanted(state)) continue;
    VolumeDeletion deletion{state.record.name, size_of(state).value_or(0)};
    if (remove(state.record.name)) deleted.push_back(std::move(deletion));
  }
  return deleted;
}

std::optional<std::uint64_t> Volumes::size_of(const VolumeState& volume) const {
  if (!volume.record.options.empty() || sys::is_mount_point(volume.mountpoint).value_or(true))
    return std::nullopt;
  Result<std::uint64_t> size = size_on_disk(volume.mountpoint);
  if (!size) return std::nullopt;
  return *size;
}

}  // namespace berth::engine
