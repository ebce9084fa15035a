// SPDX-License-Identifier: Apache-2.0
// A container's network namespace, owned through a descriptor, and a pool of ready ones.
//
// Lifecycle: created (empty but for `lo`, which is up) -> networks attach interfaces -> the container's first
// process enters it by descriptor -> the last holder (this object, a process, a mount) lets go, and the
// kernel removes the namespace with all its interfaces in the background. That is much cheaper than deleting
// them.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "names/client.h"
#include "netlink/netlink.h"

namespace berth::network {

// An interface that waits in a sandbox for its address: the slow part of attaching, done ahead of time.
struct PreparedInterface {
  std::uint32_t bridge = 0;  // index of the bridge, on the host
  std::uint32_t index = 0;   // inside
  std::string name;          // inside
  std::string host_name;
};

// The resolver's sockets, made anew in a container's namespace; those of before lead nowhere then.
Result<names::SandboxSockets> open_name_sockets(int namespace_descriptor);

// IPv6 on an interface that is down and has none: new ones have none (a network without IPv6 shall not have
// it by link-local addresses either). Neighbours' router advertisements are not listened to.
// ErrorKind::unsupported where the kernel has no IPv6.
Result<void> enable_ipv6(int namespace_descriptor, const std::string& interface_name);

class Sandbox {
 public:
  static Result<Sandbox> create();  // about 0.3 ms
  // One that lives already: opened from /proc/<pid>/ns/net after the engine's restart.
  static Result<Sandbox> adopt(Fd namespace_descriptor);

  Result<Fd> share() const { return namespace_.duplicate(); }   // holds the namespace as well
  int descriptor() const noexcept { return namespace_.get(); }  // for setns(2), or to pass on
  netlink::Socket& netlink() noexcept { return netlink_; }      // speaks inside the namespace

  // Of the resolver, inside; handed to it when the container starts. None where the kernel lacks what it
  // takes.
  std::optional<names::SandboxSockets> name_sockets;

  // Set by BridgeNetwork::prepare(), consumed by its attach().
  std::optional<PreparedInterface> prepared;

 private:
  Sandbox(Fd ns, netlink::Socket netlink) : namespace_(std::move(ns)), netlink_(std::move(netlink)) {}
  Fd namespace_;
  netlink::Socket netlink_;
};

// Keeps `size` sandboxes ready; take() hands one out at once and a thread makes the next.
//
// With `prepare`, each is also made ready for one network; that network must outlive the pool. Take those for
// containers on that network alone: one that shall have no network gets its sandbox from another pool.
class SandboxPool {
 public:
  using Prepare = std::function<Result<void>(Sandbox&)>;
  explicit SandboxPool(std::size_t size, Prepare prepare = {});
  SandboxPool(const SandboxPool&) = delete;
  SandboxPool& operator=(const SandboxPool&) = delete;
  ~SandboxPool();

  Result<Sandbox> take();  // made on the spot when none is ready
  std::size_t ready() const;

 private:
  void refill(std::stop_token stop);
  Result<Sandbox> make();
  const std::size_t size_;
  const Prepare prepare_;
  mutable std::mutex mutex_;
  std::condition_variable_any wanted_;
  std::deque<Sandbox> ready_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace berth::network
