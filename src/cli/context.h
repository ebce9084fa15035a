// SPDX-License-Identifier: Apache-2.0
// What every command is given: how to reach the engine, and the user's configuration. The engine is
// contacted on the first call of engine().
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::cli {

class Engine;

struct GlobalOptions {
  std::vector<std::string> hosts;  // -H
  std::string config_directory;    // --config
  bool debug = false;
  bool tls = false;
  bool tls_verify = false;
  std::string tls_authority, tls_certificate, tls_key;
};

// config.json of the configuration directory, as far as it is used.
struct UserConfiguration {
  std::string ps_format, images_format, stats_format, detach_keys;
  std::map<std::string, std::string> http_headers;
};

class Context {
 public:
  explicit Context(GlobalOptions options);
  ~Context();

  Result<Engine*> engine();                  // connected, its version agreed on
  const UserConfiguration& configuration();  // an unreadable file is reported and ignored
  const GlobalOptions& options() const { return options_; }
  std::string configuration_directory() const;  // config.json's; may not exist yet
  std::string host() const;                     // as the messages name it

 private:
  GlobalOptions options_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<UserConfiguration> configuration_;
};

}  // namespace berth::cli
