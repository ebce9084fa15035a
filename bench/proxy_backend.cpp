// SPDX-License-Identifier: Apache-2.0
// proxy_backend PORT...: what stands behind a load balancer that is measured. One thread, and as little work
// as can be.
//
//   GET /          1 KiB, and the port in X-Backend
//   GET /bytes/<n> so many bytes
//   POST           reads a body whose length is told, and answers 200
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

constexpr std::size_t kPiece = 256 << 10;

struct Client {
  int descriptor = -1;
  std::uint16_t port = 0;
  std::string input;
  std::uint64_t body_left = 0;    // of a request
  std::uint64_t answer_left = 0;  // of a large answer
  bool closes = false;
};

struct Server {
  int poller = epoll_create1(EPOLL_CLOEXEC);
  std::unordered_map<int, std::uint16_t> listeners;
  std::unordered_map<int, std::unique_ptr<Client>> clients;
  std::unordered_map<std::uint16_t, std::string> answers;
  std::vector<char> piece = std::vector<char>(kPiece, 'x');
};

void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

std::string answer_of(std::uint16_t port, std::uint64_t length) {
  return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(length) +
         "\r\nX-Backend: " + std::to_string(port) + "\r\n\r\n";
}

void listen_at(Server& server, std::uint16_t port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 4096) != 0)
    give_up("listen");
  server.listeners[listener] = port;
  server.answers[port] = answer_of(port, 1024) + std::string(1024, 'k');
  epoll_event event{.events = EPOLLIN, .data = {.fd = listener}};
  epoll_ctl(server.poller, EPOLL_CTL_ADD, listener, &event);
}

void accept_all(Server& server, int listener) {
  for (;;) {
    const int accepted = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (accepted < 0) return;
    const int on = 1;
    setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto client = std::make_unique<Client>();
    client->descriptor = accepted;
    client->port = server.listeners[listener];
    server.clients[accepted] = std::move(client);
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data = {.fd = accepted}};
    epoll_ctl(server.poller, EPOLL_CTL_ADD, accepted, &event);
  }
}

std::uint64_t number_behind(std::string_view text, std::string_view name) {
  const std::size_t at = text.find(name);
  std::uint64_t number = 0;
  if (at != std::string_view::npos)
    std::from_chars(text.data() + at + name.size(), text.data() + text.size(), number);
  return number;
}

bool send_all(const Client& client, std::string_view text) {
  return send(client.descriptor, text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

// What there is of a large answer's room. False: the connection is broken.
bool send_large(Server& server, Client& client) {
  while (client.answer_left > 0) {
    const std::size_t most = std::min<std::uint64_t>(client.answer_left, kPiece);
    const ssize_t sent = send(client.descriptor, server.piece.data(), most, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    client.answer_left -= static_cast<std::uint64_t>(sent);
  }
  return true;
}

bool answer(Server& server, Client& client) { return send_all(client, server.answers[client.port]); }

// One request's head.
bool begin_request(Server& server, Client& client, std::string_view head) {
  // Names as wrk, the clients here, and all that is measured write or keep them, and in lower case.
  client.closes = head.find("onnection: close") != std::string_view::npos;
  if (head.starts_with("POST")) {
    client.body_left =
        std::max(number_behind(head, "Content-Length: "), number_behind(head, "content-length: "));
    return client.body_left > 0 || answer(server, client);
  }
  if (!head.starts_with("GET /bytes/")) return answer(server, client);
  client.answer_left = number_behind(head, "GET /bytes/");
  return send_all(client, answer_of(client.port, client.answer_left)) && send_large(server, client);
}

bool take_body(Server& server, Client& client, std::size_t& at, std::size_t end) {
  const std::size_t taken = std::min<std::uint64_t>(end - at, client.body_left);
  at += taken;
  client.body_left -= taken;
  return client.body_left > 0 || answer(server, client);
}

bool take(Server& server, Client& client, std::string_view data) {
  std::size_t at = 0;
  if (client.body_left > 0 && client.input.empty() && !take_body(server, client, at, data.size()))
    return false;
  client.input.append(data.substr(at));
  at = 0;
  while (client.answer_left == 0 && at < client.input.size()) {
    if (client.body_left > 0) {
      if (!take_body(server, client, at, client.input.size())) return false;
      continue;
    }
    const std::size_t end = client.input.find("\r\n\r\n", at);
    if (end == std::string::npos) break;
    if (!begin_request(server, client, std::string_view(client.input).substr(at, end + 2 - at))) return false;
    at = end + 4;
  }
  client.input.erase(0, at);
  return true;
}

bool go_on(Server& server, Client& client) {
  static thread_local std::vector<char> room(kPiece);
  if (!send_large(server, client)) return false;
  for (;;) {
    const ssize_t count = recv(client.descriptor, room.data(), room.size(), 0);
    if (count < 0) return errno == EAGAIN;
    if (count == 0) return false;
    if (!take(server, client, {room.data(), static_cast<std::size_t>(count)})) return false;
    if (client.closes && client.answer_left == 0 && client.body_left == 0) return false;
    if (static_cast<std::size_t>(count) < room.size()) return true;
  }
}

void close_client(Server& server, int descriptor) {
  close(descriptor);
  server.clients.erase(descriptor);
}

}  // namespace

int main(int count, char** arguments) {
  Server server;
  for (int at = 1; at < count; ++at) listen_at(server, static_cast<std::uint16_t>(std::atoi(arguments[at])));
  std::vector<epoll_event> events(512);
  for (;;) {
    const int ready = epoll_wait(server.poller, events.data(), static_cast<int>(events.size()), -1);
    for (int at = 0; at < ready; ++at) {
      const int descriptor = events[static_cast<std::size_t>(at)].data.fd;
      if (server.listeners.contains(descriptor)) {
        accept_all(server, descriptor);
      } else if (const auto found = server.clients.find(descriptor); found != server.clients.end()) {
        if (!go_on(server, *found->second)) close_client(server, descriptor);
      }
    }
  }
}
