// SPDX-License-Identifier: Apache-2.0
// What asks a load balancer that is measured, on 127.0.0.1; where it is not wrk that does.
//
//   proxy_client connections PORT HOST SECONDS THREADS    TLS connections, each a full handshake and one
//   request of
//                                                         HTTP/1.1. Prints how many.
//   proxy_client rate PORT HOST RATE SECONDS CONNECTIONS  requests at that rate, whether or not answers come:
//   what has to
//                                                         wait for a connection waits in its own time. Prints
//                                                         how many, and 50 %, 99 %, 99.9 % and the longest in
//                                                         microseconds.
//   proxy_client get|post PORT HOST BYTES                 a large body. Prints the seconds.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Target {
  std::uint16_t port = 0;
  std::string host;
};

[[noreturn]] void give_up(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

int connected(const Target& target) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(target.port);
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    give_up("connect");
  return descriptor;
}

std::string request_for(const Target& target, const std::string& more = "") {
  return "GET / HTTP/1.1\r\nHost: " + target.host + "\r\n" + more + "\r\n";
}

// --- TLS connections

// False when it was not answered with 200.
bool one_connection(SSL_CTX* context, const Target& target, const std::string& request) {
  const int descriptor = connected(target);
  SSL* tls = SSL_new(context);
  SSL_set_fd(tls, descriptor);
  SSL_set_tlsext_host_name(tls, target.host.c_str());
  bool good =
      SSL_connect(tls) == 1 && !SSL_session_reused(tls) &&
      SSL_write(tls, request.data(), static_cast<int>(request.size())) == static_cast<int>(request.size());
  char buffer[8192];
  int count = good ? SSL_read(tls, buffer, sizeof buffer) : 0;
  good = count > 12 && std::string_view(buffer, 12).ends_with(" 200");
  while (count > 0) count = SSL_read(tls, buffer, sizeof buffer);
  SSL_free(tls);
  close(descriptor);
  return good;
}

void connections(const Target& target, double seconds, int threads) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  const std::string request = request_for(target, "Connection: close\r\n");
  const Clock::time_point end =
      Clock::now() + std::chrono::microseconds(static_cast<std::int64_t>(seconds * 1e6));
  std::atomic<std::uint64_t> good{0}, bad{0};
  std::vector<std::jthread> running;
  for (int at = 0; at < threads; ++at)
    running.emplace_back([&] {
      while (Clock::now() < end) ++(one_connection(context, target, request) ? good : bad);
    });
  running.clear();
  SSL_CTX_free(context);
  if (bad > 0) throw std::runtime_error(std::to_string(bad) + " connections failed");
  std::printf("%llu\n", static_cast<unsigned long long>(good));
}

// --- requests at a rate

struct Connection {
  int descriptor = -1;
  std::uint64_t left = 0;  // of the answer's body
  std::string head;
  Clock::time_point due;  // when what it waits for was to be asked
  bool busy = false;
};

class Rate {
 public:
  Rate(const Target& target, double rate, double seconds, std::size_t count)
      : request_(request_for(target)), gap_(1e9 / rate), total_(static_cast<std::uint64_t>(rate * seconds)) {
    connections_.resize(count);
    for (std::size_t at = 0; at < count; ++at) {
      connections_[at].descriptor = connected(target);
      epoll_event event{.events = EPOLLIN, .data = {.u64 = at}};
      epoll_ctl(poller_, EPOLL_CTL_ADD, connections_[at].descriptor, &event);
      free_.push_back(at);
    }
    times_.reserve(total_);
  }

  void run() {
    const Clock::time_point begin = Clock::now();
    std::vector<epoll_event> events(256);
    std::uint64_t scheduled = 0;
    while (times_.size() < total_) {
      const Clock::time_point now = Clock::now();
      for (; scheduled < total_ && due(begin, scheduled) <= now; ++scheduled)
        waiting_.push_back(due(begin, scheduled));
      while (!waiting_.empty() && !free_.empty()) ask();
      timespec pause{.tv_sec = 1, .tv_nsec = 0};
      if (scheduled < total_) {
        const auto left = std::max(due(begin, scheduled) - Clock::now(), Clock::duration::zero());
        pause = {.tv_sec = 0, .tv_nsec = std::min<long>(std::chrono::nanoseconds(left).count(), 999'999'999)};
      }
      const int ready =
          epoll_pwait2(poller_, events.data(), static_cast<int>(events.size()), &pause, nullptr);
      if (ready == 0 && scheduled == total_) throw std::runtime_error("an answer did not come");
      for (int at = 0; at < ready; ++at) read_answer(events[static_cast<std::size_t>(at)].data.u64);
    }
    tell();
  }

 private:
  Clock::time_point due(Clock::time_point begin, std::uint64_t number) const {
    return begin + std::chrono::nanoseconds(static_cast<std::int64_t>(gap_ * static_cast<double>(number)));
  }

  void ask() {
    Connection& one = connections_[free_.back()];
    free_.pop_back();
    one.due = waiting_.front();
    waiting_.pop_front();
    one.busy = true;
    if (send(one.descriptor, request_.data(), request_.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request_.size()))
      give_up("send");
  }

  void read_answer(std::size_t at) {
    Connection& one = connections_[at];
    char buffer[16384];
    const ssize_t count = recv(one.descriptor, buffer, sizeof buffer, 0);
    if (count <= 0) give_up("the connection was ended");
    std::string_view data(buffer, static_cast<std::size_t>(count));
    if (one.left == 0) {
      one.head.append(data);
      const std::size_t end = one.head.find("\r\n\r\n");
      if (end == std::string::npos) return;
      if (one.head.find(" 200") != 8) throw std::runtime_error("answered: " + one.head.substr(0, 60));
      std::size_t length = one.head.find("ontent-Length: ");
      if (length == std::string::npos) length = one.head.find("ontent-length: ");
      if (length == std::string::npos) throw std::runtime_error("an answer without a length");
      one.left = std::strtoull(one.head.c_str() + length + 15, nullptr, 10);
      data = data.substr(data.size() - (one.head.size() - end - 4));
      one.head.clear();
    }
    one.left -= std::min<std::uint64_t>(one.left, data.size());
    if (one.left > 0) return;
    one.busy = false;
    times_.push_back(std::chrono::duration<double, std::micro>(Clock::now() - one.due).count());
    free_.push_back(at);
  }

  void tell() {
    std::sort(times_.begin(), times_.end());
    const auto at = [&](double part) {
      return times_[static_cast<std::size_t>(part * static_cast<double>(times_.size() - 1))];
    };
    std::printf("%zu %.1f %.1f %.1f %.1f\n", times_.size(), at(0.5), at(0.99), at(0.999), at(1));
  }

  const std::string request_;
  const double gap_;
  const std::uint64_t total_;
  const int poller_ = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Connection> connections_;
  std::vector<std::size_t> free_;
  std::deque<Clock::time_point> waiting_;
  std::vector<double> times_;
};

// --- large bodies

// The answer to its end; how many bytes came behind the head.
std::uint64_t read_to_length(int descriptor, std::uint64_t expected) {
  std::vector<char> buffer(1 << 20);
  std::string head;
  std::size_t end = std::string::npos;
  while (end == std::string::npos) {
    const ssize_t count = recv(descriptor, buffer.data(), buffer.size(), 0);
    if (count <= 0) give_up("no answer");
    head.append(buffer.data(), static_cast<std::size_t>(count));
    end = head.find("\r\n\r\n");
  }
  if (head.find(" 200") != 8) throw std::runtime_error("answered: " + head.substr(0, 60));
  std::uint64_t seen = head.size() - end - 4;
  while (seen < expected) {
    const ssize_t count = recv(descriptor, buffer.data(), buffer.size(), 0);
    if (count <= 0) give_up("cut");
    seen += static_cast<std::uint64_t>(count);
  }
  return seen;
}

void large(const Target& target, bool upload, std::uint64_t bytes) {
  const Clock::time_point begin = Clock::now();
  const int descriptor = connected(target);
  const std::string head =
      upload ? "POST / HTTP/1.1\r\nHost: " + target.host + "\r\nContent-Length: " + std::to_string(bytes) +
                   "\r\n\r\n"
             : "GET /bytes/" + std::to_string(bytes) + " HTTP/1.1\r\nHost: " + target.host + "\r\n\r\n";
  if (send(descriptor, head.data(), head.size(), MSG_NOSIGNAL) < 0) give_up("send");
  const std::vector<char> piece(1 << 20, 'u');
  for (std::uint64_t left = upload ? bytes : 0; left > 0;) {
    const ssize_t sent =
        send(descriptor, piece.data(), std::min<std::uint64_t>(left, piece.size()), MSG_NOSIGNAL);
    if (sent <= 0) give_up("send");
    left -= static_cast<std::uint64_t>(sent);
  }
  read_to_length(descriptor, upload ? 1024 : bytes);
  close(descriptor);
  std::printf("%.6f\n", std::chrono::duration<double>(Clock::now() - begin).count());
}

int run(const std::vector<std::string>& words) {
  if (words.size() < 5) throw std::runtime_error("the head of proxy_client.cpp says how");
  const Target target{.port = static_cast<std::uint16_t>(std::stoi(words[2])), .host = words[3]};
  if (words[1] == "connections")
    connections(target, std::stod(words[4]), std::stoi(words.at(5)));
  else if (words[1] == "rate")
    Rate(target, std::stod(words[4]), std::stod(words.at(5)), std::stoul(words.at(6))).run();
  else
    large(target, words[1] == "post", std::stoull(words[4]));
  return 0;
}

}  // namespace

int main(int count, char** arguments) {
  signal(SIGPIPE, SIG_IGN);
  try {
    return run({arguments, arguments + count});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "proxy_client: %s\n", error.what());
    return 1;
  }
}
