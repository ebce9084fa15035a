// SPDX-License-Identifier: Apache-2.0
// --cache-from and --cache-to. What is at registries is the engine's business; directories of this machine
// are passed to it (as open descriptors) and written from what it holds.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "cli/context.h"
#include "cli/flags/flags.h"

namespace boost::json {
class object;
}

namespace berth::cli {

struct CacheOption {
  std::string type;       // "registry", "local", "inline"
  std::string reference;  // of a registry
  std::string directory;  // of "local"
  bool whole = false;     // --cache-to: mode=max
  bool optional = false;  // --cache-to: ignore-error=true
};

Result<CacheOption> parse_cache_from(const std::string& text);
Result<CacheOption> parse_cache_to(const std::string& text);

struct BuildCaches {
  std::vector<CacheOption> from, to;
  bool passes() const;  // whether there are directories for the engine to read
  bool holds() const;   // whether the engine must hold the result for what is written here
};
Result<BuildCaches> choose_caches(const Flags& flags);

// Members of the build's preamble, and directories to be passed along; one that is not there is a warning.
// `passing`: descriptors arrive.
void add_to_preamble(const BuildCaches& caches, bool passing, boost::json::object& preamble,
                     std::vector<Fd>& descriptors);

// After the build: the directories of --cache-to.
Result<void> write_caches(Context& context, const BuildCaches& caches, const std::string& held_as);

}  // namespace berth::cli
