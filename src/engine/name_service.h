// SPDX-License-Identifier: Apache-2.0
// The engine's link to the resolver (names/client.h), and all that the resolver has to know: kept here, so
// that one that died is started again and told everything. Started with the first container that has a
// network.
//
// Thread safe. A resolver that does not answer is no reason to fail a container: what goes wrong is logged,
// and for a while after a failure nobody waits for it again.
#pragma once
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "names/client.h"

namespace berth::engine {

class NameService {
 public:
  // An empty program: there is none, and add_sandbox() says false.
  explicit NameService(names::Launch launch);
  ~NameService();

  void set_network(const std::string& id, const std::string& name);
  void remove_network(const std::string& id);
  void set_endpoint(const std::string& network, const names::Endpoint& endpoint);
  void remove_endpoint(const std::string& network, const std::string& container);

  // Whether the container is served: then its resolv.conf names names::kListeningAddress. `ns` is its network
  // namespace, held until remove_sandbox(): a process id would be somebody else's one day.
  bool add_sandbox(const std::string& id, const names::View& view, Fd ns,
                   const names::SandboxSockets& sockets);
  // Of a container that an earlier engine started; told by reconcile().
  void adopt_sandbox(const std::string& id, const names::View& view, Fd ns);
  void change_view(const std::string& id, const names::View& view);
  void remove_sandbox(const std::string& id);

  // Once, when all that runs has been adopted: what the resolver was told by an earlier engine is made true.
  void reconcile();

 private:
  struct Sandbox {
    names::View view;
    Fd ns;
    bool serving = false;  // the resolver has its sockets
  };
  // All with mutex_ held.
  Result<void> connect();
  Result<void> tell_everything();
  Result<void> give_sockets(const std::string& id, Sandbox& sandbox);
  template <class Call>
  Result<void> tell(Call call);
  void look_after();

  void watch(std::stop_token stop);

  names::Launch launch_;
  std::mutex mutex_;
  std::map<std::string, names::Network> networks_;
  std::map<std::string, Sandbox> sandboxes_;
  std::unique_ptr<names::Client> client_;
  std::chrono::steady_clock::time_point not_before_{};  // of the next attempt to connect
  std::jthread watcher_;                                // last: it uses the rest
};

}  // namespace berth::engine
