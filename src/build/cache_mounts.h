// SPDX-License-Identifier: Apache-2.0
// The directories of `RUN --mount=type=cache`: kept from build to build, in no image. By id; the first use
// makes it, empty or as a copy of what from= names.
//
//   <directory>/<digest of the id>/_data   what steps see
//                                 /id      the id, for people
//   <directory>/.<random>                  one that is being made or removed; swept by load()
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/error.h"
#include "dockerfile/mount.h"

namespace berth::build {

class CacheMounts;

// A use of one; with Sharing::locked nobody else has it meanwhile.
class CacheMountUse {
 public:
  CacheMountUse(CacheMounts& mounts, std::string key, std::string path, bool alone)
      : mounts_(mounts), key_(std::move(key)), path_(std::move(path)), alone_(alone) {}
  CacheMountUse(const CacheMountUse&) = delete;
  CacheMountUse& operator=(const CacheMountUse&) = delete;
  ~CacheMountUse();
  const std::string& path() const noexcept { return path_; }

 private:
  CacheMounts& mounts_;
  std::string key_;
  std::string path_;
  bool alone_;
};

struct CacheMountInfo {
  std::string key;
  std::string id;
  std::int64_t size = 0;
  Timestamp last_used;
  bool in_use = false;
};

class CacheMounts {
 public:
  explicit CacheMounts(std::string directory) : directory_(std::move(directory)) {}

  // Makes the directory, and takes away what a crash left half made.
  Result<void> load();
  static const std::string& id_of(const dockerfile::Mount& mount);  // its id, or the target

  // Waits where the mount's sharing asks for it. `fill` is called for a new one with its directory.
  Result<std::unique_ptr<CacheMountUse>> use(const dockerfile::Mount& mount,
                                             const std::function<Result<void>(int directory)>& fill,
                                             const std::stop_token& stop);
  std::vector<CacheMountInfo> list() const;
  Result<void> remove(const std::string& key);  // one that is in use is a conflict

 private:
  friend class CacheMountUse;
  struct Users {
    int count = 0;
    bool alone = false;
  };
  std::string path_of(const std::string& key) const { return directory_ + "/" + key; }
  Result<std::string> take(const dockerfile::Mount& mount, const std::stop_token& stop);
  void release(const std::string& key, bool alone);
  Result<void> prepare(const std::string& key, const dockerfile::Mount& mount,
                       const std::function<Result<void>(int directory)>& fill);
  Result<void> fill_new(const std::string& staging, const dockerfile::Mount& mount,
                        const std::function<Result<void>(int directory)>& fill) const;
  Result<void> remove_directory(const std::string& name) const;

  const std::string directory_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Users> users_;
};

}  // namespace berth::build
