// SPDX-License-Identifier: Apache-2.0
// A connected byte stream, plain or TLS, and a buffer over its input. Internal to this room.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth::http {

using Deadline = std::optional<std::chrono::steady_clock::time_point>;  // none: never
inline Deadline deadline_in(std::chrono::milliseconds duration) {
  return std::chrono::steady_clock::now() + duration;
}

// From its construction to its end a stop hangs up on the socket, which ends every system call that waits for
// it. A socket that is neither connected nor about to be does not notice.
class HangUp {
 public:
  HangUp(const std::stop_token& stop, int socket) : callback_(stop, Shutdown{socket}) {}

 private:
  struct Shutdown {
    int socket;
    void operator()() const noexcept;
  };
  const std::stop_callback<Shutdown> callback_;
};

// False when the deadline passed first.
Result<bool> wait_for(int descriptor, short events, const Deadline& deadline);

class Stream {
 public:
  virtual ~Stream() = default;
  virtual Result<std::size_t> read(std::span<char> buffer, const Deadline& deadline) = 0;  // 0 is the end
  // All of the parts, in as few packets as possible.
  virtual Result<void> write(std::string_view first, std::string_view second = {},
                             std::string_view third = {}) = 0;
  // A part of a regular file.
  Result<void> write_file(int file, std::uint64_t offset, std::uint64_t length);
  virtual void shutdown_write() noexcept = 0;
  virtual int descriptor() const noexcept = 0;
  virtual bool buffered() const noexcept { return false; }  // read() has something that poll(2) does not see
  // What came along with the bytes so far (SCM_RIGHTS), in order.
  virtual std::vector<Fd> take_passed() noexcept { return {}; }
  virtual Fd take_descriptor() noexcept { return {}; }  // a plain socket's; nothing for TLS
};

// Descriptors that the other side passes are closed unless they are wanted.
enum class Passed { closed, kept };
std::unique_ptr<Stream> make_plain_stream(Fd socket, Passed passed = Passed::closed);

// What was read from a stream and not used yet.
class Input {
 public:
  explicit Input(Stream& stream) : stream_(stream) {}

  std::string_view view() const noexcept { return {buffer_.data() + begin_, end_ - begin_}; }
  bool empty() const noexcept { return begin_ == end_; }
  void consume(std::size_t count) noexcept {
    begin_ += count;
    if (begin_ == end_) begin_ = end_ = 0;
  }
  std::string take();

  // Appends what one read brings; 0 is the end. The caller bounds the size of view().
  Result<std::size_t> fill(const Deadline& deadline);
  // Buffered bytes first; with none, straight from the stream.
  Result<std::size_t> read(std::span<char> buffer, const Deadline& deadline);
  // A line without its CRLF. A bare line feed, a line over `limit` bytes and the end are errors.
  Result<std::string> read_line(std::size_t limit, const Deadline& deadline);

 private:
  Stream& stream_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0, end_ = 0;
};

}  // namespace berth::http
