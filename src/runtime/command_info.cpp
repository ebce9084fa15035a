// SPDX-License-Identifier: Apache-2.0
// state, list, ps, kill, pause, resume, update, spec, features.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "runtime/command_line.h"
#include "runtime/commands.h"
#include "sys/capabilities.h"
#include "sys/cgroup.h"
#include "sys/namespaces.h"

namespace berth::runtime {
namespace {

Result<Record> record_named(const Store& store, const Arguments& arguments) {
  if (arguments.rest().empty()) return fail(ErrorKind::invalid, "a container id is expected");
  return store.read(arguments.rest()[0]);
}

Result<sys::Cgroup> group_of(const Record& record) {
  if (record.cgroup.empty())
    return fail(ErrorKind::unsupported, "container \"{}\" has no control group", record.id);
  return sys::Cgroup::at(record.cgroup);
}

}  // namespace

Result<int> command_state(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), {}, true));
  Record record = TRY(record_named(store, arguments));
  oci::RuntimeSpec spec = TRY(store.read_spec(record.id));
  TRY(write_all(1, oci::to_text(state_of(store, record, spec), true)));
  return 0;
}

Result<int> command_list(const Store& store, std::vector<std::string> words) {
  Arguments arguments =
      TRY(Arguments::parse(std::move(words), {{"format", 'f', true}, {"quiet", 'q', false}}, true));
  std::vector<std::string> ids = TRY(store.list());
  json::array all;
  std::string table =
      fmt::format("{:<20} {:<10} {:<10} {:<30} {}\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED");
  std::string names;
  for (const std::string& id : ids) {
    Result<Record> record = store.read(id);
    if (!record) continue;
    std::string status = status_of(store, *record);
    pid_t pid = status == "stopped" ? 0 : record->pid;
    std::string created = format_time(record->created);
    all.push_back(json::object{{"ociVersion", "1.2.0"},
                               {"id", id},
                               {"pid", pid},
                               {"status", status},
                               {"bundle", record->bundle},
                               {"created", created}});
    table += fmt::format("{:<20} {:<10} {:<10} {:<30} {}\n", id, pid, status, record->bundle, created);
    names += id + "\n";
  }
  TRY(write_all(1, arguments.has("quiet")                ? names
                   : arguments.value("format") == "json" ? json::serialize(all) + "\n"
                                                         : table));
  return 0;
}

Result<int> command_ps(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), {{"format", 'f', true}}, true));
  Record record = TRY(record_named(store, arguments));
  sys::Cgroup group = TRY(group_of(record));
  std::vector<pid_t> members = TRY(group.members());
  json::array list;
  std::string lines = "PID\n";
  for (pid_t process : members) {
    list.push_back(process);
    lines += std::to_string(process) + "\n";
  }
  TRY(write_all(1, arguments.value("format") == "json" ? json::serialize(list) + "\n" : lines));
  return 0;
}

Result<int> command_kill(const Store& store, std::vector<std::string> words) {
  // A signal may be written as -9, which is no option.
  std::vector<std::string> plain;
  bool all = false;
  for (std::string& word : words) {
    if (word == "--all" || word == "-a")
      all = true;
    else
      plain.push_back(std::move(word));
  }
  if (plain.empty() || plain.size() > 2)
    return fail(ErrorKind::invalid, "kill takes a container id and a signal");
  Record record = TRY(store.read(plain[0]));
  std::string name = plain.size() == 2 ? plain[1] : "TERM";
  if (name.size() > 1 && name[0] == '-') name.erase(0, 1);
  int signal = TRY(signal_number(name));
  if (all) {
    sys::Cgroup group = TRY(group_of(record));
    Result<void> sent = signal == SIGKILL ? group.kill() : group.signal(signal);
    if (!sent) return std::unexpected(sent.error());
    return 0;
  }
  if (!is_alive(record)) return fail(ErrorKind::conflict, "container not running");
  Fd process = TRY(sys::open_pidfd(record.pid));
  TRY(sys::send_signal(process.get(), signal));
  return 0;
}

Result<int> command_pause(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), {}, true));
  Record record = TRY(record_named(store, arguments));
  if (std::string status = status_of(store, record); status != "running")
    return fail(ErrorKind::conflict, "cannot pause a container that is {}", status);
  sys::Cgroup group = TRY(group_of(record));
  TRY(group.freeze());
  return 0;
}

Result<int> command_resume(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), {}, true));
  Record record = TRY(record_named(store, arguments));
  if (std::string status = status_of(store, record); status != "paused")
    return fail(ErrorKind::conflict, "cannot resume a container that is {}", status);
  sys::Cgroup group = TRY(group_of(record));
  TRY(group.thaw());
  return 0;
}

Result<int> command_update(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words),
                                             {{"resources", 'r', true},
                                              {"memory", 0, true},
                                              {"memory-swap", 0, true},
                                              {"memory-reservation", 0, true},
                                              {"cpu-share", 0, true},
                                              {"cpu-quota", 0, true},
                                              {"cpu-period", 0, true},
                                              {"cpuset-cpus", 0, true},
                                              {"cpuset-mems", 0, true},
                                              {"pids-limit", 0, true}},
                                             true));
  Record record = TRY(record_named(store, arguments));
  oci::Resources resources;
  if (arguments.has("resources")) {
    std::string file = arguments.value("resources");
    std::string text = file == "-" ? TRY(read_to_end(0, kSmallFileLimit)) : TRY(read_file(file));
    resources = TRY(oci::parse_resources(text));
  }
  Error bad;
  auto number = [&]<class T>(const char* name, auto&& assign, T) {
    if (!arguments.has(name)) return;
    if (std::optional<T> value = parse_integer<T>(arguments.value(name)))
      assign(*value);
    else
      bad = Error{ErrorKind::invalid, 0, fmt::format("--{} takes a number", name)};
  };
  auto memory = [&]() -> oci::MemoryResources& {
    return resources.memory ? *resources.memory : resources.memory.emplace();
  };
  auto cpu = [&]() -> oci::CpuResources& { return resources.cpu ? *resources.cpu : resources.cpu.emplace(); };
  number(
      "memory", [&](std::int64_t value) { memory().limit = value; }, std::int64_t{});
  number(
      "memory-swap", [&](std::int64_t value) { memory().swap = value; }, std::int64_t{});
  number(
      "memory-reservation", [&](std::int64_t value) { memory().reservation = value; }, std::int64_t{});
  number(
      "cpu-share", [&](std::uint64_t value) { cpu().shares = value; }, std::uint64_t{});
  number(
      "cpu-quota", [&](std::int64_t value) { cpu().quota = value; }, std::int64_t{});
  number(
      "cpu-period", [&](std::uint64_t value) { cpu().period = value; }, std::uint64_t{});
  number(
      "pids-limit", [&](std::int64_t value) { resources.pids_limit = value; }, std::int64_t{});
  if (arguments.has("cpuset-cpus")) cpu().cpus = arguments.value("cpuset-cpus");
  if (arguments.has("cpuset-mems")) cpu().mems = arguments.value("cpuset-mems");
  if (!bad.message.empty()) return std::unexpected(bad);
  sys::Cgroup group = TRY(group_of(record));
  TRY(group.update(resources));
  return 0;
}

Result<int> command_spec(const Store&, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), {{"bundle", 'b', true}}, true));
  std::string path = arguments.value("bundle", ".") + "/config.json";
  Result<Fd> file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!file && file.error().code == EEXIST) return fail(ErrorKind::conflict, "{} exists already", path);
  if (!file) return std::unexpected(file.error());
  TRY(write_all(file->get(), oci::to_text(oci::default_runtime_spec(), true)));
  return 0;
}

Result<int> command_features(const Store&, std::vector<std::string>) {
  json::array capabilities;
  for (const std::string& name : sys::capability_names(sys::current_bounding_set()))
    capabilities.emplace_back(name);
  Result<sys::CgroupLayout> layout = sys::CgroupLayout::detect();
  const bool unified = layout && layout->unified();
  const bool legacy = layout && !layout->pure_unified();
  json::object out{
      {"ociVersionMin", "1.0.0"},
      {"ociVersionMax", "1.2.0"},
      {"hooks", {"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"}},
      {"linux",
       json::object{
           {"namespaces", {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}},
           {"capabilities", capabilities},
           {"cgroup",
            json::object{{"v1", legacy}, {"v2", unified}, {"systemd", false}, {"systemdUser", false}}},
           {"seccomp",
            json::object{{"enabled", true},
                         {"actions",
                          {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                           "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"}},
                         {"operators",
                          {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                           "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"}},
                         {"archs",
                          {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86",
                           "SCMP_ARCH_X86_64"}}}},
           {"apparmor", json::object{{"enabled", false}}},
           {"selinux", json::object{{"enabled", false}}},
           {"intelRdt", json::object{{"enabled", false}}}}}};
  TRY(write_all(1, json::serialize(out) + "\n"));
  return 0;
}

Result<int> run_command(const Store& store, const std::string& name, std::vector<std::string> words) {
  using Command = Result<int> (*)(const Store&, std::vector<std::string>);
  static constexpr std::pair<std::string_view, Command> kCommands[] = {
      {"run", command_run},       {"create", command_create},    {"start", command_start},
      {"exec", command_exec},     {"state", command_state},      {"list", command_list},
      {"ps", command_ps},         {"kill", command_kill},        {"pause", command_pause},
      {"resume", command_resume}, {"update", command_update},    {"delete", command_delete},
      {"spec", command_spec},     {"features", command_features}};
  for (const auto& [known, command] : kCommands)
    if (known == name) return command(store, std::move(words));
  return fail(ErrorKind::invalid, "unknown command \"{}\": `berth-runtime --help` lists what there is", name);
}

}  // namespace berth::runtime
