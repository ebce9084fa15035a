// SPDX-License-Identifier: Apache-2.0
// What containers do with volumes: refer to them, use them, let go.
#include <fcntl.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "engine/records.h"
#include "engine/validation.h"
#include "engine/volumes.h"
#include "sys/mounts.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

bool is_volume(const MountPoint& mount) { return mount.type == "volume"; }

// Both are looked up when they are mounted, too (runtime/plan.h): this is for the words.
Result<void> check_subpath(const std::string& data, const MountPoint& mount) {
  Fd top = TRY(open_file(data, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  Result<Fd> place = sys::open_beneath(top.get(), mount.subpath, O_PATH);
  if (place) return {};
  if (place.error().kind == ErrorKind::not_found)
    return fail(ErrorKind::not_found, "volume {} has nothing at its subpath \"{}\": make it first",
                mount.name, mount.subpath);
  if (place.error().kind == ErrorKind::denied)  // which is all that can be denied to root here
    return fail(ErrorKind::invalid, "the subpath \"{}\" leads out of volume {}", mount.subpath, mount.name);
  return std::unexpected(std::move(place).error().within("the subpath of volume " + mount.name));
}

}  // namespace

// With changes_ held.
Result<Volumes::Pointer> Volumes::find_or_make(MountPoint& mount, const std::string& container,
                                               bool auto_remove) {
  if (mount.name.empty()) {
    mount.name = random_identifier();
    mount.anonymous = true;
  }
  if (!valid_volume_name(mount.name))
    return fail(ErrorKind::invalid, "\"{}\" is not the name of a volume", mount.name);
  if (Pointer existing = find_pointer(mount.name)) {
    if (!mount.volume_options.empty() && mount.volume_options != existing->record.options)
      return fail(ErrorKind::conflict, "volume {} exists with other options: remove it, or leave them out",
                  mount.name);
    return existing;
  }
  // It was there a moment ago. An empty one in its place would look like lost data.
  if (mount.lent)
    return fail(ErrorKind::not_found, "volume {} of the other container was removed meanwhile", mount.name);
  TRY_AS("create volume " + mount.name, check_volume_options(mount.volume_options));
  VolumeRecord record;
  record.name = mount.name;
  record.created = now();
  record.labels = mount.volume_labels;
  record.options = mount.volume_options;
  if (mount.anonymous) {
    record.labels[kAnonymousLabel] = "";
    record.made_for = container;
    record.goes_with_it = auto_remove;
  }
  const bool short_lived = mount.anonymous && auto_remove;
  return TRY_AS("create volume " + mount.name,
                make(std::move(record), short_lived ? Durability::visible : Durability::durable));
}

Result<void> Volumes::refer(const std::string& container, std::vector<MountPoint>& mounts, bool auto_remove) {
  if (std::none_of(mounts.begin(), mounts.end(), is_volume)) return {};
  std::lock_guard changes(changes_);
  std::vector<Pointer> made, referred;
  auto refer_to_all = [&]() -> Result<void> {
    for (MountPoint& mount : mounts) {
      if (!is_volume(mount)) continue;
      const bool nameless = mount.name.empty();
      Pointer volume = TRY(find_or_make(mount, container, auto_remove));
      if (nameless) made.push_back(volume);
      mount.source = place_of(mount.name).data();
      std::lock_guard lock(mutex_);
      if (volume->referring.insert(container).second) referred.push_back(volume);
    }
    return {};
  };
  Result<void> done = refer_to_all();
  if (done) return {};
  {
    std::lock_guard lock(mutex_);
    for (const Pointer& volume : referred) volume->referring.erase(container);
  }
  for (const Pointer& volume : made) (void)remove_held(volume);
  return done;
}

void Volumes::announce_removal(const ContainerRecord& container, bool with_anonymous) {
  for (const MountPoint& mount : container.mounts) {
    if (!is_volume(mount) || !mount.anonymous) continue;
    std::lock_guard changes(changes_);
    Pointer volume = find_pointer(mount.name);
    if (!volume || volume->record.made_for != container.id) continue;
    set_owner(*volume, with_anonymous ? container.id : "", with_anonymous);
  }
}

// With changes_ held. One that is nobody's goes when it is told to, and with nothing else.
void Volumes::set_owner(Volume& volume, const std::string& made_for, bool goes_with_it) {
  if (volume.record.made_for == made_for && volume.record.goes_with_it == goes_with_it) return;
  VolumeRecord record = volume.record;
  record.made_for = made_for;
  record.goes_with_it = goes_with_it;
  Result<void> saved =
      reserve_.even_on_a_full_disk([&] { return save_volume(database_, record, Durability::visible); });
  if (!saved) return log_warning("engine", "volume {}: {}", record.name, saved.error().message);
  std::lock_guard lock(mutex_);
  volume.record.made_for = made_for;
  volume.record.goes_with_it = goes_with_it;
}

void Volumes::forget(const ContainerRecord& container, bool with_anonymous) {
  if (std::none_of(container.mounts.begin(), container.mounts.end(), is_volume)) return;
  release(container);
  std::lock_guard changes(changes_);
  for (const MountPoint& mount : container.mounts) {
    Pointer volume = is_volume(mount) ? find_pointer(mount.name) : nullptr;
    if (!volume) continue;
    bool shared;
    {
      std::lock_guard lock(mutex_);
      volume->referring.erase(container.id);
      shared = !volume->referring.empty();
    }
    if (!with_anonymous || !mount.anonymous || shared) {
      if (volume->record.made_for == container.id) set_owner(*volume, "", false);
      continue;
    }
    if (Result<void> removed = remove_held(volume); !removed)
      log_warning("engine", "remove volume {}: {}", mount.name, removed.error().message);
  }
}

Result<void> Volumes::use(const ContainerRecord& container, const std::function<Result<Fd>()>& open_root,
                          Told told) {
  for (const MountPoint& mount : container.mounts) {
    if (!is_volume(mount)) continue;
    if (Result<void> used = use_one(mount, container, open_root); !used) {
      release(container, told);
      return used;
    }
    if (told == Told::nobody) continue;
    publish(mount.name, "mount",
            {{"container", container.id},
             {"destination", mount.destination},
             {"propagation", mount.propagation},
             {"read/write", mount.read_only ? "false" : "true"}});
  }
  return {};
}

Result<void> Volumes::use_one(const MountPoint& mount, const ContainerRecord& container,
                              const std::function<Result<Fd>()>& open_root) {
  for (;;) {
    Pointer volume;
    {
      std::lock_guard lock(mutex_);
      auto found = volumes_.find(mount.name);
      if (found == volumes_.end())
        return fail(ErrorKind::not_found, "volume {} does not exist any more", mount.name);
      volume = found->second;
      volume->using_it.insert(container.id);
    }
    std::lock_guard operation(volume->operation);
    // One that was removed meanwhile would be made anew as a directory that no volume has. From here on it
    // stays: a removal waits for `operation`.
    if (find_pointer(mount.name) == volume) return use_held(*volume, mount, container, open_root);
  }
}

// With `operation` held.
Result<void> Volumes::use_held(Volume& volume, const MountPoint& mount, const ContainerRecord& container,
                               const std::function<Result<Fd>()>& open_root) {
  const std::string data = place_of(mount.name).data();
  // Asked first: what is mounted may be a server's that does not answer.
  if (!sys::is_mount_point(data).value_or(false)) {
    TRY(make_directories_of(mount.name));
    if (!volume.record.options.empty())
      TRY_AS("failed to mount local volume " + mount.name, mount_volume(volume.record.options, data));
  }
  TRY_AS("fill volume " + mount.name, fill_or_settle(volume, mount, container, open_root));
  if (!mount.subpath.empty()) TRY(check_subpath(data, mount));
  std::lock_guard lock(mutex_);
  volume.seeing_it.insert(container.id);
  return {};
}

// With `operation` held.
Result<void> Volumes::fill_or_settle(Volume& volume, const MountPoint& mount,
                                     const ContainerRecord& container,
                                     const std::function<Result<Fd>()>& open_root) {
  const VolumePlace place = place_of(mount.name);
  const bool is_here = volume.record.options.empty() && !TRY(sys::is_mount_point(place.data()));
  HalfFilled half_filled = is_here ? HalfFilled::removed : HalfFilled::kept;
  {
    std::lock_guard lock(mutex_);
    // Those that only wait to be given it have not written anything.
    if (volume.seeing_it.size() > volume.seeing_it.count(container.id)) half_filled = HalfFilled::kept;
  }
  const bool short_lived = mount.anonymous && container.host_config.auto_remove;
  const Durability durability = short_lived ? Durability::visible : Durability::durable;
  if (!mount.copy_up || !mount.subpath.empty()) return settle_filling(place, half_filled, durability);
  return fill_volume(place, mount.destination, open_root, half_filled, durability);
}

void Volumes::found_using(const ContainerRecord& container) {
  std::lock_guard lock(mutex_);
  for (const MountPoint& mount : container.mounts)
    if (auto found = volumes_.find(mount.name); is_volume(mount) && found != volumes_.end()) {
      found->second->using_it.insert(container.id);
      found->second->seeing_it.insert(container.id);
    }
}

void Volumes::release(const ContainerRecord& container, Told told) {
  std::vector<Pointer> released;
  {
    std::lock_guard lock(mutex_);
    for (const MountPoint& mount : container.mounts) {
      auto found = is_volume(mount) ? volumes_.find(mount.name) : volumes_.end();
      if (found != volumes_.end()) found->second->seeing_it.erase(container.id);
      if (found != volumes_.end() && found->second->using_it.erase(container.id) > 0)
        released.push_back(found->second);
    }
  }
  for (const Pointer& volume : released) {
    if (told == Told::everybody) publish(volume->record.name, "unmount", {{"container", container.id}});
    // Behind, because this may be the keepers' thread, and somebody may be mounting it from a slow server.
    if (!volume->record.options.empty()) work_.add([this, volume] { unmount_if_unused(volume); });
  }
}

// Who begins to use it says so before taking `operation`: nothing is unmounted that somebody counts on.
void Volumes::unmount_if_unused(const Pointer& volume) {
  std::lock_guard operation(volume->operation);
  {
    std::lock_guard lock(mutex_);
    auto found = volumes_.find(volume->record.name);
    // Removed meanwhile, and there may be another of its name.
    if (found == volumes_.end() || found->second != volume) return;
    if (!volume->using_it.empty()) return;
  }
  const std::string data = place_of(volume->record.name).data();
  Result<bool> mounted = sys::is_mount_point(data);
  if (!mounted || !*mounted) return;
  if (Result<void> unmounted = unmount_volume(data); !unmounted)
    log_warning("engine", "volume {}: {}", volume->record.name, unmounted.error().message);
}

}  // namespace berth::engine
