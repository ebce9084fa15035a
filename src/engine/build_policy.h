// SPDX-License-Identifier: Apache-2.0
// What the configuration says of builds: which things a client may allow its build's steps (daemon.json,
// "builder.entitlements"), and where devices are described.
#pragma once
#include <string>
#include <vector>

namespace berth::engine {

struct BuildPolicy {
  bool insecure = false;  // --security=insecure
  bool host_network = true;
  bool devices = true;
  std::vector<std::string> cdi_directories{"/etc/cdi", "/var/run/cdi"};  // the later ones win
};

}  // namespace berth::engine
