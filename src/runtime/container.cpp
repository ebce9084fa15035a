// SPDX-License-Identifier: Apache-2.0
// create() and start(), the parent's side. What needs the host's tree or can explain itself in words is done
// here; the child does the rest (container_child.cpp).
#include "runtime/container.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "runtime/clone.h"
#include "runtime/container_child.h"
#include "runtime/hooks.h"
#include "runtime/plan.h"
#include "runtime/program.h"
#include "sys/cgroup.h"
#include "sys/mounts.h"
#include "sys/namespaces.h"
#include "sys/rooted_path.h"

namespace berth::runtime {
namespace {

Error without_record() {
  return Error{ErrorKind::system, 0, "the container's process ended before it could start the program"};
}

}  // namespace

class Launcher {
 public:
  explicit Launcher(const CreateRequest& request) : request_(request), spec_(*request.spec) {}

  Result<CreatedContainer> run() {
    TRY(prepare_cgroup());
    Result<CreatedContainer> created = launch();
    if (!created && group_made_) (void)group_->remove();
    return created;
  }

 private:
  Result<CreatedContainer> launch() {
    TRY(make_the_plan());
    TRY(prepare_program());
    TRY(prepare_root());
    TRY(prepare_binds());
    TRY(prepare_joins());
    TRY(prepare_cgroup_views());
    prepare_start_hooks();
    Child child = TRY(clone_child());
    return bring_to_the_brink(std::move(child));
  }

  Result<void> prepare_cgroup() {
    if (spec_.linux_.cgroups_path.empty()) return {};
    std::string path = spec_.linux_.cgroups_path;
    if (std::ranges::count(path, ':') == 2 && path[0] != '/')
      return fail(ErrorKind::unsupported,
                  "the cgroup path \"{}\" is meant for systemd, which this runtime does not ask: use a path "
                  "that begins "
                  "with a slash",
                  path);
    if (path[0] != '/') path.insert(0, "/");
    group_ = TRY(sys::Cgroup::at(path));
    group_made_ = !group_->exists();
    Result<void> made = group_->create(spec_.linux_.resources, &warnings_);
    if (!made && group_made_) (void)group_->remove();
    return made;
  }

  Result<void> make_the_plan() {
    PlanOptions options;
    options.bundle = request_.bundle;
    for (const auto& [name, descriptor] : request_.namespace_descriptors)
      options.joined_by_descriptor.push_back(name);
    options.unified_cgroups = group_ && group_->layout().pure_unified();
    options.no_pivot = request_.no_pivot;
    options.create_cwd = request_.create_cwd;
    options.change_attached_mounts = !sys::can_change_detached_mounts();
    options.warnings = &warnings_;
    plan_ = TRY(make_plan(spec_, options));
    return {};
  }

  Result<void> prepare_program() {
    Program::Options options;
    options.streams = request_.streams;
    options.preserved_descriptors = request_.preserved_descriptors;
    options.new_keyring = request_.new_keyring;
    options.filter = request_.filter;
    const oci::LinuxSeccomp* seccomp = spec_.linux_.seccomp ? &*spec_.linux_.seccomp : nullptr;
    program_ = TRY(Program::prepare(*spec_.process, seccomp, options, &warnings_));
    return {};
  }

  std::string root_path() const {
    if (spec_.root.path.empty() || spec_.root.path[0] == '/') return spec_.root.path;
    return request_.bundle + "/" + spec_.root.path;
  }

  Result<void> prepare_root() {
    if (request_.overlay) {
      const OverlayRoot& overlay = *request_.overlay;
      root_ = TRY_AS("mount the root file system",
                     sys::mount_overlay(overlay.lower, overlay.upper, overlay.work, overlay.volatile_));
      return {};
    }
    if (spec_.root.path.empty())
      return fail(ErrorKind::invalid, "the runtime configuration has no root.path");
    root_ = TRY_AS("use the root file system", sys::clone_mount(root_path(), true));
    struct stat info {};
    if (fstat(root_.get(), &info) != 0 || !S_ISDIR(info.st_mode))
      return fail(ErrorKind::invalid, "the root file system {} is not a directory", root_path());
    if (plan_.change_attached_mounts) return {};
    return sys::set_mount_attributes(root_.get(), 0, 0, MS_PRIVATE, true);
  }

  static Result<void> change_bind(int tree, const PlannedBind& bind) {
    const unsigned long kind = bind.propagation & ~static_cast<unsigned long>(MS_REC);
    if (kind) TRY(sys::set_mount_attributes(tree, 0, 0, kind, (bind.propagation & MS_REC) != 0));
    if (bind.set || bind.clear) TRY(sys::set_mount_attributes(tree, bind.set, bind.clear, 0, false));
    if (bind.recursive_set || bind.recursive_clear)
      TRY(sys::set_mount_attributes(tree, bind.recursive_set, bind.recursive_clear, 0, true));
    return {};
  }

  static Result<Fd> clone_bind(const PlannedBind& bind) {
    if (bind.beneath.empty()) return sys::clone_mount(bind.source, bind.recursive);
    Fd top = TRY(open_file(bind.source, O_PATH | O_DIRECTORY));
    Fd place = TRY(sys::open_beneath(top.get(), bind.beneath, O_PATH));
    const int tree = sys::raw_clone_mount(place.get(), "", bind.recursive);
    if (tree < 0) return fail_errno(-tree, "cannot bind {} of {}", bind.beneath, bind.source);
    return Fd(tree);
  }

  Result<void> prepare_binds() {
    for (const PlannedBind& bind : plan_.binds) {
      std::string task = "error mounting \"" + bind.source + "\" to rootfs at \"" + bind.destination + "\"";
      Fd tree = TRY_AS(task, clone_bind(bind));
      struct stat info {};
      if (fstat(tree.get(), &info) != 0) return fail_errno(errno, "{}", task);
      child_.bind_is_directory.push_back(S_ISDIR(info.st_mode));
      if (!plan_.change_attached_mounts) TRY_AS(task, change_bind(tree.get(), bind));
      binds_.push_back(std::move(tree));
    }
    return {};
  }

  Result<void> prepare_joins() {
    for (const PlannedJoin& join : plan_.joins) {
      auto given = request_.namespace_descriptors.find(join.name);
      const sys::NamespaceKind& kind = *sys::namespace_kind(join.name);
      if (given == request_.namespace_descriptors.end()) {
        joins_.push_back(TRY(sys::open_namespace(join.path, kind)));
        join_numbers_.push_back(joins_.back().get());
      } else {
        TRY(sys::check_namespace(given->second, kind));
        join_numbers_.push_back(given->second);
      }
      if (join.flag == CLONE_NEWPID) pid_namespace_ = join_numbers_.back();
    }
    return {};
  }

  Result<void> prepare_cgroup_views() {
    const AttachCgroups* step = nullptr;
    for (const Step& one : plan_.steps)
      if (std::holds_alternative<AttachCgroups>(one)) step = &std::get<AttachCgroups>(one);
    if (!step) return {};
    if (!group_) return fail(ErrorKind::invalid, "a cgroup mount needs a cgroupsPath");
    if (group_->layout().pure_unified())
      return add_cgroup_view(group_->layout().hierarchies[0].mount, {}, step->attributes);
    for (const sys::CgroupHierarchy& hierarchy : group_->layout().hierarchies) {
      std::string directory = group_->directory_in(hierarchy);
      if (!exists(directory)) continue;
      CgroupView view{hierarchy.unified ? "unified" : hierarchy.name, {}};
      for (const std::string& controller : hierarchy.controllers)
        if (!hierarchy.unified && controller != hierarchy.name) view.links.push_back(controller);
      TRY(add_cgroup_view(directory, std::move(view), step->attributes));
    }
    return {};
  }

  Result<void> add_cgroup_view(const std::string& directory, CgroupView view, std::uint64_t attributes) {
    Fd tree = TRY(sys::clone_mount(directory, false));
    if (!plan_.change_attached_mounts)
      TRY(sys::set_mount_attributes(tree.get(), attributes, 0, MS_PRIVATE, false));
    cgroup_trees_.push_back(std::move(tree));
    child_.cgroups.push_back(std::move(view));
    return {};
  }

  std::string state_text(std::string_view status, pid_t process) const {
    oci::State state;
    state.id = request_.id;
    state.status = status;
    state.pid = process;
    state.bundle = request_.bundle;
    state.annotations = spec_.annotations;
    return oci::to_text(state);
  }

  void prepare_start_hooks() {
    if (spec_.hooks.start_container.empty()) return;
    child_.start_hooks = prepare_hooks(spec_.hooks.start_container);
    child_.hook_state = state_text("created", 1);
  }

  Result<Child> clone_child() {
    child_.plan = &plan_;
    child_.program = &*program_;
    child_.will_be_placed = true;
    const bool hooks = !spec_.hooks.prestart.empty() || !spec_.hooks.create_runtime.empty() ||
                       !spec_.hooks.create_container.empty();
    if (hooks && !root_path().empty() && exists(root_path())) child_.attach_root_at = root_path();
    child_.kept.push_back(root_.get());
    for (const Fd& bind : binds_) child_.kept.push_back(bind.get());
    child_.kept.insert(child_.kept.end(), join_numbers_.begin(), join_numbers_.end());
    for (const Fd& tree : cgroup_trees_) child_.kept.push_back(tree.get());
    child_.scratch.resize(child_.kept.size() + 3);

    Fd unified;
    std::vector<Fd> tasks;
    if (group_) {
      unified = TRY(group_->open_unified());
      tasks = TRY(group_->open_tasks_files());
    }
    Child::Request clone{plan_.new_namespaces, pid_namespace_, unified.get(), tasks};
    return Child::clone(clone, [&](ChildChannel channel) {
      if (request_.start_channel) channel.use(request_.start_channel->go, request_.start_channel->outcome);
      child_.run(channel);
    });
  }

  Result<CreatedContainer> bring_to_the_brink(Child child) {
    if (plan_.user_namespace) {
      TRY(write_id_mappings(child.pid(), spec_.linux_));
      TRY(child.say(ParentSays::mapped));
    }
    TRY(place(child, group_ ? &*group_ : nullptr, *spec_.process));
    TRY(child.say(ParentSays::placed));
    for (;;) {
      Child::Heard heard = TRY(child.listen());
      if (heard.end) return std::unexpected(without_record());
      switch (heard.record.what) {
        case ChildSays::failed:
          return std::unexpected(failure_of(heard.record, &plan_, *spec_.process));
        case ChildSays::hooks_before_pivot:
          TRY(run_hooks(spec_.hooks.prestart, state_text("creating", child.pid()), "prestart"));
          TRY(run_hooks(spec_.hooks.create_runtime, state_text("creating", child.pid()), "createRuntime"));
          TRY(child.say(ParentSays::hooks_done));
          break;
        case ChildSays::hooks_in_container:
          TRY(run_hooks(spec_.hooks.create_container, state_text("creating", child.pid()),
                        "createContainer"));
          TRY(child.say(ParentSays::hooks_done));
          break;
        case ChildSays::ready:
          return finished(std::move(child), std::move(heard.descriptor));
      }
    }
  }

  CreatedContainer finished(Child child, Fd terminal) {
    CreatedContainer out;
    out.pid_ = child.pid();
    out.pidfd_ = child.take_pidfd();
    out.control_ = child.take_channel();
    out.terminal_ = std::move(terminal);
    out.cgroup_ = std::move(group_);
    out.warnings_ = std::move(warnings_);
    out.process_ = *spec_.process;
    child.release();
    return out;
  }

  const CreateRequest& request_;
  const oci::RuntimeSpec& spec_;
  Plan plan_;
  std::optional<Program> program_;
  std::optional<sys::Cgroup> group_;
  bool group_made_ = false;
  Fd root_;
  std::vector<Fd> binds_;
  std::vector<Fd> joins_;
  std::vector<int> join_numbers_;
  std::vector<Fd> cgroup_trees_;
  int pid_namespace_ = -1;
  ContainerChild child_;
  std::vector<std::string> warnings_;
};

Result<CreatedContainer> create(const CreateRequest& request) {
  if (!request.spec) return fail(ErrorKind::invalid, "there is no runtime configuration");
  return Launcher(request).run();
}

Result<void> CreatedContainer::start() {
  if (!control_) return fail(ErrorKind::conflict, "the container was started already");
  Fd control = std::move(control_);
  const ParentSays go = ParentSays::go;
  (void)send(control.get(), &go, sizeof go, MSG_NOSIGNAL);
  Child::Heard heard = TRY(listen_on(control.get()));
  if (heard.end) return {};  // exec closed it
  return std::unexpected(failure_of(heard.record, nullptr, process_));
}

Result<void> start_through(int go, int outcome, const oci::Process& process) {
  const ParentSays word = ParentSays::go;
  TRY(write_all(go, std::string_view(reinterpret_cast<const char*>(&word), sizeof word)));
  ChildRecord record;
  std::size_t got = TRY(read_some(outcome, std::span(reinterpret_cast<char*>(&record), sizeof record)));
  if (got == 0) return {};
  if (got != sizeof record) return fail(ErrorKind::corrupt, "the container's process sent a broken record");
  return std::unexpected(failure_of(record, nullptr, process));
}

}  // namespace berth::runtime
