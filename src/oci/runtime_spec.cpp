// SPDX-License-Identifier: Apache-2.0
// Reading config.json. The writer is runtime_spec_write.cpp.
#include "oci/runtime_spec.h"

#include <limits>

#include "base/json.h"

namespace berth::oci {
namespace {

void read_ids(ObjectReader& in, std::string_view name, std::vector<std::uint32_t>& out) {
  const json::value* list = in.find(name);
  if (!list) return;
  if (!list->is_array()) return in.refuse(name, "a list of numbers");
  for (const json::value& item : list->get_array()) {
    bool fits = (item.is_int64() && std::in_range<std::uint32_t>(item.get_int64())) ||
                (item.is_uint64() && std::in_range<std::uint32_t>(item.get_uint64()));
    if (!fits) return in.refuse(name, "a list of whole numbers from 0 to 4294967295");
    out.push_back(item.to_number<std::uint32_t>());
  }
}

void read_small(ObjectReader& in, std::string_view name, std::optional<std::uint16_t>& out) {
  std::optional<std::uint32_t> wide;
  in.read(name, wide);
  if (!wide) return;
  if (*wide > std::numeric_limits<std::uint16_t>::max())
    return in.refuse(name, "a whole number from 0 to 65535");
  out = static_cast<std::uint16_t>(*wide);
}

void read_user(ObjectReader& in, User& user) {
  in.read("uid", user.uid);
  in.read("gid", user.gid);
  in.read("umask", user.umask);
  read_ids(in, "additionalGids", user.additional_gids);
}

void read_capabilities(ObjectReader& in, Capabilities& sets) {
  in.read("bounding", sets.bounding);
  in.read("effective", sets.effective);
  in.read("permitted", sets.permitted);
  in.read("inheritable", sets.inheritable);
  in.read("ambient", sets.ambient);
}

void read_process(ObjectReader& in, Process& process) {
  in.read("terminal", process.terminal);
  in.read_object("consoleSize", [&](ObjectReader& size) {
    process.console_size.emplace();
    size.read("height", process.console_size->height);
    size.read("width", process.console_size->width);
  });
  in.read_object("user", [&](ObjectReader& user) { read_user(user, process.user); });
  in.read("args", process.args);
  in.read("env", process.env);
  in.read("cwd", process.cwd);
  in.read_object("capabilities",
                 [&](ObjectReader& sets) { read_capabilities(sets, process.capabilities.emplace()); });
  in.read_objects("rlimits", [&](ObjectReader& limit) {
    ResourceLimit& out = process.rlimits.emplace_back();
    limit.read("type", out.type);
    limit.read("soft", out.soft);
    limit.read("hard", out.hard);
  });
  in.read("noNewPrivileges", process.no_new_privileges);
  in.read("oomScoreAdj", process.oom_score_adj);
  in.read("apparmorProfile", process.apparmor_profile);
  in.read("selinuxLabel", process.selinux_label);
  in.read_object("scheduler", [&](ObjectReader& scheduler) {
    Scheduler& out = process.scheduler.emplace();
    scheduler.read("policy", out.policy);
    scheduler.read("nice", out.nice);
    scheduler.read("priority", out.priority);
    scheduler.read("flags", out.flags);
    scheduler.read("runtime", out.runtime);
    scheduler.read("deadline", out.deadline);
    scheduler.read("period", out.period);
  });
  in.read_object("ioPriority", [&](ObjectReader& priority) {
    IoPriority& out = process.io_priority.emplace();
    priority.read("class", out.priority_class);
    priority.read("priority", out.priority);
  });
}

void read_mappings(ObjectReader& in, std::string_view name, std::vector<IdMapping>& out) {
  in.read_objects(name, [&](ObjectReader& mapping) {
    IdMapping& one = out.emplace_back();
    mapping.read("containerID", one.container_id);
    mapping.read("hostID", one.host_id);
    mapping.read("size", one.size);
  });
}

void read_mount(ObjectReader& in, Mount& mount) {
  in.read("destination", mount.destination);
  in.read("type", mount.type);
  in.read("source", mount.source);
  in.read("options", mount.options);
  read_mappings(in, "uidMappings", mount.uid_mappings);
  read_mappings(in, "gidMappings", mount.gid_mappings);
}

void read_hooks(ObjectReader& in, std::string_view name, std::vector<Hook>& out) {
  in.read_objects(name, [&](ObjectReader& hook) {
    Hook& one = out.emplace_back();
    hook.read("path", one.path);
    hook.read("args", one.args);
    hook.read("env", one.env);
    hook.read("timeout", one.timeout);
  });
}

void read_all_hooks(ObjectReader& in, Hooks& hooks) {
  read_hooks(in, "prestart", hooks.prestart);
  read_hooks(in, "createRuntime", hooks.create_runtime);
  read_hooks(in, "createContainer", hooks.create_container);
  read_hooks(in, "startContainer", hooks.start_container);
  read_hooks(in, "poststart", hooks.poststart);
  read_hooks(in, "poststop", hooks.poststop);
}

void read_memory(ObjectReader& in, MemoryResources& memory) {
  in.read("limit", memory.limit);
  in.read("reservation", memory.reservation);
  in.read("swap", memory.swap);
  in.read("kernel", memory.kernel);
  in.read("kernelTCP", memory.kernel_tcp);
  in.read("swappiness", memory.swappiness);
  in.read("disableOOMKiller", memory.disable_oom_killer);
  in.read("useHierarchy", memory.use_hierarchy);
  in.read("checkBeforeUpdate", memory.check_before_update);
}

void read_cpu(ObjectReader& in, CpuResources& cpu) {
  in.read("shares", cpu.shares);
  in.read("quota", cpu.quota);
  in.read("burst", cpu.burst);
  in.read("period", cpu.period);
  in.read("realtimeRuntime", cpu.realtime_runtime);
  in.read("realtimePeriod", cpu.realtime_period);
  in.read("idle", cpu.idle);
  in.read("cpus", cpu.cpus);
  in.read("mems", cpu.mems);
}

void read_throttles(ObjectReader& in, std::string_view name, std::vector<ThrottleDevice>& out) {
  in.read_objects(name, [&](ObjectReader& device) {
    ThrottleDevice& one = out.emplace_back();
    device.read("major", one.major);
    device.read("minor", one.minor);
    device.read("rate", one.rate);
  });
}

void read_block_io(ObjectReader& in, BlockIoResources& block) {
  read_small(in, "weight", block.weight);
  read_small(in, "leafWeight", block.leaf_weight);
  in.read_objects("weightDevice", [&](ObjectReader& device) {
    WeightDevice& one = block.weight_devices.emplace_back();
    device.read("major", one.major);
    device.read("minor", one.minor);
    read_small(device, "weight", one.weight);
    read_small(device, "leafWeight", one.leaf_weight);
  });
  read_throttles(in, "throttleReadBpsDevice", block.read_bps);
  read_throttles(in, "throttleWriteBpsDevice", block.write_bps);
  read_throttles(in, "throttleReadIOPSDevice", block.read_iops);
  read_throttles(in, "throttleWriteIOPSDevice", block.write_iops);
}

void read_resources(ObjectReader& in, Resources& resources) {
  in.read_objects("devices", [&](ObjectReader& rule) {
    DeviceRule& out = resources.devices.emplace_back();
    rule.read("allow", out.allow);
    rule.read("type", out.type);
    rule.read("major", out.major);
    rule.read("minor", out.minor);
    rule.read("access", out.access);
  });
  in.read_object("memory", [&](ObjectReader& part) { read_memory(part, resources.memory.emplace()); });
  in.read_object("cpu", [&](ObjectReader& part) { read_cpu(part, resources.cpu.emplace()); });
  in.read_object("pids", [&](ObjectReader& part) { part.read("limit", resources.pids_limit); });
  in.read_object("blockIO", [&](ObjectReader& part) { read_block_io(part, resources.block_io.emplace()); });
  in.read_objects("hugepageLimits", [&](ObjectReader& limit) {
    HugepageLimit& out = resources.hugepage_limits.emplace_back();
    limit.read("pageSize", out.page_size);
    limit.read("limit", out.limit);
  });
  in.read("unified", resources.unified);
}

void read_seccomp(ObjectReader& in, LinuxSeccomp& seccomp) {
  in.read("defaultAction", seccomp.default_action);
  in.read("defaultErrnoRet", seccomp.default_errno_return);
  in.read("architectures", seccomp.architectures);
  in.read("flags", seccomp.flags);
  in.read("listenerPath", seccomp.listener_path);
  in.read("listenerMetadata", seccomp.listener_metadata);
  in.read_objects("syscalls", [&](ObjectReader& rule) {
    SeccompRule& out = seccomp.syscalls.emplace_back();
    rule.read("names", out.names);
    rule.read("action", out.action);
    rule.read("errnoRet", out.errno_return);
    rule.read_objects("args", [&](ObjectReader& argument) {
      SeccompArgument& one = out.args.emplace_back();
      argument.read("index", one.index);
      argument.read("value", one.value);
      argument.read("valueTwo", one.value_two);
      argument.read("op", one.op);
    });
  });
}

void read_linux(ObjectReader& in, Linux& out) {
  in.read_objects("namespaces", [&](ObjectReader& entry) {
    Namespace& one = out.namespaces.emplace_back();
    entry.read("type", one.type);
    entry.read("path", one.path);
  });
  read_mappings(in, "uidMappings", out.uid_mappings);
  read_mappings(in, "gidMappings", out.gid_mappings);
  in.read_objects("devices", [&](ObjectReader& device) {
    Device& one = out.devices.emplace_back();
    device.read("path", one.path);
    device.read("type", one.type);
    device.read("major", one.major);
    device.read("minor", one.minor);
    device.read("fileMode", one.file_mode);
    device.read("uid", one.uid);
    device.read("gid", one.gid);
  });
  in.read("cgroupsPath", out.cgroups_path);
  in.read_object("resources", [&](ObjectReader& part) { read_resources(part, out.resources); });
  in.read("rootfsPropagation", out.rootfs_propagation);
  in.read("sysctl", out.sysctl);
  in.read("maskedPaths", out.masked_paths);
  in.read("readonlyPaths", out.readonly_paths);
  in.read_object("seccomp", [&](ObjectReader& part) { read_seccomp(part, out.seccomp.emplace()); });
  in.read("mountLabel", out.mount_label);
}

template <class T, class Reader>
Result<T> parse_part(std::string_view text, std::string_view what, Reader read_part) {
  json::value document = TRY(parse_json(text, what));
  ObjectReader in(document, "");
  T out;
  read_part(in, out);
  TRY_AS(what, in.finish());
  return out;
}

}  // namespace

const Namespace* RuntimeSpec::find_namespace(std::string_view type) const {
  for (const Namespace& one : linux_.namespaces)
    if (one.type == type) return &one;
  return nullptr;
}

Result<RuntimeSpec> parse_runtime_spec(std::string_view text) {
  return parse_part<RuntimeSpec>(text, "the runtime configuration", [](ObjectReader& in, RuntimeSpec& spec) {
    spec.version.clear();
    in.read("ociVersion", spec.version);
    in.read_object("process", [&](ObjectReader& part) { read_process(part, spec.process.emplace()); });
    in.read_object("root", [&](ObjectReader& root) {
      root.read("path", spec.root.path);
      root.read("readonly", spec.root.readonly);
    });
    in.read("hostname", spec.hostname);
    in.read("domainname", spec.domainname);
    in.read_objects("mounts", [&](ObjectReader& part) { read_mount(part, spec.mounts.emplace_back()); });
    in.read_object("hooks", [&](ObjectReader& part) { read_all_hooks(part, spec.hooks); });
    in.read("annotations", spec.annotations);
    in.read_object("linux", [&](ObjectReader& part) { read_linux(part, spec.linux_); });
  });
}

Result<Process> parse_process(std::string_view text) {
  return parse_part<Process>(text, "the process", read_process);
}

Result<Resources> parse_resources(std::string_view text) {
  return parse_part<Resources>(text, "the resources", read_resources);
}

Result<LinuxSeccomp> parse_seccomp(std::string_view text) {
  return parse_part<LinuxSeccomp>(text, "the seccomp policy", read_seccomp);
}

}  // namespace berth::oci
