// SPDX-License-Identifier: Apache-2.0
// What an engine does with the volumes that it finds when it starts.
#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "engine/delete_tree.h"
#include "engine/validation.h"
#include "engine/volumes.h"
#include "sys/mounts.h"

namespace berth::engine {
namespace {

void warn(const std::string& volume, const Result<void>& done) {
  if (!done) log_warning("engine", "volume {}: {}", volume, done.error().message);
}

}  // namespace

void Volumes::load() {
  std::lock_guard changes(changes_);
  // A removal on a full disk has no room to make it.
  if (Result<void> made = make_directories(aside_directory(), 0700); !made)
    log_error("engine", "volumes: {}", made.error().message);
  Found found = read_records();
  sweep_aside();
  finish_removals(found);
  for (VolumeRecord& record : found.records) {
    warn(record.name, make_directories_of(record.name));
    auto volume = std::make_shared<Volume>();
    volume->record = std::move(record);
    volumes_[volume->record.name] = volume;
  }
  adopt_directories(found);
  refer_to_recorded(found);
  drop_what_was_cut_short();
}

Volumes::Found Volumes::read_records() const {
  Result<LoadedVolumes> loaded = load_volumes(database_);
  if (!loaded) {
    log_error("engine", "volumes: {}", loaded.error().message);
    return {.unreadable = true};
  }
  for (const auto& [name, why] : loaded->damaged)
    log_error("engine", "the record of volume {} cannot be read, and its options are not known: {}", name,
              why);
  return {std::move(loaded->records), std::move(loaded->damaged)};
}

// What earlier removals have left. Before there are others: nothing is deleted twice.
void Volumes::sweep_aside() {
  Result<std::vector<std::string>> left = list_directory(aside_directory());
  if (!left) return;
  for (const std::string& name : *left)
    work_.add([path = aside_directory() + "/" + name] { delete_tree(path); });
}

std::set<std::string> Volumes::names_in_containers() const {
  std::set<std::string> names;
  for (const ContainerPointer& container : registry_.all())
    for (const MountPoint& mount : container->record.mounts)
      if (mount.type == "volume") names.insert(mount.name);
  return names;
}

Result<void> Volumes::finish_removal(const VolumeRecord& record) {
  TRY(take_away(record.name));
  return forget_record(record.name);
}

// One that a container names was not removed: the mark of a removal that failed could not be taken back.
void Volumes::finish_removals(Found& found) {
  const std::set<std::string> named = names_in_containers();
  std::erase_if(found.records, [&](VolumeRecord& record) {
    if (!record.removing) return false;
    if (!named.contains(record.name)) {
      Result<void> finished = finish_removal(record);
      if (finished) return true;
      warn(record.name, finished);
    }
    record.removing = false;
    warn(record.name,
         reserve_.even_on_a_full_disk([&] { return save_volume(database_, record, Durability::visible); }));
    return false;
  });
}

// Those of an engine that kept no records, or whose records were lost with the database. A row that is there
// and cannot be read is left: somebody may be able to, and it is all that is known of the volume's options.
void Volumes::adopt(VolumeRecord record, const Found& found) {
  const std::string name = record.name;
  if (found.may_write(name)) {
    warn(name, save_volume(database_, record, Durability::visible));
    log_info("engine", "volume {} had no record and is given one", name);
  }
  warn(name, make_directories_of(name));
  auto volume = std::make_shared<Volume>();
  volume->record = std::move(record);
  volumes_[name] = volume;
}

// A volume without a record is its directory: what was mounted there by options that nobody knows any more
// would stay for ever.
Result<void> Volumes::take_off_what_lies_on(const std::string& name) {
  const std::string data = place_of(name).data();
  while (sys::is_mount_point(data).value_or(false)) {
    log_warning("engine", "volume {} had no record, and something is mounted on it: it is taken off", name);
    TRY(unmount_volume(data));
  }
  return {};
}

void Volumes::adopt_directories(const Found& found) {
  Result<std::vector<std::string>> names = list_directory(settings_.volumes_directory());
  if (!names) return log_error("engine", "volumes: {}", names.error().message);
  for (const std::string& name : *names) {
    struct stat status;
    if (!valid_volume_name(name) || volumes_.contains(name)) continue;
    if (lstat(place_of(name).directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    VolumeRecord record;
    record.name = name;
    record.created = Timestamp{status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
    if (found.may_write(name)) warn(name, take_off_what_lies_on(name));
    if (is_made_up_volume_name(name)) record.labels[kAnonymousLabel] = "";
    adopt(std::move(record), found);
  }
}

void Volumes::refer_to_recorded(const Found& found) {
  for (const ContainerPointer& container : registry_.all())
    for (MountPoint& mount : container->record.mounts) {
      if (mount.type != "volume" || !valid_volume_name(mount.name)) continue;
      // Records of earlier versions have none, and those of a data root that was moved an old one.
      mount.source = place_of(mount.name).data();
      if (!volumes_.contains(mount.name)) {
        VolumeRecord record;
        record.name = mount.name;
        record.created = container->record.created;
        if (mount.anonymous) record.labels[kAnonymousLabel] = "";
        adopt(std::move(record), found);
      }
      volumes_[mount.name]->referring.insert(container->record.id);
    }
}

// Anonymous volumes whose container is not on record: it was never acknowledged, and then they are empty, or
// its removal with them was under way.
void Volumes::drop_what_was_cut_short() {
  std::vector<Pointer> dropped;
  for (const auto& [name, volume] : volumes_) {
    const VolumeRecord& record = volume->record;
    if (record.made_for.empty() || registry_.find_by_id(record.made_for)) continue;
    if (!volume->referring.empty()) {
      set_owner(*volume, "", false);
      continue;
    }
    const std::string data = place_of(name).data();
    const bool empty = !sys::is_mount_point(data).value_or(true) && is_empty_directory(data).value_or(false);
    if (record.goes_with_it || empty) dropped.push_back(volume);
  }
  for (const Pointer& volume : dropped) warn(volume->record.name, remove_held(volume));
}

void Volumes::unmount_unused() {
  std::vector<Pointer> with_options;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [name, volume] : volumes_)
      if (!volume->record.options.empty()) with_options.push_back(volume);
  }
  for (const Pointer& volume : with_options) unmount_if_unused(volume);
}

}  // namespace berth::engine
