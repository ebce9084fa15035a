// SPDX-License-Identifier: Apache-2.0
// Volumes: directories that outlive containers, at <data-root>/volumes/<name>/_data, with a name, labels and
// the options of the driver "local" (volume_driver.h), which is the only one.
//
//   create, or the first container that names it -> there -> removed, once no container refers to it
//
// A container *refers* to a volume from its create to its removal, and *uses* it from its start to its end.
// What a volume's options mount is mounted on the host when the first container uses it and unmounted with
// the last, so that containers share it; the mount table itself is the memory of that, so a new engine finds
// what a killed one left.
//
// Thread safe. Errors are Docker's in words: not_found, conflict (in use, other options), invalid (names).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "db/database.h"
#include "engine/container.h"
#include "engine/disk_reserve.h"
#include "engine/events.h"
#include "engine/registry.h"
#include "engine/settings.h"
#include "engine/volume_content.h"
#include "engine/volume_records.h"
#include "engine/work_queue.h"

namespace berth::engine {

struct NewVolume {
  std::string name;  // "": a made-up one
  std::string driver;
  VolumeOptions options;
  std::map<std::string, std::string> labels;
};

enum class Told { everybody, nobody };

// A volume as it is shown.
struct VolumeState {
  VolumeRecord record;
  std::string mountpoint;
  std::set<std::string> containers;  // ids of those that refer to it

  bool anonymous() const { return record.labels.contains(kAnonymousLabel); }
};

struct VolumeDeletion {
  std::string name;
  std::uint64_t bytes = 0;  // that it had on the disk
};

class Volumes {
 public:
  Volumes(const Settings& settings, db::Database& database, DiskReserve& reserve, const Registry& registry,
          EventBus& events, WorkQueue& work);

  // At start, before anything else: reads the records, finishes what a kill cut short, adopts directories
  // that have no record, and learns which containers refer to what. What fails is logged.
  void load();
  // At start, when it is known which containers run: unmounts what none of them uses.
  void unmount_unused();

  // One that exists is the answer, unless it was to have other options: that is a conflict. Labels are those
  // that it was made with.
  Result<VolumeState> create(const NewVolume& wanted);
  Result<VolumeState> find(const std::string& name) const;
  std::vector<VolumeState> all() const;  // by name
  Result<void> remove(const std::string& name);
  // Removes those that no container refers to and that are `wanted`. One whose content is elsewhere (it has
  // options) stays: it takes nothing here.
  std::vector<VolumeDeletion> prune(const std::function<bool(const VolumeState&)>& wanted);
  // On the disk here; nothing for one whose content is elsewhere.
  std::optional<std::uint64_t> size_of(const VolumeState& volume) const;

  // --- what containers do with them ---
  // A container refers to its volumes from now on. Those that do not exist are made, an anonymous one gets
  // its name, and every mount its source on the host. On an error nothing is referred to.
  Result<void> refer(const std::string& container, std::vector<MountPoint>& mounts, bool auto_remove);
  // The container is about to go, and its anonymous volumes with it or not, also if this engine is killed
  // meanwhile.
  void announce_removal(const ContainerRecord& container, bool with_anonymous);
  // It is gone.
  void forget(const ContainerRecord& container, bool with_anonymous);

  // The container starts: everything is mounted and filled. `open_root` gives its file system. With
  // Told::nobody there is no event: for somebody else who needs what a container mounts, under an id of his
  // own.
  Result<void> use(const ContainerRecord& container, const std::function<Result<Fd>()>& open_root,
                   Told told = Told::everybody);
  // It runs already, found so by a new engine.
  void found_using(const ContainerRecord& container);
  // It has ended. Nothing happens for one that does not use any.
  void release(const ContainerRecord& container, Told told = Told::everybody);

 private:
  struct Volume {
    VolumeRecord record;              // made_for and goes_with_it change, the rest never does
    std::set<std::string> referring;  // containers' ids
    std::set<std::string> using_it;   // from before it is mounted: it is not unmounted under them
    std::set<std::string> seeing_it;  // of those, the ones that have it: it is not emptied under them
    std::mutex operation;             // held while it is mounted, filled, unmounted; taken before mutex_
  };
  using Pointer = std::shared_ptr<Volume>;

  VolumePlace place_of(const std::string& name) const;
  std::string aside_directory() const { return settings_.volumes_directory() + "/.removed"; }
  Pointer find_pointer(const std::string& name) const;  // null when there is none
  VolumeState state_of(const Volume& volume) const;     // with mutex_ held
  Result<Pointer> make(VolumeRecord record, Durability durability);
  Result<void> make_directories_of(const std::string& name) const;
  Result<Pointer> find_or_make(MountPoint& mount, const std::string& container, bool auto_remove);
  Result<void> remove_held(const Pointer& volume);
  Result<void> put_aside(const std::string& name);
  std::string users_text(const std::set<std::string>& containers) const;
  Result<void> use_one(const MountPoint& mount, const ContainerRecord& container,
                       const std::function<Result<Fd>()>& open_root);
  Result<void> use_held(Volume& volume, const MountPoint& mount, const ContainerRecord& container,
                        const std::function<Result<Fd>()>& open_root);
  Result<void> fill_or_settle(Volume& volume, const MountPoint& mount, const ContainerRecord& container,
                              const std::function<Result<Fd>()>& open_root);
  void set_owner(Volume& volume, const std::string& made_for, bool goes_with_it);
  void unmount_if_unused(const Pointer& volume);
  // What is read at the start, and whether the rows that are missing from it may be written.
  struct Found {
    std::vector<VolumeRecord> records;
    std::map<std::string, std::string> damaged;  // by name: their rows stay as they are
    bool unreadable = false;                     // all of them: no row is touched
    bool may_write(const std::string& name) const { return !unreadable && !damaged.contains(name); }
  };
  Found read_records() const;
  std::set<std::string> names_in_containers() const;
  void finish_removals(Found& found);
  Result<void> finish_removal(const VolumeRecord& record);
  void sweep_aside();
  Result<void> take_off_what_lies_on(const std::string& name);
  void adopt_directories(const Found& found);
  void refer_to_recorded(const Found& found);
  void adopt(VolumeRecord record, const Found& found);
  void drop_what_was_cut_short();
  Result<void> take_away(const std::string& name);
  Result<void> forget_record(const std::string& name);
  void publish(const std::string& volume, std::string action, std::map<std::string, std::string> extra = {});

  const Settings& settings_;
  db::Database& database_;
  DiskReserve& reserve_;
  const Registry& registry_;
  EventBus& events_;
  WorkQueue& work_;
  std::mutex changes_;        // held by whoever makes, removes, or begins to refer; taken before all others
  mutable std::mutex mutex_;  // guards the map and what is in it; held for moments only
  std::map<std::string, Pointer> volumes_;
};

}  // namespace berth::engine
