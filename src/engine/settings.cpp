// SPDX-License-Identifier: Apache-2.0
#include "engine/settings.h"

#include <algorithm>
#include <array>

#include "base/text.h"

namespace berth::engine {
namespace {

constexpr std::array kIgnoredLogOptions{"compress",       "labels",
                                        "labels-regex",   "env",
                                        "env-regex",      "tag",
                                        "mode",           "max-buffer-size",
                                        "cache-disabled", "cache-max-size",
                                        "cache-max-file", "cache-compress"};

// The log of a container that removes itself goes with it, so that only its recent past can ever be asked
// for.
constexpr int kFilesOfAutoRemoved = 2;

}  // namespace

Result<keeper::LogSettings> resolve_log_settings(const Settings& settings, const HostConfig& config,
                                                 const std::string& path) {
  const std::string& driver = config.log_driver.empty() ? settings.log_driver : config.log_driver;
  keeper::LogSettings log;
  if (driver == "none") return log;
  if (driver != "json-file" && driver != "local")
    return fail(ErrorKind::invalid, "log driver '{}' is not supported: use json-file, local or none", driver);
  log.path = path;
  if (config.auto_remove) log.maximum_files = kFilesOfAutoRemoved;
  // The engine's defaults hold for the engine's driver alone.
  std::map<std::string, std::string> options = config.log_options;
  if (driver == settings.log_driver) options.insert(settings.log_options.begin(), settings.log_options.end());
  for (const auto& [name, value] : options) {
    if (name == "max-size") {
      log.maximum_size = value == "-1" ? 0 : TRY_AS("log option max-size", parse_size(value));
    } else if (name == "max-file") {
      auto count = parse_integer<int>(value);
      if (!count || *count < 1)
        return fail(ErrorKind::invalid, "log option max-file must be a number from 1, not '{}'", value);
      log.maximum_files = *count;
    } else if (std::find(kIgnoredLogOptions.begin(), kIgnoredLogOptions.end(), name) ==
               kIgnoredLogOptions.end()) {
      return fail(ErrorKind::invalid, "unknown log opt '{}' for {} log driver", name, driver);
    }
  }
  return log;
}

}  // namespace berth::engine
