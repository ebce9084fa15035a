// SPDX-License-Identifier: Apache-2.0
#include "sys/cgroup_limits.h"

#include <algorithm>

namespace berth::sys {
namespace {

std::string or_max(std::int64_t value) { return value < 0 ? "max" : std::to_string(value); }

class Translation {
 public:
  Translation(const oci::Resources& resources, const CgroupLayout& layout)
      : in_(resources), layout_(layout) {}

  Result<std::vector<CgroupWrite>> run() {
    if (in_.memory) TRY(memory(*in_.memory));
    if (in_.cpu) TRY(cpu(*in_.cpu));
    if (in_.pids_limit && *in_.pids_limit != 0)
      TRY(add("pids", "pids.max", "pids.max", *in_.pids_limit < 0 ? "max" : std::to_string(*in_.pids_limit)));
    if (in_.block_io) TRY(block_io(*in_.block_io));
    for (const oci::HugepageLimit& limit : in_.hugepage_limits) TRY(hugepages(limit));
    TRY(unified());
    return std::move(out_);
  }

 private:
  enum class Version { one, two };

  Result<Version> version_of(std::string_view controller) const {
    // v1 calls it blkio, v2 io: the caller asks by the v1 name.
    if (const CgroupHierarchy* old = layout_.of(controller); old && !old->unified) return Version::one;
    std::string_view name = controller == "blkio" ? "io" : controller;
    if (layout_.of(name)) return Version::two;
    return fail(ErrorKind::unsupported,
                "this machine has no {} cgroup controller, which a limit of the container needs", controller);
  }

  void put(std::string_view controller, std::string file, std::string value, bool optional = false) {
    out_.push_back({std::string(controller), std::move(file), std::move(value), optional});
  }

  Result<void> add(std::string_view controller, const char* one, const char* two, const std::string& value,
                   bool optional = false) {
    Version version = TRY(version_of(controller));
    const char* file = version == Version::one ? one : two;
    if (file)
      put(controller == "blkio" && version == Version::two ? "io" : controller, file, value, optional);
    return {};
  }

  Result<void> memory(const oci::MemoryResources& memory) {
    if (!memory.limit && !memory.swap && !memory.reservation && !memory.swappiness &&
        !memory.disable_oom_killer)
      return {};
    if (TRY(version_of("memory")) == Version::one) return memory_one(memory);
    return memory_two(memory);
  }

  Result<void> memory_one(const oci::MemoryResources& memory) {
    if (memory.limit) put("memory", "memory.limit_in_bytes", std::to_string(*memory.limit));
    // Without swap accounting there is no such file; a limit of memory alone then has to do.
    if (memory.swap && *memory.swap != 0)
      put("memory", "memory.memsw.limit_in_bytes", std::to_string(*memory.swap), true);
    if (memory.reservation) put("memory", "memory.soft_limit_in_bytes", std::to_string(*memory.reservation));
    if (memory.swappiness && *memory.swappiness <= 100)
      put("memory", "memory.swappiness", std::to_string(*memory.swappiness), true);
    if (memory.disable_oom_killer && *memory.disable_oom_killer) put("memory", "memory.oom_control", "1");
    return {};
  }

  Result<void> memory_two(const oci::MemoryResources& memory) {
    if (memory.swap && *memory.swap != 0) {
      std::string value = "max";
      if (*memory.swap > 0) {
        if (!memory.limit || *memory.limit < 0)
          return fail(ErrorKind::invalid, "a limit of memory and swap needs a limit of memory");
        if (*memory.swap < *memory.limit)
          return fail(ErrorKind::invalid, "the limit of memory and swap is lower than that of memory");
        value = std::to_string(*memory.swap - *memory.limit);
      }
      put("memory", "memory.swap.max", value, true);
    }
    if (memory.limit && *memory.limit != 0) put("memory", "memory.max", or_max(*memory.limit));
    if (memory.reservation && *memory.reservation != 0)
      put("memory", "memory.low", or_max(*memory.reservation));
    return {};  // v2 has neither swappiness nor a switch for the OOM killer
  }

  Result<void> cpu(const oci::CpuResources& cpu) {
    if (cpu.shares && *cpu.shares != 0) {
      Version version = TRY(version_of("cpu"));
      if (version == Version::one)
        put("cpu", "cpu.shares", std::to_string(*cpu.shares));
      else
        put("cpu", "cpu.weight", std::to_string(cpu_weight_of_shares(*cpu.shares)));
    }
    TRY(cpu_bandwidth(cpu));
    if (cpu.idle) TRY(add("cpu", "cpu.idle", "cpu.idle", std::to_string(*cpu.idle), true));
    if (cpu.realtime_period && *cpu.realtime_period)
      TRY(add("cpu", "cpu.rt_period_us", nullptr, std::to_string(*cpu.realtime_period)));
    if (cpu.realtime_runtime && *cpu.realtime_runtime)
      TRY(add("cpu", "cpu.rt_runtime_us", nullptr, std::to_string(*cpu.realtime_runtime)));
    if (!cpu.cpus.empty()) TRY(add("cpuset", "cpuset.cpus", "cpuset.cpus", cpu.cpus));
    if (!cpu.mems.empty()) TRY(add("cpuset", "cpuset.mems", "cpuset.mems", cpu.mems));
    return {};
  }

  Result<void> cpu_bandwidth(const oci::CpuResources& cpu) {
    bool quota = cpu.quota && *cpu.quota != 0;
    bool period = cpu.period && *cpu.period != 0;
    if (!quota && !period && !cpu.burst) return {};
    if (TRY(version_of("cpu")) == Version::one) {
      if (period) put("cpu", "cpu.cfs_period_us", std::to_string(*cpu.period));
      if (quota) put("cpu", "cpu.cfs_quota_us", std::to_string(*cpu.quota));
      if (cpu.burst) put("cpu", "cpu.cfs_burst_us", std::to_string(*cpu.burst));
      return {};
    }
    if (quota || period) {
      std::string value = quota ? or_max(*cpu.quota) : "max";
      if (period) value += " " + std::to_string(*cpu.period);
      put("cpu", "cpu.max", value);
    }
    if (cpu.burst) put("cpu", "cpu.max.burst", std::to_string(*cpu.burst));
    return {};
  }

  Result<void> block_io(const oci::BlockIoResources& block) {
    if (block.weight && *block.weight) {
      if (TRY(version_of("blkio")) == Version::one)
        put("blkio", "blkio.bfq.weight", std::to_string(*block.weight), true);
      else
        put("io", "io.weight", "default " + std::to_string(io_weight_of_block_weight(*block.weight)), true);
    }
    for (const oci::WeightDevice& device : block.weight_devices) {
      if (!device.weight) continue;
      bool one = TRY(version_of("blkio")) == Version::one;
      std::uint64_t weight = one ? *device.weight : io_weight_of_block_weight(*device.weight);
      put(one ? "blkio" : "io", one ? "blkio.bfq.weight_device" : "io.weight",
          fmt::format("{}:{} {}", device.major, device.minor, weight));
    }
    TRY(throttle(block.read_bps, "blkio.throttle.read_bps_device", "rbps"));
    TRY(throttle(block.write_bps, "blkio.throttle.write_bps_device", "wbps"));
    TRY(throttle(block.read_iops, "blkio.throttle.read_iops_device", "riops"));
    return throttle(block.write_iops, "blkio.throttle.write_iops_device", "wiops");
  }

  Result<void> throttle(const std::vector<oci::ThrottleDevice>& devices, const char* one, const char* key) {
    for (const oci::ThrottleDevice& device : devices) {
      if (TRY(version_of("blkio")) == Version::one)
        put("blkio", one, fmt::format("{}:{} {}", device.major, device.minor, device.rate));
      else
        put("io", "io.max",
            fmt::format("{}:{} {}={}", device.major, device.minor, key,
                        device.rate ? std::to_string(device.rate) : "max"));
    }
    return {};
  }

  Result<void> hugepages(const oci::HugepageLimit& limit) {
    bool plain = !limit.page_size.empty() &&
                 std::ranges::all_of(limit.page_size, [](unsigned char c) { return std::isalnum(c) != 0; });
    if (!plain) return fail(ErrorKind::invalid, "\"{}\" is not a huge page size", limit.page_size);
    bool one = TRY(version_of("hugetlb")) == Version::one;
    put("hugetlb", "hugetlb." + limit.page_size + (one ? ".limit_in_bytes" : ".max"),
        std::to_string(limit.limit));
    return {};
  }

  Result<void> unified() {
    if (in_.unified.empty()) return {};
    if (!layout_.unified())
      return fail(ErrorKind::unsupported,
                  "this machine has no cgroup v2 tree, which \"unified\" resources need");
    for (const auto& [file, value] : in_.unified) {
      // A name of a control file and nothing else: it becomes a path.
      bool plain =
          file.find('.') != std::string::npos && file[0] != '.' &&
          std::ranges::all_of(file, [](unsigned char c) { return std::isalnum(c) || c == '.' || c == '_'; });
      if (!plain) return fail(ErrorKind::invalid, "\"{}\" is not the name of a cgroup v2 file", file);
      put("", file, value);
    }
    return {};
  }

  const oci::Resources& in_;
  const CgroupLayout& layout_;
  std::vector<CgroupWrite> out_;
};

}  // namespace

std::uint64_t cpu_weight_of_shares(std::uint64_t shares) {
  shares = std::clamp<std::uint64_t>(shares, 2, 262144);
  return 1 + ((shares - 2) * 9999) / 262142;
}

std::uint64_t io_weight_of_block_weight(std::uint64_t weight) {
  weight = std::clamp<std::uint64_t>(weight, 10, 1000);
  return 1 + (weight - 10) * 9999 / 990;
}

Result<std::vector<CgroupWrite>> cgroup_writes(const oci::Resources& resources, const CgroupLayout& layout) {
  return Translation(resources, layout).run();
}

}  // namespace berth::sys
