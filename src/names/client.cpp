// SPDX-License-Identifier: Apache-2.0
#include "names/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/process.h"
#include "base/send_descriptors.h"
#include "names/unix_socket.h"

namespace berth::names {
namespace {

constexpr int kReceiveBuffer = 1 << 20;  // bytes: a burst of a thousand datagrams waits there

// A socket at the listening address, and its port, which the kernel chose.
Result<std::pair<Fd, std::uint16_t>> bind_socket(int type) {
  Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "create a socket for names");
  sockaddr_in address{};
  address.sin_family = AF_INET;
  inet_pton(AF_INET, kListeningAddress, &address.sin_addr);
  socklen_t size = sizeof address;
  if (bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
    return fail_errno(errno, "bind a socket for names to {}", kListeningAddress);
  return std::pair{std::move(socket), ntohs(address.sin_port)};
}

}  // namespace

Result<SandboxSockets> open_sandbox_sockets() {
  SandboxSockets sockets;
  std::tie(sockets.udp, sockets.udp_port) = TRY(bind_socket(SOCK_DGRAM));
  std::tie(sockets.tcp, sockets.tcp_port) = TRY(bind_socket(SOCK_STREAM));
  // Without the privilege to go past the machine's limit it stays as large as others'.
  if (setsockopt(sockets.udp.get(), SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof kReceiveBuffer) != 0)
    setsockopt(sockets.udp.get(), SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof kReceiveBuffer);
  if (listen(sockets.tcp.get(), 64) != 0) return fail_errno(errno, "listen for names");
  return sockets;
}

Result<std::unique_ptr<Client>> Client::connect(const std::string& socket_path,
                                                std::chrono::milliseconds timeout) {
  Fd socket = TRY(connect_to(socket_path, timeout));
  std::unique_ptr<Client> client(new Client(std::move(socket)));
  // One that is about to end may still have accepted: only its answer says that it is there.
  TRY(client->ping());
  return client;
}

Result<std::unique_ptr<Client>> Client::connect_or_start(const Launch& launch) {
  const auto end = std::chrono::steady_clock::now() + launch.timeout;
  for (;;) {
    Result<std::unique_ptr<Client>> client = connect(launch.socket_path, launch.timeout);
    if (client) return client;
    if (std::chrono::steady_clock::now() >= end)
      return std::unexpected(std::move(client).error().within("start " + launch.program));
    SpawnRequest request;
    request.arguments = {launch.program, "--detach", "--socket", launch.socket_path};
    if (!launch.resolv_conf.empty())
      request.arguments.insert(request.arguments.end(), {"--resolv-conf", launch.resolv_conf});
    request.standard_error = launch.standard_error;
    request.new_session = true;
    Process process = TRY(Process::spawn(request));
    // It returns when it listens, or when it cannot: another one holds the lock, and is about to listen or to
    // end.
    const int code = TRY(process.wait());
    if (code != 0) usleep(20'000);
  }
}

Result<Frame> Client::ask(MessageKind kind, std::string_view body, std::span<const int> descriptors) {
  const std::lock_guard lock(mutex_);
  if (!socket_) return fail(ErrorKind::unavailable, "the connection to the resolver of names is lost");
  // After an error nobody knows what belongs to which question.
  const auto lost = [&](int code) {
    socket_.reset();
    if (code == EAGAIN) return fail(ErrorKind::timeout, "the resolver of names did not answer in time");
    return fail(ErrorKind::unavailable, "the connection to the resolver of names is lost");
  };
  const std::string bytes = encode_frame(kind, body, descriptors.size());
  if (Result<void> sent = send_with_descriptors(socket_.get(), bytes, descriptors); !sent)
    return lost(sent.error().code);
  const auto begin = std::chrono::steady_clock::now();
  for (;;) {
    Result<std::optional<Frame>> frame = reader_.next();
    if (!frame) return lost(0);
    if (*frame) return **std::move(frame);
    Result<bool> open = reader_.receive(socket_.get(), 0);
    timeval limit{};
    socklen_t size = sizeof limit;
    getsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, &size);
    if (!open || !*open) return lost(0);
    // The kernel's timeout shows as a read without bytes.
    if (std::chrono::steady_clock::now() - begin >=
        std::chrono::milliseconds(limit.tv_sec * 1000 + limit.tv_usec / 1000))
      return lost(EAGAIN);
  }
}

Result<void> Client::tell(MessageKind kind, std::string_view body, std::span<const int> descriptors) {
  const Frame reply = TRY(ask(kind, body, descriptors));
  if (reply.kind == MessageKind::done) return {};
  if (reply.kind != MessageKind::failed)
    return fail(ErrorKind::unsupported, "the resolver of names gave an answer of another version");
  return std::unexpected(TRY(decode_error(reply.body)));
}

Result<void> Client::ping() { return tell(MessageKind::ping, {}); }
Result<void> Client::stop() { return tell(MessageKind::stop, {}); }

Result<Listing> Client::list() {
  const Frame reply = TRY(ask(MessageKind::list, {}));
  return decode_listing(reply.body);
}

Result<void> Client::set_network(const Network& network) {
  return tell(MessageKind::set_network, encode(network));
}

Result<void> Client::remove_network(const std::string& id) {
  return tell(MessageKind::remove_network, encode_names(id));
}

Result<void> Client::set_endpoint(const std::string& network, const Endpoint& endpoint) {
  return tell(MessageKind::set_endpoint, encode(EndpointOf{network, endpoint}));
}

Result<void> Client::remove_endpoint(const std::string& network, const std::string& container) {
  return tell(MessageKind::remove_endpoint, encode_names(network, container));
}

Result<void> Client::add_sandbox(const std::string& id, const View& view, const SandboxSockets* sockets) {
  const std::string body = encode(SandboxView{id, view});
  if (!sockets) return tell(MessageKind::add_sandbox, body);
  const int descriptors[] = {sockets->udp.get(), sockets->tcp.get()};
  return tell(MessageKind::add_sandbox, body, descriptors);
}

Result<void> Client::remove_sandbox(const std::string& id) {
  return tell(MessageKind::remove_sandbox, encode_names(id));
}

}  // namespace berth::names
