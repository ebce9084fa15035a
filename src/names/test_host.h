// SPDX-License-Identifier: Apache-2.0
// For the tests of this room alone: a whole resolver with real sockets, a container's questions on one side,
// servers that answer, keep silent and lie on the other. Every test has a network namespace of its own.
#pragma once
#include <gmock/gmock.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "base/file.h"
#include "names/client.h"
#include "names/resolver.h"
#include "names/test_support.h"

namespace berth::names {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

inline constexpr int kPatience = 20'000;  // milliseconds, for what has to come

template <class Body>
void on_own_host(Body body) {
  std::thread([&] {
    try {
      ASSERT_EQ(unshare(CLONE_NEWNET), 0) << "this test needs CAP_SYS_ADMIN";
      Fd any(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      ifreq request{};
      std::strcpy(request.ifr_name, "lo");
      request.ifr_flags = IFF_UP;
      ASSERT_EQ(ioctl(any.get(), SIOCSIFFLAGS, &request), 0);
      body();
    } catch (const std::exception& exception) {
      ADD_FAILURE() << exception.what();
    }
  }).join();
}

inline bool readable(int socket, int milliseconds) {
  pollfd polled{socket, POLLIN, 0};
  return poll(&polled, 1, milliseconds) == 1;
}

inline SocketAddress at(const std::string& address, std::uint16_t port) {
  Server server = *Server::parse(address);
  server.port = port;
  return socket_address(server);
}

inline Fd bound(int type, const std::string& address, std::uint16_t port) {
  const SocketAddress where = at(address, port);
  Fd socket(::socket(where.get()->sa_family, type | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(socket.get(), where.get(), where.size) != 0) throw std::runtime_error("cannot bind to " + address);
  return socket;
}

inline std::optional<Message> receive(int socket, int milliseconds = kPatience) {
  if (!readable(socket, milliseconds)) return std::nullopt;
  Message message(kLargestMessage);
  const ssize_t got = recv(socket, message.data(), message.size(), 0);
  if (got < 0) return std::nullopt;
  message.resize(static_cast<std::size_t>(got));
  return message;
}

// --- the other side: a server of the world, as a test wants it ---

inline Message answer_of_upstream(const Message& query, const std::string& address, std::size_t records = 1) {
  const auto parsed = parse_query(query);
  if (!parsed) throw std::runtime_error("the upstream server got a malformed query");
  Message out(kLargestMessage);
  AnswerWriter writer(query, *parsed, kLargestMessage, out);
  for (std::size_t i = 0; i < records; ++i) writer.add_address(*Address::parse(address), 60);
  out.resize(writer.finish(Rcode::no_error, false));
  return out;
}

class Upstream {
 public:
  // What to say to a query; several messages, or none. Runs on the server's thread.
  using Behaviour = std::function<std::vector<Message>(const Message& query)>;

  Upstream(const std::string& address, std::uint16_t port, Behaviour behaviour)
      : udp_(bound(SOCK_DGRAM, address, port)),
        tcp_(bound(SOCK_STREAM, address, port)),
        behaviour_(std::move(behaviour)),
        server_(*Server::parse(fmt::format("{}:{}", address, port))) {
    if (listen(tcp_.get(), 16) != 0) throw std::runtime_error("cannot listen");
    stop_ = must(make_pipe());
    thread_ = std::thread([this] { serve(); });
  }
  ~Upstream() {
    stop_.write.reset();
    thread_.join();
  }
  const Server& server() const { return server_; }
  int datagrams() const { return datagrams_; }
  int streams() const { return streams_; }

 private:
  void serve() {
    for (;;) {
      pollfd polled[] = {{stop_.read.get(), POLLIN, 0}, {udp_.get(), POLLIN, 0}, {tcp_.get(), POLLIN, 0}};
      poll(polled, 3, -1);
      if (polled[0].revents) return;
      if (polled[1].revents) on_datagram();
      if (polled[2].revents) on_stream();
    }
  }
  void on_datagram() {
    Message query(kLargestMessage);
    SocketAddress from;
    const ssize_t got = recvfrom(udp_.get(), query.data(), query.size(), 0, from.get(), &from.size);
    if (got < 0) return;
    query.resize(static_cast<std::size_t>(got));
    ++datagrams_;
    for (const Message& answer : behaviour_(query))
      sendto(udp_.get(), answer.data(), answer.size(), 0, from.get(), from.size);
  }
  void on_stream() {
    Fd client(accept4(tcp_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char length[2];
    if (!read_exactly(client.get(), length)) return;
    Message query(static_cast<std::size_t>(static_cast<unsigned char>(length[0]) << 8 |
                                           static_cast<unsigned char>(length[1])));
    if (!read_exactly(client.get(), {reinterpret_cast<char*>(query.data()), query.size()})) return;
    ++streams_;
    for (const Message& answer : behaviour_(query)) {
      Message framed;
      append16(framed, answer.size());
      framed.insert(framed.end(), answer.begin(), answer.end());
      (void)write_all(client.get(), {reinterpret_cast<const char*>(framed.data()), framed.size()});
    }
  }

  Fd udp_, tcp_;
  Behaviour behaviour_;
  Server server_;
  Pipe stop_;
  std::atomic<int> datagrams_ = 0, streams_ = 0;
  std::thread thread_;
};

inline Upstream::Behaviour says(const std::string& address, std::size_t records = 1) {
  return
      [=](const Message& query) { return std::vector<Message>{answer_of_upstream(query, address, records)}; };
}
inline std::vector<Message> keeps_silent(const Message&) { return {}; }

// --- a resolver on a thread, with one container ---

struct Host {
  explicit Host(std::function<void(ResolverSettings&)> change = {}) {
    settings.socket_path = directory.path() + "/resolver.sock";
    settings.resolv_conf = {directory.path() + "/resolv.conf", directory.path() + "/systemd"};
    settings.forwarding.attempt = 300ms;
    settings.forwarding.total = 1200ms;
    if (change) change(settings);
    resolver = must(Resolver::open(settings));
    thread = std::thread([this] {
      must(resolver->run());
      resolver.reset();
    });
    client = must(Client::connect(settings.socket_path, 20s));
    must(client->set_network({"n1", "backend", {{"c1", {"web"}, {*Address::parse("10.0.0.2")}}}}));
    sockets = must(open_sandbox_sockets());
    view = {.networks = {"n1"}};
  }
  ~Host() {
    if (!thread.joinable()) return;
    (void)client->stop();
    thread.join();
  }
  void add_sandbox() { must(client->add_sandbox("s1", view, &sockets)); }
  void add_sandbox(std::vector<Server> servers) {
    view.servers = std::move(servers);
    add_sandbox();
  }

  TemporaryDirectory directory = must(TemporaryDirectory::create("names"));
  ResolverSettings settings;
  std::unique_ptr<Resolver> resolver;
  std::thread thread;
  std::unique_ptr<Client> client;
  SandboxSockets sockets;
  View view;
};

inline Fd client_socket(const Host& host, int type = SOCK_DGRAM) {
  const bool udp = type == SOCK_DGRAM;
  const SocketAddress where = at(kListeningAddress, udp ? host.sockets.udp_port : host.sockets.tcp_port);
  Fd socket(::socket(AF_INET, type | SOCK_CLOEXEC, 0));
  if (connect(socket.get(), where.get(), where.size) != 0)
    throw std::runtime_error("cannot connect to the resolver");
  return socket;
}

inline void send_datagram(int socket, const Message& message) {
  if (send(socket, message.data(), message.size(), 0) < 0) throw std::runtime_error("cannot send");
}

inline Answer ask(const Host& host, std::string_view name, const Asked& asked = {}) {
  const Fd socket = client_socket(host);
  send_datagram(socket.get(), make_query(name, asked));
  const std::optional<Message> answer = receive(socket.get());
  if (!answer) throw std::runtime_error("there is no answer");
  return read_answer(*answer);
}

inline void send_framed(int socket, const Message& message) {
  Message framed;
  append16(framed, message.size());
  framed.insert(framed.end(), message.begin(), message.end());
  must(write_all(socket, {reinterpret_cast<const char*>(framed.data()), framed.size()}));
}

inline Answer receive_framed(int socket) {
  if (!readable(socket, kPatience)) throw std::runtime_error("there is no answer");
  char length[2];
  must(read_exactly(socket, length));
  Message message(static_cast<std::size_t>(static_cast<unsigned char>(length[0]) << 8 |
                                           static_cast<unsigned char>(length[1])));
  must(read_exactly(socket, {reinterpret_cast<char*>(message.data()), message.size()}));
  return read_answer(message);
}

template <class Condition>
bool eventually(Condition condition) {
  for (const auto end = steady_clock::now() + std::chrono::milliseconds(kPatience); steady_clock::now() < end;
       std::this_thread::sleep_for(5ms))
    if (condition()) return true;
  return false;
}

// Closed by the other side, and nothing left to read.
inline bool hung_up(int socket) {
  char byte;
  if (!readable(socket, kPatience)) return false;
  return recv(socket, &byte, 1, 0) <= 0;
}

}  // namespace berth::names
