// SPDX-License-Identifier: Apache-2.0
// An owned file descriptor. It is closed exactly once, by its owner; passing one on is a move. Every
// descriptor that this project opens is close-on-exec.
#pragma once
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace berth {

class Fd {
 public:
  Fd() noexcept = default;
  explicit Fd(int owned) noexcept : number_(owned) {}
  Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.number_, -1));
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const noexcept { return number_; }
  explicit operator bool() const noexcept { return number_ >= 0; }
  int release() noexcept { return std::exchange(number_, -1); }
  void reset(int owned = -1) noexcept;  // keeps errno

  Result<Fd> duplicate() const;

 private:
  int number_ = -1;
};

struct Pipe {
  Fd read;
  Fd write;
};

Result<Pipe> make_pipe(int flags = 0);                 // O_CLOEXEC is always set
Result<std::pair<Fd, Fd>> make_socket_pair(int type);  // AF_UNIX, SOCK_CLOEXEC is always set

// Transfers that retry EINTR and partial results. read_some and write_some return what one call moved; 0 from
// read_some is the end.
Result<std::size_t> read_some(int fd, std::span<char> buffer);
Result<void> read_exactly(int fd, std::span<char> buffer);  // an early end is an error
Result<void> write_all(int fd, std::string_view data);
Result<std::string> read_to_end(int fd, std::size_t limit);  // more than `limit` bytes is an error

}  // namespace berth
