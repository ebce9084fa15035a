// SPDX-License-Identifier: Apache-2.0
// The options of `run` and `create`: they differ in what only an attached container needs.
#pragma once
#include <array>

#include "cli/create/mount.h"
#include "cli/create/networks.h"
#include "cli/flags/checks.h"
#include "cli/flags/flags.h"

namespace berth::cli {

inline constexpr FlagSpec kCreateFlags[] = {
    {"add-host", 0, "list", "Add a line to /etc/hosts (name:address, name:host-gateway)", "",
     check_extra_host},
    {"annotation", 0, "map", "Add an annotation to the runtime's configuration", "", check_annotation},
    {"attach", 'a', "list", "Attach to stdin, stdout or stderr", "", check_attach},
    {"blkio-weight", 0, "uint16", "Relative weight of block I/O, 10 to 1000; 0 for none", "0"},
    {"blkio-weight-device", 0, "list", "Relative weight for one device (path:weight)", "",
     check_weight_device},
    {"cap-add", 0, "list", "Add Linux capabilities"},
    {"cap-drop", 0, "list", "Drop Linux capabilities"},
    {"cgroup-parent", 0, "string", "Parent cgroup of the container"},
    {"cgroupns", 0, "string", "Cgroup namespace: host or private"},
    {"cidfile", 0, "string", "Write the container's id to this file"},
    {"cpu-count", 0, "int", "Ignored on Linux", "", nullptr, "", true},
    {"cpu-percent", 0, "int", "Ignored on Linux", "", nullptr, "", true},
    {"cpu-period", 0, "int", "Period of the CPU quota, in microseconds"},
    {"cpu-quota", 0, "int", "CPU time within a period, in microseconds"},
    {"cpu-rt-period", 0, "int", "Period of the real-time quota, in microseconds"},
    {"cpu-rt-runtime", 0, "int", "Real-time CPU time within a period, in microseconds"},
    {"cpu-shares", 'c', "int", "Relative weight of CPU time"},
    {"cpus", 0, "decimal", "Number of CPUs, such as 1.5"},
    {"cpuset-cpus", 0, "string", "CPUs to run on (0-3, 0,1)"},
    {"cpuset-mems", 0, "string", "Memory nodes to use (0-3, 0,1)"},
    {"detach-keys", 0, "string", "Keys that detach from the container"},
    {"device", 0, "list", "Give access to a device of the host (path[:path][:rwm])"},
    {"device-cgroup-rule", 0, "list", "Add a rule to the allowed devices", "", check_device_rule},
    {"device-read-bps", 0, "list", "Limit reads from a device (path:bytes per second)", "", check_rate_bytes},
    {"device-read-iops", 0, "list", "Limit reads from a device (path:operations per second)", "",
     check_rate_count},
    {"device-write-bps", 0, "list", "Limit writes to a device (path:bytes per second)", "", check_rate_bytes},
    {"device-write-iops", 0, "list", "Limit writes to a device (path:operations per second)", "",
     check_rate_count},
    {"disable-content-trust", 0, "", "Accepted for compatibility", "true"},
    {"dns", 0, "list", "Use these name servers", "", check_ip_address},
    {"dns-opt", 0, "list", "", "", nullptr, "dns-option"},
    {"dns-option", 0, "list", "Options of the resolver"},
    {"dns-search", 0, "list", "Domains to search", "", check_dns_search},
    {"domainname", 0, "string", "NIS domain name of the container"},
    {"entrypoint", 0, "string", "Replace the image's entry point"},
    {"env", 'e', "list", "Set an environment variable; NAME alone takes it from here", "", check_environment},
    {"env-file", 0, "list", "Read environment variables from a file"},
    {"expose", 0, "list", "Expose a port or a range of ports"},
    {"gpus", 0, "gpu-request", "Not supported: pass devices with --device", "", refuse_gpus},
    {"group-add", 0, "list", "Add supplementary groups"},
    {"health-cmd", 0, "string", "Command that checks the health"},
    {"health-interval", 0, "duration", "Time between two checks (ms|s|m|h)", "0s"},
    {"health-retries", 0, "int", "Failures in a row that make it unhealthy", "0"},
    {"health-start-interval", 0, "duration", "Time between checks while it starts (ms|s|m|h)", "0s"},
    {"health-start-period", 0, "duration", "Time to start in, before failures count (ms|s|m|h)", "0s"},
    {"health-timeout", 0, "duration", "Time that one check may take (ms|s|m|h)", "0s"},
    {"hostname", 'h', "string", "Host name of the container"},
    {"init", 0, "", "Run an init that passes signals on and reaps processes"},
    {"interactive", 'i', "", "Keep standard input open even if not attached"},
    {"ip", 0, "string", "IPv4 address"},
    {"ip6", 0, "string", "IPv6 address"},
    {"ipc", 0, "string", "IPC namespace to use"},
    {"isolation", 0, "string", "Ignored on Linux but for \"default\""},
    {"kernel-memory", 0, "bytes", "Ignored: the kernel has no such limit any more"},
    {"label", 'l', "list", "Set a label", "", check_label},
    {"label-file", 0, "list", "Read labels from a file"},
    {"link", 0, "list", "Add a link to another container (name[:alias])", "", check_link},
    {"link-local-ip", 0, "list", "Link-local addresses"},
    {"log-driver", 0, "string", "Where the output is kept"},
    {"log-opt", 0, "list", "Options of the log driver"},
    {"mac-address", 0, "string", "MAC address"},
    {"memory", 'm', "bytes", "Memory limit"},
    {"memory-reservation", 0, "bytes", "Memory that is kept for it"},
    {"memory-swap", 0, "bytes", "Limit of memory and swap together; -1 for no limit"},
    {"memory-swappiness", 0, "int", "Readiness to swap, 0 to 100", "-1"},
    {"mount", 0, "mount", "Mount a directory, volume, image or tmpfs (type=,source=,target=,...)", "",
     check_mount},
    {"name", 0, "string", "Name of the container"},
    {"net", 0, "network", "", "", nullptr, "network"},
    {"net-alias", 0, "list", "", "", nullptr, "network-alias"},
    {"network", 0, "network", "Connect to a network (name, or name=,alias=,ip=,ip6=,mac-address=,...)", "",
     check_network},
    {"network-alias", 0, "list", "Add a name on the network"},
    {"no-healthcheck", 0, "", "Disable the image's health check"},
    {"oom-kill-disable", 0, "", "Stop instead of killing when memory runs out"},
    {"oom-score-adj", 0, "int", "Preference of the out-of-memory killer, -1000 to 1000", "0"},
    {"pid", 0, "string", "PID namespace to use"},
    {"pids-limit", 0, "int", "Limit of processes; -1 for none", "0"},
    {"platform", 0, "string", "Platform of the image (os[/arch[/variant]])"},
    {"privileged", 0, "", "Give it nearly all that the host's root can do"},
    {"publish", 'p', "list", "Publish a port ([[address:]host:]container[/protocol], or target=,...)"},
    {"publish-all", 'P', "", "Publish all exposed ports to free ones"},
    {"pull", 0, "string", "Pull the image before: always, missing, never", "missing"},
    {"quiet", 'q', "", "Do not show how the pull goes"},
    {"read-only", 0, "", "Mount the root file system read-only"},
    {"restart", 0, "string", "Restart policy: no, always, unless-stopped, on-failure[:n]", "no"},
    {"rm", 0, "", "Remove the container and its anonymous volumes when it ends"},
    {"runtime", 0, "string", "Runtime to use"},
    {"security-opt", 0, "list", "Security options (seccomp=, no-new-privileges, apparmor=, ...)"},
    {"shm-size", 0, "bytes", "Size of /dev/shm"},
    {"stop-signal", 0, "string", "Signal that stops the container"},
    {"stop-timeout", 0, "int", "Seconds to wait before it is killed"},
    {"storage-opt", 0, "list", "Options of the storage"},
    {"sysctl", 0, "map", "Set a kernel parameter of its namespaces", "", check_sysctl},
    {"tmpfs", 0, "list", "Mount a tmpfs (path[:options])"},
    {"tty", 't', "", "Give it a terminal"},
    {"ulimit", 0, "ulimit", "Set a resource limit (name=soft[:hard])", "", check_ulimit},
    {"user", 'u', "string", "User and group (name|uid[:group|gid])"},
    {"userns", 0, "string", "User namespace to use"},
    {"uts", 0, "string", "UTS namespace to use"},
    {"volume", 'v', "list", "Mount a volume or a directory ([source:]target[:options])"},
    {"volume-driver", 0, "string", "Driver of new volumes"},
    {"volumes-from", 0, "list", "Mount what another container mounts"},
    {"workdir", 'w', "string", "Working directory"},
};

namespace detail {
template <std::size_t Base, std::size_t More>
constexpr std::array<FlagSpec, Base + More> joined(const FlagSpec (&base)[Base],
                                                   const FlagSpec (&more)[More]) {
  std::array<FlagSpec, Base + More> all{};
  for (std::size_t i = 0; i < Base; ++i) all[i] = base[i];
  for (std::size_t i = 0; i < More; ++i) all[Base + i] = more[i];
  return all;
}
inline constexpr FlagSpec kRunOnly[] = {
    {"detach", 'd', "", "Run in the background and print the container's id"},
    {"sig-proxy", 0, "", "Pass signals that arrive here on to the process", "true"},
};
}  // namespace detail

inline constexpr auto kRunFlags = detail::joined(kCreateFlags, detail::kRunOnly);

}  // namespace berth::cli
