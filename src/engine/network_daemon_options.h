// SPDX-License-Identifier: Apache-2.0
// The part of daemon_options.h that is about networks. Each takes values as the command line or daemon.json
// writes them; a document's is its JSON.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::engine {

struct DaemonOptions;

// "base=172.30.0.0/16,size=24", or [{"base": "172.30.0.0/16", "size": 24}]
Result<void> set_address_pools(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_address_pools_document(DaemonOptions& options, const std::vector<std::string>& values);
// "bridge=com.docker.network.driver.mtu=1400", or {"bridge": {"com.docker.network.driver.mtu": "1400"}}
Result<void> set_network_options(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_network_options_document(DaemonOptions& options, const std::vector<std::string>& values);

}  // namespace berth::engine
