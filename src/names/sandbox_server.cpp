// SPDX-License-Identifier: Apache-2.0
#include "names/sandbox_server.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/log.h"

namespace berth::names {
namespace {

constexpr std::size_t kBatch = 32;
constexpr std::size_t kLargestQuery = 4096;  // of both transports; a question and its options need a tenth

Result<int> option(int socket, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  if (getsockopt(socket, SOL_SOCKET, name, &value, &size) != 0)
    return fail_errno(errno, "look at the sandbox's socket");
  return value;
}

Result<void> check_socket(const Fd& socket, int type, bool listening) {
  const int domain = TRY(option(socket.get(), SO_DOMAIN));
  const int actual_type = TRY(option(socket.get(), SO_TYPE));
  const int actual_listening = TRY(option(socket.get(), SO_ACCEPTCONN));
  if ((domain != AF_INET && domain != AF_INET6) || actual_type != type ||
      (actual_listening != 0) != listening)
    return fail(ErrorKind::invalid,
                "a sandbox's sockets have to be a UDP socket and a TCP socket that listens");
  const int flags = fcntl(socket.get(), F_GETFL);
  if (flags < 0 || fcntl(socket.get(), F_SETFL, flags | O_NONBLOCK) != 0)
    return fail_errno(errno, "set up the sandbox's socket");
  return {};
}

}  // namespace

struct DatagramBatch {
  std::array<std::array<unsigned char, kLargestQuery>, kBatch> in;
  std::array<std::array<unsigned char, kLargestDatagram>, kBatch> out;
  std::array<sockaddr_storage, kBatch> from;
  std::array<iovec, kBatch> in_parts, out_parts;
  std::array<mmsghdr, kBatch> received, answers;
  std::size_t answered = 0;
  std::array<unsigned char, kLargestMessage> stream_answer;
};

std::shared_ptr<DatagramBatch> make_datagram_batch() { return std::make_shared<DatagramBatch>(); }

struct SandboxServer::Connection {
  std::uint64_t number = 0;
  Fd socket;
  std::vector<unsigned char> input, output;
  std::size_t in_flight = 0;
  bool closed_by_peer = false;
  std::uint32_t watched = EPOLLIN;
  Clock::time_point last_use;
};

SandboxServer::SandboxServer(std::string sandbox, Fd udp, Fd tcp, EventLoop& loop, Answerer& answerer,
                             std::shared_ptr<DatagramBatch> batch, ServingLimits limits)
    : sandbox_(std::move(sandbox)),
      udp_(std::move(udp)),
      tcp_(std::move(tcp)),
      loop_(loop),
      answerer_(answerer),
      batch_(std::move(batch)),
      limits_(limits) {}

Result<std::unique_ptr<SandboxServer>> SandboxServer::open(std::string sandbox, Fd udp, Fd tcp,
                                                           EventLoop& loop, Answerer& answerer,
                                                           std::shared_ptr<DatagramBatch> batch,
                                                           ServingLimits limits) {
  TRY(check_socket(udp, SOCK_DGRAM, false));
  TRY(check_socket(tcp, SOCK_STREAM, true));
  std::unique_ptr<SandboxServer> server(new SandboxServer(std::move(sandbox), std::move(udp), std::move(tcp),
                                                          loop, answerer, std::move(batch), limits));
  TRY(server->start());
  return server;
}

Result<void> SandboxServer::start() {
  TRY(loop_.watch(udp_.get(), EPOLLIN, [this](std::uint32_t events) { on_datagrams(events); }));
  return loop_.watch(tcp_.get(), EPOLLIN, [this](std::uint32_t events) { on_connection(events); });
}

SandboxServer::~SandboxServer() {
  while (!connections_.empty()) close(connections_.begin()->first);
  if (idle_timer_) loop_.cancel(*idle_timer_);
  if (accept_timer_) loop_.cancel(*accept_timer_);
  if (udp_) loop_.forget(udp_.get());
  if (tcp_) loop_.forget(tcp_.get());
}

// A socket that only ever reports errors would keep the loop busy for nothing.
void SandboxServer::give_up(Fd& socket, std::string_view what, int code) {
  log_warning("names", "sandbox {}: its {} socket is of no more use (error {})", sandbox_, what, code);
  loop_.forget(socket.get());
  socket.reset();
}

// --- UDP ---

void SandboxServer::on_datagrams(std::uint32_t events) {
  DatagramBatch& batch = *batch_;
  for (std::size_t i = 0; i < kBatch; ++i) {
    batch.in_parts[i] = {batch.in[i].data(), batch.in[i].size()};
    batch.received[i] = {};
    batch.received[i].msg_hdr.msg_name = &batch.from[i];
    batch.received[i].msg_hdr.msg_namelen = sizeof batch.from[i];
    batch.received[i].msg_hdr.msg_iov = &batch.in_parts[i];
    batch.received[i].msg_hdr.msg_iovlen = 1;
  }
  const int count = recvmmsg(udp_.get(), batch.received.data(), kBatch, MSG_DONTWAIT, nullptr);
  if (count < 0) {
    const int code = errno;
    if (code == EAGAIN && (events & (EPOLLERR | EPOLLHUP)) && !(events & EPOLLIN)) {
      // Reading the error clears it; one that stays is final.
      Result<int> error = option(udp_.get(), SO_ERROR);
      if (!error || *error == 0) give_up(udp_, "UDP", error ? EPIPE : error.error().code);
      return;
    }
    if (code == EBADF || code == ENOTSOCK || code == EINVAL || code == ENOTCONN) give_up(udp_, "UDP", code);
    return;  // others (ECONNREFUSED, ENOBUFS, ..) are told once and are over
  }
  batch.answered = 0;
  for (int i = 0; i < count; ++i) on_datagram(static_cast<std::size_t>(i));
  send_datagrams();
}

void SandboxServer::on_datagram(std::size_t index) {
  DatagramBatch& batch = *batch_;
  const mmsghdr& received = batch.received[index];
  const Bytes message(batch.in[index].data(), received.msg_len);
  const std::size_t slot = batch.answered;
  std::span<unsigned char> out(batch.out[slot]);
  std::size_t size = 0;
  if (received.msg_hdr.msg_flags & MSG_TRUNC) {
    size = write_refusal(message, Rcode::format_error, out);
  } else {
    Verdict verdict = answerer_.answer(sandbox_, message, Transport::udp, out);
    if (verdict.kind == Verdict::Kind::answered) size = verdict.size;
    if (verdict.kind == Verdict::Kind::forward) {
      SocketAddress from;
      from.storage = batch.from[index];
      from.size = received.msg_hdr.msg_namelen;
      if (!forward_datagram(message, verdict.query, from))
        size = write_failure(message, verdict.query, Rcode::server_failure, out);
    }
  }
  if (size == 0) return;
  batch.out_parts[slot] = {out.data(), size};
  batch.answers[slot] = {};
  batch.answers[slot].msg_hdr.msg_name = &batch.from[index];
  batch.answers[slot].msg_hdr.msg_namelen = received.msg_hdr.msg_namelen;
  batch.answers[slot].msg_hdr.msg_iov = &batch.out_parts[slot];
  batch.answers[slot].msg_hdr.msg_iovlen = 1;
  ++batch.answered;
}

void SandboxServer::send_datagrams() {
  DatagramBatch& batch = *batch_;
  std::size_t sent = 0;
  while (sent < batch.answered) {
    const int count = sendmmsg(udp_.get(), batch.answers.data() + sent,
                               static_cast<unsigned>(batch.answered - sent), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;  // it does not read; a lost datagram is asked again
    sent +=
        static_cast<std::size_t>(std::max(count, 1));  // an address that cannot be sent to costs only itself
  }
}

bool SandboxServer::forward_datagram(Bytes message, const Query& query, const SocketAddress& from) {
  // What is needed later of the message is its question.
  std::vector<unsigned char> question(message.begin(),
                                      message.begin() + static_cast<std::ptrdiff_t>(query.question_end));
  return answerer_.forward(
      sandbox_, message, query, Transport::udp,
      [this, from, query, question = std::move(question)](std::optional<std::vector<unsigned char>> answer) {
        if (!answer) {
          answer.emplace(kSmallestDatagram);
          answer->resize(write_failure(question, query, Rcode::server_failure, *answer));
        }
        deliver_datagram(from, query, *std::move(answer));
      });
}

void SandboxServer::deliver_datagram(const SocketAddress& to, const Query& query,
                                     std::vector<unsigned char> answer) {
  if (!udp_) return;
  if (answer.size() > query.datagram_limit()) truncate_answer(answer, query);
  (void)sendto(udp_.get(), answer.data(), answer.size(), MSG_DONTWAIT | MSG_NOSIGNAL, to.get(), to.size);
}

// --- TCP ---

void SandboxServer::on_connection(std::uint32_t) {
  if (accept_timer_) return;  // a pause: see below
  for (std::size_t i = 0; i < limits_.connections; ++i) {
    Fd socket(accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket) {
      const int code = errno;
      if (code == EAGAIN || code == EINTR || code == ECONNABORTED) return;
      if (code != EMFILE && code != ENFILE && code != ENOBUFS && code != ENOMEM)
        return give_up(tcp_, "TCP", code);
      // It stays readable, and this would run again at once.
      loop_.change(tcp_.get(), 0);
      accept_timer_ = loop_.after(std::chrono::seconds(1), [this] {
        accept_timer_.reset();
        if (tcp_) loop_.change(tcp_.get(), EPOLLIN);
      });
      return;
    }
    if (connections_.size() >= limits_.connections) continue;  // closed at once: a client that has too many
    auto connection = std::make_unique<Connection>();
    const std::uint64_t number = connection->number = ++last_number_;
    connection->socket = std::move(socket);
    connection->last_use = Clock::now();
    if (!loop_.watch(connection->socket.get(), EPOLLIN,
                     [this, number](std::uint32_t events) { on_stream(number, events); }))
      continue;
    connections_[number] = std::move(connection);
    arm_idle_timer();
  }
}

void SandboxServer::on_stream(std::uint64_t number, std::uint32_t events) {
  Connection& connection = *connections_.at(number);
  if (events & EPOLLERR) return close(number);
  if ((events & EPOLLOUT) && !flush(connection)) return close(number);
  if (events & (EPOLLIN | EPOLLHUP)) {
    std::array<unsigned char, kLargestQuery + 2> buffer;
    const ssize_t got = recv(connection.socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got < 0 && errno != EAGAIN && errno != EINTR) return close(number);
    if (got == 0) connection.closed_by_peer = true;
    if (got > 0) {
      connection.last_use = Clock::now();
      connection.input.insert(connection.input.end(), buffer.begin(), buffer.begin() + got);
    }
  }
  answer_stream(connection);
}

bool SandboxServer::has_room(const Connection& connection) const {
  return connection.output.size() + connection.in_flight * kLargestMessage < limits_.unread_answers;
}

// Every whole message that has come and for which there is room; then what is watched for follows.
void SandboxServer::answer_stream(Connection& connection) {
  std::vector<unsigned char>& input = connection.input;
  bool full;
  do {
    std::size_t taken = 0;
    full = false;
    while (input.size() - taken >= 2 && !(full = !has_room(connection))) {
      const std::size_t size = static_cast<std::size_t>(input[taken] << 8 | input[taken + 1]);
      if (size > kLargestQuery || size < kHeaderSize) return close(connection.number);
      if (input.size() - taken - 2 < size) break;
      answer_one(connection, Bytes(input).subspan(taken + 2, size));
      taken += 2 + size;
    }
    input.erase(input.begin(), input.begin() + static_cast<std::ptrdiff_t>(taken));
    if (!flush(connection)) return close(connection.number);
  } while (full && has_room(connection));  // what was sent made room for messages that are here already
  const bool done = connection.output.empty() && connection.in_flight == 0;
  if (connection.closed_by_peer && done) return close(connection.number);
  watch_again(connection);
}

void SandboxServer::answer_one(Connection& connection, Bytes message) {
  std::span<unsigned char> out(batch_->stream_answer);
  const auto send = [](Connection& to, Bytes answer) {
    to.output.push_back(static_cast<unsigned char>(answer.size() >> 8));
    to.output.push_back(static_cast<unsigned char>(answer.size()));
    to.output.insert(to.output.end(), answer.begin(), answer.end());
  };
  Verdict verdict = answerer_.answer(sandbox_, message, Transport::tcp, out);
  if (verdict.kind == Verdict::Kind::ignored) return;
  if (verdict.kind == Verdict::Kind::answered) return send(connection, out.first(verdict.size));
  std::vector<unsigned char> question(
      message.begin(), message.begin() + static_cast<std::ptrdiff_t>(verdict.query.question_end));
  const bool forwarded =
      answerer_.forward(sandbox_, message, verdict.query, Transport::tcp,
                        [this, send, number = connection.number, query = verdict.query,
                         question = std::move(question)](std::optional<std::vector<unsigned char>> answer) {
                          auto known = connections_.find(number);
                          if (known == connections_.end()) return;
                          Connection& asker = *known->second;
                          --asker.in_flight;
                          asker.last_use = Clock::now();
                          if (!answer) {
                            answer.emplace(kSmallestDatagram);
                            answer->resize(write_failure(question, query, Rcode::server_failure, *answer));
                          }
                          send(asker, *answer);
                          answer_stream(asker);
                        });
  if (forwarded)
    ++connection.in_flight;
  else
    send(connection, out.first(write_failure(message, verdict.query, Rcode::server_failure, out)));
}

// False: nobody will ever read there, whatever is in flight. The kernel says so once, and goes on to report
// EPOLLHUP, which cannot be left unwatched.
bool SandboxServer::flush(Connection& connection) {
  if (connection.output.empty()) return true;
  const ssize_t sent = ::send(connection.socket.get(), connection.output.data(), connection.output.size(),
                              MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN || errno == EINTR;
  connection.last_use = Clock::now();
  connection.output.erase(connection.output.begin(), connection.output.begin() + sent);
  return true;
}

void SandboxServer::watch_again(Connection& connection) {
  std::uint32_t wanted = connection.output.empty() ? 0u : EPOLLOUT;
  // One message more than fits has been read at most: then it waits, and the client with it.
  if (has_room(connection) && !connection.closed_by_peer) wanted |= EPOLLIN;
  if (wanted != connection.watched) loop_.change(connection.socket.get(), connection.watched = wanted);
}

void SandboxServer::close(std::uint64_t number) {
  auto known = connections_.find(number);
  loop_.forget(known->second->socket.get());
  connections_.erase(known);
}

void SandboxServer::arm_idle_timer() {
  if (idle_timer_ || connections_.empty()) return;
  const auto pause = std::min<std::chrono::milliseconds>(limits_.idle, std::chrono::seconds(1));
  idle_timer_ = loop_.after(pause, [this] {
    idle_timer_.reset();
    const auto time = Clock::now();
    std::vector<std::uint64_t> idle;
    for (const auto& [number, connection] : connections_)
      if (connection->in_flight == 0 && time - connection->last_use >= limits_.idle) idle.push_back(number);
    for (std::uint64_t number : idle) close(number);
    arm_idle_timer();
  });
}

}  // namespace berth::names
