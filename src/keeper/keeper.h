// SPDX-License-Identifier: Apache-2.0
// One container's parent: it creates the container when the engine says start, owns its streams and log, runs
// execs in it, waits for it, restarts it by its policy, and writes down what happened (state.h). It lives as
// long as the container does, whatever becomes of the engine.
#pragma once
#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/event_loop.h"
#include "base/fd.h"
#include "keeper/assignment.h"
#include "keeper/control_server.h"
#include "keeper/log_writer.h"
#include "keeper/protocol.h"
#include "keeper/restart.h"
#include "keeper/settings.h"
#include "keeper/state.h"
#include "keeper/streams.h"
#include "runtime/container.h"
#include "sys/seccomp_cache.h"

namespace berth::keeper {

class Keeper {
 public:
  // `filters` may have what was compiled before there was a container.
  static Result<std::unique_ptr<Keeper>> open(Assignment assignment, Fd control, sys::SeccompCache filters);

  // Until the container has ended for good and every attached client has everything.
  Result<void> run();

 private:
  struct RunningExec {
    std::string id;
    std::unique_ptr<Streams> streams;
    bool exited = false;
  };

  Keeper(EventLoop loop, Fd run_directory, Settings settings, Assignment assignment, LogWriter log,
         sys::SeccompCache filters);
  Result<void> begin(Fd control);

  void on_message(ControlServer::ConnectionId connection, Message message);
  void on_abandoned();
  Result<Reply> handle(Message& message);
  Result<Reply> start();
  Result<void> attach(Message& message);
  Result<void> resize(const Resize& resize);
  Result<void> signal(const Signal& signal);
  Result<Reply> exec(Message& message);

  Result<void> launch();
  void on_child_signal();
  void on_container_exit(int wait_status);
  void on_exec_exit(pid_t pid, int wait_status);
  void schedule_restart(std::chrono::nanoseconds delay);
  void relaunch();
  void end_container();
  void clean_up_cgroup();
  void publish_state();
  void trim_memory_later();
  void finish_if_done();

  EventLoop loop_;
  Fd run_directory_;
  Settings settings_;
  Fd network_;
  std::vector<Fd> layers_;  // held for restarts: the engine that mounted them may be gone
  LogWriter log_;
  sys::SeccompCache filters_;
  Fd signals_;
  State state_;
  RestartTracker restarts_;
  std::optional<sys::Cgroup> cgroup_;  // of the container that runs
  ControlServer control_;
  std::unique_ptr<Streams> streams_;
  std::map<pid_t, RunningExec> execs_;
  std::optional<EventLoop::Timer> restart_timer_;
  bool stop_intended_ = false;
  bool ended_ = false;
  bool done_ = false;
};

}  // namespace berth::keeper
