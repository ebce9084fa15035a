// SPDX-License-Identifier: Apache-2.0
#include "network/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include <cerrno>

#include "base/file.h"
#include "base/log.h"
#include "network/name_redirect.h"

namespace berth::network {
namespace {

constexpr std::uint32_t kLoopback = 1;  // its index in every namespace
constexpr std::chrono::seconds kRetryPause(1);

struct Made {
  Fd ns;
  netlink::Socket netlink;
  std::optional<names::SandboxSockets> name_sockets;
};

Result<names::SandboxSockets> open_name_sockets_here() {
  names::SandboxSockets sockets = TRY(names::open_sandbox_sockets());
  TRY(redirect_names(netlink::Ipv4Address::parse(names::kListeningAddress)->value, sockets.udp_port,
                     sockets.tcp_port));
  return sockets;
}

Result<void> bring_up_loopback(netlink::Socket& netlink) {
  netlink::Batch batch;
  batch.change_link(kLoopback, {.up = true});
  return netlink.execute(batch);
}

// On a thread that ends after this: unshare(2) moves only the thread that calls it.
Result<Made> make_in_this_thread() {
  if (unshare(CLONE_NEWNET) != 0) return fail_errno(errno, "create a network namespace");
  Fd ns = TRY(open_file("/proc/thread-self/ns/net", O_RDONLY));
  netlink::Socket netlink = TRY(netlink::Socket::open());
  // Interfaces without an IPv6 network of their own get no link-local address: neighbours would reach each
  // other past all IPv4 rules. A kernel without IPv6 lacks the file.
  (void)write_existing("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
  TRY(bring_up_loopback(netlink));
  Made made{std::move(ns), std::move(netlink), std::nullopt};
  if (Result<names::SandboxSockets> sockets = open_name_sockets_here())
    made.name_sockets = std::move(*sockets);
  else
    log_warning("network", "a container has no resolver of its own: {}", sockets.error().message);
  return made;
}

// setns(2) moves the thread that calls it, and this one ends.
Result<void> run_inside(int namespace_descriptor, const std::function<void()>& work) {
  int code = 0;
  std::thread([&] {
    if (setns(namespace_descriptor, CLONE_NEWNET) != 0)
      code = errno;
    else
      work();
  }).join();
  if (code != 0) return fail_errno(code, "enter a container's network");
  return {};
}

Result<void> enable_ipv6_here(const std::string& interface_name) {
  const std::string settings = "/proc/sys/net/ipv6/conf/" + interface_name;
  for (const char* never : {"/accept_ra", "/autoconf", "/accept_redirects"})
    (void)write_existing(settings + never, "0");
  Result<void> enabled = write_existing(settings + "/disable_ipv6", "0");
  if (!enabled && enabled.error().code == ENOENT)
    return fail(ErrorKind::unsupported, "this kernel has no IPv6");
  return enabled;
}

}  // namespace

Result<names::SandboxSockets> open_name_sockets(int namespace_descriptor) {
  Result<names::SandboxSockets> sockets = fail(ErrorKind::system, "enter a container's network");
  TRY(run_inside(namespace_descriptor, [&] { sockets = open_name_sockets_here(); }));
  return sockets;
}

Result<void> enable_ipv6(int namespace_descriptor, const std::string& interface_name) {
  Result<void> enabled;
  TRY(run_inside(namespace_descriptor, [&] { enabled = enable_ipv6_here(interface_name); }));
  return enabled;
}

Result<Sandbox> Sandbox::create() {
  Result<Made> made = fail(ErrorKind::system, "create a network namespace");
  std::thread([&] { made = make_in_this_thread(); }).join();
  if (!made) return std::unexpected(std::move(made).error());
  Sandbox sandbox(std::move(made->ns), std::move(made->netlink));
  sandbox.name_sockets = std::move(made->name_sockets);
  return sandbox;
}

Result<Sandbox> Sandbox::adopt(Fd namespace_descriptor) {
  netlink::Socket netlink = TRY(netlink::Socket::open_in(namespace_descriptor.get()));
  return Sandbox(std::move(namespace_descriptor), std::move(netlink));
}

SandboxPool::SandboxPool(std::size_t size, Prepare prepare)
    : size_(size),
      prepare_(std::move(prepare)),
      thread_([this](std::stop_token stop) { refill(std::move(stop)); }) {}

SandboxPool::~SandboxPool() = default;

Result<Sandbox> SandboxPool::take() {
  {
    std::lock_guard lock(mutex_);
    if (!ready_.empty()) {
      Sandbox sandbox = std::move(ready_.front());
      ready_.pop_front();
      wanted_.notify_all();
      return sandbox;
    }
  }
  return Sandbox::create();
}

std::size_t SandboxPool::ready() const {
  std::lock_guard lock(mutex_);
  return ready_.size();
}

Result<Sandbox> SandboxPool::make() {
  Sandbox sandbox = TRY(Sandbox::create());
  if (!prepare_) return sandbox;
  // Not prepared, it is of use all the same.
  if (Result<void> prepared = prepare_(sandbox); !prepared)
    log_warning("network", "a sandbox is not prepared: {}", prepared.error().message);
  return sandbox;
}

void SandboxPool::refill(std::stop_token stop) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the program's signals are not this thread's business
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (ready_.size() >= size_) {
      wanted_.wait(lock, stop, [this] { return ready_.size() < size_; });
      continue;
    }
    lock.unlock();
    Result<Sandbox> made = make();
    lock.lock();
    if (made) {
      ready_.push_back(std::move(*made));
      continue;
    }
    log_warning("network", "no sandbox is made ahead: {}", made.error().message);
    wanted_.wait_for(lock, stop, kRetryPause, [] { return false; });
  }
}

}  // namespace berth::network
