// SPDX-License-Identifier: Apache-2.0
#include "engine/container.h"

#include <sys/eventfd.h>

#include <cerrno>

namespace berth::engine {

std::optional<ExitReport> ExitWaiter::report() const {
  std::lock_guard lock(mutex_);
  return report_;
}

void ExitWaiter::fulfil(const ExitReport& report) {
  std::lock_guard lock(mutex_);
  if (report_) return;
  report_ = report;
  eventfd_write(signal_.get(), 1);
}

void Container::report_exit(bool gone) {
  const ExitReport report{state.exit_code, state.error};
  std::erase_if(waiters, [&](const std::shared_ptr<ExitWaiter>& waiter) {
    const bool met = gone || waiter->condition() != WaitCondition::removed;
    if (met) waiter->fulfil(report);
    return met;
  });
}

Result<std::unique_lock<std::mutex>> Container::lock_for_start(std::chrono::milliseconds patience) {
  const auto limit = std::chrono::steady_clock::now() + patience;
  bool waited_enough = false;
  const auto ready = [&] { return removed || (!being_written && (announced_clients == 0 || waited_enough)); };
  for (;;) {
    std::unique_lock start(operation);
    std::unique_lock lock(mutex);
    if (ready()) return start;
    if (waited_enough)
      return fail(
          ErrorKind::conflict,
          "container {} cannot be started while files are copied into it: wait until that is done, or "
          "end it",
          record.name);
    start.unlock();
    waited_enough = !changed.wait_until(lock, limit, ready);
  }
}

AnnouncedClient::AnnouncedClient(ContainerPointer container) : container_(std::move(container)) {
  std::lock_guard lock(container_->mutex);
  ++container_->announced_clients;
}

AnnouncedClient::~AnnouncedClient() {
  std::lock_guard lock(container_->mutex);
  --container_->announced_clients;
  container_->changed.notify_all();
}

Result<std::shared_ptr<ExitWaiter>> Container::wait_for(WaitCondition condition) {
  Fd signal(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!signal) return fail_errno(errno, "create an event descriptor");
  auto waiter = std::make_shared<ExitWaiter>(std::move(signal), condition);
  std::lock_guard lock(mutex);
  const bool met = removed || (condition == WaitCondition::not_running && !alive() && !ending);
  if (met)
    waiter->fulfil({state.exit_code, state.error});
  else
    waiters.push_back(waiter);
  return waiter;
}

std::string status_word(const Container& container) {
  if (container.removing) return "removing";
  switch (container.state.phase) {
    case keeper::Phase::running:
      return container.paused ? "paused" : "running";
    case keeper::Phase::restarting:
      return "restarting";
    case keeper::Phase::created:
    case keeper::Phase::exited:
      return container.ever_started() ? "exited" : "created";
  }
  return "exited";
}

std::string_view to_text(HealthStatus status) {
  switch (status) {
    case HealthStatus::none:
      return "none";
    case HealthStatus::starting:
      return "starting";
    case HealthStatus::healthy:
      return "healthy";
    case HealthStatus::unhealthy:
      return "unhealthy";
  }
  return "none";
}

}  // namespace berth::engine
