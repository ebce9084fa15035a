// SPDX-License-Identifier: Apache-2.0
// The part of daemon_options.h that is about registries. Each takes values as the command line or daemon.json
// writes them; a document's is its JSON.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "registry/settings.h"

namespace berth::engine {

struct DaemonOptions;

Result<void> set_insecure_registries(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_registry_mirrors(DaemonOptions& options, const std::vector<std::string>& values);
// {"docker.io/library": {"mirrors": ["https://mirror.example"], "location": "registry.example/copy",
//                        "insecure": true}}
Result<void> set_registry_rules(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_parallel_downloads(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_parallel_uploads(DaemonOptions& options, const std::vector<std::string>& values);
// {"http-proxy": "http://proxy.example:3128", "https-proxy": "...", "no-proxy": "localhost,.example"}
Result<void> set_proxies(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_http_proxy(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_https_proxy(DaemonOptions& options, const std::vector<std::string>& values);
Result<void> set_no_proxy(DaemonOptions& options, const std::vector<std::string>& values);

// HTTP_PROXY, HTTPS_PROXY and NO_PROXY (or their lower-case forms), where no option says otherwise.
void take_proxies_of_environment(registry::Proxies& proxies);

}  // namespace berth::engine
