// SPDX-License-Identifier: Apache-2.0
#include "api/build_entitlements.h"

namespace berth::api {
namespace {

std::unexpected<Error> not_here(std::string_view name, std::string_view member) {
  return fail(ErrorKind::denied,
              "{} is not allowed by this engine: its daemon.json would have to say "
              "{{\"builder\": {{\"entitlements\": {{\"{}\": true}}}}}}",
              name, member);
}

}  // namespace

Result<void> check_entitlements(const engine::BuildPolicy& policy, const build::BuildRequest& request) {
  if (request.settings.network == "host" && !policy.host_network)
    return not_here("the host's network for steps", "network-host");
  for (const std::string& name : request.entitlements) {
    if (name == "network.host") {
      if (!policy.host_network) return not_here(name, "network-host");
    } else if (name == "security.insecure") {
      if (!policy.insecure) return not_here(name, "security-insecure");
    } else if (name == "device" || name.starts_with("device=")) {
      if (!policy.devices) return not_here(name, "device");
    } else {
      return fail(ErrorKind::invalid, "there is nothing to allow that is called \"{}\"", name);
    }
  }
  return {};
}

}  // namespace berth::api
