// SPDX-License-Identifier: Apache-2.0
// What a build is asked for, and what it gives.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "build/runner.h"
#include "build/ssh_forward.h"
#include "build/tree.h"
#include "image/transfer.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "registry/authentication.h"
#include "registry/settings.h"

namespace berth::build {

// --build-context: instead of a stage or an image of that name.
struct NamedContext {
  std::shared_ptr<const Tree> tree;  // a directory
  std::string image;                 // or the image of this name
};

struct BuildRequest {
  std::string dockerfile;  // its text
  std::string dockerfile_name = "Dockerfile";
  std::shared_ptr<const Tree> context;  // missing: there is none, and COPY finds nothing
  std::map<std::string, NamedContext> named_contexts;
  std::map<std::string, std::string> arguments;  // --build-arg
  std::string target;                            // a stage's name or number; "" is the last
  std::optional<oci::Platform> platform;         // missing: the host's
  std::map<std::string, std::string> labels;
  std::vector<oci::Reference> names;
  bool no_cache = false;
  std::set<std::string> no_cache_stages;
  std::set<std::string>
      entitlements;   // what its steps may ask for: "network.host", "security.insecure", "device"
  bool pull = false;  // ask registries for base images even if they are here
  StepSettings settings;
  std::map<std::string, std::string> secrets;  // by id; bytes
  std::map<std::string, SshAgent> agents;      // by id: of --ssh
  registry::Settings registries;
  std::map<std::string, registry::Credentials> credentials;  // by registry, as config.json names them
  std::stop_token stop;
};

struct BuildOutcome {
  Digest image;
  std::size_t steps = 0;
  std::size_t cached = 0;
  std::vector<std::string> unused_arguments;  // of --build-arg: nobody declares them
};

}  // namespace berth::build
