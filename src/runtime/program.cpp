// SPDX-License-Identifier: Apache-2.0
// The parent's half of a Program: everything that allocates.
#include "runtime/program.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"

namespace berth::runtime {
namespace {

constexpr std::pair<std::string_view, int> kLimits[] = {{"RLIMIT_AS", RLIMIT_AS},
                                                        {"RLIMIT_CORE", RLIMIT_CORE},
                                                        {"RLIMIT_CPU", RLIMIT_CPU},
                                                        {"RLIMIT_DATA", RLIMIT_DATA},
                                                        {"RLIMIT_FSIZE", RLIMIT_FSIZE},
                                                        {"RLIMIT_LOCKS", RLIMIT_LOCKS},
                                                        {"RLIMIT_MEMLOCK", RLIMIT_MEMLOCK},
                                                        {"RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE},
                                                        {"RLIMIT_NICE", RLIMIT_NICE},
                                                        {"RLIMIT_NOFILE", RLIMIT_NOFILE},
                                                        {"RLIMIT_NPROC", RLIMIT_NPROC},
                                                        {"RLIMIT_RSS", RLIMIT_RSS},
                                                        {"RLIMIT_RTPRIO", RLIMIT_RTPRIO},
                                                        {"RLIMIT_RTTIME", RLIMIT_RTTIME},
                                                        {"RLIMIT_SIGPENDING", RLIMIT_SIGPENDING},
                                                        {"RLIMIT_STACK", RLIMIT_STACK}};

Result<std::vector<int>> limit_numbers(const oci::Process& process) {
  std::vector<int> out;
  for (const oci::ResourceLimit& limit : process.rlimits) {
    auto found = std::ranges::find(kLimits, limit.type, &std::pair<std::string_view, int>::first);
    if (found == std::end(kLimits))
      return fail(ErrorKind::invalid, "\"{}\" is not a resource limit", limit.type);
    if (limit.soft > limit.hard)
      return fail(ErrorKind::invalid, "the soft limit of {} is above its hard limit", limit.type);
    if (std::ranges::find(out, found->second) != out.end())
      return fail(ErrorKind::invalid, "{} is set twice", limit.type);
    out.push_back(found->second);
  }
  return out;
}

// exec calls want pointers that are not const, and do not write through them.
std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& one : strings) out.push_back(const_cast<char*>(one.c_str()));
  out.push_back(nullptr);
  return out;
}

std::vector<std::string> candidates_of(const oci::Process& process) {
  const std::string& program = process.args[0];
  if (program.find('/') != std::string::npos) return {program};
  std::string_view path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  for (std::string_view entry : process.env)
    if (entry.starts_with("PATH=")) path = entry.substr(5);
  std::vector<std::string> out;
  // Relative entries would make the working directory a place to look in: left out, as Go's lookup does.
  for (std::string_view directory : split(path, ':'))
    if (directory.starts_with('/')) out.push_back(std::string(directory) + "/" + program);
  return out;
}

Result<sys::CapabilitySets> capability_sets(const oci::Capabilities& in, std::vector<std::string>* warnings) {
  const sys::CapabilityMask available = sys::current_bounding_set();
  std::vector<std::string> left_out;
  sys::CapabilitySets out;
  out.bounding = TRY(sys::capability_mask(in.bounding, available, &left_out));
  out.effective = TRY(sys::capability_mask(in.effective, available, &left_out));
  out.permitted = TRY(sys::capability_mask(in.permitted, available, &left_out));
  out.inheritable = TRY(sys::capability_mask(in.inheritable, available, &left_out));
  out.ambient = TRY(sys::capability_mask(in.ambient, available, &left_out));
  // What is outside of these sets the kernel would refuse, and runtimes have always dropped.
  out.effective &= out.permitted;
  out.ambient &= out.permitted & out.inheritable;
  std::ranges::sort(left_out);
  left_out.erase(std::unique(left_out.begin(), left_out.end()), left_out.end());
  if (warnings)
    for (const std::string& name : left_out)
      warnings->push_back(name + " is not available here and was left out");
  return out;
}

Result<int> scheduler_policy(std::string_view name) {
  static constexpr std::pair<std::string_view, int> kPolicies[] = {{"SCHED_OTHER", 0}, {"SCHED_FIFO", 1},
                                                                   {"SCHED_RR", 2},    {"SCHED_BATCH", 3},
                                                                   {"SCHED_IDLE", 5},  {"SCHED_DEADLINE", 6}};
  for (const auto& [known, number] : kPolicies)
    if (known == name) return number;
  return fail(ErrorKind::unsupported, "\"{}\" is not a scheduling policy that is known here", name);
}

Result<std::uint64_t> scheduler_flags(const std::vector<std::string>& names) {
  static constexpr std::pair<std::string_view, std::uint64_t> kFlags[] = {
      {"SCHED_FLAG_RESET_ON_FORK", 1},  {"SCHED_FLAG_RECLAIM", 2},      {"SCHED_FLAG_DL_OVERRUN", 4},
      {"SCHED_FLAG_KEEP_POLICY", 8},    {"SCHED_FLAG_KEEP_PARAMS", 16}, {"SCHED_FLAG_UTIL_CLAMP_MIN", 32},
      {"SCHED_FLAG_UTIL_CLAMP_MAX", 64}};
  std::uint64_t flags = 0;
  for (const std::string& name : names) {
    auto found = std::ranges::find(kFlags, name, &std::pair<std::string_view, std::uint64_t>::first);
    if (found == std::end(kFlags)) return fail(ErrorKind::invalid, "\"{}\" is not a scheduling flag", name);
    flags |= found->second;
  }
  return flags;
}

Result<int> io_priority(const oci::IoPriority& in) {
  int kind = in.priority_class == "IOPRIO_CLASS_RT"     ? 1
             : in.priority_class == "IOPRIO_CLASS_BE"   ? 2
             : in.priority_class == "IOPRIO_CLASS_IDLE" ? 3
                                                        : 0;
  if (kind == 0 || in.priority < 0 || in.priority > 7)
    return fail(ErrorKind::invalid, "\"{}\" {} is not an I/O priority", in.priority_class, in.priority);
  return kind << 13 | in.priority;
}

Result<void> check(const oci::Process& process) {
  if (process.args.empty() || process.args[0].empty())
    return fail(ErrorKind::invalid, "the process has no arguments: there is no program to run");
  if (process.cwd.empty() || process.cwd[0] != '/')
    return fail(ErrorKind::invalid, "the working directory \"{}\" is not an absolute path", process.cwd);
  auto has_nul = [](const std::string& text) { return text.find('\0') != std::string::npos; };
  if (std::ranges::any_of(process.args, has_nul) || std::ranges::any_of(process.env, has_nul) ||
      has_nul(process.cwd))
    return fail(ErrorKind::invalid, "an argument, a variable or the working directory has a NUL byte in it");
  // -1 means "leave it as it is" to setresuid and setresgid: it must not come to mean root.
  auto reserved = [](std::uint32_t id) { return id == static_cast<std::uint32_t>(-1); };
  if (reserved(process.user.uid) || reserved(process.user.gid) ||
      std::ranges::any_of(process.user.additional_gids, reserved))
    return fail(ErrorKind::invalid, "4294967295 is not a user or group");
  return {};
}

}  // namespace

Result<Program> Program::prepare(const oci::Process& process, const oci::LinuxSeccomp* seccomp,
                                 const Options& options, std::vector<std::string>* warnings) {
  TRY(check(process));
  Program out;
  out.process_ = &process;
  out.options_ = options;
  out.arguments_ = pointers_to(process.args);
  out.environment_ = pointers_to(process.env);
  out.candidates_ = candidates_of(process);
  out.limit_numbers_ = TRY(limit_numbers(process));
  if (process.capabilities) out.capabilities_ = TRY(capability_sets(*process.capabilities, warnings));
  if (process.scheduler) {
    out.scheduler_policy_ = TRY(scheduler_policy(process.scheduler->policy));
    out.scheduler_flags_ = TRY(scheduler_flags(process.scheduler->flags));
  }
  if (process.io_priority) out.io_priority_ = TRY(io_priority(*process.io_priority));
  if (seccomp) out.seccomp_ = options.filter ? *options.filter : TRY(sys::compile_seccomp(*seccomp));
  if (!process.terminal &&
      (options.streams.input < 0 || options.streams.output < 0 || options.streams.error < 0))
    out.null_ = TRY(open_file("/dev/null", O_RDWR));
  return out;
}

}  // namespace berth::runtime
