// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime_config.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "engine/modes.h"
#include "runtime/plan.h"
#include "sys/capabilities.h"

namespace berth::engine {
namespace {

constexpr std::array kMaskedPaths{"/proc/asound",     "/proc/acpi",        "/proc/interrupts",
                                  "/proc/kcore",      "/proc/keys",        "/proc/latency_stats",
                                  "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
                                  "/proc/scsi",       "/sys/firmware",     "/sys/devices/virtual/powercap"};

constexpr const char* kInitPath = "/sbin/berth-init";

constexpr std::array kReadonlyPaths{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

struct DefaultDevice {
  char type;
  std::int64_t major, minor;
};

// What a container's device group always lets through: mknod of anything (it needs CAP_MKNOD), and use of the
// harmless.
constexpr std::array<DefaultDevice, 8> kUsableDevices{
    {{'c', 1, 3}, {'c', 1, 5}, {'c', 1, 7}, {'c', 1, 8}, {'c', 1, 9}, {'c', 5, 0}, {'c', 5, 1}, {'c', 5, 2}}};

std::string name_of_variable(std::string_view entry) { return std::string(entry.substr(0, entry.find('='))); }

// Adds or replaces one "NAME=value"; an entry without "=" takes the variable away.
void set_variable(std::vector<std::string>& environment, const std::string& entry) {
  const std::string name = name_of_variable(entry);
  auto same = std::find_if(environment.begin(), environment.end(),
                           [&](const std::string& existing) { return name_of_variable(existing) == name; });
  if (entry.find('=') == std::string::npos) {
    if (same != environment.end()) environment.erase(same);
  } else if (same != environment.end()) {
    *same = entry;
  } else {
    environment.push_back(entry);
  }
}

bool has_variable(const std::vector<std::string>& environment, std::string_view name) {
  return std::any_of(environment.begin(), environment.end(),
                     [&](const std::string& entry) { return name_of_variable(entry) == name; });
}

std::vector<std::string> make_environment(const ContainerRecord& record, const std::string& hostname,
                                          const runtime::ResolvedUser& user,
                                          const std::vector<std::string>& links) {
  std::vector<std::string> environment{fmt::format("PATH={}", kDefaultPath), "HOSTNAME=" + hostname};
  if (record.config.tty) environment.push_back("TERM=xterm");
  for (const std::string& entry : links) set_variable(environment, entry);
  for (const std::string& entry : record.config.env) set_variable(environment, entry);
  if (!has_variable(environment, "HOME")) environment.push_back("HOME=" + user.home);
  return environment;
}

oci::Capabilities capability_sets(const std::vector<std::string>& names) {
  return {.bounding = names, .effective = names, .permitted = names, .inheritable = {}, .ambient = {}};
}

oci::Mount mount(std::string destination, std::string type, std::string source,
                 std::vector<std::string> options) {
  return {.destination = std::move(destination),
          .type = std::move(type),
          .source = std::move(source),
          .options = std::move(options)};
}

bool wants_writable_cgroup(const HostConfig& config) { return config.privileged; }

std::vector<oci::Mount> kernel_mounts(const Settings& settings, const ContainerRecord& record,
                                      const StartFacts& facts) {
  const HostConfig& config = record.host_config;
  const std::string sys_access = config.privileged ? "rw" : "ro";
  std::vector<oci::Mount> mounts{
      mount("/proc", "proc", "proc", {"nosuid", "noexec", "nodev"}),
      mount("/dev", "tmpfs", "tmpfs", {"nosuid", "strictatime", "mode=755", "size=65536k"}),
      mount("/dev/pts", "devpts", "devpts",
            {"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}),
      mount("/sys", "sysfs", "sysfs", {"nosuid", "noexec", "nodev", sys_access}),
      mount("/sys/fs/cgroup", "cgroup", "cgroup",
            {wants_writable_cgroup(config) ? "rw" : "ro", "nosuid", "noexec", "nodev"}),
      mount("/dev/mqueue", "mqueue", "mqueue", {"nosuid", "noexec", "nodev"}),
  };
  if (!facts.shared_shm.empty()) {
    mounts.push_back(mount("/dev/shm", "bind", facts.shared_shm, {"rbind", "rprivate"}));
  } else if (config.ipc_mode != "none") {
    const std::int64_t size = config.shm_size > 0 ? config.shm_size : settings.default_shm_size;
    mounts.push_back(mount("/dev/shm", "tmpfs", "shm",
                           {"nosuid", "noexec", "nodev", "mode=1777", fmt::format("size={}", size)}));
  }
  return mounts;
}

oci::Mount bind_of(const MountPoint& point) {
  std::vector<std::string> options{point.recursive ? "rbind" : "bind",
                                   point.propagation.empty() ? "rprivate" : point.propagation};
  // "ro" alone would leave the mounts below the source writable.
  if (point.read_only) options.push_back(point.read_only_below ? "rro" : "ro");
  if (!point.subpath.empty()) options.push_back(fmt::format("{}={}", runtime::kBeneathOption, point.subpath));
  return mount(point.destination, "bind", point.source, std::move(options));
}

Result<oci::Mount> tmpfs_of(const std::string& destination, const std::string& options_text) {
  std::vector<std::string> options{"noexec", "nosuid", "nodev"};
  for (std::string_view option : split(options_text, ',')) {
    if (option.empty()) continue;
    // The opposite of a default takes its place.
    std::erase_if(options,
                  [&](const std::string& existing) { return "no" + std::string(option) == existing; });
    options.emplace_back(option);
  }
  return mount(destination, "tmpfs", "tmpfs", std::move(options));
}

Result<oci::Mount> tmpfs_of(const MountSetting& setting) {
  std::vector<std::string> options{"noexec", "nosuid", "nodev"};
  if (setting.read_only) options.push_back("ro");
  if (setting.tmpfs) {
    if (setting.tmpfs->size_bytes > 0) options.push_back(fmt::format("size={}", setting.tmpfs->size_bytes));
    if (setting.tmpfs->mode != 0) options.push_back(fmt::format("mode={:o}", setting.tmpfs->mode));
    for (const auto& words : setting.tmpfs->options) {
      const std::string option = join(words, "=");
      std::erase_if(options, [&](const std::string& existing) { return "no" + option == existing; });
      options.push_back(option);
    }
  }
  return mount(setting.target, "tmpfs", "tmpfs", std::move(options));
}

// The kernel's file systems but those that the user puts something else in the place of, then the user's and
// our own files from the outermost destination inward: a volume on /etc does not hide /etc/resolv.conf.
Result<std::vector<oci::Mount>> make_mounts(const Settings& settings, const ContainerRecord& record,
                                            const StartFacts& facts) {
  std::vector<oci::Mount> mounts = kernel_mounts(settings, record, facts);
  std::vector<oci::Mount> users;
  for (const MountPoint& point : record.mounts) users.push_back(bind_of(point));
  for (const auto& [destination, options] : record.host_config.tmpfs)
    users.push_back(TRY(tmpfs_of(destination, options)));
  for (const MountSetting& setting : record.host_config.mounts)
    if (setting.type == "tmpfs") users.push_back(TRY(tmpfs_of(setting)));
  auto taken = [&](std::string_view destination) {
    return std::any_of(users.begin(), users.end(),
                       [&](const oci::Mount& other) { return other.destination == destination; });
  };
  std::erase_if(mounts, [&](const oci::Mount& own) { return taken(own.destination); });
  if (facts.mount_network_files)
    for (auto [file, destination] : {std::pair{"resolv.conf", "/etc/resolv.conf"},
                                     {"hostname", "/etc/hostname"},
                                     {"hosts", "/etc/hosts"}}) {
      if (taken(destination)) continue;
      std::vector<std::string> options{"bind", "rprivate"};
      if (record.host_config.readonly_rootfs) options.push_back("ro");
      users.push_back(mount(destination, "bind", facts.container_directory + "/" + file, std::move(options)));
    }
  if (!facts.init_program.empty())
    users.push_back(mount(kInitPath, "bind", facts.init_program, {"bind", "ro", "rprivate"}));
  auto depth = [](const oci::Mount& entry) {
    return std::count(entry.destination.begin(), entry.destination.end(), '/');
  };
  std::stable_sort(users.begin(), users.end(),
                   [&](const oci::Mount& a, const oci::Mount& b) { return depth(a) < depth(b); });
  mounts.insert(mounts.end(), users.begin(), users.end());
  return mounts;
}

std::vector<oci::Namespace> make_namespaces(const ContainerRecord& record, const StartFacts& facts) {
  const HostConfig& config = record.host_config;
  std::vector<oci::Namespace> namespaces{{"mount", ""}};
  auto add = [&](const std::string& type, const std::string& mode) {
    if (mode == "host") return;
    auto shared = facts.shared_namespaces.find(type);
    namespaces.push_back({type, shared == facts.shared_namespaces.end() ? "" : shared->second});
  };
  add("network", config.network_mode);
  add("uts", config.uts_mode);
  add("pid", config.pid_mode);
  add("ipc", config.ipc_mode);
  // Docker's default is a private group namespace on v2 and the host's on v1. Private hides the host's tree
  // on both.
  if (config.cgroupns_mode != "host") namespaces.push_back({"cgroup", ""});
  return namespaces;
}

Result<oci::DeviceRule> parse_device_rule(const std::string& text) {
  // "c 1:3 rwm", "b 7:* r", "a *:* rwm"
  auto refused = [&] { return fail(ErrorKind::invalid, "invalid device cgroup rule format: '{}'", text); };
  std::vector<std::string_view> words = split(text, ' ');
  if (words.size() != 3 || words[0].size() != 1 ||
      std::string_view("abc").find(words[0]) == std::string_view::npos)
    return refused();
  auto [major_text, minor_text] = split_once(words[1], ':');
  oci::DeviceRule rule{.allow = true, .type = std::string(words[0]), .access = std::string(words[2])};
  if (rule.access.empty() || rule.access.find_first_not_of("rwm") != std::string::npos) return refused();
  for (auto [part, out] : {std::pair{major_text, &rule.major}, std::pair{minor_text, &rule.minor}}) {
    if (part == "*") continue;
    auto number = parse_integer<std::uint32_t>(part);
    if (!number) return refused();
    *out = *number;
  }
  return rule;
}

Result<std::vector<oci::DeviceRule>> device_rules(const HostConfig& config, const StartFacts& facts) {
  if (config.privileged) return std::vector<oci::DeviceRule>{{.allow = true, .type = "a", .access = "rwm"}};
  std::vector<oci::DeviceRule> rules{{.allow = false, .type = "a", .access = "rwm"},
                                     {.allow = true, .type = "c", .access = "m"},
                                     {.allow = true, .type = "b", .access = "m"}};
  for (const DefaultDevice& device : kUsableDevices)
    rules.push_back({.allow = true,
                     .type = std::string(1, device.type),
                     .major = device.major,
                     .minor = device.minor,
                     .access = "rwm"});
  rules.push_back({.allow = true, .type = "c", .major = 136, .access = "rwm"});  // pseudo-terminals
  for (std::size_t i = 0; i < facts.devices.size() && i < facts.device_permissions.size(); ++i) {
    const std::string& permissions = facts.device_permissions[i];
    rules.push_back({.allow = true,
                     .type = facts.devices[i].type,
                     .major = facts.devices[i].major,
                     .minor = facts.devices[i].minor,
                     .access = permissions.empty() ? "rwm" : permissions});
  }
  for (const std::string& text : config.resources.device_cgroup_rules) {
    oci::DeviceRule rule = TRY(parse_device_rule(text));
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<oci::ResourceLimit> resource_limits(const Settings& settings, const HostConfig& config) {
  std::map<std::string, UlimitSetting> merged;
  for (const UlimitSetting& limit : settings.default_ulimits) merged[limit.name] = limit;
  for (const UlimitSetting& limit : config.resources.ulimits) merged[limit.name] = limit;
  std::vector<oci::ResourceLimit> limits;
  for (const auto& [name, limit] : merged)
    limits.push_back({"RLIMIT_" + to_upper(name), static_cast<std::uint64_t>(limit.soft),
                      static_cast<std::uint64_t>(limit.hard)});
  return limits;
}

std::optional<oci::BlockIoResources> block_io_of(const ResourceLimits& limits, const StartFacts& facts) {
  oci::BlockIoResources block;
  if (limits.blkio_weight > 0) block.weight = limits.blkio_weight;
  auto number_of = [&](const std::string& path) {
    auto found = facts.block_devices.find(path);
    return found == facts.block_devices.end() ? std::pair<std::int64_t, std::int64_t>{} : found->second;
  };
  for (const WeightDevice& device : limits.blkio_weight_device) {
    auto [major, minor] = number_of(device.path);
    block.weight_devices.push_back({major, minor, device.weight, std::nullopt});
  }
  auto throttle = [&](const std::vector<ThrottleDevice>& from, std::vector<oci::ThrottleDevice>& into) {
    for (const ThrottleDevice& device : from) {
      auto [major, minor] = number_of(device.path);
      into.push_back({major, minor, device.rate});
    }
  };
  throttle(limits.blkio_device_read_bps, block.read_bps);
  throttle(limits.blkio_device_write_bps, block.write_bps);
  throttle(limits.blkio_device_read_iops, block.read_iops);
  throttle(limits.blkio_device_write_iops, block.write_iops);
  const bool anything = block.weight || !block.weight_devices.empty() || !block.read_bps.empty() ||
                        !block.write_bps.empty() || !block.read_iops.empty() || !block.write_iops.empty();
  return anything ? std::optional(std::move(block)) : std::nullopt;
}

std::vector<std::string> to_strings(const auto& list) { return {list.begin(), list.end()}; }

}  // namespace

oci::Resources make_resources(const ResourceLimits& limits, const StartFacts& facts) {
  oci::Resources resources;
  oci::MemoryResources memory;
  if (limits.memory > 0) memory.limit = limits.memory;
  if (limits.memory_reservation > 0) memory.reservation = limits.memory_reservation;
  // Docker's default: as much swap again as memory.
  if (limits.memory_swap != 0)
    memory.swap = limits.memory_swap;
  else if (limits.memory > 0)
    memory.swap = limits.memory > INT64_MAX / 2 ? -1 : limits.memory * 2;
  if (limits.memory_swappiness && *limits.memory_swappiness >= 0)
    memory.swappiness = static_cast<std::uint64_t>(*limits.memory_swappiness);
  if (limits.oom_kill_disable && *limits.oom_kill_disable) memory.disable_oom_killer = true;
  if (memory.limit || memory.reservation || memory.swap || memory.swappiness || memory.disable_oom_killer)
    resources.memory = memory;

  oci::CpuResources cpu;
  if (limits.cpu_shares > 0) cpu.shares = static_cast<std::uint64_t>(limits.cpu_shares);
  if (limits.nano_cpus > 0) {
    cpu.period = 100'000;
    cpu.quota = limits.nano_cpus / 10'000;
  } else {
    if (limits.cpu_period > 0) cpu.period = static_cast<std::uint64_t>(limits.cpu_period);
    if (limits.cpu_quota != 0) cpu.quota = limits.cpu_quota;
  }
  if (limits.cpu_realtime_period > 0)
    cpu.realtime_period = static_cast<std::uint64_t>(limits.cpu_realtime_period);
  if (limits.cpu_realtime_runtime > 0) cpu.realtime_runtime = limits.cpu_realtime_runtime;
  cpu.cpus = limits.cpuset_cpus;
  cpu.mems = limits.cpuset_mems;
  if (cpu.shares || cpu.quota || cpu.period || cpu.realtime_period || cpu.realtime_runtime ||
      !cpu.cpus.empty() || !cpu.mems.empty())
    resources.cpu = cpu;

  if (limits.pids_limit && *limits.pids_limit > 0) resources.pids_limit = *limits.pids_limit;
  resources.block_io = block_io_of(limits, facts);
  return resources;
}

Result<std::vector<std::string>> effective_capabilities(const HostConfig& config,
                                                        const std::vector<std::string>& all) {
  auto normalised = [](const std::string& name) {
    std::string upper = to_upper(name);
    return upper == "ALL" || upper.starts_with("CAP_") ? upper : "CAP_" + upper;
  };
  auto known = [&](const std::string& name) { return std::find(all.begin(), all.end(), name) != all.end(); };
  if (config.privileged) return all;
  std::vector<std::string> added, dropped;
  for (auto [from, into] : {std::pair{&config.cap_add, &added}, std::pair{&config.cap_drop, &dropped}})
    for (const std::string& text : *from) {
      std::string name = normalised(text);
      if (name != "ALL" && !known(name))
        return fail(ErrorKind::invalid, "invalid capability: {}: this machine has no such capability", text);
      into->push_back(std::move(name));
    }
  auto contains = [](const std::vector<std::string>& list, std::string_view name) {
    return std::find(list.begin(), list.end(), name) != list.end();
  };
  const bool add_all = contains(added, "ALL"), drop_all = contains(dropped, "ALL");
  std::vector<std::string> result;
  for (const std::string& name : all) {
    const bool by_default = add_all || (!drop_all && contains(sys::default_capability_names(), name));
    if ((by_default && !contains(dropped, name)) || contains(added, name)) result.push_back(name);
  }
  return result;
}

std::string cgroup_path(const Settings& settings, const ContainerRecord& record) {
  const std::string& own = record.host_config.resources.cgroup_parent;
  const std::string& parent = own.empty() ? settings.cgroup_parent : own;
  return (parent.starts_with('/') ? parent : "/" + parent) + "/" + record.id;
}

Result<oci::RuntimeSpec> make_runtime_config(const Settings& settings, const ContainerRecord& record,
                                             const StartFacts& facts) {
  const HostConfig& config = record.host_config;
  std::vector<std::string> capabilities = TRY(effective_capabilities(config, facts.all_capabilities));

  oci::RuntimeSpec spec;
  oci::Process& process = spec.process.emplace();
  process.terminal = record.config.tty;
  if (config.console_size.size() == 2 && config.console_size[0] > 0)
    process.console_size = oci::ConsoleSize{static_cast<std::uint32_t>(config.console_size[0]),
                                            static_cast<std::uint32_t>(config.console_size[1])};
  process.user = facts.user.user;
  process.args = record.arguments;
  if (!facts.init_program.empty()) {
    process.args.insert(process.args.begin(), {kInitPath, "--"});
  }
  process.env = make_environment(record, facts.resolved_hostname, facts.user, facts.link_environment);
  process.cwd = record.config.working_dir.empty() ? "/" : record.config.working_dir;
  process.capabilities = capability_sets(capabilities);
  process.rlimits = resource_limits(settings, config);
  process.no_new_privileges = wants_no_new_privileges(config.security_options, settings.no_new_privileges);
  process.oom_score_adj = config.oom_score_adj;

  spec.root.readonly = config.readonly_rootfs;
  if (config.uts_mode != "host") {
    spec.hostname = facts.resolved_hostname;
    spec.domainname = record.config.domainname;
  }
  spec.mounts = TRY(make_mounts(settings, record, facts));
  spec.annotations = config.annotations;

  oci::Linux& linux_part = spec.linux_;
  linux_part.namespaces = make_namespaces(record, facts);
  if (config.privileged) linux_part.devices = facts.host_devices;
  for (const oci::Device& device : facts.devices)
    if (std::none_of(linux_part.devices.begin(), linux_part.devices.end(),
                     [&](const oci::Device& other) { return other.path == device.path; }))
      linux_part.devices.push_back(device);
  linux_part.cgroups_path = cgroup_path(settings, record);
  linux_part.resources = make_resources(config.resources, facts);
  linux_part.resources.devices = TRY(device_rules(config, facts));
  linux_part.rootfs_propagation = rootfs_propagation_for(record.mounts);
  linux_part.sysctl = config.sysctls;
  if (const NetworkKind kind = network_kind(config.network_mode);
      kind != NetworkKind::host && kind != NetworkKind::container) {
    // As with Docker: in a network of its own nobody needs to be root for port 80, or for ping.
    linux_part.sysctl.insert(
        {{"net.ipv4.ip_unprivileged_port_start", "0"}, {"net.ipv4.ping_group_range", "0 2147483647"}});
  }
  if (!config.privileged) {
    linux_part.masked_paths = config.masked_paths.value_or(to_strings(kMaskedPaths));
    linux_part.readonly_paths = config.readonly_paths.value_or(to_strings(kReadonlyPaths));
  }
  linux_part.seccomp = facts.seccomp;
  return spec;
}

oci::Process make_exec_process(const Settings& settings, const ContainerRecord& record,
                               const runtime::ResolvedUser& user, const ExecOptions& options,
                               const std::vector<std::string>& all_capabilities) {
  oci::Process process;
  process.terminal = options.terminal;
  process.console_size = options.console_size;
  process.user = user.user;
  process.args = options.arguments;
  process.env = make_environment(record, hostname_of(record), user, options.link_environment);
  if (options.terminal && !has_variable(process.env, "TERM")) process.env.push_back("TERM=xterm");
  for (const std::string& entry : options.environment) set_variable(process.env, entry);
  process.cwd = !options.working_directory.empty()  ? options.working_directory
                : record.config.working_dir.empty() ? "/"
                                                    : record.config.working_dir;
  auto capabilities = effective_capabilities(record.host_config, all_capabilities);
  if (options.privileged)
    process.capabilities = capability_sets(all_capabilities);
  else if (capabilities)
    process.capabilities = capability_sets(*capabilities);
  process.rlimits = resource_limits(settings, record.host_config);
  process.no_new_privileges =
      wants_no_new_privileges(record.host_config.security_options, settings.no_new_privileges);
  process.oom_score_adj = record.host_config.oom_score_adj;
  return process;
}

}  // namespace berth::engine
