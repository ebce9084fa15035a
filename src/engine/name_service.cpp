// SPDX-License-Identifier: Apache-2.0
#include "engine/name_service.h"

#include <signal.h>

#include <algorithm>
#include <condition_variable>
#include <set>

#include "base/file.h"
#include "base/log.h"
#include "network/sandbox.h"

namespace berth::engine {
namespace {

constexpr std::chrono::seconds kWatch(2);
constexpr std::chrono::seconds kPause(
    10);  // after a failure: a resolver that hangs must not hold up every start

bool lost(const Error& error) {
  return error.kind == ErrorKind::unavailable || error.kind == ErrorKind::timeout;
}

void warn(const Result<void>& result) {
  if (!result) log_warning("names", "{}", result.error().message);
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
    if (stop.stop_requested()) return;
    std::lock_guard lock(mutex_);
    look_after();
  }
}

// One that died is replaced soon, and not only when the next container starts.
void NameService::look_after() {
  if (client_)
    if (Result<void> alive = client_->ping(); !alive && lost(alive.error())) {
      log_warning("names", "the resolver is gone: {}", alive.error().message);
      client_.reset();
    }
  if (sandboxes_.empty()) return;
  if (!client_) return warn(connect());
  for (auto& [id, sandbox] : sandboxes_)
    if (!sandbox.serving) warn(give_sockets(id, sandbox));
}

Result<void> NameService::connect() {
  if (launch_.program.empty()) return fail(ErrorKind::unsupported, "there is no resolver");
  if (std::chrono::steady_clock::now() < not_before_)
    return fail(ErrorKind::unavailable, "the resolver did not answer a moment ago");
  auto attempt = [this]() -> Result<void> {
    client_ = TRY_AS("start the resolver", names::Client::connect_or_start(launch_));
    return tell_everything();
  };
  Result<void> connected = attempt();
  if (connected) return {};
  client_.reset();
  not_before_ = std::chrono::steady_clock::now() + kPause;
  return connected;
}

// What is true now; what it knows beyond that is of the past. One thing that it refuses does not cost the
// others.
Result<void> NameService::tell_everything() {
  auto told = [](Result<void> result) -> Result<void> {
    if (!result && lost(result.error())) return result;
    warn(result);
    return {};
  };
  const names::Listing known = TRY(client_->list());
  for (const auto& [id, network] : networks_) TRY(told(client_->set_network(network)));
  for (const names::Listing::NetworkSize& network : known.networks)
    if (!networks_.contains(network.id)) TRY(told(client_->remove_network(network.id)));
  std::set<std::string> serving;
  for (const names::Listing::Sandbox& sandbox : known.sandboxes) {
    if (sandbox.serving) serving.insert(sandbox.id);
    if (!sandboxes_.contains(sandbox.id)) TRY(told(client_->remove_sandbox(sandbox.id)));
  }
  for (auto& [id, sandbox] : sandboxes_) {
    sandbox.serving = serving.contains(id);
    TRY(told(sandbox.serving ? client_->add_sandbox(id, sandbox.view) : give_sockets(id, sandbox)));
  }
  return {};
}

// New ones: those of before went with the resolver that had them.
Result<void> NameService::give_sockets(const std::string& id, Sandbox& sandbox) {
  const names::SandboxSockets sockets =
      TRY_AS("container " + id.substr(0, 12), network::open_name_sockets(sandbox.ns.get()));
  TRY(client_->add_sandbox(id, sandbox.view, &sockets));
  sandbox.serving = true;
  return {};
}

// The memory has changed already. A resolver that is gone is started again, and connect() tells it that.
template <class Call>
Result<void> NameService::tell(Call call) {
  if (!client_) return {};
  Result<void> told = call(*client_);
  if (told || !lost(told.error())) return told;
  client_.reset();
  return connect();
}

void NameService::set_network(const std::string& id, const std::string& name) {
  std::lock_guard lock(mutex_);
  names::Network& network = networks_[id];
  network.id = id;
  network.name = name;
  warn(tell([&](names::Client& client) { return client.set_network(network); }));
}

void NameService::remove_network(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (networks_.erase(id) == 0) return;
  warn(tell([&](names::Client& client) { return client.remove_network(id); }));
}

void NameService::set_endpoint(const std::string& network, const names::Endpoint& endpoint) {
  std::lock_guard lock(mutex_);
  auto found = networks_.find(network);
  if (found == networks_.end()) return;
  std::vector<names::Endpoint>& all = found->second.endpoints;
  std::erase_if(all, [&](const names::Endpoint& one) { return one.container == endpoint.container; });
  all.push_back(endpoint);
  warn(tell([&](names::Client& client) { return client.set_endpoint(network, endpoint); }));
}

void NameService::remove_endpoint(const std::string& network, const std::string& container) {
  std::lock_guard lock(mutex_);
  auto found = networks_.find(network);
  if (found == networks_.end()) return;
  if (std::erase_if(found->second.endpoints,
                    [&](const names::Endpoint& one) { return one.container == container; }) == 0)
    return;
  warn(tell([&](names::Client& client) { return client.remove_endpoint(network, container); }));
}

bool NameService::add_sandbox(const std::string& id, const names::View& view, Fd ns,
                              const names::SandboxSockets& sockets) {
  std::lock_guard lock(mutex_);
  if (launch_.program.empty()) return false;
  // In the memory first: should the resolver be lost on the way, connect() gives it sockets.
  Sandbox& sandbox = sandboxes_[id];
  sandbox = {view, std::move(ns), false};
  Result<void> added = client_ ? tell([&](names::Client& client) -> Result<void> {
    TRY(client.add_sandbox(id, view, &sockets));
    sandbox.serving = true;
    return {};
  })
                               : connect();
  warn(added);
  if (sandbox.serving) return true;
  sandboxes_.erase(id);
  return false;
}

void NameService::adopt_sandbox(const std::string& id, const names::View& view, Fd ns) {
  std::lock_guard lock(mutex_);
  sandboxes_[id] = {view, std::move(ns), false};
}

void NameService::change_view(const std::string& id, const names::View& view) {
  std::lock_guard lock(mutex_);
  auto found = sandboxes_.find(id);
  if (found == sandboxes_.end()) return;
  found->second.view = view;
  warn(tell([&](names::Client& client) { return client.add_sandbox(id, view); }));
}

void NameService::remove_sandbox(const std::string& id) {
  std::lock_guard lock(mutex_);
  if (sandboxes_.erase(id) == 0) return;
  warn(tell([&](names::Client& client) { return client.remove_sandbox(id); }));
}

void NameService::reconcile() {
  std::lock_guard lock(mutex_);
  if (launch_.program.empty() || client_) return;
  if (!sandboxes_.empty()) return warn(connect());
  // One that an earlier engine started has nothing to do any more.
  if (auto old = names::Client::connect(launch_.socket_path, launch_.timeout)) (void)(*old)->stop();
}

}  // namespace berth::engine
