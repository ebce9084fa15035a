// SPDX-License-Identifier: Apache-2.0
// --cache-from and --cache-to. What is at registries is the engine's business; directories of this machine
// are passed to it (as open descriptors) and written from what it holds.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
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
  bool holds() const;  // whether the engine must hold the result for what is written here
};
Result<BuildCaches> choose_caches(const Flags& flags);

// Members of the build's preamble. Passes directories to the engine; one that is not there is a warning.
Result<void> add_to_preamble(Context& context, const BuildCaches& caches, boost::json::object& preamble);

// After the build: the directories of --cache-to.
Result<void> write_caches(Context& context, const BuildCaches& caches, const std::string& held_as);

}  // namespace berth::cli
