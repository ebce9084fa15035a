// SPDX-License-Identifier: Apache-2.0
#include "runtime/child_protocol.h"

#include <cerrno>
#include <cstring>

#include "base/text.h"
#include "runtime/plan.h"
#include "sys/namespaces.h"

namespace berth::runtime {
namespace {

Error error_of(ErrorKind kind, int code, std::string message) {
  return Error{kind, code, std::move(message)};
}

Error kernel_error(int code, const std::string& what) {
  return error_of(kind_of_errno(code), code, what + ": " + errno_words(code));
}

// Clients choose 127 for "not found" and 126 for "not executable" by these very words.
Error lookup_error(int code, const std::string& program) {
  const bool path = program.find('/') != std::string::npos;
  std::string start = fmt::format("exec: \"{}\": ", program);
  switch (code) {
    case ENOENT:
      if (!path) return error_of(ErrorKind::not_found, code, start + "executable file not found in $PATH");
      return error_of(ErrorKind::not_found, code,
                      fmt::format("{}stat {}: {}", start, program, errno_words(code)));
    case ENOTDIR:
      return error_of(ErrorKind::not_found, code,
                      fmt::format("{}stat {}: {}", start, program, errno_words(code)));
    default:
      return error_of(ErrorKind::denied, code, start + errno_words(code));
  }
}

Error execute_error(int code, const std::string& program) {
  ErrorKind kind = code == ENOENT || code == ENOTDIR ? ErrorKind::not_found : ErrorKind::denied;
  if (code == EACCES || code == EISDIR) return lookup_error(code, program);
  return error_of(kind, code, fmt::format("exec {}: {}", program, errno_words(code)));
}

std::string part_text(StepPart part) {
  switch (part) {
    case StepPart::whole:
      return "";
    case StepPart::find_target:
      return " (find or make the target)";
    case StepPart::target_is_link:
      return " (its place is taken by a link or a file, not a directory)";
    case StepPart::new_filesystem:
      return " (make the file system)";
    case StepPart::parameter:
      return " (set an option)";
    case StepPart::attach:
      return " (attach it)";
    case StepPart::not_null:
      return " (/dev/null is not the null device)";
    case StepPart::not_procfs:
      return " (/proc is not the kernel's)";
  }
  return "";
}

std::string step_text(const Plan& plan, std::size_t index) {
  if (index >= plan.steps.size()) return "set the container up";
  const Step& step = plan.steps[index];
  if (const AttachBind* bind = std::get_if<AttachBind>(&step))
    return fmt::format("mount {} on {}", plan.binds[bind->bind].source, bind->destination);
  if (const MountFilesystem* mount = std::get_if<MountFilesystem>(&step))
    return fmt::format("mount {} on {}", mount->type, mount->destination);
  return to_text(step);
}

Error step_error(const ChildRecord& record, const Plan* plan) {
  std::string what = plan ? step_text(*plan, record.index) : "set the container up";
  if (record.code == ENOTDIR && plan && record.index < plan->steps.size() &&
      std::holds_alternative<AttachBind>(plan->steps[record.index]))
    return error_of(
        ErrorKind::invalid, record.code,
        "error " + what +
            ": not a directory: are you trying to mount a directory onto a file (or vice-versa)?");
  return kernel_error(record.code, "cannot " + what + part_text(static_cast<StepPart>(record.detail)));
}

std::string join_text(const ChildRecord& record, const Plan* plan) {
  if (plan && record.index < plan->joins.size())
    return "cannot join the " + plan->joins[record.index].name + " namespace";
  return "cannot join the container's namespaces";
}

std::string limit_text(const ChildRecord& record, const oci::Process& process) {
  if (record.index >= process.rlimits.size()) return "cannot set a resource limit";
  const oci::ResourceLimit& limit = process.rlimits[record.index];
  return fmt::format("cannot set {} to {}:{}", limit.type, limit.soft, limit.hard);
}

}  // namespace

std::string errno_words(int code) {
  switch (code) {
    case ENOENT:
      return "no such file or directory";
    case ENOEXEC:
      return "exec format error";
    case EACCES:
      return "permission denied";
    case EPERM:
      return "operation not permitted";
    case EISDIR:
      return "is a directory";
    case ENOTDIR:
      return "not a directory";
    case ELOOP:
      return "too many levels of symbolic links";
    case ETXTBSY:
      return "text file busy";
    case E2BIG:
      return "argument list too long";
    default:
      return to_lower(std::strerror(code));
  }
}

Error failure_of(const ChildRecord& record, const Plan* plan, const oci::Process& process) {
  const std::string program = process.args.empty() ? "" : process.args[0];
  const int code = record.code;
  switch (record.stage) {
    case Stage::control_group:
      return kernel_error(code, "cannot enter the container's control group");
    case Stage::descriptors:
      return kernel_error(code, "cannot arrange the process's descriptors");
    case Stage::new_session:
      return kernel_error(code, "cannot start a session");
    case Stage::join_namespace:
      return kernel_error(code, join_text(record, plan));
    case Stage::user_mapping:
      return kernel_error(code, "cannot become root of the user namespace");
    case Stage::step:
      return step_error(record, plan);
    case Stage::terminal:
      return kernel_error(code, "cannot open a terminal in the container");
    case Stage::terminal_filesystem:
      return error_of(ErrorKind::denied, code,
                      "cannot open a terminal: the container's /dev/pts is not a devpts");
    case Stage::wait:
      return error_of(ErrorKind::cancelled, 0, "the container was given up before it started");
    case Stage::start_hook:
      return kernel_error(code, "a startContainer hook failed");
    case Stage::keyring:
      return kernel_error(code, "cannot make a session keyring");
    case Stage::rlimit:
      return kernel_error(code, limit_text(record, process));
    case Stage::scheduler:
      return kernel_error(code, "cannot set the scheduling policy");
    case Stage::io_priority:
      return kernel_error(code, "cannot set the I/O priority");
    case Stage::groups:
      return kernel_error(code, "cannot set the supplementary groups");
    case Stage::user:
      return kernel_error(code, fmt::format("cannot become user {}:{}", process.user.uid, process.user.gid));
    case Stage::capabilities:
      return kernel_error(code, "cannot set the capabilities");
    case Stage::no_new_privileges:
      return kernel_error(code, "cannot set no_new_privs");
    case Stage::working_directory:
      return kernel_error(code, fmt::format("chdir to cwd (\"{}\") set in config.json failed", process.cwd));
    case Stage::working_directory_outside:
      return error_of(ErrorKind::denied, code,
                      fmt::format("the working directory \"{}\" is outside of the container", process.cwd));
    case Stage::seccomp:
      return kernel_error(code, "cannot load the seccomp filter");
    case Stage::lookup:
      return lookup_error(code, program);
    case Stage::execute:
      return execute_error(code, program);
  }
  return kernel_error(code, "cannot start the container");
}

}  // namespace berth::runtime
