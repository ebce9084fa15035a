// SPDX-License-Identifier: Apache-2.0
#include "engine/health.h"

#include <algorithm>

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kRememberedProbes = 5;

}  // namespace

std::optional<HealthSettings> health_settings_of(const oci::ContainerConfig& config) {
  if (!config.healthcheck || config.healthcheck->test.empty()) return std::nullopt;
  const oci::HealthCheck& check = *config.healthcheck;
  HealthSettings settings;
  if (check.test[0] == "NONE" || check.test.size() < 2) return std::nullopt;
  settings.command.assign(check.test.begin() + 1, check.test.end());
  if (check.test[0] == "CMD-SHELL") {
    std::vector<std::string> shell{"/bin/sh", "-c"};
    if (config.shell && !config.shell->empty()) shell = *config.shell;
    settings.command.insert(settings.command.begin(), shell.begin(), shell.end());
  }
  auto or_default = [](std::chrono::nanoseconds value, std::chrono::nanoseconds otherwise) {
    return value.count() > 0 ? value : otherwise;
  };
  settings.interval = or_default(check.interval, 30s);
  settings.timeout = or_default(check.timeout, 30s);
  settings.start_period = check.start_period;
  settings.start_interval = or_default(check.start_interval, 5s);
  settings.retries = check.retries > 0 ? static_cast<int>(check.retries) : 3;
  return settings;
}

bool apply_probe(Health& health, const HealthSettings& settings, HealthProbe probe,
                 std::chrono::nanoseconds since_start) {
  const HealthStatus before = health.status;
  if (probe.exit_code == 0) {
    health.failing_streak = 0;
    health.status = HealthStatus::healthy;
  } else if (!(before == HealthStatus::starting && since_start < settings.start_period)) {
    // A container that has been healthy once has left its start period for good.
    if (++health.failing_streak >= settings.retries) health.status = HealthStatus::unhealthy;
  }
  health.log.push_back(std::move(probe));
  if (health.log.size() > kRememberedProbes) health.log.pop_front();
  return health.status != before;
}

HealthMonitor::HealthMonitor(Execs& execs, Lifecycle& lifecycle, WorkQueue& work)
    : execs_(execs), lifecycle_(lifecycle), work_(work) {}

HealthMonitor::~HealthMonitor() {
  thread_.request_stop();
  changed_.notify_all();
}

void HealthMonitor::started(const ContainerPointer& container) {
  std::optional<HealthSettings> settings;
  std::string id;
  {
    std::lock_guard lock(container->mutex);
    settings = health_settings_of(container->record.config);
    id = container->record.id;
    container->health = {};
    if (settings) container->health.status = HealthStatus::starting;
  }
  if (!settings) return;
  std::lock_guard lock(mutex_);
  const Clock::time_point time = Clock::now();
  const auto first = settings->start_period.count() > 0
                         ? std::min(settings->start_interval, settings->interval)
                         : settings->interval;
  watched_[id] = Watched{container, *settings, time, time + first, false, ++last_generation_};
  if (!thread_.joinable()) thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
  changed_.notify_all();
}

void HealthMonitor::ended(const ContainerPointer& container) {
  std::lock_guard lock(mutex_);
  watched_.erase(container->record.id);
}

void HealthMonitor::run(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const Clock::time_point time = Clock::now();
    Clock::time_point next = time + 1h;
    for (auto& [id, watched] : watched_) {
      if (watched.probing) continue;
      if (watched.next <= time) {
        watched.probing = true;
        work_.add([this, id = id, generation = watched.generation] { probe(id, generation); });
      } else {
        next = std::min(next, watched.next);
      }
    }
    changed_.wait_until(lock, stop, next, [&, known = last_generation_] {
      return last_generation_ != known ||
             std::any_of(watched_.begin(), watched_.end(), [&](const auto& entry) {
               return !entry.second.probing && entry.second.next < next;
             });
    });
  }
}

void HealthMonitor::probe(const std::string& id, std::uint64_t generation) {
  HealthSettings settings;
  ContainerPointer container;
  Clock::time_point started_at;
  {
    std::lock_guard lock(mutex_);
    auto found = watched_.find(id);
    if (found == watched_.end() || found->second.generation != generation) return;
    settings = found->second.settings;
    started_at = found->second.started_at;
    container = found->second.container.lock();
  }
  if (!container) return;
  bool paused;
  {
    std::lock_guard lock(container->mutex);
    paused = container->paused;
  }
  if (!paused) {
    HealthProbe outcome;
    outcome.start = now();
    ExecOptions options;
    options.arguments = settings.command;
    Result<Execs::Outcome> ran = execs_.run_and_collect(container, options, settings.timeout);
    outcome.end = now();
    if (!ran) {
      outcome.exit_code = -1;
      outcome.output = ran.error().message;
    } else if (ran->timed_out) {
      outcome.exit_code = -1;
      outcome.output = fmt::format("Health check exceeded timeout ({})", format_duration(settings.timeout));
    } else {
      outcome.exit_code = ran->exit_code;
      outcome.output = std::move(ran->output);
    }
    bool changed = false;
    std::string status;
    {
      std::lock_guard lock(container->mutex);
      if (!container->running()) return;
      changed = apply_probe(container->health, settings, std::move(outcome), Clock::now() - started_at);
      status = to_text(container->health.status);
    }
    if (changed) lifecycle_.publish(*container, "health_status: " + status);
  }
  std::lock_guard lock(mutex_);
  auto found = watched_.find(id);
  if (found == watched_.end() || found->second.generation != generation) return;
  std::lock_guard lock_container(container->mutex);
  const bool starting =
      container->health.status == HealthStatus::starting && Clock::now() - started_at < settings.start_period;
  found->second.probing = false;
  found->second.next =
      Clock::now() + (starting ? std::min(settings.start_interval, settings.interval) : settings.interval);
  changed_.notify_all();
}

}  // namespace berth::engine
