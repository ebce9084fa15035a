// SPDX-License-Identifier: Apache-2.0
// What berthd is told, by flags and by daemon.json: dockerd's names with dockerd's meaning. One table serves
// both. An option that has no meaning here is taken with a warning; one that nobody knows is an error that
// names it.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/build_policy.h"
#include "engine/settings.h"

namespace berth::engine {

struct DaemonOptions {
  Settings settings;
  BuildPolicy builds;
  std::vector<std::string> hosts;  // "unix:///run/berth/berth.sock", "tcp://127.0.0.1:2376", "fd://"
  std::string group = "berth";     // that may use the unix socket, if it exists
  std::string pid_file;
  std::string config_file = "/etc/berth/daemon.json";
  bool config_file_given = false;
  bool tls = false;
  bool tls_verify = false;
  std::string tls_ca, tls_certificate, tls_key;
  bool allow_plain_tcp = false;  // tcp:// without TLS: whoever reaches it is root here
  std::string log_level = "info";
};

// A map's values are "name=value"; a document's one value is its JSON.
enum class OptionShape { text, boolean, number, list, map, document };

struct DaemonOption {
  std::string_view flag;  // without dashes; "" when only the file has it
  char letter = 0;        // of the short flag
  std::string_view key;   // in daemon.json; "" when only a flag
  OptionShape shape = OptionShape::text;
  // Takes the values as they were written; null: no meaning here.
  Result<void> (*apply)(DaemonOptions& options, const std::vector<std::string>& values) = nullptr;
  std::string_view help;
};

const std::vector<DaemonOption>& daemon_options();

// What the environment says, where neither flags nor the file do: BERTH_STORAGE_DRIVER, and Docker's
// DOCKER_DRIVER. `variable` is getenv(3), or a test's.
Result<void> apply_environment(DaemonOptions& options, const char* (*variable)(const char* name));

// Applies a daemon.json. `given` are the flags on the command line: a directive in both places is an error,
// as with dockerd. Warnings name options that mean nothing here.
Result<void> apply_daemon_json(DaemonOptions& options, std::string_view text,
                               const std::vector<std::string>& given, std::vector<std::string>& warnings);

}  // namespace berth::engine
