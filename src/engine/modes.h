// SPDX-License-Identifier: Apache-2.0
// Docker's little languages inside HostConfig: modes such as "container:web", security options, propagation
// words.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/container.h"
#include "engine/host_config.h"

namespace berth::engine {

// "container:NAME" gives NAME.
std::optional<std::string> container_of_mode(std::string_view mode);

// --network: which kind of attachment. `other` is a named network.
enum class NetworkKind { bridge, none, host, container, other };
NetworkKind network_kind(std::string_view mode);
bool has_own_network(
    std::string_view mode);  // a network namespace of its own: neither the host's nor another's

// "no-new-privileges", "no-new-privileges:true"; ":false" is a plain no.
// `by_default` holds when no option says either.
bool wants_no_new_privileges(const std::vector<std::string>& security_options, bool by_default = false);

struct SeccompChoice {
  enum class Kind { built_in, unconfined, custom } kind = Kind::built_in;
  std::string profile;  // JSON, of a custom one: clients send the file's content
};
// The whole list, checked: unknown options are an error; apparmor= and label= are taken when they ask for
// less than this engine gives ("unconfined", "disable") and refused otherwise, since nothing here would
// enforce them.
Result<SeccompChoice> check_security_options(const std::vector<std::string>& options);

// The propagation that the root file system needs so that the mounts' own can work.
std::string rootfs_propagation_for(const std::vector<MountPoint>& mounts);

// What the container calls itself: --hostname, or the id's first twelve digits.
std::string hostname_of(const ContainerRecord& record);

}  // namespace berth::engine
