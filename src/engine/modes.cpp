// SPDX-License-Identifier: Apache-2.0
#include "engine/modes.h"

#include "base/text.h"

namespace berth::engine {

std::optional<std::string> container_of_mode(std::string_view mode) {
  constexpr std::string_view prefix = "container:";
  if (!mode.starts_with(prefix)) return std::nullopt;
  return std::string(mode.substr(prefix.size()));
}

NetworkKind network_kind(std::string_view mode) {
  if (mode.empty() || mode == "default" || mode == "bridge") return NetworkKind::bridge;
  if (mode == "none") return NetworkKind::none;
  if (mode == "host") return NetworkKind::host;
  if (container_of_mode(mode)) return NetworkKind::container;
  return NetworkKind::other;
}

bool has_own_network(std::string_view mode) {
  const NetworkKind kind = network_kind(mode);
  return kind != NetworkKind::host && kind != NetworkKind::container;
}

bool wants_no_new_privileges(const std::vector<std::string>& security_options, bool by_default) {
  bool wanted = by_default;
  for (const std::string& option : security_options) {
    if (option == "no-new-privileges" || option == "no-new-privileges:true" ||
        option == "no-new-privileges=true")
      wanted = true;
    if (option == "no-new-privileges:false" || option == "no-new-privileges=false") wanted = false;
  }
  return wanted;
}

Result<SeccompChoice> check_security_options(const std::vector<std::string>& options) {
  SeccompChoice choice;
  for (const std::string& option : options) {
    if (option.starts_with("no-new-privileges")) {
      // Anything but a clear yes or no would leave the protection out silently.
      if (wants_no_new_privileges({option}, false) != wants_no_new_privileges({option}, true))
        return fail(ErrorKind::invalid, "invalid --security-opt: \"{}\"", option);
      continue;
    }
    const std::size_t separator = option.find_first_of("=:");
    const std::string name = option.substr(0, separator);
    const std::string value = separator == std::string::npos ? "" : option.substr(separator + 1);
    if (name == "seccomp") {
      if (value == "unconfined")
        choice = {SeccompChoice::Kind::unconfined, ""};
      else if (value == "builtin" || value.empty())
        choice = {};
      else
        choice = {SeccompChoice::Kind::custom, value};
    } else if (name == "apparmor" || name == "label" || name == "systempaths") {
      if (name == "apparmor" && value != "unconfined")
        return fail(ErrorKind::unsupported,
                    "AppArmor profile '{}' cannot be applied: this engine has no AppArmor support", value);
      if (name == "label" && value != "disable")
        return fail(ErrorKind::unsupported,
                    "SELinux label '{}' cannot be applied: this engine has no SELinux support", value);
    } else {
      return fail(ErrorKind::invalid, "invalid --security-opt: \"{}\"", option);
    }
  }
  return choice;
}

std::string rootfs_propagation_for(const std::vector<MountPoint>& mounts) {
  bool slave = false;
  for (const MountPoint& point : mounts) {
    if (point.propagation == "shared" || point.propagation == "rshared") return "rshared";
    if (point.propagation == "slave" || point.propagation == "rslave") slave = true;
  }
  return slave ? "rslave" : "";
}

std::string hostname_of(const ContainerRecord& record) {
  return record.config.hostname.empty() ? record.id.substr(0, 12) : record.config.hostname;
}

}  // namespace berth::engine
