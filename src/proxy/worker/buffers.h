// SPDX-License-Identifier: Apache-2.0
// Buffers of one size, of one worker. A connection has one only while there is something in it, so that idle
// ones cost no memory.
#pragma once
#include <cstddef>
#include <memory>
#include <vector>

namespace berth::proxy {

class BufferPool {
 public:
  static constexpr std::size_t kSize = 64u << 10;
  using Block = std::unique_ptr<char[]>;

  Block take() {
    if (free_.empty()) return std::make_unique_for_overwrite<char[]>(kSize);
    Block block = std::move(free_.back());
    free_.pop_back();
    return block;
  }
  void give_back(Block block) {
    if (free_.size() < kMostFree) free_.push_back(std::move(block));
  }

 private:
  static constexpr std::size_t kMostFree = 64;
  std::vector<Block> free_;
};

}  // namespace berth::proxy
