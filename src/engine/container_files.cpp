// SPDX-License-Identifier: Apache-2.0
#include "engine/container_files.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "layers/overlay.h"
#include "sys/mounts.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

Result<Fd> open_source(const MountPoint& mount) {
  Fd source = TRY(open_file(mount.source, O_PATH));
  if (mount.subpath.empty()) return source;
  return sys::open_beneath(source.get(), mount.subpath, O_PATH);
}

Result<void> put_in(int root, const MountPoint& mount) {
  Fd source = TRY(open_source(mount));
  struct stat status;
  if (fstat(source.get(), &status) != 0) return fail_errno(errno, "stat {}", mount.source);
  Fd target = S_ISDIR(status.st_mode) ? TRY(sys::make_directories_in_root(root, mount.destination))
                                      : TRY(sys::make_file_in_root(root, mount.destination, 0755));
  const int cloned = sys::raw_clone_mount(source.get(), "", mount.recursive);
  if (cloned < 0) return fail_errno(-cloned, "bind {}", mount.source);
  Fd tree(cloned);
  if (const int code = sys::raw_attach(tree.get(), target.get()); code < 0)
    return fail_errno(-code, "mount {} on {}", mount.source, mount.destination);
  if (!mount.read_only) return {};
  return sys::set_mount_attributes(tree.get(), MOUNT_ATTR_RDONLY, 0, 0, mount.read_only_below);
}

// On a thread of its own, which it takes to another mount namespace: kernels before 6.15 mount nothing in a
// tree that is attached nowhere. The namespace goes with the thread; the copy of the tree stays.
Result<Fd> put_together(int root, const std::vector<MountPoint>& mounts, const std::string& place) {
  if (unshare(CLONE_NEWNS) != 0) return fail_errno(errno, "make a mount namespace");
  if (mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    return fail_errno(errno, "part the mount namespace from the host's");
  TRY(layers::attach(root, place));
  // A root that shares its mounts with the host's would have them shown there.
  TRY(sys::set_mount_attributes(root, 0, 0, MS_PRIVATE, true));
  for (const MountPoint& one : mounts) TRY(put_in(root, one));
  const int whole = sys::raw_clone_mount(root, "", true);
  if (whole < 0) return fail_errno(-whole, "copy the mounts");
  return Fd(whole);
}

}  // namespace

Result<Fd> mount_inside(Fd root, std::vector<MountPoint> mounts, const std::string& place) {
  // What lies in another comes after it.
  std::stable_sort(mounts.begin(), mounts.end(), [](const MountPoint& one, const MountPoint& other) {
    return one.destination < other.destination;
  });
  Result<Fd> tree = Fd();
  std::thread([&] { tree = put_together(root.get(), mounts, place); }).join();
  return tree;
}

Result<Fd> open_container_files(const Settings& settings, const RootFileSystems& roots, Volumes& volumes,
                                const ContainerPointer& container) {
  ContainerRecord record;
  bool running;
  {
    std::lock_guard lock(container->mutex);
    record = container->record;
    running = container->running();
  }
  if (running) return roots.open(container);
  Fd root = TRY(roots.open_stopped(record));
  if (record.mounts.empty()) return root;
  const std::string task = "the mounts of container " + record.name;
  const std::vector<MountPoint> mounts = record.mounts;
  // Somebody who uses the volumes beside the container, which may start and end meanwhile.
  ContainerRecord reader = record;
  reader.id = random_identifier();
  TRY_AS(task, volumes.use(
                   reader, [&] { return roots.open_read_only(record); }, Told::nobody));
  Result<Fd> tree = mount_inside(std::move(root), mounts, settings.container_directory(record.id));
  // What is mounted already is held by the tree.
  volumes.release(reader, Told::nobody);
  return TRY_AS(task, std::move(tree));
}

}  // namespace berth::engine
