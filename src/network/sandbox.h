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
#include <deque>
#include <mutex>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "netlink/netlink.h"

namespace berth::network {

class Sandbox {
 public:
  static Result<Sandbox> create();  // about 0.3 ms
  // One that lives already: opened from /proc/<pid>/ns/net after the engine's restart.
  static Result<Sandbox> adopt(Fd namespace_descriptor);

  int descriptor() const noexcept { return namespace_.get(); }  // for setns(2), or to pass on
  netlink::Socket& netlink() noexcept { return netlink_; }      // speaks inside the namespace
  Result<void> bring_loopback_up();

 private:
  Sandbox(Fd ns, netlink::Socket netlink) : namespace_(std::move(ns)), netlink_(std::move(netlink)) {}
  Fd namespace_;
  netlink::Socket netlink_;
};

// Keeps `size` sandboxes ready; take() hands one out at once and a thread makes the next.
class SandboxPool {
 public:
  explicit SandboxPool(std::size_t size);
  SandboxPool(const SandboxPool&) = delete;
  SandboxPool& operator=(const SandboxPool&) = delete;
  ~SandboxPool();

  Result<Sandbox> take();  // made on the spot when none is ready
  std::size_t ready() const;

 private:
  void refill(std::stop_token stop);
  const std::size_t size_;
  mutable std::mutex mutex_;
  std::condition_variable_any wanted_;
  std::deque<Sandbox> ready_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace berth::network
