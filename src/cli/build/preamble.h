// SPDX-License-Identifier: Apache-2.0
// What a query cannot hold, or must not because queries are logged: secrets, and what this engine knows
// beyond Docker's POST /build. A body of the type "application/vnd.berth.build" begins with a line that is
// the size of a JSON document in decimal, and that document; the tar follows.
//
//   {"secrets": {"id": "<base64>"}, "noCacheStages": ["name"], "contexts": {"name": {"image": "reference"}},
//    "local": {"name": "Dockerfile", "dockerfile": "<base64>", "descriptor": 0, "ignore": "<base64>"},
//    "call": "check", "progress": "vertices",
//    "allow": ["security.insecure"], "ssh": {"default": 2}}
//
// Directories of this machine are not sent but passed: as open descriptors that go along with the request
// (unix(7), SCM_RIGHTS), and which the document names by their place. Then no tar follows. "contexts" may
// name them too: {"name": {"descriptor": 1, "ignore": "<base64>"}}, or as an OCI layout: {"name": {"layout":
// {"descriptor": 1, "tag": "1.0", "digest": "sha256:.."}}}; and what the engine fetches: {"name": {"address":
// "https://.."}}. "ssh" has the places of agents' sockets, "cacheFrom" those of caches (api/build_caches.h).
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "cli/build/context.h"
#include "cli/build/key_agent.h"
#include "cli/flags/flags.h"

namespace boost::json {
class object;
}

namespace berth::cli {

inline constexpr std::string_view kBuildType = "application/vnd.berth.build";

struct Preamble {
  std::string text;              // "" when there is nothing to say
  std::vector<Fd> descriptors;   // to be passed
  std::vector<KeyAgent> agents;  // whose sockets are among them: to be kept as long as the build goes on
};

// From --secret, --no-cache-filter, --build-context, --allow and --ssh, and the context if it is to be passed
// (or null), with what `document` has already and the descriptors that it names. `passing`: descriptors
// arrive.
Result<Preamble> build_preamble(const Flags& flags, boost::json::object document, std::vector<Fd> descriptors,
                                LocalContext* passed, bool passing);

}  // namespace berth::cli
