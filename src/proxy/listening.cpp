// SPDX-License-Identifier: Apache-2.0
#include "proxy/listening.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/text.h"

extern char** environ;

namespace berth::proxy {
namespace {

constexpr const char* kSockets = "BERTH_PROXY_SOCKETS";  // "fd,tls,port,address;..."
constexpr const char* kAdmin = "BERTH_PROXY_ADMIN_SOCKET";
constexpr const char* kReady = "BERTH_PROXY_READY";
constexpr int kBacklog = 4096;
constexpr int kHandOverPatience = 60'000;  // milliseconds

Fd take_descriptor(std::string_view text) {
  const auto number = parse_integer<int>(text);
  if (!number || fcntl(*number, F_GETFD) < 0) return Fd();
  fcntl(*number, F_SETFD, FD_CLOEXEC);
  return Fd(*number);
}

Fd take_descriptor_of(const char* variable) {
  const char* text = std::getenv(variable);
  Fd descriptor = text ? take_descriptor(text) : Fd();
  unsetenv(variable);
  return descriptor;
}

struct Address {
  sockaddr_storage address{};
  socklen_t length = 0;
};

Address address_of(const Listen& listen) {
  Address made;
  auto& four = reinterpret_cast<sockaddr_in&>(made.address);
  if (inet_pton(AF_INET, listen.address.c_str(), &four.sin_addr) == 1) {
    four.sin_family = AF_INET;
    four.sin_port = htons(listen.port);
    made.length = sizeof four;
    return made;
  }
  auto& six = reinterpret_cast<sockaddr_in6&>(made.address);
  inet_pton(AF_INET6, listen.address.c_str(), &six.sin6_addr);
  six.sin6_family = AF_INET6;
  six.sin6_port = htons(listen.port);
  made.length = sizeof six;
  return made;
}

Result<Fd> bind_socket(const Listen& listen, bool shared) {
  const Address address = address_of(listen);
  Fd socket(::socket(address.address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return fail_errno(errno, "make a socket");
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (shared) setsockopt(socket.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  if (address.address.ss_family == AF_INET6)
    setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (bind(socket.get(), reinterpret_cast<const sockaddr*>(&address.address), address.length) != 0)
    return fail_errno(errno, "listen on {} port {}", listen.address, listen.port);
  return socket;
}

// Sockets that share a port are shared with whoever asks for it, another proxy of the same user among them.
// So the first is asked for alone.
Result<void> check_free(const Listen& listen) {
  TRY(bind_socket(listen, false));
  return {};
}

Result<Fd> listen_on(const Listen& listen) {
  Fd socket = TRY(bind_socket(listen, true));
  if (::listen(socket.get(), kBacklog) != 0)
    return fail_errno(errno, "listen on {} port {}", listen.address, listen.port);
  return socket;
}

bool same(const Listen& one, const Listen& other) {
  return one.address == other.address && one.port == other.port && one.tls == other.tls;
}

// A copy that the next program keeps.
Result<Fd> inheritable(int descriptor) {
  const int copy = fcntl(descriptor, F_DUPFD, 3);
  if (copy < 0) return fail_errno(errno, "copy a socket");
  return Fd(copy);
}

bool set_before(const char* entry) {
  for (const char* name : {kSockets, kAdmin, kReady})
    if (std::strncmp(entry, name, std::strlen(name)) == 0 && entry[std::strlen(name)] == '=') return true;
  return false;
}

Result<pid_t> spawn_self(char* const* arguments, std::vector<std::string> variables) {
  std::vector<char*> environment;
  for (char** entry = environ; *entry; ++entry)
    if (!set_before(*entry)) environment.push_back(*entry);
  for (std::string& variable : variables) environment.push_back(variable.data());
  environment.push_back(nullptr);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, arguments[0], nullptr, &attributes, arguments, environment.data());
  posix_spawnattr_destroy(&attributes);
  if (error != 0) return fail_errno(error, "start {}", arguments[0]);
  return pid;
}

Result<void> wait_until_ready(int ready, pid_t pid) {
  pollfd waiting{.fd = ready, .events = POLLIN, .revents = 0};
  char byte = 0;
  if (poll(&waiting, 1, kHandOverPatience) == 1 && read(ready, &byte, 1) == 1) return {};
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  return fail(ErrorKind::unavailable, "the new program did not come to serve; this one goes on");
}

}  // namespace

Inherited take_inherited() {
  Inherited inherited;
  const char* text = std::getenv(kSockets);
  for (const std::string_view one : split(text ? text : "", ';')) {
    const std::vector<std::string_view> parts = split(one, ',');
    if (parts.size() != 4) continue;
    Fd socket = take_descriptor(parts[0]);
    const auto port = parse_integer<std::uint16_t>(parts[2]);
    if (socket && port)
      inherited.sockets.push_back(
          {std::move(socket), {.address = std::string(parts[3]), .port = *port, .tls = parts[1] == "1"}});
  }
  unsetenv(kSockets);
  const char* admin = std::getenv(kAdmin);
  const auto [descriptor, place] = split_once(admin ? admin : "", ',');
  inherited.admin_place = place;
  if (!descriptor.empty()) inherited.admin = take_descriptor(descriptor);
  unsetenv(kAdmin);
  inherited.ready = take_descriptor_of(kReady);
  return inherited;
}

Result<std::vector<std::vector<ListeningSocket>>> open_listening(const Settings& settings,
                                                                 Inherited& inherited) {
  std::vector<std::vector<ListeningSocket>> workers(settings.workers);
  for (const Listen& listen : settings.listens) {
    std::size_t next = 0;
    for (ListeningSocket& one : inherited.sockets)
      if (one.socket && same(one.listen, listen))
        workers[next++ % settings.workers].push_back(std::move(one));
    if (next == 0) TRY(check_free(listen));
    for (; next < settings.workers; ++next) workers[next].push_back({TRY(listen_on(listen)), listen});
  }
  inherited.sockets.clear();
  return workers;
}

std::string place_of(const AdminSettings& admin) {
  return admin.unix_path.empty() ? fmt::format("{} {}", admin.port, admin.address) : admin.unix_path;
}

Result<pid_t> hand_over(char* const* arguments, const std::vector<ListeningSocket>& sockets, int admin,
                        const std::string& admin_place) {
  Pipe ready = TRY(make_pipe());
  std::vector<Fd> passed;
  std::string list;
  for (const ListeningSocket& one : sockets) {
    passed.push_back(TRY(inheritable(one.socket.get())));
    list += fmt::format("{},{},{},{};", passed.back().get(), one.listen.tls ? 1 : 0, one.listen.port,
                        one.listen.address);
  }
  std::vector<std::string> variables{fmt::format("{}={}", kSockets, list)};
  if (admin >= 0) {
    passed.push_back(TRY(inheritable(admin)));
    variables.push_back(fmt::format("{}={},{}", kAdmin, passed.back().get(), admin_place));
  }
  passed.push_back(TRY(inheritable(ready.write.get())));
  variables.push_back(fmt::format("{}={}", kReady, passed.back().get()));
  const pid_t pid = TRY(spawn_self(arguments, std::move(variables)));
  passed.clear();
  ready.write.reset();
  TRY(wait_until_ready(ready.read.get(), pid));
  return pid;
}

}  // namespace berth::proxy
