// SPDX-License-Identifier: Apache-2.0
// Where keepers come from. One that is used has others started ahead, which wait for their container
// (keeper/assignment.h): so a container's start does not wait for a program's. An engine that has started
// none for a while keeps none waiting.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>

#include "base/error.h"
#include "base/fd.h"
#include "base/process.h"
#include "engine/keeper_link.h"

namespace berth::engine {

class KeeperPool {
 public:
  // `program` is berth-keeper; `title_length` how long the run directories are that keepers will be given,
  // whose names then stand in lists of processes.
  KeeperPool(std::string program, std::size_t title_length);
  ~KeeperPool();  // those that wait end; the others go on
  KeeperPool(const KeeperPool&) = delete;
  KeeperPool& operator=(const KeeperPool&) = delete;

  // A keeper for the container whose run directory is prepared. `network` is the namespace to join, or -1;
  // `layers` are mounts for its root file system.
  Result<std::shared_ptr<KeeperLink>> take(const std::string& container_id, const std::string& run_directory,
                                           int network, std::span<const int> layers);

 private:
  struct Waiting {
    Fd socket;
    Process process;
  };
  Result<Waiting> start();
  Result<int> executable();
  std::optional<Waiting> take_ready();
  void keep_ready(std::stop_token stop);
  bool in_use() const;  // with mutex_ held

  const std::string program_;
  const std::string title_;
  std::mutex executable_mutex_;
  Fd executable_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Waiting> ready_;
  std::optional<std::chrono::steady_clock::time_point> last_use_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace berth::engine
