// SPDX-License-Identifier: Apache-2.0
// From a container's record to its OCI runtime configuration. Pure: everything that had to be looked up is an
// argument, so the outcome is held by golden files.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/container.h"
#include "engine/settings.h"
#include "oci/runtime_spec.h"
#include "runtime/users.h"

namespace berth::engine {

// What was found out for this start.
struct StartFacts {
  runtime::ResolvedUser user;
  std::string container_directory;  // has hostname, hosts, resolv.conf
  bool mount_network_files = true;  // bind those three over /etc
  std::string resolved_hostname;
  bool network_by_descriptor = false;  // the keeper joins a namespace it is handed
  // Of another container whose namespaces are shared, by OCI type: "/proc/<pid>/ns/ipc".
  std::map<std::string, std::string> shared_namespaces;
  std::string shared_shm;                       // of that container: bound to /dev/shm
  std::vector<std::string> all_capabilities;    // of this machine: what "ALL" means
  std::vector<oci::Device> devices;             // --device, looked up on the host
  std::vector<std::string> device_permissions;  // of each of them, of "rwm"; one --device may be many devices
  std::vector<oci::Device> host_devices;        // all of the host's, for privileged containers
  std::map<std::string, std::pair<std::int64_t, std::int64_t>>
      block_devices;  // path -> major, minor, for blkio
  std::optional<oci::LinuxSeccomp> seccomp;
  std::vector<std::string> link_environment;  // variables that --link gives; the container's own win
  std::string init_program;                   // bound to /sbin/berth-init when --init is wanted
  std::int64_t host_memory = 0;               // bytes
};

Result<oci::RuntimeSpec> make_runtime_config(const Settings& settings, const ContainerRecord& record,
                                             const StartFacts& facts);

// What an exec starts with, given what the container itself was started with.
struct ExecOptions {
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // added to the container's
  std::vector<std::string> link_environment;
  std::string working_directory;
  bool terminal = false;
  bool privileged = false;
  std::optional<oci::ConsoleSize> console_size;
};
oci::Process make_exec_process(const Settings& settings, const ContainerRecord& record,
                               const runtime::ResolvedUser& user, const ExecOptions& options,
                               const std::vector<std::string>& all_capabilities);

// The capabilities a container has: Docker's default set, changed by --cap-add and --cap-drop. Unknown names
// are an error. Names come with or without "CAP_", in any case.
Result<std::vector<std::string>> effective_capabilities(const HostConfig& config,
                                                        const std::vector<std::string>& all);

// The container's control group, below --cgroup-parent or the engine's own.
std::string cgroup_path(const Settings& settings, const ContainerRecord& record);

oci::Resources make_resources(const ResourceLimits& limits, const StartFacts& facts);

inline constexpr std::string_view kDefaultPath =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

}  // namespace berth::engine
