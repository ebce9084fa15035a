// SPDX-License-Identifier: Apache-2.0
// HostConfig of the Docker Engine API (v1.51): how a container is run on this host. Plain data; every text in
// it came from a client and is checked by validation.h before anything acts on it.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace berth::engine {

struct PortBinding {
  std::string host_ip;
  std::string host_port;  // "", "8080" or "8000-8010"
};

struct DeviceMapping {
  std::string path_on_host;
  std::string path_in_container;
  std::string permissions;  // of "rwm"
};

struct UlimitSetting {
  std::string name;  // "nofile", without RLIMIT_
  std::int64_t soft = 0;
  std::int64_t hard = 0;
};

struct WeightDevice {
  std::string path;
  std::uint16_t weight = 0;
};

struct ThrottleDevice {
  std::string path;
  std::uint64_t rate = 0;  // bytes or operations a second
};

struct MountSetting {
  std::string type;  // "bind", "volume", "tmpfs"
  std::string source;
  std::string target;
  bool read_only = false;
  std::string consistency;
  struct BindOptions {
    std::string propagation;
    bool non_recursive = false;
    bool create_mountpoint = false;
    bool read_only_non_recursive = false;
    bool read_only_force_recursive = false;
  };
  struct VolumeOptions {
    bool no_copy = false;
    std::map<std::string, std::string> labels;
    std::string subpath;
    std::string driver_name;
    std::map<std::string, std::string> driver_options;
  };
  struct TmpfsOptions {
    std::int64_t size_bytes = 0;
    std::uint32_t mode = 0;
    std::vector<std::vector<std::string>> options;
  };
  std::optional<BindOptions> bind;
  std::optional<VolumeOptions> volume;
  std::optional<TmpfsOptions> tmpfs;
};

// The limits that `docker update` can change as well.
struct ResourceLimits {
  std::int64_t cpu_shares = 0;
  std::int64_t memory = 0;     // bytes; 0 means no limit
  std::int64_t nano_cpus = 0;  // 1e-9 CPUs
  std::string cgroup_parent;
  std::uint16_t blkio_weight = 0;
  std::vector<WeightDevice> blkio_weight_device;
  std::vector<ThrottleDevice> blkio_device_read_bps;
  std::vector<ThrottleDevice> blkio_device_write_bps;
  std::vector<ThrottleDevice> blkio_device_read_iops;
  std::vector<ThrottleDevice> blkio_device_write_iops;
  std::int64_t cpu_period = 0;  // microseconds
  std::int64_t cpu_quota = 0;
  std::int64_t cpu_realtime_period = 0;
  std::int64_t cpu_realtime_runtime = 0;
  std::string cpuset_cpus;
  std::string cpuset_mems;
  std::vector<DeviceMapping> devices;
  std::vector<std::string> device_cgroup_rules;
  std::int64_t memory_reservation = 0;
  std::int64_t memory_swap = 0;  // memory plus swap; -1 unlimited
  std::optional<std::int64_t> memory_swappiness;
  std::optional<bool> oom_kill_disable;
  std::optional<std::int64_t> pids_limit;  // <= 0 means no limit
  std::vector<UlimitSetting> ulimits;
};

struct HostConfig {
  std::vector<std::string> binds;
  std::string container_id_file;
  std::string log_driver;
  std::map<std::string, std::string> log_options;
  std::string network_mode = "default";
  std::map<std::string, std::vector<PortBinding>> port_bindings;
  std::string restart_name;
  std::int32_t restart_maximum = 0;
  bool auto_remove = false;
  std::string volume_driver;
  std::vector<std::string> volumes_from;
  std::vector<std::int32_t> console_size;
  std::map<std::string, std::string> annotations;
  std::vector<std::string> cap_add;
  std::vector<std::string> cap_drop;
  std::string cgroupns_mode;
  std::vector<std::string> dns;
  std::vector<std::string> dns_options;
  std::vector<std::string> dns_search;
  std::vector<std::string> extra_hosts;
  std::vector<std::string> group_add;
  std::string ipc_mode;
  std::vector<std::string> links;
  std::int32_t oom_score_adj = 0;
  std::string pid_mode;
  bool privileged = false;
  bool publish_all_ports = false;
  bool readonly_rootfs = false;
  std::vector<std::string> security_options;
  std::map<std::string, std::string> storage_options;
  std::map<std::string, std::string> tmpfs;
  std::string uts_mode;
  std::string userns_mode;
  std::int64_t shm_size = 0;  // bytes; 0 means the default
  std::map<std::string, std::string> sysctls;
  std::string runtime;
  std::string isolation;
  ResourceLimits resources;
  std::vector<MountSetting> mounts;
  std::optional<std::vector<std::string>> masked_paths;    // missing: the default list
  std::optional<std::vector<std::string>> readonly_paths;  // missing: the default list
  std::optional<bool> init;
  std::size_t device_requests = 0;  // how many there were: none can be met
};

}  // namespace berth::engine
