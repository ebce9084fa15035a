// SPDX-License-Identifier: Apache-2.0
// Health checks: a command in the container at intervals, and what follows from its outcomes. One thread
// keeps the times; probes run on the work queue, so a probe that hangs holds up no other container's.
#pragma once
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "engine/container.h"
#include "engine/execs.h"
#include "engine/lifecycle.h"
#include "engine/work_queue.h"

namespace berth::engine {

// Docker's defaults filled in; nothing when there is no check ("NONE", or an empty test).
struct HealthSettings {
  std::vector<std::string> command;  // to execute; CMD-SHELL is wrapped in the image's shell
  std::chrono::nanoseconds interval, timeout, start_period, start_interval;
  int retries = 3;
};
std::optional<HealthSettings> health_settings_of(const oci::ContainerConfig& config);

// One outcome's effect. Pure. Returns whether the status changed.
bool apply_probe(Health& health, const HealthSettings& settings, HealthProbe probe,
                 std::chrono::nanoseconds since_start);

class HealthMonitor {
 public:
  HealthMonitor(Execs& execs, Lifecycle& lifecycle, WorkQueue& work);
  ~HealthMonitor();
  HealthMonitor(const HealthMonitor&) = delete;
  HealthMonitor& operator=(const HealthMonitor&) = delete;

  void started(const ContainerPointer& container);
  void ended(const ContainerPointer& container);

 private:
  using Clock = std::chrono::steady_clock;
  struct Watched {
    std::weak_ptr<Container> container;
    HealthSettings settings;
    Clock::time_point started_at;
    Clock::time_point next;
    bool probing = false;
    std::uint64_t generation = 0;  // a probe of an earlier run does not count
  };
  void run(std::stop_token stop);
  void probe(const std::string& id, std::uint64_t generation);

  Execs& execs_;
  Lifecycle& lifecycle_;
  WorkQueue& work_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Watched> watched_;
  std::uint64_t last_generation_ = 0;
  std::jthread thread_;  // started with the first container that has a check
};

}  // namespace berth::engine
