// SPDX-License-Identifier: Apache-2.0
// What an engine does with the volumes that it finds when it starts.
#include <sys/stat.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "engine/delete_tree.h"
#include "engine/validation.h"
#include "engine/volumes.h"

namespace berth::engine {
namespace {

bool is_made_up(const std::string& name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

void warn(const std::string& volume, const Result<void>& done) {
  if (!done) log_warning("engine", "volume {}: {}", volume, done.error().message);
}

}  // namespace

void Volumes::load() {
  std::lock_guard changes(changes_);
  std::vector<std::string> damaged;
  Result<std::vector<VolumeRecord>> records = load_volumes(database_, damaged);
  if (!records) {
    log_error("engine", "volumes: {}", records.error().message);
    records.emplace();
  }
  for (const std::string& what : damaged) log_error("engine", "left out: {}", what);
  finish_removals(*records);
  for (VolumeRecord& record : *records) {
    warn(record.name, make_directories_of(record.name));
    auto volume = std::make_shared<Volume>();
    volume->record = std::move(record);
    volumes_[volume->record.name] = volume;
  }
  adopt_directories();
  refer_to_recorded();
  drop_what_was_cut_short();
}

void Volumes::finish_removals(std::vector<VolumeRecord>& records) {
  std::erase_if(records, [&](VolumeRecord& record) {
    if (!record.removing) return false;
    const std::string data = place_of(record.name).data();
    if (Result<bool> mounted = is_mounted(data); !record.options.empty() && mounted && *mounted)
      warn(record.name, unmount_volume(data));
    Result<void> gone = put_aside(record.name);
    if (gone) gone = delete_volume(database_, record.name, Durability::visible);
    warn(record.name, gone);
    record.removing = false;
    return gone.has_value();
  });
  Result<std::vector<std::string>> left = list_directory(aside_directory());
  if (!left) return;
  for (const std::string& name : *left)
    work_.add([path = aside_directory() + "/" + name] { delete_tree(path); });
}

// Those of an engine that kept no records, or whose records were lost with the database.
void Volumes::adopt_directories() {
  Result<std::vector<std::string>> names = list_directory(settings_.volumes_directory());
  if (!names) return log_error("engine", "volumes: {}", names.error().message);
  for (const std::string& name : *names) {
    struct stat status;
    if (!valid_volume_name(name) || volumes_.contains(name)) continue;
    if (lstat(place_of(name).directory.c_str(), &status) != 0 || !S_ISDIR(status.st_mode)) continue;
    auto volume = std::make_shared<Volume>();
    volume->record.name = name;
    volume->record.created = Timestamp{status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
    if (is_made_up(name)) volume->record.labels[kAnonymousLabel] = "";
    warn(name, make_directories_of(name));
    warn(name, save_volume(database_, volume->record, Durability::visible));
    volumes_[name] = volume;
    log_info("engine", "volume {} had no record and is given one", name);
  }
}

void Volumes::refer_to_recorded() {
  for (const ContainerPointer& container : registry_.all())
    for (const MountPoint& mount : container->record.mounts) {
      if (mount.type != "volume" || !valid_volume_name(mount.name)) continue;
      Pointer& volume = volumes_[mount.name];
      if (!volume) {
        volume = std::make_shared<Volume>();
        volume->record.name = mount.name;
        volume->record.created = container->record.created;
        if (mount.anonymous) volume->record.labels[kAnonymousLabel] = "";
        warn(mount.name, save_volume(database_, volume->record, Durability::visible));
        warn(mount.name, make_directories_of(mount.name));
      }
      volume->referring.insert(container->record.id);
    }
}

// Anonymous volumes whose container is not on record: it was never acknowledged, and then they are empty, or
// its removal with them was under way.
void Volumes::drop_what_was_cut_short() {
  std::vector<Pointer> dropped;
  for (const auto& [name, volume] : volumes_) {
    const VolumeRecord& record = volume->record;
    if (record.made_for.empty() || !volume->referring.empty() || registry_.find_by_id(record.made_for))
      continue;
    Result<bool> empty = is_empty_directory(place_of(name).data());
    if (record.goes_with_it || (empty && *empty)) dropped.push_back(volume);
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
