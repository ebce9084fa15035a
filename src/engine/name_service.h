// SPDX-License-Identifier: Apache-2.0
// The engine's link to the resolver (names/client.h), and all that the resolver has to know: kept here, so
// that one that died is started again and told everything. Started with the first container that has a
// network.
//
// Thread safe. A resolver that does not answer is no reason to fail a container: what goes wrong is logged.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.h"
#include "names/client.h"

namespace berth::engine {

class NameService {
 public:
  // An empty program: there is none, and add() says false.
  explicit NameService(names::Launch launch);
  ~NameService();

  void set_network(const std::string& id, const std::string& name);
  void remove_network(const std::string& id);
  void set_endpoint(const std::string& network, const names::Endpoint& endpoint);
  void remove_endpoint(const std::string& network, const std::string& container);

  // Whether the container is served: then its resolv.conf names names::kListeningAddress.
  bool add_sandbox(const std::string& id, const names::View& view, const names::SandboxSockets& sockets);
  void started(const std::string& id, int process);  // the container's first process
  // Of a container that an earlier engine started, with this process: told with the next start of the
  // resolver.
  void adopt_sandbox(const std::string& id, const names::View& view, int process);
  void change_view(const std::string& id, const names::View& view);
  void remove_sandbox(const std::string& id);

  // Who it was told by an earlier engine, and what of that is no longer true, is settled.
  void reconcile();

 private:
  struct Sandbox {
    names::View view;
    int process = 0;  // its network namespace's; 0 until it is known
  };
  Result<void> connect();  // with mutex_ held; tells everything
  Result<void> tell_everything();
  template <class Call>
  void tell(Call call);
  void watch(std::stop_token stop);

  names::Launch launch_;
  std::mutex mutex_;
  std::map<std::string, names::Network> networks_;
  std::map<std::string, Sandbox> sandboxes_;
  std::unique_ptr<names::Client> client_;
  std::jthread watcher_;
};

}  // namespace berth::engine
