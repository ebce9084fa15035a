// SPDX-License-Identifier: Apache-2.0
// The configuration that `berth-runtime spec` prints.
#include "oci/runtime_spec.h"

namespace berth::oci {

RuntimeSpec default_runtime_spec() {
  RuntimeSpec spec;
  Process& process = spec.process.emplace();
  process.terminal = true;
  process.args = {"sh"};
  process.env = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"};
  process.cwd = "/";
  const std::vector<std::string> service = {"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"};
  process.capabilities = Capabilities{service, service, service, {}, {}};
  process.rlimits = {{"RLIMIT_NOFILE", 1024, 1024}};
  process.no_new_privileges = true;

  spec.root = {"rootfs", true};
  spec.hostname = "berth";
  auto mount = [&](std::string destination, std::string type, std::string source,
                   std::vector<std::string> options) {
    spec.mounts.push_back(
        {std::move(destination), std::move(type), std::move(source), std::move(options), {}, {}});
  };
  mount("/proc", "proc", "proc", {});
  mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"});
  mount("/dev/pts", "devpts", "devpts",
        {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"});
  mount("/dev/shm", "tmpfs", "shm", {"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"});
  mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"});
  mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", "ro"});
  mount("/sys/fs/cgroup", "cgroup", "cgroup", {"nosuid", "noexec", "nodev", "relatime", "ro"});

  spec.linux_.resources.devices = {{false, "", {}, {}, "rwm"}};
  for (const char* type : {"pid", "network", "ipc", "uts", "mount", "cgroup"})
    spec.linux_.namespaces.push_back({type, ""});
  spec.linux_.masked_paths = {"/proc/acpi",
                              "/proc/asound",
                              "/proc/interrupts",
                              "/proc/kcore",
                              "/proc/keys",
                              "/proc/latency_stats",
                              "/proc/timer_list",
                              "/proc/timer_stats",
                              "/proc/sched_debug",
                              "/sys/firmware",
                              "/sys/devices/virtual/powercap",
                              "/proc/scsi"};
  spec.linux_.readonly_paths = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
  return spec;
}

}  // namespace berth::oci
