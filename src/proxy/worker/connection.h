// SPDX-License-Identifier: Apache-2.0
// A socket of a worker, plain or TLS, with what was read and not used, and what is to be written. Never
// blocks. Whoever uses it reads and writes until it says `blocked`, and goes on at the next event.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "proxy/worker/buffers.h"
#include "proxy/worker/poller.h"
#include "proxy/worker/timers.h"

struct ssl_st;

namespace berth::proxy {

struct FreeSsl {
  void operator()(ssl_st* ssl) const noexcept;
};
using Ssl = std::unique_ptr<ssl_st, FreeSsl>;

class Connection : public EventTarget, public Timed {
 public:
  // More than this waits for its reader, and nothing is taken for it.
  static constexpr std::size_t kMostQueued = 64u << 10;

  Connection(BufferPool& buffers, Fd socket, Ssl tls = nullptr)
      : buffers_(buffers), socket_(std::move(socket)), tls_(std::move(tls)) {}
  ~Connection() override;

  int descriptor() const noexcept { return socket_.get(); }
  bool is_tls() const noexcept { return tls_ != nullptr; }
  ssl_st* tls() const noexcept { return tls_.get(); }

  // To be called with every event, before anything else.
  void note(std::uint32_t events) noexcept;
  bool hung_up() const noexcept { return hung_up_; }  // both ways

  enum class Read { data, blocked, full, end, failed };
  Read read_more();  // one read
  std::string_view input() const noexcept { return {block_.get() + begin_, end_ - begin_}; }
  void use(std::size_t count) noexcept;
  bool end_is_there() const noexcept { return end_is_there_; }  // behind input() and what can be read still
  bool at_end() const noexcept { return at_end_; }              // nothing comes any more behind input()

  void queue(std::string_view text) { queued_.append(text); }
  std::string& queued() noexcept { return queued_; }  // to append to
  bool has_room() const noexcept { return queued_size() < kMostQueued; }
  bool has_queued() const noexcept { return written_ < queued_.size(); }
  std::size_t queued_size() const noexcept { return queued_.size() - written_; }
  void flush();  // what can be
  // Behind what is queued, without a copy: how much of `data` the kernel took.
  std::size_t write(std::string_view data);
  bool write_failed() const noexcept { return write_failed_; }
  void end_writing() noexcept;  // FIN, when all is written
  void close() noexcept;
  // For another object to go on with; nothing was read or queued here.
  std::pair<Fd, Ssl> release() noexcept { return {std::move(socket_), std::move(tls_)}; }
  bool closed() const noexcept { return !socket_; }

 private:
  struct Moved {
    std::size_t count = 0;
    bool blocked = false, end = false, failed = false;
  };
  Moved read_some(char* to, std::size_t size);
  Moved write_some(std::string_view first, std::string_view second);
  Moved tls_read(char* to, std::size_t size);
  Moved tls_write(std::string_view data);
  void let_go_of_block() noexcept;

  BufferPool& buffers_;
  Fd socket_;
  Ssl tls_;
  BufferPool::Block block_;
  std::size_t begin_ = 0, end_ = 0;
  std::string queued_;
  std::size_t written_ = 0;
  bool readable_ = true, writable_ = true;
  bool at_end_ = false, read_failed_ = false, write_failed_ = false, hung_up_ = false, end_is_there_ = false;
  bool end_wanted_ = false, ended_writing_ = false;
};

}  // namespace berth::proxy
