// SPDX-License-Identifier: Apache-2.0
// create, run, start, exec, delete: the life of a container.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>

#include "base/file.h"
#include "base/text.h"
#include "runtime/command_line.h"
#include "runtime/commands.h"
#include "runtime/container.h"
#include "runtime/hooks.h"
#include "sys/cgroup.h"
#include "sys/namespaces.h"

namespace berth::runtime {
namespace {

const std::vector<OptionSpec>& create_options() {
  static const std::vector<OptionSpec> options = {
      {"bundle", 'b', true},  {"console-socket", 0, true},  {"pid-file", 0, true},
      {"no-pivot", 0, false}, {"no-new-keyring", 0, false}, {"preserve-fds", 0, true},
      {"detach", 'd', false}, {"keep", 0, false},           {"no-subreaper", 0, false}};
  return options;
}

Result<std::string> only_id(const Arguments& arguments) {
  if (arguments.rest().size() != 1) return fail(ErrorKind::invalid, "exactly one container id is expected");
  return arguments.rest()[0];
}

Result<std::string> bundle_path(const Arguments& arguments) {
  char resolved[PATH_MAX];
  std::string bundle = arguments.value("bundle", ".");
  if (!realpath(bundle.c_str(), resolved)) return fail_errno(errno, "cannot use the bundle {}", bundle);
  return std::string(resolved);
}

Result<int> preserved_descriptors(const Arguments& arguments) {
  std::string text = arguments.value("preserve-fds", "0");
  std::optional<int> count = parse_integer<int>(text);
  if (!count || *count < 0 || *count > 4096)
    return fail(ErrorKind::invalid, "\"{}\" is not a number of descriptors", text);
  return *count;
}

// A container between its configuration and its record. What was not finished is undone.
class Making {
 public:
  Making(const Store& store, const Arguments& arguments) : store_(store), arguments_(arguments) {}
  ~Making() {
    if (reserved_) (void)store_.remove(record_.id);
  }

  Result<void> begin() {
    record_.id = TRY(only_id(arguments_));
    TRY(check_id(record_.id));
    record_.bundle = TRY(bundle_path(arguments_));
    std::string text = TRY(read_file(record_.bundle + "/config.json"));
    spec_ = TRY(oci::parse_runtime_spec(text));
    if (!spec_.process) return fail(ErrorKind::invalid, "the runtime configuration has no process");
    if (spec_.linux_.cgroups_path.empty()) spec_.linux_.cgroups_path = "/berth-runtime/" + record_.id;
    record_.cgroup =
        spec_.linux_.cgroups_path[0] == '/' ? spec_.linux_.cgroups_path : "/" + spec_.linux_.cgroups_path;
    TRY(store_.reserve(record_.id, text));
    reserved_ = true;
    return {};
  }

  Result<void> make(std::optional<StartChannel> channel) {
    CreateRequest request;
    request.spec = &spec_;
    request.id = record_.id;
    request.bundle = record_.bundle;
    request.streams = {0, 1, 2};
    request.no_pivot = arguments_.has("no-pivot");
    request.new_keyring = !arguments_.has("no-new-keyring");
    request.preserved_descriptors = TRY(preserved_descriptors(arguments_));
    request.start_channel = channel;
    container_ = TRY(create(request));
    for (const std::string& warning : container_->warnings())
      (void)write_all(2, "berth-runtime: warning: " + warning + "\n");
    record_.pid = container_->pid();
    record_.created = now();
    record_.start_time = TRY(sys::process_start_time(record_.pid));
    TRY(store_.write(record_));
    if (arguments_.has("pid-file")) TRY(write_pid_file(arguments_.value("pid-file"), record_.pid));
    return {};
  }

  // The child goes too: it waits to be started, and its keeper gave up.
  void abandon() {
    if (!container_) return;
    (void)sys::send_signal(container_->pidfd(), SIGKILL);
    (void)attend(container_->pid(), container_->pidfd(), Fd());
    if (Result<sys::Cgroup> group = sys::Cgroup::at(record_.cgroup)) (void)group->remove();
  }
  void keep() { reserved_ = false; }
  const Record& record() const { return record_; }
  const oci::RuntimeSpec& spec() const { return spec_; }
  CreatedContainer& container() { return *container_; }

 private:
  const Store& store_;
  const Arguments& arguments_;
  Record record_;
  oci::RuntimeSpec spec_;
  bool reserved_ = false;
  std::optional<CreatedContainer> container_;
};

Result<void> check_terminal(const oci::Process& process, const Arguments& arguments, bool detached) {
  const bool socket = arguments.has("console-socket");
  if (process.terminal && detached && !socket)
    return fail(ErrorKind::invalid, "a detached container with a terminal needs --console-socket");
  if (!process.terminal && socket)
    return fail(ErrorKind::invalid, "--console-socket is for a process with a terminal (process.terminal)");
  return {};
}

Result<Fd> make_fifo(const std::string& path) {
  if (mkfifo(path.c_str(), 0600) != 0) return fail_errno(errno, "cannot create {}", path);
  // Opened both ways, so that opening does not wait for the other side.
  return open_file(path, O_RDWR);
}

Result<int> finish_run(const Store& store, Making& making, const Arguments& arguments) {
  Fd terminal = making.container().take_terminal();
  if (terminal && arguments.has("console-socket"))
    TRY(send_terminal(arguments.value("console-socket"), std::move(terminal)));
  TRY(making.container().start());
  if (!making.spec().hooks.poststart.empty())
    (void)run_hooks(making.spec().hooks.poststart,
                    oci::to_text(state_of(store, making.record(), making.spec())), "poststart");
  making.keep();
  if (arguments.has("detach")) return 0;
  int code = TRY(attend(making.record().pid, making.container().pidfd(), std::move(terminal)));
  if (!arguments.has("keep")) TRY(remove_container(store, making.record(), making.spec(), true));
  return code;
}

}  // namespace

Result<int> command_run(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), create_options(), true));
  Making making(store, arguments);
  TRY(making.begin());
  TRY(check_terminal(*making.spec().process, arguments, arguments.has("detach")));
  TRY(making.make(std::nullopt));
  Result<int> code = finish_run(store, making, arguments);
  if (!code) making.abandon();
  return code;
}

Result<int> command_create(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), create_options(), true));
  Making making(store, arguments);
  TRY(making.begin());
  TRY(check_terminal(*making.spec().process, arguments, true));
  const std::string directory = store.directory_of(making.record().id);
  Fd go = TRY(make_fifo(directory + "/go"));
  Fd outcome = TRY(make_fifo(directory + "/outcome"));
  TRY(making.make(StartChannel{go.get(), outcome.get()}));
  if (Fd terminal = making.container().take_terminal()) {
    Result<void> sent = send_terminal(arguments.value("console-socket"), std::move(terminal));
    if (!sent) {
      making.abandon();
      return std::unexpected(sent.error());
    }
  }
  making.keep();
  return 0;
}

Result<int> command_start(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), {}, true));
  std::string id = TRY(only_id(arguments));
  Record record = TRY(store.read(id));
  oci::RuntimeSpec spec = TRY(store.read_spec(record.id));
  const std::string status = status_of(store, record);
  if (status != "created") return fail(ErrorKind::conflict, "cannot start a container that is {}", status);
  const std::string directory = store.directory_of(record.id);
  Fd outcome = TRY(open_file(directory + "/outcome", O_RDONLY | O_NONBLOCK));
  if (fcntl(outcome.get(), F_SETFL, 0) != 0) return fail_errno(errno, "cannot wait for the container");
  Fd go = TRY(open_file(directory + "/go", O_WRONLY | O_NONBLOCK));
  // Taken away first: of two that start at once, one finds it gone.
  if (unlink((directory + "/go").c_str()) != 0)
    return fail(ErrorKind::conflict, "the container is being started already");
  unlink((directory + "/outcome").c_str());
  TRY(start_through(go.get(), outcome.get(), *spec.process));
  (void)run_hooks(spec.hooks.poststart, oci::to_text(state_of(store, record, spec)), "poststart");
  return 0;
}

namespace {

Result<void> choose_user(oci::Process& process, const std::string& text) {
  auto [user, group] = split_once(text, ':');
  std::optional<std::uint32_t> uid = parse_integer<std::uint32_t>(user);
  std::optional<std::uint32_t> gid =
      group.empty() ? std::optional<std::uint32_t>(0) : parse_integer<std::uint32_t>(group);
  if (!uid || !gid)
    return fail(ErrorKind::invalid, "\"{}\" is not a user: numbers are expected (UID or UID:GID)", text);
  process.user.uid = *uid;
  process.user.gid = *gid;
  process.user.additional_gids.clear();
  return {};
}

Result<oci::Process> process_to_execute(const Arguments& arguments, const oci::RuntimeSpec& spec) {
  if (arguments.has("process")) {
    std::string text = TRY(read_file(arguments.value("process")));
    return oci::parse_process(text);
  }
  oci::Process process = *spec.process;
  process.args.assign(arguments.rest().begin() + 1, arguments.rest().end());
  if (process.args.empty()) return fail(ErrorKind::invalid, "exec needs a program to run");
  process.terminal = arguments.has("tty");
  process.console_size.reset();
  if (arguments.has("cwd")) process.cwd = arguments.value("cwd");
  if (arguments.has("user")) TRY(choose_user(process, arguments.value("user")));
  for (const std::string& variable : arguments.values("env")) process.env.push_back(variable);
  for (const std::string& text : arguments.values("additional-gids")) {
    std::optional<std::uint32_t> gid = parse_integer<std::uint32_t>(text);
    if (!gid) return fail(ErrorKind::invalid, "\"{}\" is not a group", text);
    process.user.additional_gids.push_back(*gid);
  }
  if (arguments.has("no-new-privs")) process.no_new_privileges = true;
  if (!process.capabilities) process.capabilities.emplace();
  for (const std::string& name : arguments.values("cap"))
    for (auto* set : {&process.capabilities->bounding, &process.capabilities->effective,
                      &process.capabilities->permitted})
      set->push_back(name);
  return process;
}

}  // namespace

Result<int> command_exec(const Store& store, std::vector<std::string> words) {
  static const std::vector<OptionSpec> options = {
      {"console-socket", 0, true}, {"cwd", 0, true},       {"env", 'e', true},
      {"tty", 't', false},         {"user", 'u', true},    {"additional-gids", 'g', true},
      {"process", 'p', true},      {"detach", 'd', false}, {"pid-file", 0, true},
      {"no-new-privs", 0, false},  {"cap", 'c', true},     {"preserve-fds", 0, true},
      {"ignore-paused", 0, false}, {"apparmor", 0, true},  {"process-label", 0, true}};
  Arguments arguments = TRY(Arguments::parse(std::move(words), options, false));
  if (arguments.rest().empty()) return fail(ErrorKind::invalid, "exec needs a container id");
  Record record = TRY(store.read(arguments.rest()[0]));
  oci::RuntimeSpec spec = TRY(store.read_spec(record.id));
  spec.linux_.cgroups_path = record.cgroup;
  const std::string status = status_of(store, record);
  if (status == "stopped") return fail(ErrorKind::conflict, "cannot exec in a stopped container");
  if (status == "paused" && !arguments.has("ignore-paused"))
    return fail(ErrorKind::conflict, "cannot exec in a paused container");
  oci::Process process = TRY(process_to_execute(arguments, spec));
  TRY(check_terminal(process, arguments, arguments.has("detach")));
  ExecRequest request{.target = record.pid, .spec = &spec, .process = &process, .streams = {0, 1, 2}};
  request.preserved_descriptors = TRY(preserved_descriptors(arguments));
  ExecProcess started = TRY(exec(request));
  if (arguments.has("pid-file")) TRY(write_pid_file(arguments.value("pid-file"), started.pid));
  if (started.terminal && arguments.has("console-socket"))
    TRY(send_terminal(arguments.value("console-socket"), std::move(started.terminal)));
  if (arguments.has("detach")) return 0;
  return attend(started.pid, started.pidfd.get(), std::move(started.terminal));
}

Result<void> remove_container(const Store& store, const Record& record, const oci::RuntimeSpec& spec,
                              bool force) {
  Result<sys::Cgroup> group = sys::Cgroup::at(record.cgroup);
  if (is_alive(record)) {
    if (!force)
      return fail(ErrorKind::conflict, "cannot delete container \"{}\": it is {}", record.id,
                  status_of(store, record));
    Fd process = TRY(sys::open_pidfd(record.pid));
    (void)sys::send_signal(process.get(), SIGKILL);
    if (group) (void)group->kill();
    pollfd gone{process.get(), POLLIN, 0};
    poll(&gone, 1, 10'000);
  } else if (group && !spec.find_namespace("pid") && group->exists()) {
    (void)group->kill();  // without a pid namespace, others outlive the first process
  }
  if (group) TRY(group->remove());
  TRY(store.remove(record.id));
  if (!spec.hooks.poststop.empty()) {
    oci::State state = state_of(store, record, spec);
    state.status = "stopped";
    state.pid = 0;
    (void)run_hooks(spec.hooks.poststop, oci::to_text(state), "poststop");
  }
  return {};
}

Result<int> command_delete(const Store& store, std::vector<std::string> words) {
  Arguments arguments = TRY(Arguments::parse(std::move(words), {{"force", 'f', false}}, true));
  std::string id = TRY(only_id(arguments));
  Result<Record> record = store.read(id);
  if (!record) {
    // Something that was interrupted before it became a container.
    if (arguments.has("force") && check_id(id)) {
      TRY(store.remove(id));
      return 0;
    }
    return std::unexpected(record.error());
  }
  oci::RuntimeSpec spec = TRY(store.read_spec(id));
  const bool waits = status_of(store, *record) == "created";  // may be deleted without force, as runc allows
  TRY(remove_container(store, *record, spec, arguments.has("force") || waits));
  return 0;
}

}  // namespace berth::runtime
