// SPDX-License-Identifier: Apache-2.0
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>

#include "runtime/plan.h"
#include "sys/namespaces.h"

namespace berth::runtime {
namespace {

std::string attributes_text(std::uint64_t attributes) {
  static constexpr std::array<std::pair<std::uint64_t, const char*>, 6> kNames = {
      {{MOUNT_ATTR_RDONLY, "ro"},
       {MOUNT_ATTR_NOSUID, "nosuid"},
       {MOUNT_ATTR_NODEV, "nodev"},
       {MOUNT_ATTR_NOEXEC, "noexec"},
       {MOUNT_ATTR_NODIRATIME, "nodiratime"},
       {MOUNT_ATTR_NOSYMFOLLOW, "nosymfollow"}}};
  std::string out;
  for (const auto& [bit, name] : kNames)
    if (attributes & bit) out.append(out.empty() ? "" : ",").append(name);
  if ((attributes & MOUNT_ATTR__ATIME) == MOUNT_ATTR_NOATIME)
    out.append(out.empty() ? "" : ",").append("noatime");
  if ((attributes & MOUNT_ATTR__ATIME) == MOUNT_ATTR_STRICTATIME)
    out.append(out.empty() ? "" : ",").append("strictatime");
  return out.empty() ? "-" : out;
}

std::string propagation_text(unsigned long flags) {
  if (!flags) return "-";
  std::string out = flags & MS_REC ? "r" : "";
  if (flags & MS_PRIVATE) out += "private";
  if (flags & MS_SLAVE) out += "slave";
  if (flags & MS_SHARED) out += "shared";
  if (flags & MS_UNBINDABLE) out += "unbindable";
  return out;
}

struct Line {
  std::string operator()(const IsolateMounts& step) {
    return "isolate mounts " + propagation_text(step.propagation);
  }
  std::string operator()(const AttachRoot&) { return "attach root"; }
  std::string operator()(const EnterRoot& step) {
    return step.pivot ? "enter root" : "enter root without pivot";
  }
  std::string operator()(const MountFilesystem& step) {
    std::string out =
        fmt::format("mount {} {} {}", step.type, step.destination, attributes_text(step.attributes));
    for (const sys::MountOptions::Parameter& one : step.parameters)
      out += one.flag ? " " + one.key : fmt::format(" {}={}", one.key, one.value);
    if (step.refuse_links) out += " (no links)";
    return out;
  }
  std::string operator()(const AttachBind& step) {
    return fmt::format("bind #{} {}", step.bind, step.destination);
  }
  std::string operator()(const AttachCgroups& step) {
    return fmt::format("cgroups {} {}", step.destination, attributes_text(step.attributes));
  }
  std::string operator()(const MakeDevice& step) {
    char type = step.type == S_IFCHR ? 'c' : step.type == S_IFBLK ? 'b' : 'p';
    std::string out = fmt::format("device {} {} {}:{} {:04o} {}:{}", step.path, type, step.major, step.minor,
                                  step.mode, step.uid, step.gid);
    if (step.bind >= 0) out += fmt::format(" from #{}", step.bind);
    return out;
  }
  std::string operator()(const MakeLink& step) {
    return fmt::format("link {} -> {}", step.path, step.target);
  }
  std::string operator()(const AttachConsole&) { return "console"; }
  std::string operator()(const MakeDirectory& step) { return "directory " + step.path; }
  std::string operator()(const MaskPath& step) { return "mask " + step.path; }
  std::string operator()(const ProtectPath& step) { return "read-only " + step.path; }
  std::string operator()(const WriteSysctl& step) {
    return fmt::format("sysctl {} = {}", step.file, step.value);
  }
  std::string operator()(const SetHostname& step) { return "hostname " + step.name; }
  std::string operator()(const SetDomainname& step) { return "domainname " + step.name; }
  std::string operator()(const UnshareCgroupNamespace&) { return "new cgroup namespace"; }
  std::string operator()(const RaiseLoopback&) { return "loopback up"; }
  std::string operator()(const ProtectRoot&) { return "read-only root"; }
  std::string operator()(const SetRootPropagation& step) {
    return "root propagation " + propagation_text(step.propagation);
  }
  std::string operator()(const AskForHooks& step) {
    return step.in_container ? "hooks in container" : "hooks";
  }
};

}  // namespace

std::string to_text(const Step& step) { return std::visit(Line{}, step); }

std::string to_text(const Plan& plan) {
  std::string out = "new:";
  for (std::uint64_t bit = 1; bit <= 0x80000000ull; bit <<= 1)
    if (plan.new_namespaces & bit) {
      const sys::NamespaceKind* kind = sys::namespace_kind_of_flag(bit);
      out.append(" ").append(kind ? kind->name : "?");
    }
  out += '\n';
  for (const PlannedJoin& join : plan.joins)
    out += fmt::format("join {} {}\n", join.name, join.path.empty() ? "(descriptor)" : join.path);
  for (std::size_t i = 0; i < plan.binds.size(); ++i) {
    const PlannedBind& bind = plan.binds[i];
    out += fmt::format("#{}: {} {}{} {} {}\n", i, bind.source, bind.recursive ? "recursive " : "",
                       attributes_text(bind.set), attributes_text(bind.recursive_set),
                       propagation_text(bind.propagation));
    if (!bind.beneath.empty()) out.insert(out.size() - 1, " beneath " + bind.beneath);
  }
  for (const Step& step : plan.steps) out += to_text(step) + "\n";
  return out;
}

}  // namespace berth::runtime
