// SPDX-License-Identifier: Apache-2.0
#include "cli/stream/session.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "base/buffer.h"
#include "cli/stream/demultiplex.h"

namespace berth::cli {
namespace {

constexpr std::size_t kBuffer = 256u << 10;

Result<void> send_everything(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      pollfd wait{socket, POLLOUT, 0};
      ::poll(&wait, 1, -1);
      continue;
    }
    if (sent < 0) return fail_errno(errno, "send standard input");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return {};
}

// Finds the detach keys in what is typed. A prefix of them is held back until it is clear what it is.
class DetachKeys {
 public:
  explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}

  // What of `typed` goes to the engine; `detached` once the keys were complete.
  std::string filter(std::string_view typed, bool& detached) {
    std::string out;
    for (char c : typed) {
      if (keys_.empty()) {
        out += c;
        continue;
      }
      if (c != keys_[matched_]) {
        out.append(keys_, 0, matched_);
        matched_ = 0;
      }
      if (c == keys_[matched_]) {
        if (++matched_ == keys_.size()) {
          detached = true;
          return out;
        }
        continue;
      }
      out += c;
    }
    return out;
  }

 private:
  std::string keys_;
  std::size_t matched_ = 0;
};

class InputPump {
 public:
  InputPump(int socket, const SessionOptions& options)
      : socket_(socket),
        keys_(options.terminal ? options.detach_keys : ""),
        keys_none_(!options.terminal || options.detach_keys.empty()) {
    stop_.reset(::eventfd(0, EFD_CLOEXEC));
    thread_ = std::thread([this] { run(); });
  }
  ~InputPump() {
    // Wakes the thread wherever it is: in poll(2), or in a send that the container does not take.
    ::eventfd_write(stop_.get(), 1);
    ::shutdown(socket_, SHUT_RDWR);
    thread_.join();
  }
  bool detached() const { return detached_; }

 private:
  void run() {
    Buffer buffer(kBuffer);
    for (;;) {
      pollfd wait[2] = {{STDIN_FILENO, POLLIN, 0}, {stop_.get(), POLLIN, 0}};
      if (::poll(wait, 2, -1) < 0 && errno != EINTR) break;
      if (wait[1].revents) return;
      if (!wait[0].revents) continue;
      ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
      if (got < 0 && (errno == EINTR || errno == EAGAIN)) continue;
      if (got <= 0) break;
      if (!forward({buffer.data(), static_cast<std::size_t>(got)})) return;
    }
    ::shutdown(socket_, SHUT_WR);
  }

  bool forward(std::string_view typed) {
    bool detached = false;
    std::string kept;
    if (!keys_none_) {
      kept = keys_.filter(typed, detached);
      typed = kept;
    }
    Result<void> sent = send_everything(socket_, typed);
    if (detached) {
      detached_ = true;
      ::shutdown(socket_, SHUT_RDWR);
    }
    return sent && !detached;
  }

  int socket_;
  DetachKeys keys_;
  bool keys_none_;
  Fd stop_;
  std::atomic<bool> detached_ = false;
  std::thread thread_;
};

Result<void> pump_output(http::Upgraded& connection, const SessionOptions& options) {
  Demultiplexer frames(STDOUT_FILENO, STDERR_FILENO);
  auto take = [&](std::string_view bytes) -> Result<void> {
    if (!options.terminal) return frames.feed(bytes);
    if (!options.output) return {};
    std::vector<iovec> parts{{const_cast<char*>(bytes.data()), bytes.size()}};
    return write_everything(STDOUT_FILENO, parts);
  };
  if (!connection.leftover.empty()) TRY(take(connection.leftover));
  Buffer buffer(kBuffer);
  for (;;) {
    Result<std::size_t> got = read_some(connection.socket.get(), buffer);
    if (!got && got.error().code == ECONNRESET) return {};  // closed with input of ours unread
    if (!got) return std::unexpected(std::move(got).error());
    if (*got == 0) break;
    TRY(take({buffer.data(), *got}));
  }
  if (!frames.failure().empty())
    return fail(ErrorKind::system, "error from daemon in stream: {}", frames.failure());
  return {};
}

}  // namespace

Result<SessionEnd> run_session(http::Upgraded& connection, const SessionOptions& options) {
  std::unique_ptr<InputPump> input;
  if (options.input)
    input = std::make_unique<InputPump>(connection.socket.get(), options);
  else
    ::shutdown(connection.socket.get(), SHUT_WR);
  Result<void> done = pump_output(connection, options);
  if (input && input->detached()) return SessionEnd::detached;
  if (!done) return std::unexpected(std::move(done).error());
  return SessionEnd::closed;
}

}  // namespace berth::cli
