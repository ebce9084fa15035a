// SPDX-License-Identifier: Apache-2.0
// relay_probe epoll|io_uring PORT BACKEND: passes bytes between each client and a connection of its own to
// the backend at 127.0.0.1, with one thread and nothing else, so that what is measured is the way to wait,
// read and write: epoll as the load balancer uses it (edges, a short read says that nothing is left), or
// io_uring as it is meant to be used (receives that go on by themselves into provided buffers, completions
// run by this thread, everything that a round brings submitted at once).
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kPiece = 16 << 10;

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

sockaddr_in local(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int listen_at(int port) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = local(port);
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(listener, 1024) != 0)
    give_up("listen");
  return listener;
}

void make_ready(int descriptor) {
  const int on = 1;
  setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

int connect_to(int port) {
  const int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = local(port);
  if (connect(descriptor, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    give_up("connect");
  make_ready(descriptor);
  return descriptor;
}

// The other end of each descriptor; -1: none any more.
std::vector<int> others;

void pair(int one, int two) {
  const auto most = static_cast<std::size_t>(std::max(one, two));
  if (others.size() <= most) others.resize(most + 1, -1);
  others[static_cast<std::size_t>(one)] = two;
  others[static_cast<std::size_t>(two)] = one;
}

int take_apart(int one) {
  const int two = std::exchange(others[static_cast<std::size_t>(one)], -1);
  if (two >= 0) others[static_cast<std::size_t>(two)] = -1;
  return two;
}

// --- epoll
// -------------------------------------------------------------------------------------------------

void relay_by_epoll(int listener, int backend) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  const auto watch = [&](int descriptor, std::uint32_t events) {
    epoll_event event{.events = events, .data = {.fd = descriptor}};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) give_up("epoll_ctl");
  };
  watch(listener, EPOLLIN);
  std::vector<char> piece(kPiece);
  epoll_event events[256];
  for (;;) {
    const int count = epoll_wait(epoll, events, 256, -1);
    for (int at = 0; at < count; ++at) {
      const int from = events[at].data.fd;
      if (from == listener) {
        const int client = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) continue;
        make_ready(client);
        const int to = connect_to(backend);
        pair(client, to);
        watch(client, EPOLLIN | EPOLLRDHUP | EPOLLET);
        watch(to, EPOLLIN | EPOLLRDHUP | EPOLLET);
        continue;
      }
      if (others[static_cast<std::size_t>(from)] < 0) continue;
      for (;;) {
        const ssize_t got = recv(from, piece.data(), piece.size(), MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN) break;
        if (got <= 0) {
          close(take_apart(from));
          close(from);
          break;
        }
        // Small pieces, which the kernel takes whole.
        if (send(others[static_cast<std::size_t>(from)], piece.data(), static_cast<std::size_t>(got),
                 MSG_NOSIGNAL) != got)
          give_up("send");
        if (static_cast<std::size_t>(got) < piece.size()) break;
      }
    }
  }
}

// --- io_uring
// ----------------------------------------------------------------------------------------------

enum class Kind : std::uint64_t { accept, receive, send };

std::uint64_t label(Kind kind, int descriptor, unsigned buffer = 0) {
  return static_cast<std::uint64_t>(kind) << 56 | static_cast<std::uint64_t>(buffer) << 32 |
         static_cast<std::uint32_t>(descriptor);
}

void relay_by_io_uring(int listener, int backend) {
  constexpr unsigned buffers = 1024;
  io_uring ring;
  io_uring_params parameters{};
  parameters.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
  if (const int made = io_uring_queue_init_params(4096, &ring, &parameters); made < 0) {
    errno = -made;
    give_up("io_uring");
  }
  std::vector<char> memory(buffers * kPiece);
  void* pages = nullptr;
  if (posix_memalign(&pages, 4096, buffers * sizeof(io_uring_buf)) != 0) give_up("memory");
  auto* provided = static_cast<io_uring_buf_ring*>(pages);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uint64_t>(pages);
  registration.ring_entries = buffers;
  if (io_uring_register_buf_ring(&ring, &registration, 0) != 0) give_up("provided buffers");
  io_uring_buf_ring_init(provided);
  const int mask = io_uring_buf_ring_mask(buffers);
  const auto give = [&](unsigned buffer) {
    io_uring_buf_ring_add(provided, memory.data() + buffer * kPiece, kPiece,
                          static_cast<unsigned short>(buffer), mask, 0);
    io_uring_buf_ring_advance(provided, 1);
  };
  for (unsigned buffer = 0; buffer < buffers; ++buffer) give(buffer);

  const auto entry = [&] {
    io_uring_sqe* one = io_uring_get_sqe(&ring);
    if (!one) {
      io_uring_submit(&ring);
      one = io_uring_get_sqe(&ring);
    }
    return one;
  };
  const auto receive = [&](int descriptor) {
    io_uring_sqe* one = entry();
    io_uring_prep_recv_multishot(one, descriptor, nullptr, 0, 0);
    one->flags |= IOSQE_BUFFER_SELECT;
    one->buf_group = 0;
    io_uring_sqe_set_data64(one, label(Kind::receive, descriptor));
  };
  io_uring_sqe* first = entry();
  io_uring_prep_multishot_accept(first, listener, nullptr, nullptr, SOCK_CLOEXEC);
  io_uring_sqe_set_data64(first, label(Kind::accept, listener));

  for (;;) {
    io_uring_submit_and_wait(&ring, 1);
    unsigned head, seen = 0;
    io_uring_cqe* done;
    io_uring_for_each_cqe(&ring, head, done) {
      ++seen;
      const auto kind = static_cast<Kind>(done->user_data >> 56);
      const int descriptor = static_cast<int>(done->user_data & 0xffffffff);
      if (kind == Kind::send) {
        give(static_cast<unsigned>(done->user_data >> 32) & 0xffffff);
      } else if (kind == Kind::accept) {
        if (done->res < 0) continue;
        make_ready(done->res);
        const int to = connect_to(backend);
        pair(done->res, to);
        receive(done->res);
        receive(to);
      } else if (done->res == -ENOBUFS) {
        receive(descriptor);
      } else if (done->res <= 0) {
        const int other = take_apart(descriptor);
        if (other >= 0) shutdown(other, SHUT_RDWR);  // its own receive ends by that
        close(descriptor);
      } else {
        const unsigned buffer = done->flags >> IORING_CQE_BUFFER_SHIFT;
        const int to = others[static_cast<std::size_t>(descriptor)];
        if (to < 0) {
          give(buffer);
        } else {
          io_uring_sqe* one = entry();
          io_uring_prep_send(one, to, memory.data() + buffer * kPiece, static_cast<std::size_t>(done->res),
                             MSG_NOSIGNAL);
          io_uring_sqe_set_data64(one, label(Kind::send, to, buffer));
        }
        if (!(done->flags & IORING_CQE_F_MORE)) receive(descriptor);
      }
    }
    io_uring_cq_advance(&ring, seen);
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::fprintf(stderr, "usage: relay_probe epoll|io_uring PORT BACKEND\n");
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  const int listener = listen_at(std::atoi(arguments[2]));
  const int backend = std::atoi(arguments[3]);
  if (std::string_view(arguments[1]) == "io_uring")
    relay_by_io_uring(listener, backend);
  else
    relay_by_epoll(listener, backend);
}
