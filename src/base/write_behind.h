// SPDX-License-Identifier: Apache-2.0
// For a large file that is written from front to end: the disk works while more comes, so that the sync at
// the end finds little left to do.
//
//   WriteBehind behind(PageCache::drop);
//   ... pwrite(file, ...); offset += ...;
//   behind.written(file, offset);
#pragma once
#include <cstdint>

namespace berth {

enum class PageCache {
  keep,  // somebody reads the file soon
  // Nobody does: memory is given back as the disk has the bytes, and serves the next ones. Other files' pages
  // stay, and memory that is in use is much faster to write to than what the kernel, or a hypervisor, has to
  // find first.
  drop,
};

class WriteBehind {
 public:
  // `begin`: the file's size when it is gone on with.
  explicit WriteBehind(PageCache cache = PageCache::keep, std::int64_t begin = 0)
      : cache_(cache), dropped_(begin), begun_(begin) {}

  // The file has all bytes up to `end`. Errors are not lost: they come back from the file's fsync(2).
  void written(int file, std::int64_t end) noexcept;
  void truncated(std::int64_t size) noexcept;  // the file ends there now

 private:
  PageCache cache_;
  std::int64_t dropped_;  // from here to begun_: on its way to the disk
  std::int64_t begun_;
};

}  // namespace berth
