// SPDX-License-Identifier: Apache-2.0
#include "proxy/routes/name_lookups.h"

#include <netdb.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

#include "base/log.h"

namespace berth::proxy {
namespace {

constexpr int kMostThreads = 4;
constexpr std::chrono::milliseconds kPatience{250};

}  // namespace

Result<Endpoint::Addresses> look_up(const std::string& host, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const std::string service = std::to_string(port);
  if (const int code = getaddrinfo(host.c_str(), service.c_str(), &hints, &found); code != 0)
    return fail(ErrorKind::not_found, "look up the backend {}: {}", host, gai_strerror(code));
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> held(found, freeaddrinfo);
  Endpoint::Addresses addresses;
  for (const addrinfo* one = found; one; one = one->ai_next) {
    Endpoint::Address address;
    std::memcpy(&address.address, one->ai_addr, one->ai_addrlen);
    address.length = one->ai_addrlen;
    addresses.push_back(address);
  }
  std::ranges::stable_partition(addresses, [](const auto& one) { return one.address.ss_family == AF_INET; });
  return addresses;
}

struct NameLookups::Shared {
  struct Lookup {
    std::shared_ptr<Endpoint> endpoint;
    std::string host;
    std::uint16_t port;
  };
  std::mutex mutex;
  std::condition_variable asked, answered;
  std::vector<Lookup> waiting;
  int threads = 0, idle = 0;
  bool over = false;
};

NameLookups::NameLookups() : shared_(std::make_shared<Shared>()) {}

NameLookups::~NameLookups() {
  const std::lock_guard lock(shared_->mutex);
  shared_->over = true;
  shared_->asked.notify_all();
}

void NameLookups::find(const std::shared_ptr<Endpoint>& endpoint, const std::string& host,
                       std::uint16_t port) {
  bool behind_others = false;
  {
    const std::lock_guard lock(shared_->mutex);
    behind_others = shared_->idle == 0 && shared_->threads == kMostThreads;
    if (!have_thread()) return;
    endpoint->sought.store(true);
    shared_->waiting.push_back({endpoint, host, port});
    shared_->asked.notify_one();
  }
  if (!behind_others) wait_for(*endpoint, std::chrono::steady_clock::now() + kPatience);
}

void NameLookups::wait_for(const Endpoint& endpoint, std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(shared_->mutex);
  shared_->answered.wait_until(lock, until, [&] { return !endpoint.sought.load(); });
}

// False: there is none, and none is to be had. The name is looked up again later, with those that have no
// address.
bool NameLookups::have_thread() {
  if (shared_->waiting.size() < static_cast<std::size_t>(shared_->idle) || shared_->threads == kMostThreads)
    return true;
  try {
    // Nobody joins it: the resolver cannot be told to stop, and the thread has nothing but what it shares.
    std::thread(serve, shared_).detach();
    ++shared_->threads;
  } catch (const std::system_error& error) {
    log_warning("proxy", "names are looked up more slowly: {}", error.what());
  }
  return shared_->threads > 0;
}

void NameLookups::serve(const std::shared_ptr<Shared>& shared) {
  std::unique_lock lock(shared->mutex);
  while (true) {
    ++shared->idle;
    shared->asked.wait(lock, [&] { return shared->over || !shared->waiting.empty(); });
    --shared->idle;
    if (shared->over) return;
    // The last first: whoever asked now waits now. Those before it are known not to have been quick.
    const Shared::Lookup lookup = std::move(shared->waiting.back());
    shared->waiting.pop_back();
    lock.unlock();
    Result<Endpoint::Addresses> found = look_up(lookup.host, lookup.port);
    if (found)
      lookup.endpoint->set_addresses(std::move(*found));
    else
      log_warning("proxy", "{}; it is tried again", found.error().message);
    lock.lock();
    lookup.endpoint->sought.store(false);
    shared->answered.notify_all();
  }
}

}  // namespace berth::proxy
