// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan.h"

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "sys/namespaces.h"

namespace berth::runtime {
namespace {

constexpr unsigned long kPrivate = MS_PRIVATE | MS_REC;

// The devices that every container has ("config-linux.md", "Default Devices").
constexpr std::array<std::pair<const char*, std::pair<unsigned, unsigned>>, 6> kDevices = {{
    {"/dev/null", {1, 3}},
    {"/dev/zero", {1, 5}},
    {"/dev/full", {1, 7}},
    {"/dev/random", {1, 8}},
    {"/dev/urandom", {1, 9}},
    {"/dev/tty", {5, 0}},
}};

constexpr std::array<std::pair<const char*, const char*>, 5> kLinks = {{
    {"/dev/ptmx", "pts/ptmx"},
    {"/dev/fd", "/proc/self/fd"},
    {"/dev/stdin", "/proc/self/fd/0"},
    {"/dev/stdout", "/proc/self/fd/1"},
    {"/dev/stderr", "/proc/self/fd/2"},
}};

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

class Planner {
 public:
  Planner(const oci::RuntimeSpec& spec, const PlanOptions& options) : spec_(spec), options_(options) {}

  Result<Plan> run() {
    plan_.change_attached_mounts = options_.change_attached_mounts;
    TRY(check());
    TRY(namespaces());
    begin_root();
    for (const oci::Mount& mount : spec_.mounts) TRY_AS("mount " + mount.destination, add_mount(mount));
    TRY(devices());
    if (cgroup_namespace_) add(UnshareCgroupNamespace{});
    TRY(kernel_settings());
    finish_root();
    return std::move(plan_);
  }

 private:
  void add(Step step) { plan_.steps.push_back(std::move(step)); }
  void warn(std::string text) {
    if (options_.warnings) options_.warnings->push_back(std::move(text));
  }

  Result<void> check() {
    if (!spec_.process) return fail(ErrorKind::invalid, "the runtime configuration has no process");
    const oci::Process& process = *spec_.process;
    if (!process.apparmor_profile.empty() && process.apparmor_profile != "unconfined")
      warn("the AppArmor profile \"" + process.apparmor_profile +
           "\" is not applied: this runtime does not use AppArmor");
    if (!process.selinux_label.empty() || !spec_.linux_.mount_label.empty())
      warn("SELinux labels are not applied: this runtime does not use SELinux");
    const oci::Namespace* mount = spec_.find_namespace("mount");
    if (!mount || !mount->path.empty())
      return fail(ErrorKind::unsupported, "a container needs a new mount namespace of its own");
    return {};
  }

  Result<void> namespaces() {
    std::uint64_t seen = 0;
    for (const oci::Namespace& one : spec_.linux_.namespaces) {
      const sys::NamespaceKind* kind = sys::namespace_kind(one.type);
      if (!kind) return fail(ErrorKind::invalid, "\"{}\" is not a kind of namespace", one.type);
      if (seen & kind->flag)
        return fail(ErrorKind::invalid, "the configuration has two {} namespaces", one.type);
      seen |= kind->flag;
      TRY(add_namespace(one, *kind));
    }
    for (const std::string& name : options_.joined_by_descriptor) {
      const sys::NamespaceKind* kind = sys::namespace_kind(name);
      if (!kind) return fail(ErrorKind::invalid, "\"{}\" is not a kind of namespace", name);
      if (!(seen & kind->flag)) plan_.joins.push_back({kind->flag, name, ""});
    }
    return {};
  }

  Result<void> add_namespace(const oci::Namespace& one, const sys::NamespaceKind& kind) {
    bool by_descriptor =
        std::ranges::find(options_.joined_by_descriptor, one.type) != options_.joined_by_descriptor.end();
    if (by_descriptor || !one.path.empty()) {
      plan_.joins.push_back({kind.flag, one.type, by_descriptor ? "" : one.path});
      return {};
    }
    if (kind.flag == CLONE_NEWCGROUP) {
      cgroup_namespace_ = true;
      return {};
    }
    plan_.new_namespaces |= kind.flag;
    plan_.user_namespace |= kind.flag == CLONE_NEWUSER;
    return {};
  }

  bool is_new(std::uint64_t flag) const { return (plan_.new_namespaces & flag) != 0; }

  // Hooks of these kinds find the container's root at its place in the host's tree.
  bool hooks_before_pivot() const { return !spec_.hooks.create_container.empty() || early_hooks(); }
  // In a user namespace the kernel lets a procfs or sysfs be mounted only where one is to be seen already:
  // the host's, as long as the host's tree is there.
  bool enters_late() const {
    return hooks_before_pivot() || plan_.user_namespace || plan_.change_attached_mounts;
  }
  bool early_hooks() const { return !spec_.hooks.prestart.empty() || !spec_.hooks.create_runtime.empty(); }

  void begin_root() {
    add(IsolateMounts{kPrivate});
    add(AttachRoot{});
    if (plan_.change_attached_mounts) add(IsolateMounts{kPrivate});  // the root as well
    // As early as can be: from then on no path leads to the host, whatever the root has in it.
    if (!enters_late()) add(EnterRoot{!options_.no_pivot});
  }

  Result<void> add_mount(const oci::Mount& mount) {
    if (mount.destination.empty() || has_nul(mount.destination))
      return fail(ErrorKind::invalid, "the destination of a mount is not a path");
    sys::MountOptions options = TRY(sys::parse_mount_options(mount.options));
    if (options.bind || mount.type == "bind") return add_bind(mount, options);
    if (mount.type == "cgroup" || mount.type == "cgroup2") return add_cgroups(mount, options);
    if (mount.type.empty()) return fail(ErrorKind::invalid, "the mount has no type");
    if (mount.type == "devpts") has_devpts_ = true;
    bool kernel_view = mount.type == "proc" || mount.type == "sysfs";
    add(MountFilesystem{mount.type, mount.source, mount.destination, options.set,
                        std::move(options.parameters), kernel_view,
                        options.propagation | (options.propagation_recursive ? MS_REC : 0)});
    return {};
  }

  Result<void> add_bind(const oci::Mount& mount, const sys::MountOptions& options) {
    if (mount.source.empty() || has_nul(mount.source))
      return fail(ErrorKind::invalid, "the source of a bind mount is not a path");
    if (!mount.uid_mappings.empty() || !mount.gid_mappings.empty())
      return fail(ErrorKind::unsupported, "id-mapped mounts are not supported");
    PlannedBind bind;
    for (const sys::MountOptions::Parameter& parameter : options.parameters) {
      if (parameter.key != kBeneathOption || parameter.value.empty())
        return fail(ErrorKind::invalid, "\"{}\" is not an option of a bind mount", parameter.key);
      bind.beneath = parameter.value;
    }
    bind.source = mount.source[0] == '/' ? mount.source : options_.bundle + "/" + mount.source;
    bind.destination = mount.destination;
    bind.recursive = options.recursive;
    bind.set = options.set;
    bind.clear = options.clear;
    bind.recursive_set = options.recursive_set;
    bind.recursive_clear = options.recursive_clear;
    // Without a word about it nothing that the container mounts or unmounts there may reach the host.
    bind.propagation =
        options.propagation ? options.propagation | (options.propagation_recursive ? MS_REC : 0) : kPrivate;
    if (plan_.change_attached_mounts && (bind.recursive_set || bind.recursive_clear)) {
      warn("the options of " + mount.destination +
           " do not reach the mounts below it: that needs Linux 5.12");
      bind.set |= std::exchange(bind.recursive_set, 0);
      bind.clear |= std::exchange(bind.recursive_clear, 0);
    }
    if (clean(mount.destination) == "/dev") dev_is_bound_ = true;
    plan_.binds.push_back(std::move(bind));
    add(AttachBind{mount.destination, plan_.binds.size() - 1});
    return {};
  }

  Result<void> add_cgroups(const oci::Mount& mount, const sys::MountOptions& options) {
    if (cgroup_namespace_) {
      add(UnshareCgroupNamespace{});
      cgroup_namespace_ = false;
    }
    bool own_view = spec_.find_namespace("cgroup") != nullptr;
    if (options_.unified_cgroups && own_view)
      add(MountFilesystem{"cgroup2", "cgroup", mount.destination, options.set, {}, true, 0});
    else
      add(AttachCgroups{mount.destination, options.set});
    return {};
  }

  Result<void> devices() {
    if (!dev_is_bound_) {
      for (const auto& [path, number] : kDevices)
        add_device({path, S_IFCHR, number.first, number.second, 0666, 0, 0, -1});
      for (const auto& [path, target] : kLinks) add(MakeLink{path, target});
    }
    for (const oci::Device& device : spec_.linux_.devices) TRY(extra_device(device));
    if (spec_.process->terminal) {
      if (!has_devpts_) return fail(ErrorKind::invalid, "a terminal needs a devpts mount");
      if (!dev_is_bound_) add(AttachConsole{});
    }
    return {};
  }

  Result<void> extra_device(const oci::Device& device) {
    if (device.path.empty() || device.path[0] != '/' || has_nul(device.path))
      return fail(ErrorKind::invalid, "\"{}\" is not the path of a device", device.path);
    for (const auto& [path, number] : kDevices)
      if (clean(device.path) == path) return {};  // it is there already
    MakeDevice out{device.path,
                   0,
                   0,
                   0,
                   device.file_mode.value_or(0666) & 07777,
                   device.uid.value_or(0),
                   device.gid.value_or(0),
                   -1};
    if (device.type == "c" || device.type == "u")
      out.type = S_IFCHR;
    else if (device.type == "b")
      out.type = S_IFBLK;
    else if (device.type == "p")
      out.type = S_IFIFO;
    else
      return fail(ErrorKind::invalid, "\"{}\" is not a type of device (c, b, u or p)", device.type);
    if (out.type != S_IFIFO) {
      if (device.major < 0 || device.major > 0xfff || device.minor < 0 || device.minor > 0xfffff)
        return fail(ErrorKind::invalid, "{}:{} is not a device number", device.major, device.minor);
      out.major = static_cast<std::uint32_t>(device.major);
      out.minor = static_cast<std::uint32_t>(device.minor);
    }
    add_device(std::move(out));
    return {};
  }

  // In a user namespace mknod makes no devices: the host's node is bound instead.
  void add_device(MakeDevice device) {
    if (plan_.user_namespace && device.type != S_IFIFO) {
      plan_.binds.push_back({device.path, device.path, false, 0, 0, 0, 0, kPrivate});
      device.bind = static_cast<int>(plan_.binds.size()) - 1;
    }
    add(std::move(device));
  }

  Result<void> kernel_settings() {
    if (!spec_.hostname.empty()) {
      if (!is_new(CLONE_NEWUTS)) return fail(ErrorKind::invalid, "a hostname needs a new uts namespace");
      add(SetHostname{spec_.hostname});
    }
    if (!spec_.domainname.empty()) {
      if (!is_new(CLONE_NEWUTS)) return fail(ErrorKind::invalid, "a domainname needs a new uts namespace");
      add(SetDomainname{spec_.domainname});
    }
    if (is_new(CLONE_NEWNET)) add(RaiseLoopback{});
    for (const auto& [name, value] : spec_.linux_.sysctl) TRY(add_sysctl(name, value));
    return {};
  }

  // Only what a namespace of the container's own holds: any other write would change the host.
  Result<void> add_sysctl(const std::string& name, const std::string& value) {
    static constexpr std::array<std::string_view, 9> kIpc = {
        "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",          "kernel.sem",        "kernel.shmall",
        "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.msg_next_id"};
    std::string dotted = name;
    if (dotted.find('/') != std::string::npos && dotted.find('.') > dotted.find('/'))
      std::ranges::transform(dotted, dotted.begin(), [](char c) {
        return c == '/' ? '.' : c == '.' ? '/' : c;
      });
    bool plain = std::ranges::all_of(dotted, [](unsigned char c) {
      return std::isalnum(c) || c == '.' || c == '_' || c == '-' || c == '/' || c == '@' || c == ':';
    });
    // A slash stands for a dot within a component (an interface's name): components are never "..".
    std::string file;
    for (std::string_view part : split(dotted, '.')) {
      std::string component(part);
      std::ranges::replace(component, '/', '.');
      if (component.empty() || component == "." || component == "..") plain = false;
      file.append(file.empty() ? "" : "/").append(component);
    }
    if (!plain || has_nul(value)) return fail(ErrorKind::invalid, "\"{}\" is not the name of a sysctl", name);
    auto in_own = [&](std::string_view kind) {
      const sys::NamespaceKind* found = sys::namespace_kind(kind);
      return is_new(found->flag) || std::ranges::any_of(plan_.joins, [&](const PlannedJoin& join) {
               return join.flag == found->flag;
             });
    };
    std::string_view needed;
    if (dotted.starts_with("net."))
      needed = "network";
    else if (dotted.starts_with("fs.mqueue.") || std::ranges::find(kIpc, dotted) != kIpc.end())
      needed = "ipc";
    else if (dotted == "kernel.domainname")
      needed = "uts";
    else
      return fail(ErrorKind::denied,
                  "the sysctl \"{}\" is not in a namespace of its own: it would change the host", name);
    if (!in_own(needed))
      return fail(ErrorKind::denied, "the sysctl \"{}\" needs a {} namespace of the container's own", name,
                  needed);
    add(WriteSysctl{std::move(file), value});
    return {};
  }

  void finish_root() {
    if (early_hooks()) add(AskForHooks{false});
    if (!spec_.hooks.create_container.empty()) add(AskForHooks{true});
    if (options_.create_cwd && clean(spec_.process->cwd) != "/") add(MakeDirectory{spec_.process->cwd});
    for (const std::string& path : spec_.linux_.readonly_paths) add(ProtectPath{path});
    for (const std::string& path : spec_.linux_.masked_paths) add(MaskPath{path});
    if (std::optional<unsigned long> propagation = sys::propagation_flag(spec_.linux_.rootfs_propagation);
        propagation && *propagation != kPrivate && *propagation != MS_PRIVATE)
      add(SetRootPropagation{*propagation});
    if (spec_.root.readonly) add(ProtectRoot{});
    if (enters_late()) add(EnterRoot{!options_.no_pivot});
  }

  // Lexical, for comparing with well-known places only.
  static std::string clean(std::string_view path) {
    std::string out;
    for (std::string_view part : split(path, '/'))
      if (!part.empty() && part != ".") out.append("/").append(part);
    return out.empty() ? "/" : out;
  }

  const oci::RuntimeSpec& spec_;
  const PlanOptions& options_;
  Plan plan_;
  bool cgroup_namespace_ = false;
  bool dev_is_bound_ = false;
  bool has_devpts_ = false;
};

}  // namespace

Result<Plan> make_plan(const oci::RuntimeSpec& spec, const PlanOptions& options) {
  return Planner(spec, options).run();
}

}  // namespace berth::runtime
