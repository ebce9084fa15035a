// SPDX-License-Identifier: Apache-2.0
// --build-context in a build's preamble (cli/build/preamble.h has the form).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "build/request.h"

namespace berth::api {

// A directory of one of the request's contexts, or the layout that it is, by its place among the descriptors.
struct PassedContext {
  std::string name;  // as the request has it
  std::uint64_t descriptor = 0;
  std::string ignore;  // base64
};

// What is wrong with the document's form is left for its reader to tell.
Result<void> read_build_contexts(ObjectReader& preamble, build::BuildRequest& request,
                                 std::vector<PassedContext>& passed);

}  // namespace berth::api
