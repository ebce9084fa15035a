// SPDX-License-Identifier: Apache-2.0
// A file of a megabyte that does nothing but take space, so that an engine on a full disk can still write
// down that a container was stopped or removed: it deletes the file and tries again. Removing is the way out
// of a full disk.
#pragma once
#include <mutex>
#include <string>
#include <utility>

namespace berth::engine {

class DiskReserve {
 public:
  explicit DiskReserve(std::string path) : path_(std::move(path)) {}

  void replenish();  // makes the file if there is room; silent when there is not
  bool spend();      // deletes it; false when there was none

 private:
  std::mutex mutex_;
  std::string path_;
};

}  // namespace berth::engine
