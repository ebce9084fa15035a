// SPDX-License-Identifier: Apache-2.0
#include "engine/validation.h"

#include <algorithm>
#include <array>
#include <thread>

#include "base/signal_name.h"
#include "base/text.h"
#include "engine/links.h"
#include "engine/modes.h"
#include "engine/volume_driver.h"
#include "keeper/settings.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

constexpr std::array kLimitNames{"as",      "core",     "cpu",        "data",   "fsize", "locks",
                                 "memlock", "msgqueue", "nice",       "nofile", "nproc", "rss",
                                 "rtprio",  "rttime",   "sigpending", "stack"};

constexpr std::array kIpcSysctls{"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem",
                                 "kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced"};

constexpr std::array kPropagations{"private", "rprivate", "slave", "rslave", "shared", "rshared"};

template <class List>
bool contains(const List& list, std::string_view text) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

Result<void> check_restart_policy(const HostConfig& host) {
  keeper::RestartCondition condition = TRY(keeper::parse_restart_condition(host.restart_name));
  if (host.restart_maximum < 0)
    return fail(ErrorKind::invalid, "invalid restart policy: maximum retry count cannot be negative");
  if (host.restart_maximum > 0 && condition != keeper::RestartCondition::on_failure)
    return fail(ErrorKind::invalid,
                "invalid restart policy: maximum retry count can only be used with 'on-failure'");
  if (host.auto_remove && condition != keeper::RestartCondition::no)
    return fail(ErrorKind::invalid, "can't create 'AutoRemove' container with restart policy");
  return {};
}

Result<void> check_modes(const HostConfig& host) {
  auto one_of = [](std::string_view what, const std::string& mode,
                   std::initializer_list<std::string_view> known, bool container_too) -> Result<void> {
    if (std::find(known.begin(), known.end(), mode) != known.end()) return {};
    if (container_too && container_of_mode(mode) && container_of_mode(mode)->size() > 0) return {};
    return fail(ErrorKind::invalid, "invalid {} mode: {}", what, mode);
  };
  TRY(one_of("PID", host.pid_mode, {"", "private", "host"}, true));
  TRY(one_of("IPC", host.ipc_mode, {"", "private", "shareable", "host", "none"}, true));
  TRY(one_of("UTS", host.uts_mode, {"", "private", "host"}, false));
  TRY(one_of("cgroup namespace", host.cgroupns_mode, {"", "private", "host"}, false));
  if (!host.userns_mode.empty() && host.userns_mode != "host")
    return fail(ErrorKind::invalid, "invalid USER mode: {}", host.userns_mode);
  return {};
}

Result<void> check_links(const HostConfig& host) {
  for (const std::string& link : host.links) TRY(parse_link(link));
  const NetworkKind kind = network_kind(host.network_mode);
  if (!host.links.empty() && (kind == NetworkKind::host || kind == NetworkKind::container))
    return fail(ErrorKind::invalid,
                "conflicting options: {} type networking can't be used with links. This would result in "
                "undefined behavior",
                kind == NetworkKind::host ? "host" : "container");
  return {};
}

Result<void> check_unsupported(const HostConfig& host) {
  if (host.device_requests > 0)
    return fail(ErrorKind::unsupported,
                "could not select device driver with capabilities: GPU requests are not supported; "
                "pass devices with --device");
  if (!host.runtime.empty() && host.runtime != "berth" && host.runtime != "runc" &&
      host.runtime != "io.containerd.runc.v2")
    return fail(ErrorKind::invalid, "unknown or invalid runtime name: {}", host.runtime);
  if (!host.storage_options.empty())
    return fail(ErrorKind::unsupported, "--storage-opt is not supported by the overlay driver");
  if (!host.isolation.empty() && host.isolation != "default")
    return fail(ErrorKind::invalid, "invalid isolation '{}': Linux has only 'default'", host.isolation);
  if (!host.volume_driver.empty() && host.volume_driver != "local")
    return fail(ErrorKind::not_found, "volume driver \"{}\" is not installed: use local", host.volume_driver);
  return {};
}

// The kernel ends a string at a NUL: what follows it would be dropped silently.
Result<void> check_no_nul(std::string_view what, const std::vector<std::string>& texts) {
  for (const std::string& text : texts)
    if (text.find('\0') != std::string::npos) return fail(ErrorKind::invalid, "{} holds a NUL byte", what);
  return {};
}

Result<void> check_config(const oci::ContainerConfig& config) {
  TRY(check_no_nul("the command", config.cmd.value_or(std::vector<std::string>())));
  TRY(check_no_nul("the entrypoint", config.entrypoint.value_or(std::vector<std::string>())));
  TRY(check_no_nul("an environment variable", config.env));
  TRY(check_no_nul("the configuration",
                   {config.working_dir, config.user, config.hostname, config.domainname}));
  if (!config.working_dir.empty() && config.working_dir.front() != '/')
    return fail(ErrorKind::invalid, "the working directory '{}' is invalid, it needs to be an absolute path",
                config.working_dir);
  for (const std::string& entry : config.env) {
    if (entry.empty() || entry.front() == '=')
      return fail(ErrorKind::invalid, "invalid environment variable: {}", entry);
  }
  if (config.hostname.size() > 63 || config.hostname.find_first_of("/ \n\t") != std::string::npos)
    return fail(ErrorKind::invalid, "invalid hostname: '{}'", config.hostname);
  if (!config.stop_signal.empty()) TRY(parse_signal(config.stop_signal));
  if (config.healthcheck) {
    const oci::HealthCheck& check = *config.healthcheck;
    auto too_short = [](std::chrono::nanoseconds time) {
      return time.count() != 0 && time < std::chrono::milliseconds(1);
    };
    if (too_short(check.interval) || too_short(check.timeout) || too_short(check.start_period))
      return fail(ErrorKind::invalid, "times in Healthcheck cannot be less than 1ms");
    if (check.retries < 0) return fail(ErrorKind::invalid, "Retries in Healthcheck cannot be negative");
    if (!check.test.empty() && !contains(std::array{"NONE", "CMD", "CMD-SHELL"}, check.test[0]))
      return fail(ErrorKind::invalid, "unknown type '{}' in Healthcheck: use NONE, CMD or CMD-SHELL",
                  check.test[0]);
  }
  return {};
}

Result<void> check_extra_hosts(const HostConfig& host) {
  for (const std::string& entry : host.extra_hosts) {
    const std::size_t separator = entry.find_first_of(":=");
    if (separator == std::string::npos || separator == 0 || separator + 1 == entry.size() ||
        entry.find_first_of(" \t\n\r") != std::string::npos)
      return fail(ErrorKind::invalid, "bad format for add-host: \"{}\"", entry);
  }
  return {};
}

Result<void> check_devices(const ResourceLimits& limits) {
  for (const DeviceMapping& device : limits.devices) {
    if (device.permissions.find_first_not_of("rwm") != std::string::npos)
      return fail(ErrorKind::invalid, "bad mode specified: {}", device.permissions);
    if (clean_absolute(device.path_on_host).empty())
      return fail(ErrorKind::invalid, "the device '{}' is not an absolute path", device.path_on_host);
  }
  return {};
}

Result<void> check_bind_target(const std::string& destination, std::string_view specification) {
  if (destination.empty())
    return fail(ErrorKind::invalid,
                "invalid volume specification: '{}': invalid mount path: mount path must be absolute",
                specification);
  if (destination == "/")
    return fail(ErrorKind::invalid, "invalid volume specification: '{}': destination can't be '/'",
                specification);
  return {};
}

// "ro,z": one word of each kind at most, and each only where it means something.
Result<void> read_bind_mode(std::string_view mode, MountPoint& point) {
  auto refused = [&] { return fail(ErrorKind::invalid, "invalid mode: {}", mode); };
  const bool bind = point.type == "bind";
  int access = 0, label = 0, copy = 0, propagation = 0, consistency = 0;
  for (std::string_view option : split(mode, ',')) {
    if (option == "ro" || option == "rw") {
      point.read_only = option == "ro";
      ++access;
    } else if (option == "z" || option == "Z") {
      ++label;  // SELinux is not here to label anything
    } else if (option == "nocopy" && !bind) {
      point.copy_up = false;
      ++copy;
    } else if (contains(kPropagations, option) && bind) {
      point.propagation = std::string(option);
      ++propagation;
    } else if (contains(std::array{"consistent", "cached", "delegated"}, option)) {
      ++consistency;
    } else {
      return refused();
    }
  }
  if (access > 1 || label > 1 || copy > 1 || propagation > 1 || consistency > 1) return refused();
  return {};
}

// "source:destination[:options]" of -v.
Result<MountPoint> parse_bind(std::string_view text) {
  std::vector<std::string_view> parts = split(text, ':');
  if (parts.size() < 2 || parts.size() > 3 || parts[0].empty() || parts[1].empty())
    return fail(ErrorKind::invalid, "invalid volume specification: '{}'", text);
  MountPoint point;
  point.destination = clean_absolute(parts[1]);
  TRY(check_bind_target(point.destination, text));
  if (parts[0].front() == '/') {
    point.type = "bind";
    point.source = clean_absolute(parts[0]);
    point.create_source = true;
  } else {
    if (!valid_volume_name(parts[0]))
      return fail(ErrorKind::invalid,
                  "\"{}\" includes invalid characters for a local volume name, only "
                  "\"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use "
                  "absolute path",
                  parts[0]);
    point.type = "volume";
    point.name = std::string(parts[0]);
    point.driver = "local";
    point.copy_up = true;
  }
  if (parts.size() < 3) return point;
  point.mode = std::string(parts[2]);
  TRY(read_bind_mode(parts[2], point));
  return point;
}

Result<std::optional<MountPoint>> parse_mount(const MountSetting& setting) {
  auto refused = [&](std::string_view why) {
    return fail(ErrorKind::invalid, "invalid mount config for type \"{}\": {}", setting.type, why);
  };
  MountPoint point;
  point.type = setting.type;
  point.read_only = setting.read_only;
  if (setting.target.empty()) return refused("field Target must not be empty");
  point.destination = clean_absolute(setting.target);
  if (point.destination.empty())
    return refused(fmt::format("invalid mount path: '{}' mount path must be absolute", setting.target));
  if (point.destination == "/") return refused("invalid specification: destination can't be '/'");
  if (setting.type == "tmpfs") {
    if (!setting.source.empty()) return refused("field Source must not be specified");
    return std::optional<MountPoint>();
  }
  if (setting.type == "bind") {
    if (setting.source.empty()) return refused("field Source must not be empty");
    point.source = clean_absolute(setting.source);
    if (point.source.empty())
      return refused(fmt::format("invalid mount path: '{}' mount path must be absolute", setting.source));
    if (setting.bind) {
      if (!setting.bind->propagation.empty() && !contains(kPropagations, setting.bind->propagation))
        return refused(fmt::format("invalid propagation mode: {}", setting.bind->propagation));
      point.propagation = setting.bind->propagation;
      point.recursive = !setting.bind->non_recursive;
      point.read_only_below = !setting.bind->read_only_non_recursive;
      if (setting.bind->read_only_force_recursive && (!point.read_only || !point.read_only_below))
        return refused("ReadOnlyForceRecursive needs a mount that is read-only with what lies below it");
      point.create_source = setting.bind->create_mountpoint;
    }
    return std::optional(point);
  }
  if (setting.type == "volume") {
    if (!setting.source.empty() && !valid_volume_name(setting.source))
      return refused(
          fmt::format("\"{}\" includes invalid characters for a local volume name", setting.source));
    point.name = setting.source;
    point.driver = "local";
    point.copy_up = !(setting.volume && setting.volume->no_copy);
    if (setting.volume) {
      if (!stays_inside(setting.volume->subpath))
        return refused(
            fmt::format("subpath \"{}\" must be a relative path within the volume", setting.volume->subpath));
      if (!setting.volume->subpath.empty() && setting.source.empty())
        return refused("must not set Subpath when using anonymous volumes");
      point.subpath = sys::clean_relative(setting.volume->subpath);
      point.volume_labels = setting.volume->labels;
      point.volume_options = setting.volume->driver_options;
      Result<void> options = check_volume_options(point.volume_options);
      if (!options) return refused(options.error().message);
      if (!setting.volume->driver_name.empty() && setting.volume->driver_name != "local")
        return refused(
            fmt::format("volume driver \"{}\" is not installed: use local", setting.volume->driver_name));
    }
    return std::optional(point);
  }
  return fail(ErrorKind::invalid, "mount type unknown: \"{}\"", setting.type);
}

}  // namespace

bool valid_volume_name(std::string_view name) {
  return name.size() >= 2 && name.size() <= 255 && name[0] != '.' && name[0] != '-' && name[0] != '_' &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string_view::npos;
}

bool is_made_up_volume_name(std::string_view name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

bool stays_inside(std::string_view path) {
  if (path.starts_with('/') || path.find('\0') != std::string_view::npos) return false;
  int depth = 0;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    depth += part == ".." ? -1 : 1;
    if (depth < 0) return false;
  }
  return true;
}

std::string clean_absolute(std::string_view path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string_view::npos) return {};
  std::vector<std::string_view> kept;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..")
      kept.push_back(part);
    else if (!kept.empty())
      kept.pop_back();
  }
  std::string clean;
  for (std::string_view part : kept) clean.append("/").append(part);
  return clean.empty() ? "/" : clean;
}

Result<void> check_sysctl(const std::string& name, const HostConfig& host) {
  const bool well_formed =
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-/") ==
          std::string::npos &&
      name.find("..") == std::string::npos && name.find('/') == std::string::npos;
  if (well_formed) {
    if (name.starts_with("net.")) {
      if (network_kind(host.network_mode) != NetworkKind::host) return {};
      return fail(ErrorKind::invalid, "sysctl '{}' not allowed in host network namespace", name);
    }
    if (contains(kIpcSysctls, name) || name.starts_with("fs.mqueue.")) {
      if (host.ipc_mode != "host") return {};
      return fail(ErrorKind::invalid, "sysctl '{}' not allowed in host ipc namespace", name);
    }
  }
  return fail(ErrorKind::invalid,
              "sysctl '{}' is not allowed: only net.*, fs.mqueue.* and the ipc namespace's kernel.* can "
              "be set for a container",
              name);
}

Result<void> validate_limits(const ResourceLimits& limits, unsigned processors) {
  constexpr std::int64_t minimum = 6 << 20;
  if (limits.memory != 0 && limits.memory < minimum)
    return fail(ErrorKind::invalid, "Minimum memory limit allowed is 6MB");
  if (limits.memory > 0 && limits.memory_swap > 0 && limits.memory_swap < limits.memory)
    return fail(ErrorKind::invalid, "Minimum memoryswap limit should be larger than memory limit, see usage");
  if (limits.memory == 0 && limits.memory_swap > 0)
    return fail(ErrorKind::invalid,
                "You should always set the Memory limit when using Memoryswap limit, see usage");
  if (limits.memory_reservation != 0 && limits.memory_reservation < minimum)
    return fail(ErrorKind::invalid, "Minimum memory reservation allowed is 6MB");
  if (limits.memory > 0 && limits.memory_reservation > limits.memory)
    return fail(ErrorKind::invalid,
                "Minimum memory limit can not be less than memory reservation limit, see usage");
  if (limits.memory_swappiness && (*limits.memory_swappiness < -1 || *limits.memory_swappiness > 100))
    return fail(ErrorKind::invalid, "Invalid value: {}, valid memory swappiness range is 0-100",
                *limits.memory_swappiness);
  if (limits.nano_cpus < 0 || limits.nano_cpus > static_cast<std::int64_t>(processors) * 1'000'000'000)
    return fail(ErrorKind::invalid,
                "Range of CPUs is from 0.01 to {}.00, as there are only {} CPUs available", processors,
                processors);
  if (limits.nano_cpus > 0 && (limits.cpu_period > 0 || limits.cpu_quota > 0))
    return fail(ErrorKind::invalid,
                "Conflicting options: Nano CPUs and CPU period or quota cannot both be set.");
  if (limits.cpu_period != 0 && (limits.cpu_period < 1000 || limits.cpu_period > 1'000'000))
    return fail(ErrorKind::invalid,
                "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  if (limits.cpu_quota > 0 && limits.cpu_quota < 1000)
    return fail(ErrorKind::invalid, "CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if (limits.cpu_shares < 0)
    return fail(ErrorKind::invalid, "invalid CPU shares ({}): value must be positive", limits.cpu_shares);
  if (limits.blkio_weight != 0 && (limits.blkio_weight < 10 || limits.blkio_weight > 1000))
    return fail(ErrorKind::invalid, "Range of blkio weight is from 10 to 1000");
  for (const UlimitSetting& limit : limits.ulimits) {
    if (!contains(kLimitNames, limit.name))
      return fail(ErrorKind::invalid, "invalid ulimit type: {}", limit.name);
    if (limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1))
      return fail(ErrorKind::invalid, "ulimit soft limit must be less than or equal to hard limit: {} > {}",
                  limit.soft, limit.hard);
  }
  return check_devices(limits);
}

Result<void> validate(const Settings& settings, const oci::ContainerConfig& config, const HostConfig& host) {
  TRY(check_config(config));
  TRY(check_restart_policy(host));
  TRY(check_modes(host));
  TRY(check_links(host));
  TRY(check_unsupported(host));
  TRY(validate_limits(host.resources, std::max(1u, std::thread::hardware_concurrency())));
  TRY(check_extra_hosts(host));
  TRY(check_security_options(host.security_options));
  for (const auto& [name, value] : host.sysctls) TRY(check_sysctl(name, host));
  if (host.shm_size < 0) return fail(ErrorKind::invalid, "SHM size can not be less than 0");
  if (host.oom_score_adj < -1000 || host.oom_score_adj > 1000)
    return fail(ErrorKind::invalid, "Invalid value {}, range for oom score adj is [-1000, 1000]",
                host.oom_score_adj);
  for (const auto& [destination, options] : host.tmpfs)
    if (clean_absolute(destination).empty() || clean_absolute(destination) == "/")
      return fail(ErrorKind::invalid, "invalid tmpfs mount: '{}' must be an absolute path other than /",
                  destination);
  TRY(resolve_log_settings(settings, host, ""));
  TRY(parse_mounts(config, host));
  return {};
}

Result<bool> lends_read_only(std::string_view mode) {
  MountPoint point{.type = "volume", .copy_up = true};
  if (mode.empty()) return false;
  // What is in a volume already is not copied into it once more.
  if (!read_bind_mode(mode, point) || !point.copy_up)
    return fail(ErrorKind::invalid, "invalid mode for volumes-from: {}", mode);
  return point.read_only;
}

Result<std::vector<MountPoint>> parse_mounts(const oci::ContainerConfig& config, const HostConfig& host,
                                             std::vector<MountPoint> lent) {
  std::vector<MountPoint> points;
  std::vector<std::string> taken;
  auto take = [&](const std::string& destination) -> Result<void> {
    if (contains(taken, destination))
      return fail(ErrorKind::invalid, "Duplicate mount point: {}", destination);
    taken.push_back(destination);
    return {};
  };
  for (const std::string& text : host.binds) {
    MountPoint point = TRY(parse_bind(text));
    TRY(take(point.destination));
    points.push_back(std::move(point));
  }
  for (const MountSetting& setting : host.mounts) {
    std::optional<MountPoint> point = TRY(parse_mount(setting));
    TRY(take(clean_absolute(setting.target)));
    if (point) points.push_back(std::move(*point));
  }
  for (const auto& [destination, options] : host.tmpfs) TRY(take(clean_absolute(destination)));
  // The last one first: it takes the place.
  std::reverse(lent.begin(), lent.end());
  for (MountPoint& point : lent) {
    if (contains(taken, point.destination)) continue;
    taken.push_back(point.destination);
    points.push_back(std::move(point));
  }
  for (const std::string& text : config.volumes) {
    const std::string destination = clean_absolute(text);
    TRY(check_bind_target(destination, text));
    if (contains(taken, destination)) continue;  // something that was asked for is there
    points.push_back({.type = "volume", .destination = destination, .driver = "local", .copy_up = true});
    taken.push_back(destination);
  }
  return points;
}

}  // namespace berth::engine
