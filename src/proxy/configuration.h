// SPDX-License-Identifier: Apache-2.0
// Hipache's configuration file: JSON, with the keys server, http, https, driver, user and group, as they are;
// and this proxy's own: admin, store, engine, routes, trustedProxies, https.certDir. docs/proxy.md has them
// all. What is wrong is refused with the file and the key, what is unknown is warned of.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "proxy/settings.h"

namespace berth::proxy {

struct Configuration {
  Settings settings;
  std::vector<std::string> warnings;  // one sentence each
};

Result<Configuration> parse_configuration(std::string_view text, const std::string& name);

// "redis://[:password@]host[:port][/database][#prefix]", "redis+unix:///path[#prefix]".
Result<RedisSettings> parse_redis_url(std::string_view url);

}  // namespace berth::proxy
