// SPDX-License-Identifier: Apache-2.0
// Endpoints: parsed and connected to.
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "base/text.h"
#include "base/unix_address.h"
#include "http/client.h"
#include "http/stream.h"

namespace berth::http {
namespace {

constexpr std::chrono::seconds kConnectTimeout(30);

struct AddressListCloser {
  void operator()(addrinfo* list) const noexcept { freeaddrinfo(list); }
};

using AddressList = std::unique_ptr<addrinfo, AddressListCloser>;

std::unexpected<Error> no_address(const std::string& name, int error) {
  return fail(ErrorKind::unavailable, "connect to {}: {}", name, gai_strerror(error));
}

// getaddrinfo(3) waits for DNS servers, for half a minute and more, and cannot be interrupted: with a stop it
// has a thread of its own, which is left to itself.
Result<AddressList> look_up(const std::string& host, const std::string& service, const std::string& name,
                            const std::stop_token& stop) {
  struct Lookup {
    std::string host, service;
    addrinfo hints{};
    std::mutex mutex;
    std::condition_variable_any done;
    std::optional<int> error;
    AddressList list;
    void run() {
      addrinfo* found = nullptr;
      const int result = getaddrinfo(host.c_str(), service.c_str(), &hints, &found);
      std::lock_guard lock(mutex);
      list.reset(result == 0 ? found : nullptr);
      error = result;
      done.notify_all();
    }
  };
  auto lookup = std::make_shared<Lookup>();
  lookup->host = host;
  lookup->service = service;
  lookup->hints.ai_socktype = SOCK_STREAM;
  lookup->hints.ai_flags = AI_NUMERICSERV | AI_NUMERICHOST;
  lookup->run();
  if (!lookup->list) {
    lookup->hints.ai_flags = AI_NUMERICSERV;
    lookup->error.reset();
    if (stop.stop_possible())
      std::thread([lookup] { lookup->run(); }).detach();
    else
      lookup->run();
  }
  std::unique_lock lock(lookup->mutex);
  if (!lookup->done.wait(lock, stop, [&] { return lookup->error.has_value(); }))
    return fail(ErrorKind::cancelled, "cancelled");
  if (*lookup->error != 0) return no_address(name, *lookup->error);
  return std::move(lookup->list);
}

Result<Fd> connect_one(const addrinfo& entry, const std::string& name, const std::stop_token& stop) {
  Fd socket(::socket(entry.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "connect to {}", name);
  if (connect(socket.get(), entry.ai_addr, entry.ai_addrlen) != 0) {
    if (errno != EINPROGRESS) return fail_errno(errno, "connect to {}", name);
    const HangUp hang_up(stop, socket.get());
    if (!TRY(wait_for(socket.get(), POLLOUT, deadline_in(kConnectTimeout))))
      return fail_errno(ETIMEDOUT, "connect to {}", name);
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "cancelled");
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return fail_errno(error, "connect to {}", name);
  }
  fcntl(socket.get(), F_SETFL, fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
  const int on = 1;
  setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket.get(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  return socket;
}

// "host", "host:port", "[v6]:port" into the endpoint.
Result<void> parse_authority(std::string_view authority, std::uint16_t default_port, Endpoint& endpoint) {
  std::string_view port;
  if (authority.starts_with('[')) {
    const std::size_t close = authority.find(']');
    if (close == std::string_view::npos)
      return fail(ErrorKind::invalid, "the address '{}' lacks a closing bracket", endpoint.text);
    endpoint.host = authority.substr(1, close - 1);
    port = authority.substr(close + 1);
    if (!port.empty() && port.front() != ':')
      return fail(ErrorKind::invalid, "the address '{}' has something other than a port behind its host",
                  endpoint.text);
    if (!port.empty()) port.remove_prefix(1);
  } else {
    auto [host, behind] = split_once(authority, ':');
    endpoint.host = host;
    port = behind;
  }
  endpoint.port = default_port;
  if (!port.empty()) {
    auto number = parse_integer<std::uint16_t>(port);
    if (!number || *number == 0)
      return fail(ErrorKind::invalid, "'{}' in the address '{}' is not a port", port, endpoint.text);
    endpoint.port = *number;
  }
  if (endpoint.host.empty()) endpoint.host = "127.0.0.1";
  return {};
}

}  // namespace

Result<Endpoint> Endpoint::parse(std::string_view text, std::optional<TlsClientSettings> tls) {
  Endpoint endpoint;
  endpoint.text = text;
  const std::size_t mark = text.find("://");
  if (mark == std::string_view::npos)
    return fail(ErrorKind::invalid, "the address '{}' has no scheme; unix:///path and tcp://host:port do",
                text);
  const std::string_view scheme = text.substr(0, mark), rest = text.substr(mark + 3);
  if (scheme == "unix") {
    if (rest.empty()) return fail(ErrorKind::invalid, "the address '{}' has no path", text);
    endpoint.unix_path = rest;
    return endpoint;
  }
  if (scheme != "tcp" && scheme != "http" && scheme != "https")
    return fail(ErrorKind::unsupported,
                "the scheme of the address '{}' is not one of unix, tcp, http and https", text);
  const std::size_t slash = rest.find('/');
  if (slash != std::string_view::npos) endpoint.base_path = rest.substr(slash);
  while (endpoint.base_path.ends_with('/')) endpoint.base_path.pop_back();
  if (scheme == "https" || (scheme == "tcp" && tls)) endpoint.tls = tls.value_or(TlsClientSettings{});
  const std::uint16_t port = scheme == "http" ? 80 : scheme == "https" ? 443 : endpoint.tls ? 2376 : 2375;
  TRY(parse_authority(rest.substr(0, slash), port, endpoint));
  return endpoint;
}

Result<Fd> connect_unix(const std::string& path) {
  UnixAddress address = TRY(make_unix_address(path));
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "create a unix socket");
  int done;
  do done = connect(socket.get(), address.get(), address.size);
  while (done != 0 && errno == EINTR);
  if (done != 0) return fail_errno(errno, "connect to unix://{}", path);
  return socket;
}

Result<Fd> connect_tcp(const std::string& host, std::uint16_t port, const std::stop_token& stop) {
  const std::string name = fmt::format("{}:{}", host, port);
  const AddressList list = TRY(look_up(host, std::to_string(port), name, stop));
  Result<Fd> connected = fail(ErrorKind::unavailable, "connect to {}: the name has no address", name);
  for (const addrinfo* entry = list.get(); entry; entry = entry->ai_next) {
    connected = connect_one(*entry, name, stop);
    if (connected || stop.stop_requested()) break;
  }
  return connected;
}

}  // namespace berth::http
