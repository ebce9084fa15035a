// SPDX-License-Identifier: Apache-2.0
#include "engine/lifecycle.h"

#include <signal.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/signal_name.h"
#include "base/text.h"
#include "engine/delete_tree.h"
#include "engine/modes.h"
#include "engine/records.h"
#include "engine/runtime_config.h"
#include "engine/validation.h"
#include "sys/cgroup.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kDefaultStopTimeout = 10;  // seconds
constexpr auto kCopyPatience = 10s;  // for a client that copies into a container that is to start
constexpr auto kKillPatience = 30s;  // for a process that SIGKILL does not end at once: it is in the kernel

Result<sys::Cgroup> cgroup_of(const Settings& settings, const ContainerRecord& record) {
  return sys::Cgroup::at(cgroup_path(settings, record));
}

bool has_restart_policy(const HostConfig& host) {
  return !host.restart_name.empty() && host.restart_name != "no";
}

}  // namespace

int exit_code_of_start_failure(std::string_view message) {
  auto says = [&](std::string_view words) { return message.find(words) != std::string_view::npos; };
  if (says("executable file not found") || says("no such file or directory") ||
      says("No such file or directory"))
    return 127;
  if (says("permission denied") || says("Permission denied") || says("is a directory")) return 126;
  return 128;
}

Lifecycle::Lifecycle(const Settings& settings, Registry& registry, Launcher& launcher, Volumes& volumes,
                     DiskReserve& reserve, EventBus& events, WorkQueue& work)
    : settings_(settings),
      registry_(registry),
      launcher_(launcher),
      volumes_(volumes),
      reserve_(reserve),
      events_(events),
      work_(work) {}

// A record whose loss a power cut must not cause is one that decides what runs after it.
Durability Lifecycle::importance(const Container& container) const {
  return has_restart_policy(container.record.host_config) ? Durability::durable : Durability::visible;
}

void Lifecycle::publish(const Container& container, std::string action,
                        std::map<std::string, std::string> extra) {
  if (container.record.build_step) return;
  Event event;
  event.type = "container";
  event.action = std::move(action);
  event.actor = container.record.id;
  {
    std::lock_guard lock(container.mutex);
    event.attributes = container.record.config.labels;
    event.attributes["image"] = container.record.config.image;
    event.attributes["name"] = container.record.name;
  }
  for (auto& [name, value] : extra) event.attributes[name] = std::move(value);
  events_.publish(std::move(event));
}

Result<void> Lifecycle::start(const ContainerPointer& container) {
  const std::unique_lock operation = TRY(container->lock_for_start(kCopyPatience));
  return start_locked(container);
}

Result<void> Lifecycle::start_locked(const ContainerPointer& container) {
  {
    std::unique_lock lock(container->mutex);
    // What the last run gives back late would be what this one has taken.
    container->changed.wait(lock, [&] { return !container->ending; });
    if (container->removing)
      return fail(ErrorKind::conflict, "container is marked for removal and cannot be started");
    if (container->paused)
      return fail(ErrorKind::conflict, "cannot start a paused container, try unpause instead");
    if (container->alive()) return fail(ErrorKind::not_modified, "the container is running");
    container->record.manually_stopped = false;
  }
  Result<void> launched = launcher_.launch(container);
  if (!launched) {
    Error error = std::move(launched.error()).within("failed to start container");
    fail_start(container, error);
    return std::unexpected(std::move(error));
  }
  return registry_.save(container, importance(*container));
}

void Lifecycle::fail_start(const ContainerPointer& container, const Error& error) {
  bool auto_remove;
  std::vector<WaitingClient> clients;
  {
    std::lock_guard lock(container->mutex);
    container->state.phase = keeper::Phase::exited;
    container->state.exit_code = exit_code_of_start_failure(error.message);
    container->state.error = error.message;
    container->keeper.reset();
    clients = std::exchange(container->waiting_clients, {});  // their sockets close
    // One that has run keeps what it wrote: whatever is in the way of this start may go away.
    auto_remove = container->record.host_config.auto_remove && !container->record.started_once;
    container->report_exit(false);
    container->changed.notify_all();
  }
  (void)registry_.save(container, Durability::visible);
  if (auto_remove) (void)remove_locked(container, false, true);
}

Result<void> Lifecycle::signal_keeper(const ContainerPointer& container, int signal, bool stop_intended) {
  std::shared_ptr<KeeperLink> link;
  {
    std::lock_guard lock(container->mutex);
    link = container->keeper;
  }
  if (!link) return fail(ErrorKind::unavailable, "the container's keeper has ended");
  TRY(link->ask(keeper::MessageKind::signal, keeper::encode(keeper::Signal{signal, stop_intended})));
  return {};
}

bool Lifecycle::wait_until_ended(const ContainerPointer& container,
                                 std::optional<std::chrono::milliseconds> patience) {
  std::unique_lock lock(container->mutex);
  auto over = [&] { return !container->alive() && !container->ending; };
  if (patience) return container->changed.wait_for(lock, *patience, over);
  container->changed.wait(lock, over);
  return true;
}

Result<void> Lifecycle::stop(const ContainerPointer& container, const StopOptions& options) {
  std::lock_guard operation(container->operation);
  return stop_locked(container, options);
}

Result<void> Lifecycle::stop_locked(const ContainerPointer& container, const StopOptions& options) {
  std::string signal_name;
  std::int64_t timeout;
  bool paused;
  {
    std::lock_guard lock(container->mutex);
    if (!container->alive()) return fail(ErrorKind::not_modified, "the container is not running");
    const oci::ContainerConfig& config = container->record.config;
    signal_name = !options.signal.empty()      ? options.signal
                  : config.stop_signal.empty() ? "SIGTERM"
                                               : config.stop_signal;
    timeout = options.timeout_seconds.value_or(config.stop_timeout.value_or(kDefaultStopTimeout));
    container->record.manually_stopped = true;
    container->record.wants_to_run = false;
    paused = container->paused;
  }
  const int signal = TRY(parse_signal(signal_name));
  Result<void> sent = signal_keeper(container, signal, true);
  if (paused) (void)unpause(container);
  publish(*container, "kill", {{"signal", std::to_string(signal)}});
  std::optional<std::chrono::milliseconds> patience;
  if (timeout >= 0) patience = std::chrono::seconds(std::min<std::int64_t>(timeout, 1'000'000));
  if (sent && wait_until_ended(container, patience)) {
    publish(*container, "stop");
    return registry_.save(container, importance(*container));
  }
  (void)signal_keeper(container, SIGKILL, true);
  publish(*container, "kill", {{"signal", std::to_string(SIGKILL)}});
  if (!wait_until_ended(container, kKillPatience))
    return fail(ErrorKind::timeout, "tried to kill container, but did not receive an exit event");
  publish(*container, "stop");
  return registry_.save(container, importance(*container));
}

Result<void> Lifecycle::restart(const ContainerPointer& container, const StopOptions& options) {
  const std::unique_lock operation = TRY(container->lock_for_start(kCopyPatience));
  {
    std::lock_guard lock(container->mutex);
    container->restarting_by_hand = true;
  }
  Result<void> stopped = stop_locked(container, options);
  {
    std::lock_guard lock(container->mutex);
    container->restarting_by_hand = false;
  }
  if (!stopped && stopped.error().kind != ErrorKind::not_modified) return stopped;
  TRY(start_locked(container));
  publish(*container, "restart");
  return {};
}

Result<void> Lifecycle::kill(const ContainerPointer& container, std::string_view signal_name) {
  const int signal = TRY(parse_signal(signal_name.empty() ? "SIGKILL" : signal_name));
  bool stops, paused;
  {
    std::lock_guard lock(container->mutex);
    if (!container->alive())
      return fail(ErrorKind::conflict, "cannot kill container: {}: container {} is not running",
                  container->record.name, container->record.id);
    Result<int> stop_signal = parse_signal(
        container->record.config.stop_signal.empty() ? "SIGTERM" : container->record.config.stop_signal);
    stops = signal == SIGKILL || (stop_signal && *stop_signal == signal);
    paused = container->paused;
    if (stops) container->record.manually_stopped = true;
  }
  TRY(signal_keeper(container, signal, stops));
  if (paused && stops) (void)unpause(container);  // a frozen process takes no signal
  publish(*container, "kill", {{"signal", std::to_string(signal)}});
  if (signal == SIGKILL) wait_until_ended(container, 10s);
  if (stops) (void)registry_.save(container, importance(*container));
  return {};
}

Result<void> Lifecycle::pause(const ContainerPointer& container) {
  {
    std::lock_guard lock(container->mutex);
    if (!container->running())
      return fail(ErrorKind::conflict, "Container {} is not running", container->record.id);
    if (container->paused)
      return fail(ErrorKind::conflict, "Container {} is already paused", container->record.id);
  }
  sys::Cgroup group = TRY(cgroup_of(settings_, container->record));
  TRY_AS("pause container " + container->record.id, group.freeze());
  {
    std::lock_guard lock(container->mutex);
    container->paused = true;
  }
  publish(*container, "pause");
  return {};
}

Result<void> Lifecycle::unpause(const ContainerPointer& container) {
  {
    std::lock_guard lock(container->mutex);
    if (!container->paused)
      return fail(ErrorKind::conflict, "Container {} is not paused", container->record.id);
  }
  sys::Cgroup group = TRY(cgroup_of(settings_, container->record));
  TRY_AS("unpause container " + container->record.id, group.thaw());
  {
    std::lock_guard lock(container->mutex);
    container->paused = false;
  }
  publish(*container, "unpause");
  return {};
}

Result<void> Lifecycle::rename(const ContainerPointer& container, const std::string& name) {
  std::lock_guard operation(container->operation);
  const std::string previous = container->record.name;
  const std::string wanted = name.starts_with('/') ? name.substr(1) : name;
  if (wanted.empty()) return fail(ErrorKind::invalid, "Neither old nor new names may be empty");
  TRY(registry_.rename(container, wanted));
  ContainerRecord record;
  {
    std::lock_guard lock(container->mutex);
    record = container->record;
  }
  launcher_.networks().renamed(record);
  publish(*container, "rename", {{"oldName", "/" + previous}});
  return {};
}

namespace {

// Takes over what `wanted` sets; the rest stays.
void merge_limits(ResourceLimits& limits, const ResourceLimits& wanted) {
  auto number = [](auto& mine, const auto& theirs) {
    if (theirs != std::remove_cvref_t<decltype(theirs)>{}) mine = theirs;
  };
  number(limits.cpu_shares, wanted.cpu_shares);
  number(limits.memory, wanted.memory);
  number(limits.nano_cpus, wanted.nano_cpus);
  number(limits.blkio_weight, wanted.blkio_weight);
  number(limits.cpu_period, wanted.cpu_period);
  number(limits.cpu_quota, wanted.cpu_quota);
  number(limits.cpu_realtime_period, wanted.cpu_realtime_period);
  number(limits.cpu_realtime_runtime, wanted.cpu_realtime_runtime);
  number(limits.cpuset_cpus, wanted.cpuset_cpus);
  number(limits.cpuset_mems, wanted.cpuset_mems);
  number(limits.memory_reservation, wanted.memory_reservation);
  number(limits.memory_swap, wanted.memory_swap);
  number(limits.pids_limit, wanted.pids_limit);
}

}  // namespace

Result<void> Lifecycle::update(const ContainerPointer& container, const UpdateRequest& request) {
  std::lock_guard operation(container->operation);
  ResourceLimits limits;
  bool running;
  std::shared_ptr<KeeperLink> link;
  {
    std::lock_guard lock(container->mutex);
    limits = container->record.host_config.resources;
    running = container->running();
    link = container->keeper;
    if (request.restart_name && container->record.host_config.auto_remove && !request.restart_name->empty() &&
        *request.restart_name != "no")
      return fail(ErrorKind::invalid,
                  "Restart policy cannot be updated because AutoRemove is enabled for the container");
  }
  merge_limits(limits, request.limits);
  if (request.limits.memory > 0 && request.limits.memory_swap == 0 && limits.memory_swap > 0 &&
      limits.memory > limits.memory_swap)
    return fail(ErrorKind::invalid,
                "Memory limit should be smaller than already set memoryswap limit, update the "
                "memoryswap at the same time");
  TRY(validate_limits(limits, std::max(1u, std::thread::hardware_concurrency())));
  keeper::RestartPolicy policy;
  if (request.restart_name) {
    policy.condition = TRY(keeper::parse_restart_condition(*request.restart_name));
    policy.maximum_retries = request.restart_maximum;
  }
  if (running) {
    sys::Cgroup group = TRY(cgroup_of(settings_, container->record));
    TRY_AS("cannot update container " + container->record.id,
           group.update(make_resources(limits, StartFacts{})));
    if (request.restart_name && link)
      TRY(link->ask(keeper::MessageKind::set_restart, keeper::encode(policy)));
  }
  {
    std::lock_guard lock(container->mutex);
    container->record.host_config.resources = limits;
    if (request.restart_name) {
      container->record.host_config.restart_name = *request.restart_name;
      container->record.host_config.restart_maximum = request.restart_maximum;
    }
  }
  publish(*container, "update");
  return registry_.save(container, durability_of(container->record));
}

Result<void> Lifecycle::remove(const ContainerPointer& container, bool force, bool with_volumes) {
  {
    std::lock_guard lock(container->mutex);
    if (container->removing)
      return fail(ErrorKind::conflict, "removal of container {} is already in progress",
                  container->record.name);
  }
  std::lock_guard operation(container->operation);
  return remove_locked(container, force, with_volumes);
}

Result<void> Lifecycle::remove_locked(const ContainerPointer& container, bool force, bool with_volumes) {
  const std::string id = container->record.id;
  {
    std::lock_guard lock(container->mutex);
    if (container->removed) return fail(ErrorKind::not_found, "No such container: {}", id);
    if (container->alive() && !force) {
      const std::string state = container->paused ? "paused and must be unpaused first"
                                : container->running()
                                    ? "running: stop the container before removing or force remove"
                                    : "restarting: stop the container before removing or force remove";
      return fail(ErrorKind::conflict, "cannot remove container \"/{}\": container is {}",
                  container->record.name, state);
    }
    container->removing = true;
  }
  auto give_up = [&](Error error) -> Result<void> {
    std::lock_guard lock(container->mutex);
    container->removing = false;
    return std::unexpected(
        std::move(error).within("cannot remove container \"/" + container->record.name + "\""));
  };
  bool alive;
  {
    std::lock_guard lock(container->mutex);
    alive = container->alive();
  }
  if (alive) {
    (void)signal_keeper(container, SIGKILL, true);
    bool paused;
    {
      std::lock_guard lock(container->mutex);
      paused = container->paused;
    }
    if (paused) (void)unpause(container);
  }
  // Also when it has ended by itself: its end may still be under way.
  if (!wait_until_ended(container, kKillPatience))
    return give_up({ErrorKind::timeout, 0, "could not kill container"});
  volumes_.announce_removal(container->record, with_volumes);
  if (Result<void> forgotten = registry_.remove(container); !forgotten)
    return give_up(std::move(forgotten.error()));

  // Out of sight at once; the deleting, which takes as long as the container has files, goes on behind.
  const std::string aside = settings_.removed_directory() + "/" + id;
  if (std::rename(settings_.container_directory(id).c_str(), aside.c_str()) == 0)
    work_.add([this, aside] {
      delete_tree(aside);
      reserve_.replenish();
    });
  (void)remove_tree(settings_.run_directory(id));
  volumes_.forget(container->record, with_volumes);
  image::Lease lease;
  {
    std::lock_guard lock(container->mutex);
    lease = std::move(container->lease);
    container->removed = true;
    container->report_exit(true);
    container->changed.notify_all();
  }
  publish(*container, "destroy");
  return {};
}

Result<void> Lifecycle::attach(const ContainerPointer& container, Fd client, const keeper::Attach& options) {
  std::shared_ptr<KeeperLink> link;
  {
    std::lock_guard lock(container->mutex);
    if (container->running()) {
      link = container->keeper;
    } else {
      container->waiting_clients.push_back({std::move(client), options});
      return {};
    }
  }
  if (!link) return fail(ErrorKind::unavailable, "the container's keeper has ended");
  const int descriptor = client.get();
  TRY(link->ask(keeper::MessageKind::attach, keeper::encode(options), {&descriptor, 1}));
  return {};
}

Result<void> Lifecycle::resize(const ContainerPointer& container, const keeper::Resize& size) {
  std::shared_ptr<KeeperLink> link;
  {
    std::lock_guard lock(container->mutex);
    if (!container->running())
      return fail(ErrorKind::conflict, "container {} is not running", container->record.id);
    link = container->keeper;
  }
  if (!link) return fail(ErrorKind::unavailable, "the container's keeper has ended");
  TRY(link->ask(keeper::MessageKind::resize, keeper::encode(size)));
  return {};
}

void Lifecycle::on_state(const std::shared_ptr<KeeperLink>& link, const keeper::State& state) {
  ContainerPointer container = registry_.find_by_id(link->container_id());
  if (!container) return;
  bool started = false, stopped = false;
  std::vector<WaitingClient> late_clients;  // they came when the keeper had been given the others
  {
    std::lock_guard lock(container->mutex);
    if (container->keeper != link) return;
    const bool ran = container->running();
    container->state = state;
    if (state.phase == keeper::Phase::running) {
      started = !ran;
      late_clients = std::exchange(container->waiting_clients, {});
      container->paused = false;
      container->record.started_once = true;
      container->record.wants_to_run = true;
    } else {
      stopped =
          static_cast<bool>(state.started_at);  // otherwise the start itself failed, and the starter tells
      container->ending = stopped && state.phase == keeper::Phase::exited;
    }
  }
  for (const WaitingClient& client : late_clients) (void)link->hand_over(client.socket, client.options);
  if (started) {
    publish(*container, "start");
    if (listener_.started) listener_.started(container);
    std::lock_guard lock(container->mutex);
    container->changed.notify_all();
  }
  if (stopped) ended(container, state);
}

// A run has ended: for good, or until the restart policy's next one. Whoever has put the container's state to
// "exited" has set `ending` with it and comes here at once, on whatever thread: nothing here may wait for an
// operation, as operations wait for this.
void Lifecycle::ended(const ContainerPointer& container, const keeper::State& state) {
  const bool for_good = state.phase == keeper::Phase::exited;
  if (listener_.ended) listener_.ended(container);
  if (for_good) launcher_.release_network(*container);
  if (for_good) volumes_.release(container->record);
  if (state.oom_killed) publish(*container, "oom");
  const auto lasted = std::chrono::nanoseconds(state.finished_at.nanoseconds - state.started_at.nanoseconds);
  publish(
      *container, "die",
      {{"exitCode", std::to_string(state.exit_code)},
       {"execDuration", std::to_string(std::chrono::duration_cast<std::chrono::seconds>(lasted).count())}});
  bool auto_remove;
  {
    std::lock_guard lock(container->mutex);
    container->paused = false;
    if (for_good) {
      container->record.wants_to_run = false;
      container->health.status =
          container->health.status == HealthStatus::none ? HealthStatus::none : HealthStatus::unhealthy;
    }
    auto_remove = for_good && container->record.host_config.auto_remove && !container->restarting_by_hand;
  }
  // The record first: whoever hears of the exit finds it there, also after the engine's own end.
  (void)registry_.save(container, Durability::visible);
  {
    std::lock_guard lock(container->mutex);
    container->ending = false;
    container->report_exit(false);
    container->changed.notify_all();
  }
  if (auto_remove) work_.add([this, container] { (void)remove(container, false, true); });
}

void Lifecycle::on_gone(const std::shared_ptr<KeeperLink>& link) {
  ContainerPointer container = registry_.find_by_id(link->container_id());
  if (!container) return;
  {
    std::lock_guard lock(container->mutex);
    if (container->keeper != link) return;
    container->keeper.reset();
    if (!container->alive()) return;
  }
  // The last word may not have come through; the file has it.
  Result<keeper::State> state = keeper::read_state(settings_.run_directory(link->container_id()));
  if (state && state->phase == keeper::Phase::exited) {
    {
      std::lock_guard lock(container->mutex);
      container->state = *state;
      container->ending = true;
    }
    ended(container, *state);
    return;
  }
  work_.add([this, container] { finish_lost(container, "the container's keeper ended unexpectedly"); });
}

// The keeper is gone without a word: nobody owns the container's streams any more, so it is ended too.
void Lifecycle::finish_lost(const ContainerPointer& container, std::string why) {
  if (Result<sys::Cgroup> group = cgroup_of(settings_, container->record); group && group->exists()) {
    (void)group->kill();
    (void)group->remove();
  }
  keeper::State state;
  {
    std::lock_guard lock(container->mutex);
    container->state.phase = keeper::Phase::exited;
    container->state.pid = 0;
    container->state.exit_code = 255;
    container->state.error = std::move(why);
    container->state.finished_at = now();
    container->ending = true;
    state = container->state;
  }
  ended(container, state);
}

}  // namespace berth::engine
