// SPDX-License-Identifier: Apache-2.0
// --build-context: what names in a Dockerfile mean instead of stages and images. preamble.h has the form in
// which the engine is told.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "cli/build/context.h"
#include "cli/flags/flags.h"

namespace boost::json {
class object;
}

namespace berth::cli {

// The member "contexts". Directories are added to the descriptors, where they arrive (`passing`).
Result<boost::json::object> named_contexts(const Flags& flags, bool passing, std::vector<Fd>& descriptors);

// {"descriptor": .., "ignore": ..}
boost::json::object describe_directory(LocalContext& local, std::vector<Fd>& descriptors);

// Of "oci-layout://DIRECTORY[:TAG][@DIGEST]" what comes behind the scheme.
struct LayoutPlace {
  std::string directory;
  std::string tag;     // "" where there is none
  std::string digest;  // the same
};
Result<LayoutPlace> parse_layout_place(std::string_view text);

}  // namespace berth::cli
