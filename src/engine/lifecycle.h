// SPDX-License-Identifier: Apache-2.0
// What becomes of containers: start, stop, kill, restart, pause, rename, update, remove, and what their
// keepers report.
//
// Every operation holds the container's `operation` lock from beginning to end. Keepers' reports come on the
// watch's thread and take `mutex` alone; what takes longer goes to the work queue.
#pragma once
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "engine/container.h"
#include "engine/events.h"
#include "engine/keeper_link.h"
#include "engine/launcher.h"
#include "engine/registry.h"
#include "engine/settings.h"
#include "engine/volumes.h"
#include "engine/work_queue.h"

namespace berth::engine {

struct StopOptions {
  std::optional<std::int64_t>
      timeout_seconds;  // before SIGKILL; negative: never; missing: the container's own, or 10
  std::string signal;   // "": the container's own, or SIGTERM
};

struct UpdateRequest {
  ResourceLimits limits;  // zero and missing members leave things as they are
  std::optional<std::string> restart_name;
  std::int32_t restart_maximum = 0;
};

// Who wants to know when a container runs and when it no longer does.
struct LifecycleListener {
  std::function<void(const ContainerPointer&)> started;
  std::function<void(const ContainerPointer&)> ended;
};

class Lifecycle {
 public:
  Lifecycle(const Settings& settings, Registry& registry, Launcher& launcher, Volumes& volumes,
            DiskReserve& reserve, EventBus& events, WorkQueue& work);

  void set_listener(LifecycleListener listener) { listener_ = std::move(listener); }

  Result<void> start(const ContainerPointer& container);
  Result<void> stop(const ContainerPointer& container, const StopOptions& options);
  Result<void> restart(const ContainerPointer& container, const StopOptions& options);
  Result<void> kill(const ContainerPointer& container, std::string_view signal);
  Result<void> pause(const ContainerPointer& container);
  Result<void> unpause(const ContainerPointer& container);
  Result<void> rename(const ContainerPointer& container, const std::string& name);
  Result<void> update(const ContainerPointer& container, const UpdateRequest& request);
  Result<void> connect(const ContainerPointer& container, const std::string& network,
                       const EndpointSettings& settings);
  Result<void> disconnect(const ContainerPointer& container, const std::string& network, bool force);
  Result<void> remove(const ContainerPointer& container, bool force, bool with_volumes);

  // Hands a client's socket to the keeper, or keeps it for the start.
  Result<void> attach(const ContainerPointer& container, Fd client, const keeper::Attach& options);
  Result<void> resize(const ContainerPointer& container, const keeper::Resize& size);

  // From the keepers, on the watch's thread.
  void on_state(const std::shared_ptr<KeeperLink>& link, const keeper::State& state);
  void on_gone(const std::shared_ptr<KeeperLink>& link);

  // At start-up: finds the containers that run, learns what happened to the others, starts those that a
  // reboot ended and that want to run, removes those that were to remove themselves, and sweeps what belongs
  // to none.
  void recover(KeeperWatch& watch, Networks& networks);

  void publish(const Container& container, std::string action, std::map<std::string, std::string> extra = {});

 private:
  Result<void> start_locked(const ContainerPointer& container);
  Result<void> stop_locked(const ContainerPointer& container, const StopOptions& options);
  Result<void> remove_locked(const ContainerPointer& container, bool force, bool with_volumes);
  Result<void> signal_keeper(const ContainerPointer& container, int signal, bool stop_intended);
  bool wait_until_ended(const ContainerPointer& container, std::optional<std::chrono::milliseconds> patience);
  Result<void> change_networks(const ContainerPointer& container,
                               const std::function<Result<void>(ContainerRecord&, int)>& change);
  void fail_start(const ContainerPointer& container, const Error& error);
  void ended(const ContainerPointer& container, const keeper::State& state);
  void finish_lost(const ContainerPointer& container, std::string why);
  bool recover_one(const ContainerPointer& container, KeeperWatch& watch, Networks& networks);
  struct Rounds;
  void start_again(const std::vector<ContainerPointer>& containers);
  void start_round(const std::shared_ptr<Rounds>& rounds, std::size_t number);
  void sweep_directories();
  Durability importance(const Container& container) const;

  const Settings& settings_;
  Registry& registry_;
  Launcher& launcher_;
  Volumes& volumes_;
  DiskReserve& reserve_;
  EventBus& events_;
  WorkQueue& work_;
  LifecycleListener listener_;
};

// The error's words decide, as they do for clients: 127 not found, 126 not executable, 128 anything else.
int exit_code_of_start_failure(std::string_view message);

}  // namespace berth::engine
