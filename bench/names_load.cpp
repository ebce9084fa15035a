// SPDX-License-Identifier: Apache-2.0
// names_load [QUERIES-A-SECOND [SECONDS]]: asks a berth-resolver (the one beside this program) in a network
// namespace of its own, and prints what came back. Default: 10000 for 5.
//
//   steady     queries at that rate, whether or not answers come; lost is what had no answer a second after
//   the last at most    as many as go, with 200 on the way forwarded  the same for names of the world, to a
//   server in this program that answers at once memory     the resolver's, resident, at the end
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "names/client.h"
#include "names/message.h"

namespace {

using namespace berth;
using namespace berth::names;
using Clock = std::chrono::steady_clock;
using std::chrono::duration;

constexpr int kContainers = 1000;
constexpr std::size_t kWindow = 200;

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

void enter_own_host() {
  if (unshare(CLONE_NEWNET) != 0) throw std::runtime_error("it has to be run as root");
  const Fd any(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  if (ioctl(any.get(), SIOCSIFFLAGS, &request) != 0) throw std::runtime_error("cannot bring lo up");
}

SocketAddress at(const char* address, std::uint16_t port) {
  Server server = *Server::parse(address);
  server.port = port;
  return socket_address(server);
}

std::vector<unsigned char> query_for(std::uint16_t id, std::string_view name) {
  std::vector<unsigned char> out{
      static_cast<unsigned char>(id >> 8), static_cast<unsigned char>(id), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  for (std::string_view label : split(name, '.')) {
    out.push_back(static_cast<unsigned char>(label.size()));
    out.insert(out.end(), label.begin(), label.end());
  }
  for (unsigned char byte : {0, 0, 1, 0, 1}) out.push_back(byte);
  return out;
}

std::string name_of(std::size_t number, bool ours) {
  return fmt::format("service-{}{}", number % kContainers, ours ? "" : ".example.org");
}

Fd connected_to(const SocketAddress& where) {
  Fd made(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const int size = 4 << 20;
  setsockopt(made.get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
  if (connect(made.get(), where.get(), where.size) != 0) throw std::runtime_error("cannot connect");
  return made;
}

// A right answer, as far as a load generator looks.
bool good(Bytes answer) { return answer.size() > kHeaderSize && (answer[2] & 0x80) && (answer[3] & 15) == 0; }

void steady(const SocketAddress& where, std::size_t rate, std::size_t seconds) {
  const Fd socket = connected_to(where);
  std::atomic<std::size_t> answered = 0, wrong = 0;
  std::vector<Clock::time_point> sent_at(65'536);
  std::vector<double> waits;
  waits.reserve(rate * seconds);
  std::atomic<bool> over = false;
  std::thread reader([&] {
    unsigned char buffer[4096];
    while (!over) {
      pollfd polled{socket.get(), POLLIN, 0};
      if (poll(&polled, 1, 50) != 1) continue;
      for (;;) {
        const ssize_t got = recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got <= 0) break;
        if (!good({buffer, static_cast<std::size_t>(got)})) ++wrong;
        waits.push_back(
            duration<double, std::micro>(Clock::now() - sent_at[buffer[0] << 8 | buffer[1]]).count());
        ++answered;
      }
    }
  });
  const auto begin = Clock::now();
  const std::size_t total = rate * seconds;
  for (std::size_t sent = 0; sent < total;) {
    const auto due =
        static_cast<std::size_t>(duration<double>(Clock::now() - begin).count() * static_cast<double>(rate));
    for (; sent < std::min(due, total); ++sent) {
      const auto id = static_cast<std::uint16_t>(sent);
      const std::vector<unsigned char> query = query_for(id, name_of(sent, true));
      sent_at[id] = Clock::now();
      (void)send(socket.get(), query.data(), query.size(), 0);
    }
    usleep(500);
  }
  const double took = duration<double>(Clock::now() - begin).count();
  for (int i = 0; i < 100 && answered < total; ++i) usleep(10'000);
  over = true;
  reader.join();
  std::ranges::sort(waits);
  const auto part = [&](double of) {
    return waits.empty() ? 0 : waits[static_cast<std::size_t>(of * static_cast<double>(waits.size() - 1))];
  };
  fmt::print(
      "steady     {} queries in {:.2f} s ({:.0f} a second): {} lost, {} wrong; median {:.0f} us, 99 % {:.0f} "
      "us\n",
      total, took, static_cast<double>(total) / took, total - answered, wrong.load(), part(0.5), part(0.99));
}

void at_most(const SocketAddress& where, std::string_view title, bool ours, std::size_t total) {
  const Fd socket = connected_to(where);
  std::size_t sent = 0, answered = 0, wrong = 0;
  unsigned char buffer[4096];
  const auto begin = Clock::now();
  while (answered < total) {
    for (; sent < total && sent - answered < kWindow; ++sent) {
      const std::vector<unsigned char> query =
          query_for(static_cast<std::uint16_t>(sent), name_of(sent, ours));
      (void)send(socket.get(), query.data(), query.size(), 0);
    }
    pollfd polled{socket.get(), POLLIN, 0};
    if (poll(&polled, 1, 10'000) != 1) break;
    for (;;) {
      const ssize_t got = recv(socket.get(), buffer, sizeof buffer, MSG_DONTWAIT);
      if (got <= 0) break;
      wrong += !good({buffer, static_cast<std::size_t>(got)});
      ++answered;
    }
  }
  const double took = duration<double>(Clock::now() - begin).count();
  fmt::print("{:<10} {:.0f} a second: {} queries, {} lost, {} wrong\n", title,
             static_cast<double>(answered) / took, total, total - answered, wrong);
}

// Says yes to everything, without a record.
void serve_world(const Fd& socket) {
  unsigned char buffer[4096];
  for (;;) {
    SocketAddress from;
    const ssize_t got = recvfrom(socket.get(), buffer, sizeof buffer, 0, from.get(), &from.size);
    if (got <= 12) return;  // the end is a datagram that is no query
    buffer[2] |= 0x80;
    (void)sendto(socket.get(), buffer, static_cast<std::size_t>(got), 0, from.get(), from.size);
  }
}

void print_memory(const std::string& socket_path) {
  // The resolver is nobody's child: it is the one with its socket's path on its command line.
  for (const std::string& pid : must(list_directory("/proc"))) {
    if (!parse_integer<int>(pid)) continue;
    Result<std::string> line = read_file("/proc/" + pid + "/cmdline");
    if (!line || line->find("berth-resolver") == std::string::npos ||
        line->find(socket_path) == std::string::npos)
      continue;
    const std::string status = must(read_file("/proc/" + pid + "/status"));
    for (std::string_view text : split(status, '\n'))
      if (text.starts_with("VmRSS:")) fmt::print("memory     {}\n", trim(text.substr(6)));
  }
}

void run(std::size_t rate, std::size_t seconds) {
  enter_own_host();
  const TemporaryDirectory directory = must(TemporaryDirectory::create("names-load"));
  std::string self(4096, '\0');
  self.resize(
      static_cast<std::size_t>(std::max<ssize_t>(readlink("/proc/self/exe", self.data(), self.size()), 0)));
  const Launch launch{.program = self.substr(0, self.rfind('/')) + "/berth-resolver",
                      .socket_path = directory.path() + "/socket",
                      .timeout = std::chrono::seconds(20)};
  auto client = must(Client::connect_or_start(launch));
  Network network{"n1", "backend", {}};
  for (int i = 0; i < kContainers; ++i)
    network.endpoints.push_back({fmt::format("c{}", i),
                                 {fmt::format("service-{}", i)},
                                 {*Address::parse(fmt::format("10.0.{}.{}", i / 250, i % 250))}});
  must(client->set_network(network));
  const SocketAddress world = at("127.0.0.1", 5353);
  const Fd world_socket(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (bind(world_socket.get(), world.get(), world.size) != 0) throw std::runtime_error("cannot bind");
  std::thread server([&] { serve_world(world_socket); });
  const SandboxSockets sockets = must(open_sandbox_sockets());
  must(client->add_sandbox("s1", {.networks = {"n1"}, .servers = {*Server::parse("127.0.0.1:5353")}},
                           &sockets));
  const SocketAddress where = at(kListeningAddress, sockets.udp_port);

  steady(where, rate, seconds);
  at_most(where, "at most", true, 200'000);
  at_most(where, "forwarded", false, 50'000);
  print_memory(launch.socket_path);

  must(client->stop());
  const Fd last = connected_to(world);
  (void)send(last.get(), "end", 3, 0);
  server.join();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const auto rate = argc > 1 ? parse_integer<std::size_t>(argv[1]) : 10'000;
    const auto seconds = argc > 2 ? parse_integer<std::size_t>(argv[2]) : 5;
    if (!rate || !seconds || *rate == 0 || *seconds == 0)
      throw std::runtime_error("usage: names_load [QUERIES-A-SECOND [SECONDS]]");
    run(*rate, *seconds);
  } catch (const std::exception& exception) {
    fmt::print(stderr, "names_load: {}\n", exception.what());
    return 1;
  }
  return 0;
}
