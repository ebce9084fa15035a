// SPDX-License-Identifier: Apache-2.0
#include "engine/execs.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/text.h"
#include "oci/runtime_spec.h"
#include "sys/namespaces.h"

namespace berth::engine {
namespace {

constexpr std::size_t kMaximumProbeOutput = 4096;

Result<void> check_running(const Container& container) {  // with its mutex held
  if (container.paused)
    return fail(ErrorKind::conflict, "Container {} is paused, unpause the container before exec",
                container.record.id);
  if (container.state.phase == keeper::Phase::restarting)
    return fail(ErrorKind::conflict, "Container {} is restarting, wait until the container is running",
                container.record.id);
  if (!container.running())
    return fail(ErrorKind::conflict, "container {} is not running", container.record.id);
  return {};
}

}  // namespace

std::shared_ptr<Execs::Entry> Execs::find(const std::string& id) const {
  auto found = entries_.find(id);
  return found == entries_.end() ? nullptr : found->second;
}

void Execs::drop_old_ones() {
  while (order_.size() > kRemembered) {
    if (auto oldest = find(order_.front()); oldest && oldest->exec.running) break;
    entries_.erase(order_.front());
    order_.pop_front();
  }
}

Result<std::string> Execs::create(const ContainerPointer& container, ExecConfig config) {
  if (config.options.arguments.empty()) return fail(ErrorKind::invalid, "No exec command specified");
  {
    std::lock_guard lock(container->mutex);
    TRY(check_running(*container));
  }
  auto entry = std::make_shared<Entry>();
  entry->exec.id = random_identifier();
  entry->exec.container = container;
  entry->exec.config = std::move(config);
  const std::string id = entry->exec.id;
  {
    std::lock_guard lock(mutex_);
    entries_[id] = entry;
    order_.push_back(id);
    drop_old_ones();
  }
  lifecycle_.publish(*container, "exec_create: " + join(entry->exec.config.options.arguments, " "),
                     {{"execID", id}});
  return id;
}

Result<Exec> Execs::inspect(const std::string& id) const {
  std::shared_ptr<Entry> entry;
  ContainerPointer container;
  {
    std::lock_guard lock(mutex_);
    entry = find(id);
    if (!entry) return fail(ErrorKind::not_found, "No such exec instance: {}", id);
    if (!entry->exec.running || entry->exec.pid == 0) return entry->exec;
    container = entry->exec.container;
  }
  // A client that saw the end of its stream asks for the exit code at once. The keeper said it before it
  // ended the stream: once it answers a ping, we have heard it.
  std::shared_ptr<KeeperLink> link;
  {
    std::lock_guard lock(container->mutex);
    link = container->keeper;
  }
  if (link) (void)link->ask(keeper::MessageKind::ping, "{}");
  std::lock_guard lock(mutex_);
  return entry->exec;
}

Result<void> Execs::begin(const std::string& id) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<Entry> entry = find(id);
  if (!entry) return fail(ErrorKind::not_found, "No such exec instance: {}", id);
  if (entry->exec.started) return fail(ErrorKind::conflict, "Error: Exec command {} has already run", id);
  {
    std::lock_guard lock_container(entry->exec.container->mutex);
    TRY(check_running(*entry->exec.container));
  }
  entry->exec.started = true;
  entry->exec.running = true;
  return {};
}

Result<keeper::Reply> Execs::launch(const ContainerPointer& container, const std::string& id,
                                    const ExecConfig& config, Fd client,
                                    std::optional<keeper::Attach> attach) {
  std::shared_ptr<KeeperLink> link;
  ContainerRecord record;
  {
    std::lock_guard lock(container->mutex);
    TRY(check_running(*container));
    link = container->keeper;
    record = container->record;
  }
  if (!link) return fail(ErrorKind::unavailable, "the container's keeper has ended");
  // As the container itself when nobody else is named; files are the running container's, which may have
  // changed them.
  std::optional<Fd> root = TRY(roots_.open_running(container));
  if (!root) return fail(ErrorKind::conflict, "container {} is not running", record.id);
  runtime::ResolvedUser user = TRY(runtime::resolve_user(
      runtime::read_account_files(root->get()), config.user.empty() ? record.config.user : config.user,
      record.host_config.group_add));
  ExecOptions options = config.options;
  options.link_environment = launcher_.link_environment(record);
  keeper::Exec message;
  message.id = id;
  message.process =
      oci::to_text(make_exec_process(launcher_.settings(), record, user, options, launcher_.capabilities()));
  message.open_stdin = config.attach_stdin;
  message.attach = std::move(attach);
  const int descriptor = client.get();
  std::span<const int> descriptors;
  if (client) descriptors = {&descriptor, 1};
  return link->ask(keeper::MessageKind::exec, keeper::encode(message), descriptors);
}

Result<void> Execs::run(const std::string& id, Fd client, keeper::Attach attach,
                        std::optional<oci::ConsoleSize> size) {
  std::shared_ptr<Entry> entry;
  ExecConfig config;
  ContainerPointer container;
  {
    std::lock_guard lock(mutex_);
    entry = find(id);
    if (!entry) return fail(ErrorKind::not_found, "No such exec instance: {}", id);
    config = entry->exec.config;
    container = entry->exec.container;
  }
  if (size) config.options.console_size = size;
  attach.exec_id = id;
  lifecycle_.publish(*container, "exec_start: " + join(config.options.arguments, " "), {{"execID", id}});
  const bool attached = static_cast<bool>(client);
  Result<keeper::Reply> reply = launch(container, id, config, std::move(client),
                                       attached ? std::optional(std::move(attach)) : std::nullopt);
  std::lock_guard lock(mutex_);
  if (!reply) {
    entry->exec.running = false;
    entry->exec.exit_code = exit_code_of_start_failure(reply.error().message);
    entry->changed.notify_all();
    return std::unexpected(std::move(reply).error());
  }
  entry->exec.pid = reply->pid;
  return {};
}

Result<void> Execs::resize(const std::string& id, std::uint16_t rows, std::uint16_t columns) {
  Exec exec = TRY(inspect(id));
  if (!exec.running) return fail(ErrorKind::conflict, "exec {} is not running", id);
  return lifecycle_.resize(exec.container, {id, rows, columns});
}

Result<Execs::Outcome> Execs::run_and_collect(const ContainerPointer& container, const ExecOptions& options,
                                              std::chrono::nanoseconds timeout) {
  auto entry = std::make_shared<Entry>();
  entry->exec.id = random_identifier();
  entry->exec.container = container;
  entry->exec.running = true;
  const std::string id = entry->exec.id;
  {
    std::lock_guard lock(mutex_);
    entries_[id] = entry;  // not in order_: it is taken out below
  }
  auto ends = TRY(make_socket_pair(SOCK_STREAM));
  ExecConfig config;
  config.options = options;
  keeper::Attach attach;
  attach.exec_id = id;
  attach.output = attach.errors = true;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  Result<keeper::Reply> reply = launch(container, id, config, std::move(ends.second), attach);
  if (!reply) {
    std::lock_guard lock(mutex_);
    entries_.erase(id);
    return std::unexpected(std::move(reply).error());
  }
  // While the process has not been reaped its number is its own; the keeper reaps it only when it exits.
  Result<Fd> process = sys::open_pidfd(reply->pid);
  Outcome outcome;
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{ends.first.get(), POLLIN, 0};
    int ready = left.count() <= 0
                    ? 0
                    : poll(&readable, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 1 << 30)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) {
      outcome.timed_out = true;
      if (process) (void)sys::send_signal(process->get(), SIGKILL);
      break;
    }
    char buffer[4096];
    Result<std::size_t> got = read_some(ends.first.get(), buffer);
    if (!got || *got == 0) break;
    outcome.output.append(
        buffer, std::min(*got, kMaximumProbeOutput - std::min(kMaximumProbeOutput, outcome.output.size())));
  }
  std::unique_lock lock(mutex_);
  entry->changed.wait_for(lock, std::chrono::seconds(5), [&] { return !entry->exec.running; });
  outcome.exit_code = entry->exec.exit_code;
  entries_.erase(id);
  return outcome;
}

void Execs::on_exited(const keeper::ExecExited& exited) {
  std::shared_ptr<Entry> entry;
  {
    std::lock_guard lock(mutex_);
    entry = find(exited.id);
    if (!entry) return;
    entry->exec.running = false;
    entry->exec.exit_code = exited.exit_code;
    entry->changed.notify_all();
  }
  lifecycle_.publish(*entry->exec.container, "exec_die",
                     {{"execID", exited.id}, {"exitCode", std::to_string(exited.exit_code)}});
}

void Execs::forget(const ContainerPointer& container) {
  std::lock_guard lock(mutex_);
  std::erase_if(entries_, [&](const auto& item) {
    if (item.second->exec.container != container) return false;
    item.second->exec.running = false;
    item.second->changed.notify_all();
    return true;
  });
  std::erase_if(order_, [&](const std::string& id) { return !entries_.contains(id); });
}

std::vector<std::string> Execs::of(const std::string& container_id) const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> ids;
  for (const auto& [id, entry] : entries_)
    if (entry->exec.running && entry->exec.container->record.id == container_id) ids.push_back(id);
  return ids;
}

}  // namespace berth::engine
