// SPDX-License-Identifier: Apache-2.0
// What this room's tests share: a server on a unix socket in a directory of its own, and raw clients for it.
#pragma once
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <string>

#include "base/file.h"
#include "http/client.h"
#include "http/server.h"

namespace berth::http {

template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

class RunningServer {
 public:
  explicit RunningServer(Handler handler, Limits limits = {})
      : directory_(must(TemporaryDirectory::create("http"))), path(directory_.path() + "/s") {
    std::vector<Listener> listeners;
    listeners.push_back(must(listen_unix(path, 0600)));
    must(server.start(std::move(listeners), std::move(handler), limits));
  }
  Client client() const { return Client(must(Endpoint::parse("unix://" + path))); }

 private:
  TemporaryDirectory directory_;

 public:
  const std::string path;
  Server server;
};

// A client that says exactly what it is told.
class RawClient {
 public:
  explicit RawClient(const RunningServer& server) : socket(must(connect_unix(server.path))) {
    timeval patience{10, 0};
    setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  }
  RawClient& say(std::string_view bytes) {
    (void)!::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return *this;
  }
  RawClient& end() {
    ::shutdown(socket.get(), SHUT_WR);
    return *this;
  }
  // Everything until the server closes.
  std::string rest() {
    std::string all;
    char buffer[4096];
    for (ssize_t got; (got = recv(socket.get(), buffer, sizeof buffer, 0)) > 0;)
      all.append(buffer, static_cast<std::size_t>(got));
    return all;
  }
  // Until `text` has been seen.
  std::string until(std::string_view text) {
    std::string all;
    char byte;
    while (all.find(text) == std::string::npos && recv(socket.get(), &byte, 1, 0) == 1) all += byte;
    return all;
  }
  Fd socket;
};

inline void echo(Exchange& exchange) {
  Result<std::string> body = exchange.read_body_whole(1 << 20);
  if (!body)
    (void)exchange.respond(400, {}, body.error().message);
  else
    (void)exchange.respond(200, {}, exchange.request().method + " " + exchange.request().path + " " + *body);
}

}  // namespace berth::http
