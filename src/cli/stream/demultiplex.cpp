// SPDX-License-Identifier: Apache-2.0
#include "cli/stream/demultiplex.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>

namespace berth::cli {

Result<void> write_everything(int descriptor, std::vector<iovec>& parts) {
  std::size_t first = 0;
  while (first < parts.size()) {
    int count = static_cast<int>(std::min<std::size_t>(parts.size() - first, IOV_MAX));
    ssize_t written = ::writev(descriptor, parts.data() + first, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      pollfd wait{descriptor, POLLOUT, 0};
      ::poll(&wait, 1, -1);
      continue;
    }
    if (written < 0) return fail_errno(errno, "write to descriptor {}", descriptor);
    auto left = static_cast<std::size_t>(written);
    while (first < parts.size() && left >= parts[first].iov_len) left -= parts[first++].iov_len;
    if (left > 0) {
      parts[first].iov_base = static_cast<char*>(parts[first].iov_base) + left;
      parts[first].iov_len -= left;
    }
  }
  parts.clear();
  return {};
}

Result<void> Demultiplexer::flush() {
  if (pending_.empty()) return {};
  return write_everything(pending_target_, pending_);
}

Result<void> Demultiplexer::content(std::string_view bytes) {
  if (target_ < 0) {
    if (failure_.size() + bytes.size() < 65536) failure_ += bytes;
    return {};
  }
  if (target_ != pending_target_) TRY(flush());
  pending_target_ = target_;
  pending_.push_back({const_cast<char*>(bytes.data()), bytes.size()});
  return {};
}

Result<void> Demultiplexer::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (remaining_ > 0) {
      std::string_view part = bytes.substr(0, remaining_);
      TRY(content(part));
      remaining_ -= static_cast<std::uint32_t>(part.size());
      bytes.remove_prefix(part.size());
      continue;
    }
    std::size_t take = std::min(bytes.size(), sizeof header_ - header_size_);
    std::memcpy(header_ + header_size_, bytes.data(), take);
    header_size_ += take;
    bytes.remove_prefix(take);
    if (header_size_ < sizeof header_) break;
    header_size_ = 0;
    auto byte = [&](int at) { return static_cast<std::uint32_t>(static_cast<unsigned char>(header_[at])); };
    if (byte(0) > 3) {
      TRY(flush());
      return fail(ErrorKind::corrupt, "Unrecognized input header: {}", byte(0));
    }
    target_ = byte(0) == 2 ? error_ : byte(0) == 3 ? -1 : output_;
    remaining_ = byte(4) << 24 | byte(5) << 16 | byte(6) << 8 | byte(7);
  }
  return flush();
}

}  // namespace berth::cli
