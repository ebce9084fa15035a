// SPDX-License-Identifier: Apache-2.0
// Further processes in running containers. An exec is configured, then started once; its keeper runs it, and
// what is known of it is kept in memory until its container goes.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/error.h"
#include "engine/container.h"
#include "engine/launcher.h"
#include "engine/lifecycle.h"
#include "engine/root_file_system.h"
#include "engine/runtime_config.h"

namespace berth::engine {

struct ExecConfig {
  std::string user;
  ExecOptions options;
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  std::string detach_keys;  // bytes
};

struct Exec {
  std::string id;
  ContainerPointer container;
  ExecConfig config;
  bool started = false;
  bool running = false;
  int exit_code = 0;
  pid_t pid = 0;
};

class Execs {
 public:
  Execs(const RootFileSystems& roots, const Launcher& launcher, Lifecycle& lifecycle)
      : roots_(roots), launcher_(launcher), lifecycle_(lifecycle) {}

  Result<std::string> create(const ContainerPointer& container, ExecConfig config);
  Result<Exec> inspect(const std::string& id) const;

  // Checks that it can be started and marks it started; what fails here is an HTTP status.
  Result<void> begin(const std::string& id);
  // Runs it. `client` is an attached client's socket, or empty when detached. A failure sets the exit code
  // (126, 127).
  Result<void> run(const std::string& id, Fd client, keeper::Attach attach,
                   std::optional<oci::ConsoleSize> size);
  Result<void> resize(const std::string& id, std::uint16_t rows, std::uint16_t columns);

  // Runs a command for the engine itself, a health check's: output (bounded) and exit code, or an error when
  // it took longer than `timeout`; then it is killed.
  struct Outcome {
    int exit_code = 0;
    std::string output;
    bool timed_out = false;
  };
  Result<Outcome> run_and_collect(const ContainerPointer& container, const ExecOptions& options,
                                  std::chrono::nanoseconds timeout);

  void on_exited(const keeper::ExecExited& exited);
  void forget(const ContainerPointer& container);
  std::vector<std::string> of(const std::string& container_id) const;

 private:
  struct Entry {
    Exec exec;
    std::condition_variable changed;
  };
  Result<keeper::Reply> launch(const ContainerPointer& container, const std::string& id,
                               const ExecConfig& config, Fd client, std::optional<keeper::Attach> attach);
  std::shared_ptr<Entry> find(const std::string& id) const;
  void drop_old_ones();  // with mutex_ held

  static constexpr std::size_t kRemembered = 2048;
  const RootFileSystems& roots_;
  const Launcher& launcher_;
  Lifecycle& lifecycle_;
  mutable std::mutex mutex_;  // guards the map and every entry's exec
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::deque<std::string> order_;  // oldest first
};

}  // namespace berth::engine
