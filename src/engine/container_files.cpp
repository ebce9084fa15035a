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
#include "engine/modes.h"
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

namespace {

// What the container has of its own over /etc, from its last start; nothing before its first.
std::vector<MountPoint> network_files(const Settings& settings, const Registry& registry,
                                      const ContainerRecord& record) {
  std::string directory = settings.container_directory(record.id);
  if (std::optional<std::string> name = container_of_mode(record.host_config.network_mode)) {
    Result<ContainerPointer> other = registry.find(*name);
    if (!other) return {};
    directory = settings.container_directory((*other)->record.id);
  }
  std::vector<MountPoint> mounts;
  for (const char* name : {"hosts", "hostname", "resolv.conf"}) {
    MountPoint mount{
        .type = "bind", .source = directory + "/" + name, .destination = std::string("/etc/") + name};
    mount.read_only = record.host_config.readonly_rootfs;
    const bool taken = std::any_of(record.mounts.begin(), record.mounts.end(), [&](const MountPoint& other) {
      return other.destination == mount.destination;
    });
    if (!taken && exists(mount.source)) mounts.push_back(std::move(mount));
  }
  return mounts;
}

// Puts together the files of a container that does not run.
class StoppedFiles {
 public:
  StoppedFiles(const Settings& settings, const RootFileSystems& roots, const Registry& registry,
               Volumes& volumes)
      : settings_(settings), roots_(roots), registry_(registry), volumes_(volumes) {}

  Result<FilesPointer> for_reading(const ContainerRecord& record) const {
    struct Files {
      TemporaryDirectory scratch;
      Fd root;
    };
    // Swept by the next engine when this one is killed.
    auto files = std::make_shared<Files>(
        Files{TRY(TemporaryDirectory::create("files", settings_.removed_directory())), Fd()});
    Fd root = TRY(roots_.open_copy(record, files->scratch.path()));
    files->root = TRY(with_mounts(std::move(root), record));
    return FilesPointer(files, &files->root);
  }

  // With `operation` held. Nothing when the container has begun to run.
  Result<FilesPointer> for_writing(const ContainerPointer& container) const {
    std::unique_lock lock(container->mutex);
    container->changed.wait(lock, [&] { return !container->ending; });
    if (container->removing) return fail(ErrorKind::not_found, "No such container: {}", container->record.id);
    if (container->running()) return FilesPointer();
    if (container->alive())
      return fail(ErrorKind::conflict, "container {} is restarting, wait until the container is running",
                  container->record.id);
    FilesPointer shared;
    container->changed.wait(
        lock, [&] { return (shared = container->written.lock()) || !container->being_written; });
    if (shared) return shared;
    container->being_written = true;
    const ContainerRecord record = container->record;
    lock.unlock();

    auto files = std::make_shared<Written>(container);
    Fd root = TRY(roots_.open_to_write(record));
    files->root = TRY(with_mounts(std::move(root), record));
    FilesPointer pointer(files, &files->root);
    lock.lock();
    container->written = pointer;
    return pointer;
  }

 private:
  struct Written {
    explicit Written(ContainerPointer whose) : container(std::move(whose)) {}
    Written(const Written&) = delete;
    Written& operator=(const Written&) = delete;
    ~Written() {
      root.reset();
      std::lock_guard lock(container->mutex);
      container->being_written = false;
      container->changed.notify_all();
    }
    ContainerPointer container;
    Fd root;
  };

  Result<Fd> with_mounts(Fd root, const ContainerRecord& record) const {
    std::vector<MountPoint> mounts = network_files(settings_, registry_, record);
    mounts.insert(mounts.end(), record.mounts.begin(), record.mounts.end());
    if (mounts.empty()) return root;
    const std::string task = "the mounts of container " + record.name;
    // Somebody who uses the volumes beside the container, which may start and end meanwhile.
    ContainerRecord reader = record;
    reader.id = random_identifier();
    TRY_AS(task, volumes_.use(
                     reader, [&] { return roots_.open_read_only(record); }, Told::nobody));
    Result<Fd> tree = mount_inside(std::move(root), std::move(mounts), roots_.work_path(record));
    // What is mounted already is held by the tree.
    volumes_.release(reader, Told::nobody);
    return TRY_AS(task, std::move(tree));
  }

  const Settings& settings_;
  const RootFileSystems& roots_;
  const Registry& registry_;
  Volumes& volumes_;
};

}  // namespace

Result<FilesPointer> open_container_files(const Settings& settings, const RootFileSystems& roots,
                                          const Registry& registry, Volumes& volumes,
                                          const ContainerPointer& container, FilesFor purpose) {
  const StoppedFiles stopped(settings, roots, registry, volumes);
  for (;;) {
    if (std::optional<Fd> root = TRY(roots.open_running(container)))
      return std::make_shared<const Fd>(std::move(*root));
    if (purpose == FilesFor::reading) {
      ContainerRecord record;
      {
        std::lock_guard lock(container->mutex);
        record = container->record;
      }
      return stopped.for_reading(record);
    }
    std::lock_guard operation(container->operation);
    if (FilesPointer files = TRY(stopped.for_writing(container))) return files;
  }
}

}  // namespace berth::engine
