// SPDX-License-Identifier: Apache-2.0
#include "build/cache_mounts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/digest.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"
#include "layers/changes.h"
#include "sys/remove_deep_tree.h"

namespace berth::build {
namespace {

constexpr const char* kData = "/_data";
constexpr std::size_t kMostPrivate = 64;  // copies of one id, for steps that share it with nobody

std::string base_key(const dockerfile::Mount& mount) {
  return sha256_of(CacheMounts::id_of(mount)).hex().substr(0, 32);
}

std::string hidden_name() { return "." + random_identifier().substr(0, 20); }

}  // namespace

CacheMountUse::~CacheMountUse() { mounts_.release(key_, alone_); }

Result<std::unique_ptr<CacheMountUse>> CacheMounts::use(
    const dockerfile::Mount& mount, const std::function<Result<void>(int directory)>& fill,
    const std::stop_token& stop) {
  std::string key = TRY(take(mount, stop));
  const bool alone = mount.sharing != dockerfile::Mount::Sharing::shared;
  auto used = std::make_unique<CacheMountUse>(*this, key, path_of(key) + kData, alone);
  TRY(prepare(key, mount, fill));
  return used;
}

// Locked ones wait until it is free; private ones take the first copy that is.
Result<std::string> CacheMounts::take(const dockerfile::Mount& mount, const std::stop_token& stop) {
  using Sharing = dockerfile::Mount::Sharing;
  const std::string key = base_key(mount);
  std::unique_lock lock(mutex_);
  if (mount.sharing == Sharing::exclusive) {
    for (std::size_t copy = 0; copy < kMostPrivate; ++copy) {
      const std::string one = copy == 0 ? key : fmt::format("{}-{}", key, copy);
      Users& users = users_[one];
      if (users.count > 0) continue;
      users = {1, true};
      return one;
    }
    return fail(ErrorKind::exhausted, "{} steps have the private cache mount {} at once: no more can",
                kMostPrivate, mount.id.empty() ? mount.target : mount.id);
  }
  const bool alone = mount.sharing == Sharing::locked;
  const bool free = changed_.wait(lock, stop, [&] {
    const Users& users = users_[key];
    return users.count == 0 || (!alone && !users.alone);
  });
  if (!free) return fail(ErrorKind::cancelled, "the build was cancelled");
  Users& users = users_[key];
  ++users.count;
  users.alone = alone;
  return key;
}

void CacheMounts::release(const std::string& key, bool alone) {
  std::lock_guard lock(mutex_);
  Users& users = users_[key];
  --users.count;
  if (alone) users.alone = false;
  if (users.count == 0) users_.erase(key);
  changed_.notify_all();
}

// Filled under a name of its own, so that one that is there is whole. Of two who make the same at once, one
// is taken.
Result<void> CacheMounts::prepare(const std::string& key, const dockerfile::Mount& mount,
                                  const std::function<Result<void>(int directory)>& fill) {
  const std::string path = path_of(key);
  if (exists(path)) {
    const struct timespec now[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    (void)utimensat(AT_FDCWD, path.c_str(), now, 0);  // when it was used last
    return {};
  }
  const std::string name = hidden_name();
  Result<void> filled = fill_new(path_of(name), mount, fill);
  if (filled && rename(path_of(name).c_str(), path.c_str()) == 0) return {};
  const int code = errno;
  (void)remove_directory(name);
  if (!filled) return filled;
  if (code != ENOTEMPTY && code != EEXIST) return fail_errno(code, "make the cache mount {}", id_of(mount));
  return {};
}

Result<void> CacheMounts::fill_new(const std::string& staging, const dockerfile::Mount& mount,
                                   const std::function<Result<void>(int directory)>& fill) const {
  TRY(make_directories(staging + kData, 0755));
  Fd data = TRY(open_file(staging + kData, O_RDONLY | O_DIRECTORY));
  TRY(fill(data.get()));
  if (fchown(data.get(), mount.uid.value_or(0), mount.gid.value_or(0)) != 0)
    return fail_errno(errno, "own {}", staging);
  if (fchmod(data.get(), mount.mode.value_or(0755)) != 0)
    return fail_errno(errno, "set the mode of {}", staging);
  Fd directory = TRY(open_file(staging, O_RDONLY | O_DIRECTORY));
  return write_file_atomically(directory.get(), "id", id_of(mount), 0600, Durability::visible);
}

Result<void> CacheMounts::load() {
  TRY(make_directories(directory_, 0700));
  const std::vector<std::string> names = TRY(list_directory(directory_));
  for (const std::string& name : names)
    if (name.front() == '.') TRY(remove_directory(name));
  return {};
}

const std::string& CacheMounts::id_of(const dockerfile::Mount& mount) {
  return mount.id.empty() ? mount.target : mount.id;
}

// Steps have written in there: of any depth.
Result<void> CacheMounts::remove_directory(const std::string& name) const {
  Fd directory = TRY(open_file(directory_, O_RDONLY | O_DIRECTORY));
  return sys::remove_deep_tree(directory.get(), name);
}

std::vector<CacheMountInfo> CacheMounts::list() const {
  std::vector<CacheMountInfo> found;
  Result<std::vector<std::string>> names = list_directory(directory_);
  if (!names) return found;
  for (const std::string& name : *names) {
    struct stat status;
    if (name.front() == '.' || stat(path_of(name).c_str(), &status) != 0) continue;
    CacheMountInfo info{.key = name, .id = read_file(path_of(name) + "/id").value_or(name)};
    info.last_used = {status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec};
    if (Result<Fd> data = open_file(path_of(name) + kData, O_RDONLY | O_DIRECTORY))
      info.size = static_cast<std::int64_t>(layers::tree_size(data->get()).value_or(0));
    std::lock_guard lock(mutex_);
    info.in_use = users_.contains(name);
    found.push_back(std::move(info));
  }
  return found;
}

Result<void> CacheMounts::remove(const std::string& key) {
  {
    std::lock_guard lock(mutex_);
    if (users_.contains(key)) return fail(ErrorKind::conflict, "the cache mount {} is in use", key);
    users_[key] = {1, true};
  }
  // Out of sight first: half of one is never used.
  const std::string name = hidden_name();
  const bool renamed = rename(path_of(key).c_str(), path_of(name).c_str()) == 0;
  const int code = errno;
  release(key, true);
  if (!renamed) return fail_errno(code, "remove the cache mount {}", key);
  return remove_directory(name);
}

}  // namespace berth::build
