// SPDX-License-Identifier: Apache-2.0
#include "runtime/container_child.h"

#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "runtime/steps_child.h"

namespace berth::runtime {
namespace {

void join_namespaces(const ContainerChild& child, const ChildChannel& channel) noexcept {
  for (std::size_t i = 0; i < child.plan->joins.size(); ++i) {
    const PlannedJoin& join = child.plan->joins[i];
    if (join.flag == CLONE_NEWPID) continue;  // the parent chose it: a process is born into its pid namespace
    if (setns(child.join(i), static_cast<int>(join.flag)) != 0)
      channel.fail(Stage::join_namespace, errno, static_cast<std::uint32_t>(i));
  }
}

// Without mapped ids every file would belong to nobody, so this waits for them.
void become_namespace_root(const ChildChannel& channel) noexcept {
  channel.wait_for(ParentSays::mapped);
  if (syscall(SYS_setresgid, 0, 0, 0) != 0 || syscall(SYS_setresuid, 0, 0, 0) != 0 ||
      syscall(SYS_setgroups, 0, nullptr) != 0)
    channel.fail(Stage::user_mapping, errno);
}

void run_start_hooks(const ContainerChild& child, const ChildChannel& channel) noexcept {
  for (const PreparedHook& hook : child.start_hooks)
    if (int code = run_prepared_hook(hook, child.hook_state)) channel.fail(Stage::start_hook, code);
}

}  // namespace

void ContainerChild::run(ChildChannel channel) noexcept {
  program->take_descriptors(channel, kept, scratch);
  if (setsid() < 0) channel.fail(Stage::new_session, errno);
  umask(0);  // modes of what is made are exact; the program's own comes later
  join_namespaces(*this, channel);
  if (plan->user_namespace) become_namespace_root(channel);

  StepRunner runner(*this, channel);
  runner.run_all();
  runner.wait_until_placed();
  int master = runner.terminal();
  program->drop_descriptors(channel, master);

  // Start hooks run in the container with its creator's rights, before they are given up.
  const bool hooked = !start_hooks.empty();
  if (!hooked) program->become_user(channel);
  channel.tell({ChildSays::ready, Stage::wait, 0, 0, 0}, master);
  if (master >= 0) close(master);
  channel.wait_for(ParentSays::go);
  if (hooked) {
    run_start_hooks(*this, channel);
    program->become_user(channel);
  }
  program->execute(channel);
}

}  // namespace berth::runtime
