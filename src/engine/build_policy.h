// SPDX-License-Identifier: Apache-2.0
// What the configuration says of builds: which things a client may allow its build's steps (daemon.json,
// "builder.entitlements"), where devices are described, and how much the cache may take ("builder.gc").
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace berth::engine {

struct BuildPolicy {
  bool insecure = false;  // --security=insecure
  bool host_network = true;
  bool devices = true;
  std::int64_t cache_budget = 20'000'000'000;                            // bytes; 0: no limit
  std::vector<std::string> cdi_directories{"/etc/cdi", "/var/run/cdi"};  // the later ones win
};

}  // namespace berth::engine
