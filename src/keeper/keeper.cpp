// SPDX-License-Identifier: Apache-2.0
#include "keeper/keeper.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/log.h"
#include "base/process.h"
#include "base/text.h"
#include "keeper/paths.h"
#include "oci/runtime_spec.h"

namespace berth::keeper {
namespace {

Result<Fd> watch_children() {
  sigset_t wanted;
  sigemptyset(&wanted);
  sigaddset(&wanted, SIGCHLD);
  if (sigprocmask(SIG_BLOCK, &wanted, nullptr) != 0) return fail_errno(errno, "block SIGCHLD");
  int descriptor = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
  if (descriptor < 0) return fail_errno(errno, "watch for exited processes");
  // The keeper ends when its container does, not when somebody clears up a terminal or an engine's group.
  for (int ignored : {SIGPIPE, SIGHUP, SIGINT, SIGTERM, SIGQUIT}) ::signal(ignored, SIG_IGN);
  return Fd(descriptor);
}

Result<oci::RuntimeSpec> read_spec(int run_directory) {
  std::string text = TRY(read_file_at(run_directory, kConfigFile));
  return oci::parse_runtime_spec(text);
}

// The ends of a process's streams: what it gets, and what stays here.
struct StreamPairs {
  runtime::StandardStreams given;
  Fd input, output, errors;  // owners of `given`
  ProcessEnds kept;
};

// The process may run as another user than the one that made the pipes and open them again by /dev/stdout.
void give_to_user(const Fd& end, const oci::User& user) {
  if (end) (void)!fchown(end.get(), user.uid, static_cast<gid_t>(-1));
}

Result<StreamPairs> make_streams(const oci::Process& process, bool open_stdin) {
  StreamPairs pairs;
  if (process.terminal) return pairs;
  if (open_stdin) {
    Pipe input = TRY(make_pipe());
    pairs.input = std::move(input.read);
    pairs.kept.input = std::move(input.write);
  }
  Pipe output = TRY(make_pipe()), errors = TRY(make_pipe());
  pairs.output = std::move(output.write);
  pairs.errors = std::move(errors.write);
  pairs.kept.output = std::move(output.read);
  pairs.kept.errors = std::move(errors.read);
  for (const Fd* end : {&pairs.input, &pairs.output, &pairs.errors}) give_to_user(*end, process.user);
  pairs.given = {pairs.input.get(), pairs.output.get(), pairs.errors.get()};
  return pairs;
}

void set_initial_size(const Fd& terminal, const oci::Process& process) {
  if (!terminal || !process.console_size) return;
  winsize size{static_cast<unsigned short>(process.console_size->height),
               static_cast<unsigned short>(process.console_size->width), 0, 0};
  ioctl(terminal.get(), TIOCSWINSZ, &size);
}

Result<std::string> directory_of(const std::string& lower, const std::vector<Fd>& layers) {
  constexpr std::string_view kLayer = "layer:";
  if (!lower.starts_with(kLayer)) return lower;
  const auto number = parse_integer<std::size_t>(std::string_view(lower).substr(kLayer.size()));
  if (!number || *number >= layers.size())
    return fail(ErrorKind::invalid, "the keeper was not given the layer '{}'", lower);
  return fmt::format("/proc/self/fd/{}", layers[*number].get());
}

Result<std::optional<runtime::OverlayRoot>> overlay_of(const Settings& settings,
                                                       const std::vector<Fd>& layers) {
  if (!settings.overlay) return std::nullopt;
  runtime::OverlayRoot root{
      {}, settings.overlay->upper, settings.overlay->work, settings.overlay->is_volatile};
  for (const std::string& lower : settings.overlay->lower)
    root.lower.push_back(TRY(directory_of(lower, layers)));
  return root;
}

}  // namespace

Result<std::unique_ptr<Keeper>> Keeper::open(Assignment assignment, Fd control, sys::SeccompCache filters) {
  Fd directory = TRY(open_file(assignment.run_directory, O_RDONLY | O_DIRECTORY));
  std::string text = TRY(read_file_at(directory.get(), kSettingsFile));
  Settings settings = TRY(decode_settings(text));
  LogWriter log = TRY(LogWriter::open(settings.log));
  EventLoop loop = TRY(EventLoop::create());
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(loop), std::move(directory), std::move(settings),
                                            std::move(assignment), std::move(log), std::move(filters)));
  TRY(keeper->begin(std::move(control)));
  return keeper;
}

Keeper::Keeper(EventLoop loop, Fd run_directory, Settings settings, Assignment assignment, LogWriter log,
               sys::SeccompCache filters)
    : loop_(std::move(loop)),
      run_directory_(std::move(run_directory)),
      settings_(std::move(settings)),
      network_(std::move(assignment.network)),
      layers_(std::move(assignment.layers)),
      log_(std::move(log)),
      filters_(std::move(filters)),
      restarts_(settings_.restart, settings_.restart_count),
      control_(
          loop_,
          [this](ControlServer::ConnectionId from, Message message) { on_message(from, std::move(message)); },
          [this] { on_abandoned(); }),
      streams_(std::make_unique<Streams>(loop_, &log_, settings_.stdin_once, [this] { finish_if_done(); })) {
  state_.keeper_pid = getpid();
  state_.restart_count = settings_.restart_count;
}

Result<void> Keeper::begin(Fd control) {
  signals_ = TRY(watch_children());
  TRY(loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) { on_child_signal(); }));
  TRY(control_.listen(run_directory_.get()));
  return control_.serve(std::move(control));
}

Result<void> Keeper::run() {
  while (!done_) TRY(loop_.run_once());
  return {};
}

void Keeper::on_message(ControlServer::ConnectionId connection, Message message) {
  Result<Reply> reply = handle(message);
  control_.answer(connection, message.request, reply ? *reply : Reply{0, reply.error()});
  finish_if_done();
}

// An engine that died before it said start will not come back for a container that never ran.
void Keeper::on_abandoned() {
  if (state_.phase == Phase::created) done_ = true;
}

Result<Reply> Keeper::handle(Message& message) {
  switch (message.kind) {
    case MessageKind::start:
      return start();
    case MessageKind::attach:
      TRY(attach(message));
      return Reply{};
    case MessageKind::exec:
      return exec(message);
    case MessageKind::ping:
      return Reply{};
    case MessageKind::resize: {
      Resize wanted = TRY(decode_resize(message.body));
      TRY(resize(wanted));
      return Reply{};
    }
    case MessageKind::signal: {
      Signal wanted = TRY(decode_signal(message.body));
      TRY(signal(wanted));
      return Reply{};
    }
    case MessageKind::set_restart: {
      RestartPolicy policy = TRY(decode_restart_policy(message.body));
      restarts_.set_policy(policy);
      return Reply{};
    }
    default:
      return fail(ErrorKind::unsupported, "the keeper knows no message {}", static_cast<int>(message.kind));
  }
}

Result<Reply> Keeper::start() {
  if (state_.phase != Phase::created) return fail(ErrorKind::conflict, "the container was started already");
  Result<void> launched = launch();
  if (!launched) {
    clean_up_cgroup();
    state_.phase = Phase::exited;
    state_.pid = 0;
    state_.error = launched.error().message;
    state_.finished_at = now();
    publish_state();
    end_container();
    return std::unexpected(std::move(launched).error());
  }
  return Reply{state_.pid, std::nullopt};
}

// Creates the container and lets its program run: the same way for the first time and for every restart.
Result<void> Keeper::launch() {
  oci::RuntimeSpec spec = TRY(read_spec(run_directory_.get()));
  if (!spec.process) return fail(ErrorKind::invalid, "the configuration has no process");
  StreamPairs pairs = TRY(make_streams(*spec.process, settings_.open_stdin));

  runtime::CreateRequest request;
  request.spec = &spec;
  request.id = settings_.id;
  request.overlay = TRY(overlay_of(settings_, layers_));
  request.streams = pairs.given;
  request.create_cwd = true;
  if (spec.linux_.seccomp) request.filter = TRY(filters_.get(*spec.linux_.seccomp));
  if (network_) request.namespace_descriptors["network"] = network_.get();
  runtime::CreatedContainer container = TRY(runtime::create(request));
  state_.pid = container.pid();
  cgroup_ = container.take_cgroup();
  if (spec.process->terminal) {
    pairs.kept.output = container.take_terminal();
    pairs.kept.terminal = true;
    set_initial_size(pairs.kept.output, *spec.process);
  }
  TRY(streams_->adopt(std::move(pairs.kept)));
  TRY(container.start());

  state_.phase = Phase::running;
  state_.pid_start_time = process_start_time(state_.pid);
  state_.started_at = now();
  state_.finished_at = {};
  state_.exit_code = 0;
  state_.oom_killed = false;
  state_.error.clear();
  publish_state();
  trim_memory_later();
  for (const std::string& warning : container.warnings()) log_warning("keeper", "{}", warning);
  return {};
}

Result<void> Keeper::attach(Message& message) {
  if (message.descriptors.empty()) return fail(ErrorKind::invalid, "attach needs a client's descriptor");
  Attach options = TRY(decode_attach(message.body));
  if (ended_) return fail(ErrorKind::conflict, "the container has ended");
  streams_->attach(std::move(message.descriptors.front()), options);
  return {};
}

Result<void> Keeper::resize(const Resize& resize) {
  if (resize.exec_id.empty()) return streams_->resize(resize.rows, resize.columns);
  for (auto& [pid, running] : execs_)
    if (running.id == resize.exec_id) return running.streams->resize(resize.rows, resize.columns);
  return fail(ErrorKind::not_found, "no such exec: {}", resize.exec_id);
}

Result<void> Keeper::signal(const Signal& signal) {
  if (signal.stop_intended) {
    stop_intended_ = true;
    if (state_.phase == Phase::restarting) {  // nothing runs: the stop takes effect at once
      state_.phase = Phase::exited;
      publish_state();
      end_container();
      return {};
    }
  }
  if (state_.phase != Phase::running) return fail(ErrorKind::conflict, "the container is not running");
  if (signal.number == 0) return {};
  // It is our child and not reaped yet: the number cannot have passed to another process.
  if (kill(state_.pid, signal.number) != 0) return fail_errno(errno, "send signal {}", signal.number);
  return {};
}

Result<Reply> Keeper::exec(Message& message) {
  Exec wanted = TRY(decode_exec(message.body));
  if (state_.phase != Phase::running) return fail(ErrorKind::conflict, "the container is not running");
  oci::RuntimeSpec spec = TRY(read_spec(run_directory_.get()));
  oci::Process process = TRY(oci::parse_process(wanted.process));
  StreamPairs pairs = TRY(make_streams(process, wanted.open_stdin));

  runtime::ExecRequest request;
  request.target = state_.pid;
  request.spec = &spec;
  request.process = &process;
  request.streams = pairs.given;
  if (spec.linux_.seccomp) request.filter = TRY(filters_.get(*spec.linux_.seccomp));
  runtime::ExecProcess started = TRY(runtime::exec(request));
  if (process.terminal) {
    pairs.kept.output = std::move(started.terminal);
    pairs.kept.terminal = true;
    set_initial_size(pairs.kept.output, process);
  }
  RunningExec& running = execs_[started.pid];
  running.id = wanted.id;
  running.streams = std::make_unique<Streams>(loop_, nullptr, true, [this] { finish_if_done(); });
  if (wanted.attach && !message.descriptors.empty())
    running.streams->attach(std::move(message.descriptors.front()), *wanted.attach);
  TRY(running.streams->adopt(std::move(pairs.kept)));
  return Reply{started.pid, std::nullopt};
}

void Keeper::on_child_signal() {
  signalfd_siginfo ignored;
  while (::read(signals_.get(), &ignored, sizeof ignored) > 0) {
  }
  for (;;) {
    int status = 0;
    pid_t pid = waitpid(-1, &status, WNOHANG | __WALL);
    if (pid <= 0) break;
    if (pid == state_.pid && state_.phase == Phase::running)
      on_container_exit(status);
    else if (execs_.contains(pid))
      on_exec_exit(pid, status);
  }
  finish_if_done();
}

void Keeper::on_container_exit(int wait_status) {
  // The log is whole before anybody hears of the end.
  streams_->drain();
  state_.exit_code = exit_code_of(wait_status);
  state_.finished_at = now();
  state_.pid = 0;
  clean_up_cgroup();

  const std::chrono::nanoseconds lasted(state_.finished_at.nanoseconds - state_.started_at.nanoseconds);
  std::optional<std::chrono::nanoseconds> delay;
  if (!stop_intended_) delay = restarts_.next(state_.exit_code, lasted);
  state_.phase = delay ? Phase::restarting : Phase::exited;
  state_.restart_count = restarts_.count();
  publish_state();
  streams_->release_clients();
  if (delay)
    schedule_restart(*delay);
  else
    end_container();
}

void Keeper::on_exec_exit(pid_t pid, int wait_status) {
  RunningExec& running = execs_[pid];
  running.exited = true;
  running.streams->drain();
  control_.broadcast(MessageKind::exec_exited, encode(ExecExited{running.id, exit_code_of(wait_status)}));
  running.streams->release_clients();
}

void Keeper::schedule_restart(std::chrono::nanoseconds delay) {
  restart_timer_ = loop_.after(delay, [this] { relaunch(); });
}

void Keeper::relaunch() {
  restart_timer_.reset();
  if (state_.phase != Phase::restarting) return;
  Result<void> launched = launch();
  if (launched) return;
  streams_->drain();
  state_.phase = Phase::exited;
  state_.pid = 0;
  state_.exit_code = 127;
  state_.error = launched.error().message;
  state_.finished_at = now();
  clean_up_cgroup();
  publish_state();
  end_container();
}

// What is left in the group are processes that the container shares no namespace with; they go with it.
void Keeper::clean_up_cgroup() {
  const std::optional<sys::Cgroup> group = std::exchange(cgroup_, std::nullopt);
  if (!group) return;
  Result<std::uint64_t> kills = group->out_of_memory_kills();
  state_.oom_killed = kills && *kills > 0;
  if (Result<std::vector<pid_t>> members = group->members(); members && !members->empty())
    (void)group->kill();
  if (Result<void> removed = group->remove(); !removed) log_warning("keeper", "{}", removed.error().message);
}

void Keeper::end_container() {
  ended_ = true;
  if (restart_timer_) loop_.cancel(*restart_timer_);
  restart_timer_.reset();
  streams_->drain();
  streams_->release_clients();
  finish_if_done();
}

void Keeper::publish_state() {
  const std::string text = encode(state_);
  if (Result<void> written =
          write_file_atomically(run_directory_.get(), kStateFile, text, 0600, Durability::visible);
      !written)
    log_error("keeper", "{}", written.error().message);
  control_.broadcast(MessageKind::state, text);
}

// Configuration and launch have left garbage on the heap that an idle keeper should not hold. Giving it back
// takes a millisecond that neither a start nor a short container should wait for.
void Keeper::trim_memory_later() {
  loop_.after(std::chrono::seconds(1), [] { malloc_trim(0); });
}

// Called after whatever may have been the last thing to wait for. Execs that ended and whose clients have
// everything are forgotten from the loop, not from within their own callback.
void Keeper::finish_if_done() {
  loop_.after(std::chrono::nanoseconds(0), [this] {
    std::erase_if(execs_,
                  [](const auto& entry) { return entry.second.exited && entry.second.streams->idle(); });
    if (ended_ && streams_->idle() && execs_.empty()) done_ = true;
  });
}

}  // namespace berth::keeper
