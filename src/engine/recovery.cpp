// SPDX-License-Identifier: Apache-2.0
// What an engine does with the containers that it finds when it starts.
#include <atomic>

#include "base/file.h"
#include "base/log.h"
#include "engine/delete_tree.h"
#include "engine/lifecycle.h"
#include "engine/links.h"
#include "engine/runtime_config.h"
#include "keeper/settings.h"
#include "sys/cgroup.h"

namespace berth::engine {
namespace {

// Whether the restart policy brings a container back that ran when the machine or its keeper went down.
bool comes_back(const ContainerRecord& record) {
  Result<keeper::RestartCondition> condition =
      keeper::parse_restart_condition(record.host_config.restart_name);
  if (!condition) return false;
  switch (*condition) {
    case keeper::RestartCondition::no:
      return false;
    case keeper::RestartCondition::always:
      return true;
    case keeper::RestartCondition::unless_stopped:
      return !record.manually_stopped;
    case keeper::RestartCondition::on_failure:
      return !record.manually_stopped;
  }
  return false;
}

bool is_running(const keeper::State& state) {
  return state.phase == keeper::Phase::running || state.phase == keeper::Phase::restarting;
}

}  // namespace

void Lifecycle::recover(KeeperWatch& watch, Networks& networks) {
  sweep_directories();
  std::vector<ContainerPointer> coming_back;
  for (const ContainerPointer& container : registry_.all()) {
    if (recover_one(container, watch, networks)) coming_back.push_back(container);
    // Its build has ended with the engine before.
    if (container->record.build_step) work_.add([this, container] { (void)remove(container, true, false); });
  }
  // Every address and port that is in use is known now; not before may a start take one.
  networks.recovered();
  for (const ContainerPointer& container : coming_back) networks.expect(container->record);
  start_again(coming_back);
}

struct Lifecycle::Rounds {
  std::vector<std::vector<ContainerPointer>> containers;  // a link wants the other to run
  std::atomic<std::size_t> left = 0;                      // of the current round
};

void Lifecycle::start_again(const std::vector<ContainerPointer>& containers) {
  std::map<std::string, ContainerPointer> by_id;
  std::map<std::string, std::vector<std::string>> links;
  for (const ContainerPointer& container : containers) {
    by_id[container->record.id] = container;
    links[container->record.id] = linked_ids(registry_, container->record);
  }
  auto rounds = std::make_shared<Rounds>();
  for (const std::vector<std::string>& ids : start_rounds(links)) {
    std::vector<ContainerPointer>& round = rounds->containers.emplace_back();
    for (const std::string& id : ids) round.push_back(by_id.at(id));
  }
  start_round(rounds, 0);
}

void Lifecycle::start_round(const std::shared_ptr<Rounds>& rounds, std::size_t number) {
  if (number == rounds->containers.size()) return;
  rounds->left = rounds->containers[number].size();
  for (const ContainerPointer& container : rounds->containers[number])
    work_.add([this, rounds, number, container] {
      if (Result<void> started = start(container); !started)
        log_error("engine", "restart container {}: {}", container->record.id, started.error().message);
      launcher_.networks().expect_no_more(container->record.id);
      if (--rounds->left == 0) start_round(rounds, number + 1);
    });
}

// Whether it is to be started: its machine or its keeper went down.
bool Lifecycle::recover_one(const ContainerPointer& container, KeeperWatch& watch, Networks& networks) {
  const std::string& id = container->record.id;
  const std::string run_directory = settings_.run_directory(id);
  // Connected first, read second: what the keeper reports from now on comes over the connection.
  Result<std::shared_ptr<KeeperLink>> link = connect_keeper(id, run_directory);
  Result<keeper::State> seen = keeper::read_state(run_directory);
  const bool was_running = is_running(container->state) || container->record.wants_to_run;
  if (link && seen && is_running(*seen)) {
    {
      std::lock_guard lock(container->mutex);
      container->keeper = *link;
      container->state = *seen;
      container->record.started_once = true;
      container->record.wants_to_run = true;
    }
    if (Result<sys::Cgroup> group = sys::Cgroup::at(cgroup_path(settings_, container->record))) {
      Result<bool> frozen = group->frozen();
      std::lock_guard lock(container->mutex);
      container->paused = frozen && *frozen;
    }
    volumes_.found_using(container->record);
    if (networks.adopt(container->record, *seen)) (void)registry_.save(container, Durability::visible);
    if (Result<void> watched = watch.add(*link); !watched)
      log_error("engine", "container {}: {}", id, watched.error().message);
    if (listener_.started && seen->phase == keeper::Phase::running) listener_.started(container);
    log_info("engine", "container {} runs on", id.substr(0, 12));
    return false;
  }
  if (seen && seen->phase == keeper::Phase::exited) {
    // It ended while no engine ran. The exit is news only if the record does not have it yet.
    const bool news = seen->started_at && (was_running || container->state.finished_at != seen->finished_at);
    {
      std::lock_guard lock(container->mutex);
      container->state = *seen;
      container->ending = news;
      if (seen->started_at) container->record.started_once = true;
    }
    if (news) ended(container, *seen);
    return false;
  }
  if (!was_running) {
    if (container->record.host_config.auto_remove && container->record.started_once)
      work_.add([this, container] { (void)remove(container, false, true); });
    return false;
  }
  // Its keeper is gone without a last word: the machine went down, or somebody killed the keeper.
  const bool restarts = comes_back(container->record);
  finish_lost(container, "the container ended with its machine or its keeper");
  return restarts;
}

// Directories whose container is not on record: a create that was cut short, a removal that was. Before
// anything is removed anew: nothing is deleted twice.
void Lifecycle::sweep_directories() {
  auto sweep = [&](const std::string& parent, bool everything) {
    Result<std::vector<std::string>> names = list_directory(parent);
    if (!names) return;
    for (const std::string& name : *names) {
      if (name.front() == '.' || (!everything && registry_.find_by_id(name))) continue;
      if (!everything && exists(parent + "/" + name + "/keeper.sock") &&
          connect_keeper(name, parent + "/" + name)) {
        log_warning("engine", "a container that is not on record is running: {}", name);
        continue;
      }
      work_.add([path = parent + "/" + name] { delete_tree(path); });
    }
  };
  sweep(settings_.removed_directory(), true);
  sweep(settings_.containers_directory(), false);
  sweep(settings_.exec_root + "/containers", false);
}

}  // namespace berth::engine
