// SPDX-License-Identifier: Apache-2.0
// Docker's frames (Engine API, "Attach to a container"): a byte that names the stream, three zeros, the
// length as a big-endian number, then as many bytes.
#pragma once
#include <sys/uio.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::cli {

// Takes bytes as they come and hands the contents on to descriptors, many frames with one writev(2).
class Demultiplexer {
 public:
  Demultiplexer(int output, int error) : output_(output), error_(error) {}

  // Everything of `bytes` is written or kept when this returns. Frames of the stream "system error" (3) are
  // kept for failure().
  Result<void> feed(std::string_view bytes);
  bool between_frames() const { return header_size_ == 0 && remaining_ == 0; }
  const std::string& failure() const { return failure_; }

 private:
  Result<void> content(std::string_view bytes);
  Result<void> flush();
  int output_;
  int error_;
  char header_[8] = {};
  std::size_t header_size_ = 0;
  std::uint32_t remaining_ = 0;  // of the frame that is being read
  int target_ = -1;              // of that frame; -1: failure_
  int pending_target_ = -1;
  std::vector<iovec> pending_;
  std::string failure_;
};

// Writes to a descriptor that may be non-blocking (a terminal that another program left so).
Result<void> write_everything(int descriptor, std::vector<iovec>& parts);

}  // namespace berth::cli
