// SPDX-License-Identifier: Apache-2.0
// The CNCF registry's configuration file (distribution, about/configuration.md), as far as this registry has
// what it configures. Known keys of the wrong type are refused with their path; unknown ones are warned of.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "registryd/settings.h"

namespace berth::registryd {

struct Configuration {
  Settings settings;
  std::vector<std::string> warnings;  // one sentence each
};

// The value of an environment variable; nothing when it is not set. REGISTRY_HTTP_ADDR replaces http.addr,
// and so on for each key that holds a single value.
using Environment = std::function<std::optional<std::string>(const std::string& name)>;

// `name` is the file's, for messages.
Result<Configuration> parse_configuration(std::string_view text, const std::string& name,
                                          const Environment& environment);

}  // namespace berth::registryd
