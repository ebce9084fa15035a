// SPDX-License-Identifier: Apache-2.0
// Asks the system's resolver for backends' names, on threads of its own: a name server that is silent takes
// seconds over each name, and neither the start nor a source of routes is to wait that long for a name that
// is not theirs.
#pragma once
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "proxy/routes/endpoint.h"

namespace berth::proxy {

// As long as the resolver takes. A name that is not known, or about which nobody answers: not_found.
Result<Endpoint::Addresses> look_up(const std::string& host, std::uint16_t port);

// Its threads begin with the first name. They end with it, or when the resolver lets them. Thread-safe.
class NameLookups {
 public:
  NameLookups();
  ~NameLookups();
  NameLookups(const NameLookups&) = delete;
  NameLookups& operator=(const NameLookups&) = delete;

  // Gives the endpoint its addresses. Waits for them only for as long as resolvers mostly take, and not at
  // all when all threads wait for others that are silent: then they come later, and Endpoint::sought tells of
  // it.
  void find(const std::shared_ptr<Endpoint>& endpoint, const std::string& host, std::uint16_t port);
  // Until its first lookup has ended, or that time has come.
  void wait_for(const Endpoint& endpoint, std::chrono::steady_clock::time_point until);

 private:
  struct Shared;
  bool have_thread();
  static void serve(const std::shared_ptr<Shared>& shared);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace berth::proxy
