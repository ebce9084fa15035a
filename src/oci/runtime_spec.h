// SPDX-License-Identifier: Apache-2.0
// The OCI runtime specification 1.2's config.json ("config.md", "config-linux.md") as plain structs, with a
// codec. Members have the specification's meaning and defaults; what this project does not act on is left
// out and skipped when read (AppArmor and SELinux labels are kept, so that the runtime can refuse or warn
// instead of silently dropping a protection).
//
// Parsing checks shapes and ranges alone: ids are unsigned 32 bit numbers, numbers don't wrap, types match.
// Whether a configuration makes sense is runtime/plan.h's question.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::oci {

struct ConsoleSize {
  std::uint32_t height = 0;
  std::uint32_t width = 0;
};

struct User {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::optional<std::uint32_t> umask;
  std::vector<std::uint32_t> additional_gids;
};

// Names such as "CAP_CHOWN".
struct Capabilities {
  std::vector<std::string> bounding;
  std::vector<std::string> effective;
  std::vector<std::string> permitted;
  std::vector<std::string> inheritable;
  std::vector<std::string> ambient;
};

struct ResourceLimit {
  std::string type;  // "RLIMIT_NOFILE"
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

struct Scheduler {
  std::string policy;  // "SCHED_BATCH"
  std::int32_t nice = 0;
  std::int32_t priority = 0;
  std::vector<std::string> flags;  // "SCHED_FLAG_RESET_ON_FORK"
  std::uint64_t runtime = 0;       // nanoseconds
  std::uint64_t deadline = 0;
  std::uint64_t period = 0;
};

struct IoPriority {
  std::string priority_class;  // "IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"
  std::int32_t priority = 0;   // 0 (most) to 7
};

struct Process {
  bool terminal = false;
  std::optional<ConsoleSize> console_size;
  User user;
  std::vector<std::string> args;
  std::vector<std::string> env;  // "KEY=value"
  std::string cwd;               // absolute, inside the container
  std::optional<Capabilities> capabilities;
  std::vector<ResourceLimit> rlimits;
  bool no_new_privileges = false;
  std::optional<std::int32_t> oom_score_adj;
  std::string apparmor_profile;
  std::string selinux_label;
  std::optional<Scheduler> scheduler;
  std::optional<IoPriority> io_priority;
};

struct Root {
  std::string path;  // absolute, or relative to the bundle
  bool readonly = false;
};

struct IdMapping {
  std::uint32_t container_id = 0;
  std::uint32_t host_id = 0;
  std::uint32_t size = 0;
};

struct Mount {
  std::string destination;  // inside the container
  std::string type;
  std::string source;  // for a bind: a path of the host, absolute or relative to the bundle
  std::vector<std::string> options;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
};

struct Hook {
  std::string path;                     // absolute
  std::vector<std::string> args;        // with argv[0]
  std::vector<std::string> env;         // exactly what the hook gets
  std::optional<std::int32_t> timeout;  // seconds
};

struct Hooks {
  std::vector<Hook> prestart;
  std::vector<Hook> create_runtime;
  std::vector<Hook> create_container;
  std::vector<Hook> start_container;
  std::vector<Hook> poststart;
  std::vector<Hook> poststop;
};

struct Namespace {
  std::string type;  // "pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"
  std::string path;  // empty: a new one
};

struct Device {
  std::string path;
  std::string type;  // "c", "u", "b", "p"
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint32_t> file_mode;
  std::optional<std::uint32_t> uid;
  std::optional<std::uint32_t> gid;
};

struct DeviceRule {
  bool allow = false;
  std::string type;                   // "a", "c", "b"; empty means "a"
  std::optional<std::int64_t> major;  // none, or negative: all
  std::optional<std::int64_t> minor;
  std::string access;  // of "rwm"; empty means all
};

struct MemoryResources {
  std::optional<std::int64_t> limit;        // bytes; -1: no limit
  std::optional<std::int64_t> reservation;  // bytes
  std::optional<std::int64_t> swap;         // memory and swap together, bytes; -1: no limit
  std::optional<std::int64_t> kernel;
  std::optional<std::int64_t> kernel_tcp;
  std::optional<std::uint64_t> swappiness;
  std::optional<bool> disable_oom_killer;
  std::optional<bool> use_hierarchy;
  std::optional<bool> check_before_update;
};

struct CpuResources {
  std::optional<std::uint64_t> shares;
  std::optional<std::int64_t> quota;    // microseconds a period; -1: no limit
  std::optional<std::uint64_t> burst;   // microseconds
  std::optional<std::uint64_t> period;  // microseconds
  std::optional<std::int64_t> realtime_runtime;
  std::optional<std::uint64_t> realtime_period;
  std::optional<std::int64_t> idle;
  std::string cpus;  // "0-2,7"
  std::string mems;
};

struct WeightDevice {
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::optional<std::uint16_t> weight;
  std::optional<std::uint16_t> leaf_weight;
};

struct ThrottleDevice {
  std::int64_t major = 0;
  std::int64_t minor = 0;
  std::uint64_t rate = 0;  // bytes or operations a second
};

struct BlockIoResources {
  std::optional<std::uint16_t> weight;  // 10 to 1000
  std::optional<std::uint16_t> leaf_weight;
  std::vector<WeightDevice> weight_devices;
  std::vector<ThrottleDevice> read_bps;
  std::vector<ThrottleDevice> write_bps;
  std::vector<ThrottleDevice> read_iops;
  std::vector<ThrottleDevice> write_iops;
};

struct HugepageLimit {
  std::string page_size;  // "2MB"
  std::uint64_t limit = 0;
};

struct Resources {
  std::vector<DeviceRule> devices;
  std::optional<MemoryResources> memory;
  std::optional<CpuResources> cpu;
  std::optional<std::int64_t> pids_limit;  // 0 and less: no limit
  std::optional<BlockIoResources> block_io;
  std::vector<HugepageLimit> hugepage_limits;
  std::map<std::string, std::string> unified;  // a cgroup v2 file and what is written to it
};

struct SeccompArgument {
  std::uint32_t index = 0;
  std::uint64_t value = 0;
  std::uint64_t value_two = 0;
  std::string op;  // "SCMP_CMP_EQ"
  bool operator==(const SeccompArgument&) const = default;
};

struct SeccompRule {
  std::vector<std::string> names;
  std::string action;  // "SCMP_ACT_ALLOW"
  std::optional<std::uint32_t> errno_return;
  std::vector<SeccompArgument> args;
  bool operator==(const SeccompRule&) const = default;
};

struct LinuxSeccomp {
  std::string default_action;
  std::optional<std::uint32_t> default_errno_return;
  std::vector<std::string> architectures;  // "SCMP_ARCH_X86_64"
  std::vector<std::string> flags;          // "SECCOMP_FILTER_FLAG_LOG"
  std::string listener_path;
  std::string listener_metadata;
  std::vector<SeccompRule> syscalls;
  bool operator==(const LinuxSeccomp&) const = default;
};

struct Linux {
  std::vector<Namespace> namespaces;
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;
  std::vector<Device> devices;
  std::string cgroups_path;
  Resources resources;
  std::string rootfs_propagation;  // "private", "slave", "shared", "unbindable", with or without "r" in front
  std::map<std::string, std::string> sysctl;
  std::vector<std::string> masked_paths;
  std::vector<std::string> readonly_paths;
  std::optional<LinuxSeccomp> seccomp;
  std::string mount_label;
};

struct RuntimeSpec {
  std::string version = "1.2.0";
  std::optional<Process> process;
  Root root;
  std::string hostname;
  std::string domainname;
  std::vector<Mount> mounts;
  Hooks hooks;
  std::map<std::string, std::string> annotations;
  Linux linux_;  // the member "linux"; some compilers define that word

  const Namespace* find_namespace(std::string_view type) const;
};

Result<RuntimeSpec> parse_runtime_spec(std::string_view text);
std::string to_text(const RuntimeSpec& spec, bool indented = false);

// Parts that travel alone: `exec --process FILE`, `update --resources FILE`, a seccomp section.
Result<Process> parse_process(std::string_view text);
std::string to_text(const Process& process);
Result<Resources> parse_resources(std::string_view text);
std::string to_text(const Resources& resources);
Result<LinuxSeccomp> parse_seccomp(std::string_view text);

// The configuration that `spec` prints: a shell in an empty network, Docker's masked paths, capabilities of a
// plain service.
RuntimeSpec default_runtime_spec();

// What `state` prints and hooks read on their standard input ("runtime.md", "State").
struct State {
  std::string version = "1.2.0";
  std::string id;
  std::string status;  // "creating", "created", "running", "stopped"
  std::int64_t pid = 0;
  std::string bundle;
  std::map<std::string, std::string> annotations;
};
std::string to_text(const State& state, bool indented = false);

}  // namespace berth::oci
