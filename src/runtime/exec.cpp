// SPDX-License-Identifier: Apache-2.0
// exec(): another process in a container that runs.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "base/file.h"
#include "base/text.h"
#include "runtime/clone.h"
#include "runtime/container.h"
#include "runtime/program.h"
#include "sys/cgroup.h"
#include "sys/mounts.h"
#include "sys/namespaces.h"
#include "sys/rooted_path.h"

namespace berth::runtime {
namespace {

// What the child needs; it runs between clone and exec.
struct ExecChild {
  const Program* program = nullptr;
  std::uint64_t namespaces = 0;
  std::vector<int> kept;  // the target's pidfd
  std::vector<int> scratch;

  [[noreturn]] void run(ChildChannel channel) noexcept {
    program->take_descriptors(channel, kept, scratch);
    if (setsid() < 0) channel.fail(Stage::new_session, errno);
    if (setns(kept[0], static_cast<int>(namespaces)) != 0)
      channel.fail(Stage::join_namespace, errno, UINT_MAX);
    int master = -1;
    if (program->process().terminal) {
      int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
      master =
          program->take_terminal(channel, sys::raw_open_in_root(root, "dev/pts", O_RDONLY | O_DIRECTORY));
      close(root);
    }
    program->drop_descriptors(channel, master);
    program->become_user(channel);
    channel.tell({ChildSays::ready, Stage::wait, 0, 0, 0}, master);
    if (master >= 0) close(master);
    channel.wait_for(ParentSays::placed);
    program->execute(channel);
  }
};

// pid is joined by birth. The rest is joined whether it is new or the host's: joining one's own is nothing.
// Only a user namespace cannot be joined twice.
std::uint64_t namespaces_of(const oci::RuntimeSpec& spec) {
  std::uint64_t flags = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  if (spec.find_namespace("user")) flags |= CLONE_NEWUSER;
  return flags;
}

// The v2 directory that the target is in: it may be one below the container's own, when the program there
// (an init system) made groups itself; then no process may be added to those above.
Result<Fd> unified_directory_of(pid_t target, const sys::Cgroup& group) {
  const sys::CgroupHierarchy* unified = group.layout().unified();
  if (!unified) return Fd();
  std::string text = TRY(read_file("/proc/" + std::to_string(target) + "/cgroup"));
  for (std::string_view line : split(text, '\n'))
    if (line.starts_with("0::/"))
      return open_file(unified->mount + std::string(line.substr(3)), O_RDONLY | O_DIRECTORY);
  return group.open_unified();
}

Result<void> make_missing_cwd(pid_t target, const std::string& cwd) {
  Fd root = TRY(open_file("/proc/" + std::to_string(target) + "/root", O_PATH | O_DIRECTORY));
  int found = sys::raw_open_in_root(root.get(), cwd.c_str(), O_PATH);
  if (found >= 0) close(found);
  if (found != -ENOENT) return {};
  TRY(sys::make_directories_in_root(root.get(), cwd));
  return {};
}

}  // namespace

Result<ExecProcess> exec(const ExecRequest& request) {
  if (!request.spec || !request.process || request.target <= 0)
    return fail(ErrorKind::invalid, "exec needs a container and a process");
  const oci::RuntimeSpec& spec = *request.spec;
  Program::Options options;
  options.streams = request.streams;
  options.preserved_descriptors = request.preserved_descriptors;
  options.filter = request.filter;
  const oci::LinuxSeccomp* seccomp = spec.linux_.seccomp ? &*spec.linux_.seccomp : nullptr;
  Program program = TRY(Program::prepare(*request.process, seccomp, options, nullptr));

  Fd target = TRY(sys::open_pidfd(request.target));
  if (request.create_cwd) TRY(make_missing_cwd(request.target, request.process->cwd));
  std::optional<sys::Cgroup> group;
  Fd unified;
  std::vector<Fd> tasks;
  if (!spec.linux_.cgroups_path.empty()) {
    std::string path = spec.linux_.cgroups_path;
    group = TRY(sys::Cgroup::at(path[0] == '/' ? path : "/" + path));
    unified = TRY(unified_directory_of(request.target, *group));
    tasks = TRY(group->open_tasks_files());
  }

  ExecChild body{&program, namespaces_of(spec), {target.get()}, std::vector<int>(4)};
  Child::Request clone{0, spec.find_namespace("pid") ? target.get() : -1, unified.get(), tasks};
  Result<Child> cloned = Child::clone(clone, [&](ChildChannel channel) { body.run(channel); });
  // What the kernel says about the namespaces of a process that is exiting (ESRCH), and about a pid namespace
  // whose init is gone (ENOMEM).
  if (!cloned && (cloned.error().code == ESRCH || cloned.error().code == ENOMEM))
    return fail(ErrorKind::conflict, "the container is not running");
  Child child = TRY(std::move(cloned));
  TRY(place(child, group ? &*group : nullptr, *request.process));
  TRY(child.say(ParentSays::placed));

  ExecProcess out;
  for (;;) {
    Child::Heard heard = TRY(child.listen());
    if (heard.descriptor) out.terminal = std::move(heard.descriptor);
    if (heard.end) break;
    if (heard.record.what == ChildSays::failed)
      return std::unexpected(failure_of(heard.record, nullptr, *request.process));
  }
  out.pid = child.pid();
  out.pidfd = child.take_pidfd();
  child.release();
  return out;
}

}  // namespace berth::runtime
