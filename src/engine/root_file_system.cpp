// SPDX-License-Identifier: Apache-2.0
#include "engine/root_file_system.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/file.h"
#include "keeper/protocol.h"

namespace berth::engine {
namespace {

constexpr std::size_t kRememberedImages = 64;
constexpr auto kWordOfTheEnd = std::chrono::seconds(10);

}  // namespace

std::string RootFileSystems::upper_path(const ContainerRecord& record) const {
  return settings_.container_directory(record.id) + "/upper";
}

std::string RootFileSystems::work_path(const ContainerRecord& record) const {
  return settings_.container_directory(record.id) + "/work";
}

Result<void> RootFileSystems::prepare_mount_points() const {
  const std::string directory = settings_.mount_points_directory();
  for (const char* path : {"/proc", "/sys", "/dev", "/etc", "/sbin"})
    TRY(make_directories(directory + path, 0755));
  for (const char* path : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/sbin/berth-init"})
    TRY(open_file(directory + path, O_WRONLY | O_CREAT | O_NOFOLLOW, 0644));
  return {};
}

Result<RootFileSystems::Lower> RootFileSystems::lower_of(const ContainerRecord& record) const {
  Lower lower;
  for (auto layer = record.diff_ids.rbegin(); layer != record.diff_ids.rend(); ++layer) {
    if (std::find(record.diff_ids.rbegin(), layer, *layer) != layer) continue;  // as mount_detached does
    layers::LowerDirectory found = TRY(layers_.lower_directory(*layer));
    if (found.mount) {
      lower.directories.push_back(fmt::format("layer:{}", lower.mounts.size()));
      lower.mounts.push_back(std::move(found.mount));
    } else {
      lower.directories.push_back(std::move(found.path));
    }
  }
  if (lower.mounts.size() >= keeper::kMaximumDescriptors)
    return fail(ErrorKind::unsupported,
                "the image has {} layers: the erofs storage driver takes fewer than {}; build it with fewer",
                lower.mounts.size(), keeper::kMaximumDescriptors);
  if (record.build_step) lower.directories.push_back(settings_.mount_points_of(record.id));
  lower.directories.push_back(settings_.mount_points_directory());
  return lower;
}

layers::OverlaySpec RootFileSystems::overlay_of(const ContainerRecord& record) const {
  layers::OverlaySpec spec;
  spec.lower.assign(record.diff_ids.rbegin(), record.diff_ids.rend());
  spec.upper = layers::Upper{upper_path(record), work_path(record)};
  return spec;
}

Result<void> RootFileSystems::prepare(const ContainerRecord& record) const {
  if (record.diff_ids.empty() && !record.build_step)
    return fail(ErrorKind::invalid, "the image has no layers: there is nothing to run");
  // A build step of a stage from scratch may still run what is mounted in it.
  Fd like = TRY(record.diff_ids.empty() ? open_file(layers_.empty_path(), O_PATH | O_DIRECTORY)
                                        : layers_.open_tree(record.diff_ids.back()));
  TRY(layers::prepare_upper(settings_.container_directory(record.id), like.get()));
  return {};
}

Result<std::optional<Fd>> RootFileSystems::open_running(const ContainerPointer& container) const {
  const auto limit = std::chrono::steady_clock::now() + kWordOfTheEnd;
  std::unique_lock lock(container->mutex);
  while (container->running()) {
    const pid_t pid = container->state.pid;
    lock.unlock();
    // What is mounted in it is seen too. The link is the kernel's: it leads to the root of that process
    // whatever the container does.
    Result<Fd> root = open_file(fmt::format("/proc/{}/root", pid), O_PATH | O_DIRECTORY);
    if (root) return std::optional<Fd>(std::move(*root));
    // It has just ended, and its keeper's word of that is on the way.
    lock.lock();
    if (!container->changed.wait_until(lock, limit,
                                       [&] { return !container->running() || container->state.pid != pid; }))
      return std::unexpected(std::move(root).error());
  }
  return std::optional<Fd>();
}

Result<void> RootFileSystems::allow_another_mount(const ContainerRecord& record) const {
  if (!record.host_config.auto_remove && !record.build_step) return {};  // never mounted so
  // Whoever copies out of a run that has ended may still hold the mount of it, and only reads. A crash of the
  // machine is no matter: what was running is removed after it.
  return layers::allow_another_mount({upper_path(record), work_path(record)});
}

Result<Fd> RootFileSystems::open_to_write(const ContainerRecord& record) const {
  TRY(allow_another_mount(record));
  layers::OverlaySpec spec = overlay_of(record);
  spec.below = {settings_.mount_points_directory()};
  return layers::mount_detached(layers_, spec);
}

Result<Fd> RootFileSystems::open_copy(const ContainerRecord& record, const std::string& scratch) const {
  layers::OverlaySpec spec = overlay_of(record);
  Fd upper = TRY(open_upper(record));
  spec.extra_lower = {spec.upper->upper};
  spec.below = {settings_.mount_points_directory()};
  spec.upper = TRY(layers::prepare_upper(scratch, upper.get()));
  spec.volatile_upper = true;
  return layers::mount_detached(layers_, spec);
}

Result<Fd> RootFileSystems::open_read_only(const ContainerRecord& record) const {
  layers::OverlaySpec spec = overlay_of(record);
  spec.extra_lower = {spec.upper->upper};
  spec.upper.reset();
  spec.read_only = true;
  return layers::mount_detached(layers_, spec);
}

Result<Fd> RootFileSystems::open_upper(const ContainerRecord& record) const {
  return open_file(upper_path(record), O_RDONLY | O_DIRECTORY);
}

bool RootFileSystems::changed_accounts(const ContainerRecord& record) const {
  struct stat info;
  return lstat((upper_path(record) + "/etc").c_str(), &info) == 0;
}

Result<runtime::AccountFiles> RootFileSystems::account_files(const ContainerRecord& record) const {
  const std::string image = record.image_id ? record.image_id->text() : "";
  const bool rememberable = !image.empty() && !changed_accounts(record);
  if (rememberable) {
    std::lock_guard lock(mutex_);
    if (auto found = accounts_by_image_.find(image); found != accounts_by_image_.end()) return found->second;
  }
  Fd root = TRY(open_read_only(record));
  runtime::AccountFiles files = runtime::read_account_files(root.get());
  if (rememberable) {
    std::lock_guard lock(mutex_);
    if (accounts_by_image_.size() >= kRememberedImages) accounts_by_image_.erase(accounts_by_image_.begin());
    accounts_by_image_[image] = files;
  }
  return files;
}

}  // namespace berth::engine
