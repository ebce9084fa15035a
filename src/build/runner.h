// SPDX-License-Identifier: Apache-2.0
// How the instruction RUN is run. The builder says what; whoever has containers does it
// (engine/build_runner.h), with all of their defences.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "build/progress.h"

namespace berth::build {

// What a step sees besides its file system.
struct StepMount {
  enum class Kind { bind, tmpfs };
  Kind kind = Kind::bind;
  std::string source;  // a path of this host: of our own making, never one that a Dockerfile wrote
  std::string target;  // inside, absolute
  bool is_file = false;
  bool read_only = true;
  std::int64_t size = 0;  // tmpfs: bytes, 0 for no limit
};

struct Limit {
  std::string name;  // "nofile"
  std::int64_t soft = 0, hard = 0;
};

// The same for all steps of a build: what its client asked for.
struct StepSettings {
  std::string network;  // "", "default", "none", "host", a network's name
  std::vector<std::string> extra_hosts;
  std::int64_t shm_size = 0;
  std::vector<Limit> limits;
  std::int64_t memory = 0, memory_swap = 0, cpu_shares = 0, cpu_period = 0, cpu_quota = 0;
  std::string cpuset_cpus, cpuset_mems, cgroup_parent;
  std::vector<std::string> security_options;
  bool insecure = false;  // --security=insecure, which the engine must allow
};

// A device of this host.
struct StepDevice {
  std::string host, inside;
  std::string permissions = "rwm";
};

struct StepRequest {
  std::vector<Digest> layers;  // of the stage so far, base first
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // "NAME=value"
  std::string user;
  std::string working_directory;
  StepSettings settings;
  std::vector<StepMount> mounts;
  std::vector<StepDevice> devices;
};

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  using OnOutput = std::function<void(OutputStream, std::string_view)>;
  // `upper` is open for reading; nothing runs in it any more.
  using OnChanges = std::function<Result<void>(int upper)>;

  // Runs it to its end and returns the exit code. If that is 0, `changed` is told what the step has written,
  // before all of it is removed. A stop kills everything that the step has started, and is
  // ErrorKind::cancelled.
  virtual Result<int> run(const StepRequest& request, const OnOutput& output, const OnChanges& changed,
                          const std::stop_token& stop) = 0;
};

}  // namespace berth::build
