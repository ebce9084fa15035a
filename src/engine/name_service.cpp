// SPDX-License-Identifier: Apache-2.0
#include "engine/name_service.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "netlink/ipv4.h"
#include "network/name_redirect.h"

namespace berth::engine {
namespace {

constexpr std::chrono::seconds kWatch(2);

// New sockets for a container that runs: the old ones went with the resolver that had them.
Result<names::SandboxSockets> open_sockets_of(int process) {
  Fd ns = TRY(open_file(fmt::format("/proc/{}/ns/net", process), O_RDONLY));
  Result<names::SandboxSockets> sockets = fail(ErrorKind::system, "enter a container's network");
  std::thread([&] {  // setns(2) moves the thread that calls it, and this one ends
    if (setns(ns.get(), CLONE_NEWNET) != 0) {
      sockets = fail_errno(errno, "enter a container's network");
      return;
    }
    sockets = names::open_sandbox_sockets();
    if (!sockets) return;
    const std::uint32_t address = netlink::Ipv4Address::parse(names::kListeningAddress)->value;
    if (Result<void> redirected = network::redirect_names(address, sockets->udp_port, sockets->tcp_port);
        !redirected)
      sockets = std::unexpected(std::move(redirected).error());
  })
      .join();
  return sockets;
}

bool lost(const Error& error) {
  return error.kind == ErrorKind::unavailable || error.kind == ErrorKind::timeout;
}

}  // namespace

NameService::NameService(names::Launch launch) : launch_(std::move(launch)) {
  if (!launch_.program.empty() && !exists(launch_.program)) {
    log_warning("names", "containers do not find each other by name: there is no {}", launch_.program);
    launch_.program.clear();
  }
  if (!launch_.program.empty())
    watcher_ = std::jthread([this](std::stop_token stop) { watch(std::move(stop)); });
}

NameService::~NameService() = default;

// One that died is replaced soon, and not only when the next container starts.
void NameService::watch(std::stop_token stop) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the program's signals are not this thread's business
  std::mutex sleeping;
  std::condition_variable_any woken;
  while (!stop.stop_requested()) {
    {
      std::unique_lock lock(sleeping);
      woken.wait_for(lock, stop, kWatch, [] { return false; });
    }
    std::lock_guard lock(mutex_);
    if (stop.stop_requested()) return;
    if (client_) {
      Result<void> alive = client_->ping();
      if (alive || !lost(alive.error())) continue;
      log_warning("names", "the resolver is gone: {}", alive.error().message);
      client_.reset();
    }
    if (sandboxes_.empty()) continue;
    if (Result<void> again = connect(); !again) log_error("names", "{}", again.error().message);
  }
}

Result<void> NameService::connect() {
  if (launch_.program.empty()) return fail(ErrorKind::unsupported, "there is no resolver");
  client_ = TRY_AS("start the resolver", names::Client::connect_or_start(launch_));
  Result<void> told = tell_everything();
  if (!told) client_.reset();
  return told;
}

// What is true now; what it knows beyond that is of the past.
Result<void> NameService::tell_everything() {
  const names::Listing known = TRY(client_->list());
  for (const auto& [id, network] : networks_) TRY(client_->set_network(network));
  for (const names::Listing::NetworkSize& network : known.networks)
    if (!networks_.contains(network.id)) TRY(client_->remove_network(network.id));
  std::set<std::string> serving;
  for (const names::Listing::Sandbox& sandbox : known.sandboxes) {
    if (sandbox.serving) serving.insert(sandbox.id);
    if (!sandboxes_.contains(sandbox.id)) TRY(client_->remove_sandbox(sandbox.id));
  }
  for (const auto& [id, sandbox] : sandboxes_) {
    if (serving.contains(id) || sandbox.process == 0) {
      TRY(client_->add_sandbox(id, sandbox.view));
      continue;
    }
    Result<names::SandboxSockets> sockets = open_sockets_of(sandbox.process);
    if (!sockets) {  // it has just ended
      log_warning("names", "container {}: {}", id.substr(0, 12), sockets.error().message);
      continue;
    }
    TRY(client_->add_sandbox(id, sandbox.view, &*sockets));
  }
  return {};
}

// The memory has changed already. A resolver that is gone is started again, and connect() tells it that.
template <class Call>
void NameService::tell(Call call) {
  if (!client_) return;
  Result<void> told = call(*client_);
  if (!told && lost(told.error())) {
    client_.reset();
    told = connect();
  }
  if (!told) log_warning("names", "{}", told.error().message);
}

void NameService::set_network(const std::string& id, const std::string& name) {
  std::lock_guard lock(mutex_);
  names::Network& network = networks_[id];
  network.id = id;
  network.name = name;
  tell([&](names::Client& client) { return client.set_network(network); });
}

void NameService::remove_network(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (networks_.erase(id) == 0) return;
  tell([&](names::Client& client) { return client.remove_network(id); });
}

void NameService::set_endpoint(const std::string& network, const names::Endpoint& endpoint) {
  std::lock_guard lock(mutex_);
  auto found = networks_.find(network);
  if (found == networks_.end()) return;
  std::vector<names::Endpoint>& all = found->second.endpoints;
  std::erase_if(all, [&](const names::Endpoint& one) { return one.container == endpoint.container; });
  all.push_back(endpoint);
  tell([&](names::Client& client) { return client.set_endpoint(network, endpoint); });
}

void NameService::remove_endpoint(const std::string& network, const std::string& container) {
  std::lock_guard lock(mutex_);
  auto found = networks_.find(network);
  if (found == networks_.end()) return;
  if (std::erase_if(found->second.endpoints,
                    [&](const names::Endpoint& one) { return one.container == container; }) == 0)
    return;
  tell([&](names::Client& client) { return client.remove_endpoint(network, container); });
}

bool NameService::add_sandbox(const std::string& id, const names::View& view,
                              const names::SandboxSockets& sockets) {
  std::lock_guard lock(mutex_);
  if (launch_.program.empty()) return false;
  if (!client_)
    if (Result<void> connected = connect(); !connected) {
      log_warning("names", "{}", connected.error().message);
      return false;
    }
  Result<void> added = client_->add_sandbox(id, view, &sockets);
  if (!added && lost(added.error())) {
    client_.reset();
    added = connect();
    if (added) added = client_->add_sandbox(id, view, &sockets);
  }
  if (!added) {
    log_warning("names", "container {}: {}", id.substr(0, 12), added.error().message);
    return false;
  }
  sandboxes_[id] = {view, 0};
  return true;
}

void NameService::started(const std::string& id, int process) {
  std::lock_guard lock(mutex_);
  if (auto found = sandboxes_.find(id); found != sandboxes_.end()) found->second.process = process;
}

void NameService::adopt_sandbox(const std::string& id, const names::View& view, int process) {
  std::lock_guard lock(mutex_);
  sandboxes_[id] = {view, process};
}

void NameService::change_view(const std::string& id, const names::View& view) {
  std::lock_guard lock(mutex_);
  auto found = sandboxes_.find(id);
  if (found == sandboxes_.end()) return;
  found->second.view = view;
  tell([&](names::Client& client) { return client.add_sandbox(id, view); });
}

void NameService::remove_sandbox(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (sandboxes_.erase(id) == 0) return;
  tell([&](names::Client& client) { return client.remove_sandbox(id); });
}

void NameService::reconcile() {
  std::lock_guard lock(mutex_);
  if (launch_.program.empty() || client_) return;
  if (sandboxes_.empty()) {
    // One that an earlier engine started has nothing to do any more.
    if (auto old = names::Client::connect(launch_.socket_path, launch_.timeout)) (void)(*old)->stop();
    return;
  }
  if (Result<void> connected = connect(); !connected) log_error("names", "{}", connected.error().message);
}

}  // namespace berth::engine
