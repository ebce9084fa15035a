// SPDX-License-Identifier: Apache-2.0
#include "layers/layer_mounts.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/file.h"
#include "base/log.h"
#include "layers/overlay.h"
#include "sys/mounts.h"

namespace berth::layers {
namespace {

constexpr const char* kPlaces = "/.mounts";
constexpr std::size_t kDescriptorsKept = 512;

bool is_mount(const std::string& path) { return sys::is_mount_point(path).value_or(false); }

std::string name_of(const Fd& mount) { return fmt::format("/proc/self/fd/{}", mount.get()); }

// Every mount there: whoever mounts by hand on top of ours shall not keep it.
void take_off(const std::string& place) {
  while (is_mount(place) && umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
  if (rmdir(place.c_str()) != 0 && errno != ENOENT)
    log_warning("layers", "{} stays: {}", place, std::generic_category().message(errno));
}

}  // namespace

LayerMounts::LayerMounts(std::string directory, std::optional<MountPlace> place)
    : directory_(std::move(directory)), place_(place) {}

Result<LowerDirectory> LayerMounts::get(const LayerDriver& driver, int layer, const Digest& diff_id) {
  std::lock_guard lock(mutex_);
  if (auto known = descriptors_.find(diff_id); known != descriptors_.end())
    return LowerDirectory{name_of(*known->second), known->second};
  const std::string place = path_of(diff_id);
  if (place_ != MountPlace::nowhere && is_mount(place)) return LowerDirectory{place, nullptr};
  return keep(diff_id, TRY(driver.open_tree(layer, diff_id)));
}

Result<LowerDirectory> LayerMounts::keep(const Digest& diff_id, Fd mount) {
  if (!place_) place_ = TRY(place_for(mount.get()));
  if (place_ == MountPlace::attached) return attach_to(path_of(diff_id), std::move(mount));
  auto kept = std::make_shared<const Fd>(std::move(mount));
  // Whoever uses one has it for themselves too: forgetting costs pages that are not shared, no more.
  if (descriptors_.size() >= kDescriptorsKept) descriptors_.erase(descriptors_.begin());
  descriptors_.emplace(diff_id, kept);
  return LowerDirectory{name_of(*kept), std::move(kept)};
}

// An overlay of the mount and an empty directory tells. Only what the kernel itself refuses it for: lack of
// memory or of descriptors says nothing about the kernel, and what is found out here holds for good.
Result<MountPlace> LayerMounts::place_for(int mount) const {
  const std::string lower[] = {fmt::format("/proc/self/fd/{}", mount), directory_ + kEmptyDirectory};
  Result<Fd> overlay = mount_directories(lower, OverlaySpec{});
  if (overlay) return MountPlace::nowhere;
  if (overlay.error().code == EINVAL) return MountPlace::attached;
  return std::unexpected(std::move(overlay).error().within("try an overlay on top of a layer"));
}

Result<LowerDirectory> LayerMounts::attach_to(const std::string& place, Fd mount) const {
  TRY(make_directories(place, 0700));
  TRY(attach(mount.get(), place));
  return LowerDirectory{place, nullptr};
}

void LayerMounts::forget(const Digest& diff_id) {
  std::lock_guard lock(mutex_);
  descriptors_.erase(diff_id);
  if (const std::string place = path_of(diff_id); access(place.c_str(), F_OK) == 0) take_off(place);
}

void LayerMounts::detach_all() {
  std::lock_guard lock(mutex_);
  const Result<std::vector<std::string>> places = list_directory(directory_ + kPlaces);
  if (!places) return;
  for (const std::string& name : *places) take_off(directory_ + kPlaces + "/" + name);
  (void)rmdir((directory_ + kPlaces).c_str());
}

void LayerMounts::detach_all_but(const std::function<bool(const Digest&)>& wanted) {
  std::lock_guard lock(mutex_);
  const Result<std::vector<std::string>> places = list_directory(directory_ + kPlaces);
  if (!places) return;
  for (const std::string& name : *places) {
    Result<Digest> diff_id = Digest::parse("sha256:" + name);
    if (!diff_id || !wanted(*diff_id)) take_off(directory_ + kPlaces + "/" + name);
  }
}

std::string LayerMounts::path_of(const Digest& diff_id) const {
  return directory_ + kPlaces + "/" + diff_id.hex();
}

}  // namespace berth::layers
