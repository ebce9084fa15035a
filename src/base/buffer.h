// SPDX-License-Identifier: Apache-2.0
// Bytes to read into, whose content does not matter before that. Unlike std::vector it does not zero them: a
// page that is never read into is never touched, so a large buffer costs a short program nothing.
#pragma once
#include <cstddef>
#include <memory>
#include <span>

namespace berth {

class Buffer {
 public:
  explicit Buffer(std::size_t size) : bytes_(std::make_unique_for_overwrite<char[]>(size)), size_(size) {}

  char* data() noexcept { return bytes_.get(); }
  std::size_t size() const noexcept { return size_; }
  operator std::span<char>() noexcept { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

}  // namespace berth
