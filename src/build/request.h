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
#include "base/fd.h"
#include "build/runner.h"
#include "build/ssh_forward.h"
#include "build/tree.h"
#include "image/transfer.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "registry/authentication.h"
#include "registry/settings.h"

namespace berth::build {

class HeldPlace;

// --build-context: instead of a stage or an image of that name. One of these:
struct NamedContext {
  struct Layout {
    std::shared_ptr<const Tree> directory;
    std::string tag;               // "" for "latest", or the only one that there is
    std::optional<Digest> digest;  // of a manifest or an index; goes before the tag
  };
  std::shared_ptr<const Tree> tree;  // a directory
  std::string image;                 // the image of this name
  std::optional<Layout> layout;      // an image in an OCI layout
  std::string address;               // what a Git or an HTTP server has (remote_contexts.h)
};

// --cache-from: results of other builds, of other engines too (cache_import.h).
struct CacheSource {
  enum class Kind {
    registry,   // a name there
    image,      // an image that is here, or else at its registry
    directory,  // an OCI layout
  };
  Kind kind = Kind::registry;
  std::string reference;                  // of a registry or an image
  std::shared_ptr<const Tree> directory;  // a layout
  std::string description;                // for what is said about it
};

// --cache-to of a registry.
struct CacheTarget {
  oci::Reference name;    // with a tag
  bool whole = false;     // of all stages, not only of what the image has
  bool optional = false;  // that it cannot be written is no failure of the build
};

struct BuildRequest {
  std::string dockerfile;  // its text
  std::string dockerfile_name = "Dockerfile";
  std::shared_ptr<const Tree> context;                 // missing: there is none, and COPY finds nothing
  std::map<std::string, NamedContext> named_contexts;  // by context_name() (plan.h)
  std::map<std::string, std::string> arguments;        // --build-arg
  std::string target;                                  // a stage's name or number; "" is the last
  std::optional<oci::Platform> platform;               // missing: the host's
  std::map<std::string, std::string> labels;
  std::vector<oci::Reference> names;
  bool record = true;                  // the result becomes an image of the store; false: it has to be held
  std::shared_ptr<HeldPlace> held_as;  // held_results.h: for its client to fetch; null: it is not held
  bool no_cache = false;
  std::set<std::string> no_cache_stages;
  std::set<std::string>
      entitlements;  // what its steps may ask for: "network.host", "security.insecure", "device"
  std::vector<CacheSource> cache_from;
  std::vector<CacheTarget> cache_to;
  bool inline_cache = false;  // the image says itself what it is made of
  bool pull = false;          // ask registries for base images even if they are here
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
