// SPDX-License-Identifier: Apache-2.0
#include "engine/host_config.h"

#include "engine/host_config_json.h"

namespace berth::engine {
namespace {

// One list of members serves reading and writing: a codec is called with every member's name and place.
struct Reading {
  ObjectReader& in;
  template <class T>
  void operator()(std::string_view name, T& member) {
    in.read(name, member);
  }
  template <class T, class Each>
  void list(std::string_view name, std::vector<T>& members, Each each) {
    if (!in.find(name)) return;
    members.clear();
    in.read_objects(name, [&](ObjectReader& item) {
      Reading inner{item};
      each(inner, members.emplace_back());
    });
  }
  template <class T, class Each>
  void object(std::string_view name, std::optional<T>& member, Each each) {
    in.read_object(name, [&](ObjectReader& item) {
      Reading inner{item};
      each(inner, member.emplace());
    });
  }
};

// Go's encoder writes an absent list or map as null, and clients expect to see the member.
struct Writing {
  json::object& out;
  void operator()(std::string_view name, const std::string& member) { out[name] = member; }
  void operator()(std::string_view name, bool member) { out[name] = member; }
  void operator()(std::string_view name, const std::vector<std::string>& member) {
    if (member.empty())
      out[name] = nullptr;
    else
      out[name] = berth::to_json(member);
  }
  void operator()(std::string_view name, const std::map<std::string, std::string>& member) {
    if (member.empty())
      out[name] = nullptr;
    else
      out[name] = berth::to_json(member);
  }
  template <class T>
  requires std::is_integral_v<T>
  void operator()(std::string_view name, T member) { out[name] = member; }
  // A list that may be missing: empty means something else then, and is kept apart.
  void operator()(std::string_view name, const std::optional<std::vector<std::string>>& member) {
    if (member)
      out[name] = berth::to_json(*member);
    else
      out[name] = nullptr;
  }
  template <class T>
  void operator()(std::string_view name, const std::optional<T>& member) {
    if (member)
      (*this)(name, *member);
    else
      out[name] = nullptr;
  }
  template <class T, class Each>
  void list(std::string_view name, const std::vector<T>& members, Each each) {
    if (members.empty()) {
      out[name] = nullptr;
      return;
    }
    json::array array;
    for (const T& member : members) {
      json::object object;
      Writing inner{object};
      each(inner, member);
      array.push_back(std::move(object));
    }
    out[name] = std::move(array);
  }
  template <class T, class Each>
  void object(std::string_view name, const std::optional<T>& member, Each each) {
    if (!member) return;
    json::object object;
    Writing inner{object};
    each(inner, *member);
    out[name] = std::move(object);
  }
};

constexpr auto kThrottleFields = [](auto& codec, auto& device) {
  codec("Path", device.path);
  codec("Rate", device.rate);
};

template <class Codec, class Limits>
void limit_fields(Codec& codec, Limits& limits) {
  codec("CpuShares", limits.cpu_shares);
  codec("Memory", limits.memory);
  codec("NanoCpus", limits.nano_cpus);
  codec("CgroupParent", limits.cgroup_parent);
  codec.list("BlkioWeightDevice", limits.blkio_weight_device, [](auto& inner, auto& device) {
    inner("Path", device.path);
    if constexpr (std::is_same_v<std::remove_reference_t<decltype(inner)>, Reading>) {
      std::uint32_t weight = device.weight;
      inner("Weight", weight);
      device.weight = static_cast<std::uint16_t>(std::min(weight, 65535u));
    } else {
      inner("Weight", device.weight);
    }
  });
  codec.list("BlkioDeviceReadBps", limits.blkio_device_read_bps, kThrottleFields);
  codec.list("BlkioDeviceWriteBps", limits.blkio_device_write_bps, kThrottleFields);
  codec.list("BlkioDeviceReadIOps", limits.blkio_device_read_iops, kThrottleFields);
  codec.list("BlkioDeviceWriteIOps", limits.blkio_device_write_iops, kThrottleFields);
  codec("CpuPeriod", limits.cpu_period);
  codec("CpuQuota", limits.cpu_quota);
  codec("CpuRealtimePeriod", limits.cpu_realtime_period);
  codec("CpuRealtimeRuntime", limits.cpu_realtime_runtime);
  codec("CpusetCpus", limits.cpuset_cpus);
  codec("CpusetMems", limits.cpuset_mems);
  codec.list("Devices", limits.devices, [](auto& inner, auto& device) {
    inner("PathOnHost", device.path_on_host);
    inner("PathInContainer", device.path_in_container);
    inner("CgroupPermissions", device.permissions);
  });
  codec("DeviceCgroupRules", limits.device_cgroup_rules);
  codec("MemoryReservation", limits.memory_reservation);
  codec("MemorySwap", limits.memory_swap);
  codec("MemorySwappiness", limits.memory_swappiness);
  codec("OomKillDisable", limits.oom_kill_disable);
  codec("PidsLimit", limits.pids_limit);
  codec.list("Ulimits", limits.ulimits, [](auto& inner, auto& limit) {
    inner("Name", limit.name);
    inner("Soft", limit.soft);
    inner("Hard", limit.hard);
  });
}

template <class Codec, class Config>
void host_fields(Codec& codec, Config& config) {
  codec("Binds", config.binds);
  codec("ContainerIDFile", config.container_id_file);
  codec("NetworkMode", config.network_mode);
  codec("AutoRemove", config.auto_remove);
  codec("VolumeDriver", config.volume_driver);
  codec("VolumesFrom", config.volumes_from);
  codec("Annotations", config.annotations);
  codec("CapAdd", config.cap_add);
  codec("CapDrop", config.cap_drop);
  codec("CgroupnsMode", config.cgroupns_mode);
  codec("Dns", config.dns);
  codec("DnsOptions", config.dns_options);
  codec("DnsSearch", config.dns_search);
  codec("ExtraHosts", config.extra_hosts);
  codec("GroupAdd", config.group_add);
  codec("IpcMode", config.ipc_mode);
  codec("Links", config.links);
  codec("OomScoreAdj", config.oom_score_adj);
  codec("PidMode", config.pid_mode);
  codec("Privileged", config.privileged);
  codec("PublishAllPorts", config.publish_all_ports);
  codec("ReadonlyRootfs", config.readonly_rootfs);
  codec("SecurityOpt", config.security_options);
  codec("StorageOpt", config.storage_options);
  codec("Tmpfs", config.tmpfs);
  codec("UTSMode", config.uts_mode);
  codec("UsernsMode", config.userns_mode);
  codec("ShmSize", config.shm_size);
  codec("Sysctls", config.sysctls);
  codec("Runtime", config.runtime);
  codec("Isolation", config.isolation);
  codec.list("Mounts", config.mounts, [](auto& mount_codec, auto& mount) {
    mount_codec("Type", mount.type);
    mount_codec("Source", mount.source);
    mount_codec("Target", mount.target);
    mount_codec("ReadOnly", mount.read_only);
    mount_codec("Consistency", mount.consistency);
    mount_codec.object("BindOptions", mount.bind, [](auto& inner, auto& bind) {
      inner("Propagation", bind.propagation);
      inner("NonRecursive", bind.non_recursive);
      inner("CreateMountpoint", bind.create_mountpoint);
      inner("ReadOnlyNonRecursive", bind.read_only_non_recursive);
      inner("ReadOnlyForceRecursive", bind.read_only_force_recursive);
    });
    mount_codec.object("VolumeOptions", mount.volume, [](auto& inner, auto& volume) {
      inner("NoCopy", volume.no_copy);
      inner("Labels", volume.labels);
      inner("Subpath", volume.subpath);
    });
    mount_codec.object("TmpfsOptions", mount.tmpfs, [](auto& inner, auto& tmpfs) {
      inner("SizeBytes", tmpfs.size_bytes);
      inner("Mode", tmpfs.mode);
    });
  });
  codec("MaskedPaths", config.masked_paths);
  codec("ReadonlyPaths", config.readonly_paths);
  codec("Init", config.init);
}

void read_port_bindings(ObjectReader& in, HostConfig& config) {
  const json::value* ports = in.find("PortBindings");
  if (!ports) return;
  if (!ports->is_object()) return in.refuse("PortBindings", "an object");
  config.port_bindings.clear();
  for (const auto& [port, bindings] : ports->get_object()) {
    std::vector<PortBinding>& list = config.port_bindings[std::string(port)];
    if (bindings.is_null()) continue;
    if (!bindings.is_array()) return in.refuse("PortBindings", "an object of lists");
    for (const json::value& item : bindings.get_array()) {
      ObjectReader reader(item, in.path_of("PortBindings"));
      PortBinding& binding = list.emplace_back();
      reader.read("HostIp", binding.host_ip);
      reader.read("HostPort", binding.host_port);
      in.adopt(reader);
    }
  }
}

json::object write_port_bindings(const HostConfig& config) {
  json::object ports;
  for (const auto& [port, bindings] : config.port_bindings) {
    json::array list;
    for (const PortBinding& binding : bindings)
      list.push_back(json::object{{"HostIp", binding.host_ip}, {"HostPort", binding.host_port}});
    ports[port] = std::move(list);
  }
  return ports;
}

void read_tmpfs_flags(ObjectReader& in, HostConfig& config) {
  // TmpfsOptions.Options is a list of lists: {"noexec"} or {"key", "value"}.
  std::size_t index = 0;
  in.read_objects("Mounts", [&](ObjectReader& mount) {
    MountSetting& setting = config.mounts[index++];
    mount.read_object("TmpfsOptions", [&](ObjectReader& tmpfs) {
      const json::value* options = tmpfs.find("Options");
      if (!options || !options->is_array()) return;
      for (const json::value& option : options->get_array()) {
        std::vector<std::string>& words = setting.tmpfs->options.emplace_back();
        if (!option.is_array()) return tmpfs.refuse("Options", "a list of lists");
        for (const json::value& word : option.get_array()) {
          if (!word.is_string()) return tmpfs.refuse("Options", "a list of lists of strings");
          words.emplace_back(word.get_string());
        }
      }
    });
    mount.read_object("VolumeOptions", [&](ObjectReader& volume) {
      volume.read_object("DriverConfig", [&](ObjectReader& driver) {
        driver.read("Name", setting.volume->driver_name);
        driver.read("Options", setting.volume->driver_options);
      });
    });
  });
}

}  // namespace

void read_resource_limits(ObjectReader& in, ResourceLimits& limits) {
  Reading codec{in};
  limit_fields(codec, limits);
  std::uint32_t weight = limits.blkio_weight;
  in.read("BlkioWeight", weight);
  if (weight > 65535) return in.refuse("BlkioWeight", "a number up to 1000");
  limits.blkio_weight = static_cast<std::uint16_t>(weight);
}

void read_host_config(ObjectReader& in, HostConfig& config) {
  Reading codec{in};
  host_fields(codec, config);
  read_resource_limits(in, config.resources);
  read_port_bindings(in, config);
  if (in.ok()) read_tmpfs_flags(in, config);
  in.read_object("LogConfig", [&](ObjectReader& log) {
    log.read("Type", config.log_driver);
    log.read("Config", config.log_options);
  });
  in.read_object("RestartPolicy", [&](ObjectReader& policy) {
    policy.read("Name", config.restart_name);
    policy.read("MaximumRetryCount", config.restart_maximum);
  });
  if (const json::value* size = in.find("ConsoleSize");
      size && size->is_array() && size->get_array().size() == 2)
    for (const json::value& side : size->get_array())
      config.console_size.push_back(side.is_int64() ? static_cast<std::int32_t>(side.get_int64()) : 0);
  if (const json::value* requests = in.find("DeviceRequests"); requests && requests->is_array())
    config.device_requests = requests->get_array().size();
}

json::object to_json(const HostConfig& config) {
  json::object out;
  Writing codec{out};
  host_fields(codec, config);
  limit_fields(codec, config.resources);
  out["BlkioWeight"] = config.resources.blkio_weight;
  out["PortBindings"] = write_port_bindings(config);
  out["LogConfig"] =
      json::object{{"Type", config.log_driver}, {"Config", berth::to_json(config.log_options)}};
  out["RestartPolicy"] =
      json::object{{"Name", config.restart_name}, {"MaximumRetryCount", config.restart_maximum}};
  json::array console;
  for (std::size_t i = 0; i < 2; ++i)
    console.push_back(i < config.console_size.size() ? config.console_size[i] : 0);
  out["ConsoleSize"] = std::move(console);
  for (std::size_t i = 0; i < config.mounts.size(); ++i) {
    const MountSetting& mount = config.mounts[i];
    json::object& object = out["Mounts"].as_array()[i].as_object();
    if (mount.tmpfs && !mount.tmpfs->options.empty()) {
      json::array options;
      for (const auto& words : mount.tmpfs->options) options.push_back(berth::to_json(words));
      object["TmpfsOptions"].as_object()["Options"] = std::move(options);
    }
    if (mount.volume && (!mount.volume->driver_name.empty() || !mount.volume->driver_options.empty()))
      object["VolumeOptions"].as_object()["DriverConfig"] = json::object{
          {"Name", mount.volume->driver_name}, {"Options", berth::to_json(mount.volume->driver_options)}};
  }
  out["Cgroup"] = "";
  out["CpuCount"] = 0;
  out["CpuPercent"] = 0;
  out["IOMaximumIOps"] = 0;
  out["IOMaximumBandwidth"] = 0;
  out["DeviceRequests"] = nullptr;
  return out;
}

}  // namespace berth::engine
