// SPDX-License-Identifier: Apache-2.0
#include "proxy/worker/connection.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>

namespace berth::proxy {
namespace {

constexpr std::size_t kKeptOutput = 4u << 10;  // room that an idle connection keeps
constexpr std::size_t kLargestTlsWrite = 16u << 10;

}  // namespace

void FreeSsl::operator()(ssl_st* ssl) const noexcept { SSL_free(ssl); }

Connection::~Connection() { close(); }

void Connection::note(std::uint32_t events) noexcept {
  if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) readable_ = true;
  if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) writable_ = true;
  // A renegotiation of keys may want to read to write, and the other way round.
  if (tls_) readable_ = writable_ = true;
  if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) end_is_there_ = true;
  if (events & (EPOLLHUP | EPOLLERR)) hung_up_ = true;
}

Connection::Read Connection::read_more() {
  if (read_failed_) return Read::failed;
  if (at_end_) return Read::end;
  if (!readable_) return Read::blocked;
  if (!block_) block_ = buffers_.take();
  if (end_ == BufferPool::kSize && begin_ > 0) {
    std::memmove(block_.get(), block_.get() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
  }
  const std::size_t room = BufferPool::kSize - end_;
  if (room == 0) return Read::full;
  const Moved moved = read_some(block_.get() + end_, room);
  if (moved.count > 0) {
    end_ += moved.count;
    // A socket that gives less than there was room for has no more: the next bytes come with an event. Not so
    // an end that has come already: its event was this one's.
    if (moved.count < room && !tls_ && !end_is_there_) readable_ = false;
    return Read::data;
  }
  if (begin_ == end_) let_go_of_block();
  if (moved.blocked) {
    readable_ = false;
    return Read::blocked;
  }
  at_end_ = moved.end;
  read_failed_ = moved.failed;
  return moved.end ? Read::end : Read::failed;
}

void Connection::use(std::size_t count) noexcept {
  begin_ += count;
  if (begin_ == end_) let_go_of_block();
}

void Connection::let_go_of_block() noexcept {
  if (block_) buffers_.give_back(std::move(block_));
  begin_ = end_ = 0;
}

void Connection::flush() {
  if (has_queued()) (void)write({});
}

std::size_t Connection::write(std::string_view data) {
  std::size_t taken = 0;
  while (writable_ && !write_failed_ && (has_queued() || taken < data.size())) {
    const std::string_view first = std::string_view(queued_).substr(written_);
    const std::string_view second = data.substr(taken);
    const Moved moved = write_some(first, second);
    const std::size_t of_queued = std::min(moved.count, first.size());
    written_ += of_queued;
    taken += moved.count - of_queued;
    if (moved.blocked || (!tls_ && moved.count < first.size() + second.size())) writable_ = false;
    if (moved.failed) write_failed_ = true;
  }
  if (write_failed_) written_ = queued_.size();
  if (!has_queued() && !queued_.empty()) {
    queued_.clear();
    written_ = 0;
    if (queued_.capacity() > kKeptOutput) queued_.shrink_to_fit();
    if (end_wanted_) end_writing();
  }
  return write_failed_ ? data.size() : taken;
}

void Connection::end_writing() noexcept {
  if (std::exchange(end_wanted_, true) && ended_writing_) return;
  if (has_queued()) return;
  ended_writing_ = true;
  if (tls_) {
    ERR_clear_error();
    SSL_shutdown(tls_.get());
  }
  shutdown(socket_.get(), SHUT_WR);
}

void Connection::close() noexcept {
  if (socket_) leave_poller(socket_.get());
  socket_.reset();
  let_go_of_block();
}

Connection::Moved Connection::read_some(char* to, std::size_t size) {
  if (tls_) return tls_read(to, size);
  for (;;) {
    const ssize_t count = recv(socket_.get(), to, size, 0);
    if (count > 0) return {.count = static_cast<std::size_t>(count)};
    if (count == 0) return {.end = true};
    if (errno == EAGAIN) return {.blocked = true};
    if (errno != EINTR) return {.failed = true};
  }
}

Connection::Moved Connection::write_some(std::string_view first, std::string_view second) {
  if (tls_) return tls_write(first.empty() ? second : first);
  iovec parts[2] = {{const_cast<char*>(first.data()), first.size()},
                    {const_cast<char*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_iov = first.empty() ? parts + 1 : parts;
  message.msg_iovlen = first.empty() || second.empty() ? 1 : 2;
  for (;;) {
    const ssize_t count = sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
    if (count >= 0) return {.count = static_cast<std::size_t>(count)};
    if (errno == EAGAIN) return {.blocked = true};
    if (errno != EINTR) return {.failed = true};
  }
}

Connection::Moved Connection::tls_read(char* to, std::size_t size) {
  ERR_clear_error();
  std::size_t count = 0;
  const int done = SSL_read_ex(tls_.get(), to, size, &count);
  if (done == 1) return {.count = count};
  switch (SSL_get_error(tls_.get(), done)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return {.blocked = true};
    case SSL_ERROR_ZERO_RETURN:
      return {.end = true};
    default:
      return {.failed = true};  // an end without TLS's own is a cut, which must not look like an end
  }
}

Connection::Moved Connection::tls_write(std::string_view data) {
  ERR_clear_error();
  std::size_t count = 0;
  const int done = SSL_write_ex(tls_.get(), data.data(), std::min(data.size(), kLargestTlsWrite), &count);
  if (done == 1) return {.count = count};
  const int error = SSL_get_error(tls_.get(), done);
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? Moved{.blocked = true}
                                                                       : Moved{.failed = true};
}

}  // namespace berth::proxy
