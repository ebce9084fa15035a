// SPDX-License-Identifier: Apache-2.0
// A file of a megabyte that does nothing but take space, so that an engine on a full disk can still write
// down that a container was stopped or something removed: it deletes the file and tries again. Removing is
// the way out of a full disk. (The database keeps room ahead too; what that does not cover is an engine that
// starts on a full disk.)
#pragma once
#include <mutex>
#include <string>
#include <utility>

#include "base/error.h"

namespace berth::engine {

class DiskReserve {
 public:
  explicit DiskReserve(std::string path) : path_(std::move(path)) {}

  void replenish();  // makes the file if there is room; silent when there is not

  // `write` returns a Result, and is called again with the room that the file had.
  template <class Write>
  auto even_on_a_full_disk(Write write) {
    auto written = write();
    if (!written && written.error().kind == ErrorKind::exhausted && spend()) return write();
    return written;
  }

 private:
  bool spend();  // deletes the file; false when there was none

  std::mutex mutex_;
  std::string path_;
};

}  // namespace berth::engine
