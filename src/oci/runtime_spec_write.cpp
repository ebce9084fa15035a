// SPDX-License-Identifier: Apache-2.0
// Writing config.json: members that hold their default are left out, so that what we write is short and what
// we read back is the same.
#include "base/json.h"
#include "oci/runtime_spec.h"

namespace berth::oci {
namespace {

void put(json::object& out, std::string_view name, const std::string& value) {
  if (!value.empty()) out.emplace(name, value);
}
void put(json::object& out, std::string_view name, const std::vector<std::string>& value) {
  if (!value.empty()) out.emplace(name, to_json(value));
}
void put(json::object& out, std::string_view name, const std::map<std::string, std::string>& value) {
  if (!value.empty()) out.emplace(name, to_json(value));
}
void put(json::object& out, std::string_view name, json::object value) {
  if (!value.empty()) out.emplace(name, std::move(value));
}
template <class T>
void put(json::object& out, std::string_view name, const std::optional<T>& value) {
  if (value) out.emplace(name, *value);
}
template <class T, class Function>
void put_objects(json::object& out, std::string_view name, const std::vector<T>& list, Function make) {
  if (list.empty()) return;
  json::array array;
  for (const T& item : list) array.emplace_back(make(item));
  out.emplace(name, std::move(array));
}

json::object user_json(const User& user) {
  json::object out{{"uid", user.uid}, {"gid", user.gid}};
  put(out, "umask", user.umask);
  if (!user.additional_gids.empty()) {
    json::array groups;
    for (std::uint32_t gid : user.additional_gids) groups.emplace_back(gid);
    out.emplace("additionalGids", std::move(groups));
  }
  return out;
}

json::object capabilities_json(const Capabilities& sets) {
  json::object out;
  put(out, "bounding", sets.bounding);
  put(out, "effective", sets.effective);
  put(out, "permitted", sets.permitted);
  put(out, "inheritable", sets.inheritable);
  put(out, "ambient", sets.ambient);
  return out;
}

json::object scheduler_json(const Scheduler& scheduler) {
  json::object out{{"policy", scheduler.policy}};
  if (scheduler.nice) out.emplace("nice", scheduler.nice);
  if (scheduler.priority) out.emplace("priority", scheduler.priority);
  put(out, "flags", scheduler.flags);
  if (scheduler.runtime) out.emplace("runtime", scheduler.runtime);
  if (scheduler.deadline) out.emplace("deadline", scheduler.deadline);
  if (scheduler.period) out.emplace("period", scheduler.period);
  return out;
}

json::object process_json(const Process& process) {
  json::object out;
  if (process.terminal) out.emplace("terminal", true);
  if (process.console_size)
    out.emplace("consoleSize", json::object{{"height", process.console_size->height},
                                            {"width", process.console_size->width}});
  out.emplace("user", user_json(process.user));
  put(out, "args", process.args);
  put(out, "env", process.env);
  out.emplace("cwd", process.cwd);
  if (process.capabilities) out.emplace("capabilities", capabilities_json(*process.capabilities));
  put_objects(out, "rlimits", process.rlimits, [](const ResourceLimit& limit) {
    return json::object{{"type", limit.type}, {"hard", limit.hard}, {"soft", limit.soft}};
  });
  if (process.no_new_privileges) out.emplace("noNewPrivileges", true);
  put(out, "oomScoreAdj", process.oom_score_adj);
  put(out, "apparmorProfile", process.apparmor_profile);
  put(out, "selinuxLabel", process.selinux_label);
  if (process.scheduler) out.emplace("scheduler", scheduler_json(*process.scheduler));
  if (process.io_priority)
    out.emplace("ioPriority", json::object{{"class", process.io_priority->priority_class},
                                           {"priority", process.io_priority->priority}});
  return out;
}

void put_mappings(json::object& out, std::string_view name, const std::vector<IdMapping>& list) {
  put_objects(out, name, list, [](const IdMapping& one) {
    return json::object{{"containerID", one.container_id}, {"hostID", one.host_id}, {"size", one.size}};
  });
}

json::object mount_json(const Mount& mount) {
  json::object out{{"destination", mount.destination}};
  put(out, "type", mount.type);
  put(out, "source", mount.source);
  put(out, "options", mount.options);
  put_mappings(out, "uidMappings", mount.uid_mappings);
  put_mappings(out, "gidMappings", mount.gid_mappings);
  return out;
}

json::object hooks_json(const Hooks& hooks) {
  json::object out;
  auto add = [&](std::string_view name, const std::vector<Hook>& list) {
    put_objects(out, name, list, [](const Hook& hook) {
      json::object one{{"path", hook.path}};
      put(one, "args", hook.args);
      put(one, "env", hook.env);
      put(one, "timeout", hook.timeout);
      return one;
    });
  };
  add("prestart", hooks.prestart);
  add("createRuntime", hooks.create_runtime);
  add("createContainer", hooks.create_container);
  add("startContainer", hooks.start_container);
  add("poststart", hooks.poststart);
  add("poststop", hooks.poststop);
  return out;
}

json::object memory_json(const MemoryResources& memory) {
  json::object out;
  put(out, "limit", memory.limit);
  put(out, "reservation", memory.reservation);
  put(out, "swap", memory.swap);
  put(out, "kernel", memory.kernel);
  put(out, "kernelTCP", memory.kernel_tcp);
  put(out, "swappiness", memory.swappiness);
  put(out, "disableOOMKiller", memory.disable_oom_killer);
  put(out, "useHierarchy", memory.use_hierarchy);
  put(out, "checkBeforeUpdate", memory.check_before_update);
  return out;
}

json::object cpu_json(const CpuResources& cpu) {
  json::object out;
  put(out, "shares", cpu.shares);
  put(out, "quota", cpu.quota);
  put(out, "burst", cpu.burst);
  put(out, "period", cpu.period);
  put(out, "realtimeRuntime", cpu.realtime_runtime);
  put(out, "realtimePeriod", cpu.realtime_period);
  put(out, "idle", cpu.idle);
  put(out, "cpus", cpu.cpus);
  put(out, "mems", cpu.mems);
  return out;
}

json::object block_io_json(const BlockIoResources& block) {
  json::object out;
  put(out, "weight", block.weight);
  put(out, "leafWeight", block.leaf_weight);
  put_objects(out, "weightDevice", block.weight_devices, [](const WeightDevice& device) {
    json::object one{{"major", device.major}, {"minor", device.minor}};
    put(one, "weight", device.weight);
    put(one, "leafWeight", device.leaf_weight);
    return one;
  });
  auto throttles = [&](std::string_view name, const std::vector<ThrottleDevice>& list) {
    put_objects(out, name, list, [](const ThrottleDevice& device) {
      return json::object{{"major", device.major}, {"minor", device.minor}, {"rate", device.rate}};
    });
  };
  throttles("throttleReadBpsDevice", block.read_bps);
  throttles("throttleWriteBpsDevice", block.write_bps);
  throttles("throttleReadIOPSDevice", block.read_iops);
  throttles("throttleWriteIOPSDevice", block.write_iops);
  return out;
}

json::object resources_json(const Resources& resources) {
  json::object out;
  put_objects(out, "devices", resources.devices, [](const DeviceRule& rule) {
    json::object one{{"allow", rule.allow}};
    put(one, "type", rule.type);
    put(one, "major", rule.major);
    put(one, "minor", rule.minor);
    put(one, "access", rule.access);
    return one;
  });
  if (resources.memory) put(out, "memory", memory_json(*resources.memory));
  if (resources.cpu) put(out, "cpu", cpu_json(*resources.cpu));
  if (resources.pids_limit) out.emplace("pids", json::object{{"limit", *resources.pids_limit}});
  if (resources.block_io) put(out, "blockIO", block_io_json(*resources.block_io));
  put_objects(out, "hugepageLimits", resources.hugepage_limits, [](const HugepageLimit& limit) {
    return json::object{{"pageSize", limit.page_size}, {"limit", limit.limit}};
  });
  put(out, "unified", resources.unified);
  return out;
}

json::object seccomp_json(const LinuxSeccomp& seccomp) {
  json::object out{{"defaultAction", seccomp.default_action}};
  put(out, "defaultErrnoRet", seccomp.default_errno_return);
  put(out, "architectures", seccomp.architectures);
  put(out, "flags", seccomp.flags);
  put(out, "listenerPath", seccomp.listener_path);
  put(out, "listenerMetadata", seccomp.listener_metadata);
  put_objects(out, "syscalls", seccomp.syscalls, [](const SeccompRule& rule) {
    json::object one{{"names", to_json(rule.names)}, {"action", rule.action}};
    put(one, "errnoRet", rule.errno_return);
    put_objects(one, "args", rule.args, [](const SeccompArgument& argument) {
      json::object item{{"index", argument.index}, {"value", argument.value}, {"op", argument.op}};
      if (argument.value_two) item.emplace("valueTwo", argument.value_two);
      return item;
    });
    return one;
  });
  return out;
}

json::object linux_json(const Linux& in) {
  json::object out;
  put_objects(out, "namespaces", in.namespaces, [](const Namespace& one) {
    json::object entry{{"type", one.type}};
    put(entry, "path", one.path);
    return entry;
  });
  put_mappings(out, "uidMappings", in.uid_mappings);
  put_mappings(out, "gidMappings", in.gid_mappings);
  put_objects(out, "devices", in.devices, [](const Device& device) {
    json::object one{
        {"path", device.path}, {"type", device.type}, {"major", device.major}, {"minor", device.minor}};
    put(one, "fileMode", device.file_mode);
    put(one, "uid", device.uid);
    put(one, "gid", device.gid);
    return one;
  });
  put(out, "cgroupsPath", in.cgroups_path);
  put(out, "resources", resources_json(in.resources));
  put(out, "rootfsPropagation", in.rootfs_propagation);
  put(out, "sysctl", in.sysctl);
  put(out, "maskedPaths", in.masked_paths);
  put(out, "readonlyPaths", in.readonly_paths);
  if (in.seccomp) out.emplace("seccomp", seccomp_json(*in.seccomp));
  put(out, "mountLabel", in.mount_label);
  return out;
}

void indent(std::string& out, const json::value& value, int depth) {
  auto line = [&](int level) { out.append("\n").append(static_cast<std::size_t>(level), '\t'); };
  if (const json::object* object = value.if_object(); object && !object->empty()) {
    out += '{';
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!first) out += ',';
      first = false;
      line(depth + 1);
      out += json::serialize(json::string(key)) + ": ";
      indent(out, member, depth + 1);
    }
    line(depth);
    out += '}';
  } else if (const json::array* array = value.if_array(); array && !array->empty()) {
    out += '[';
    for (std::size_t i = 0; i < array->size(); ++i) {
      if (i) out += ',';
      line(depth + 1);
      indent(out, (*array)[i], depth + 1);
    }
    line(depth);
    out += ']';
  } else {
    out += json::serialize(value);
  }
}

std::string text_of(const json::object& object, bool indented) {
  if (!indented) return json::serialize(object);
  std::string out;
  indent(out, object, 0);
  return out += '\n';
}

}  // namespace

std::string to_text(const RuntimeSpec& spec, bool indented) {
  json::object out{{"ociVersion", spec.version}};
  if (spec.process) out.emplace("process", process_json(*spec.process));
  json::object root{{"path", spec.root.path}};
  if (spec.root.readonly) root.emplace("readonly", true);
  out.emplace("root", std::move(root));
  put(out, "hostname", spec.hostname);
  put(out, "domainname", spec.domainname);
  put_objects(out, "mounts", spec.mounts, mount_json);
  put(out, "hooks", hooks_json(spec.hooks));
  put(out, "annotations", spec.annotations);
  out.emplace("linux", linux_json(spec.linux_));
  return text_of(out, indented);
}

std::string to_text(const Process& process) { return text_of(process_json(process), false); }

std::string to_text(const Resources& resources) { return text_of(resources_json(resources), false); }

std::string to_text(const State& state, bool indented) {
  json::object out{{"ociVersion", state.version},
                   {"id", state.id},
                   {"status", state.status},
                   {"pid", state.pid},
                   {"bundle", state.bundle}};
  put(out, "annotations", state.annotations);
  return text_of(out, indented);
}

}  // namespace berth::oci
