// SPDX-License-Identifier: Apache-2.0
// Starting and waiting for helper programs by argv, never through a shell. posix_spawn underneath: safe in a
// program with threads, and it shares memory until exec instead of copying page tables.
#pragma once
#include <chrono>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth {

struct SpawnRequest {
  std::vector<std::string> arguments;  // arguments[0] is the program; looked up in PATH when it has no slash
  std::string executable;  // what is executed, where that is not arguments[0]: a path with a slash
  std::vector<std::string> environment;  // "KEY=value"; exactly what the program gets
  int standard_input = -1;               // -1: /dev/null
  int standard_output = -1;              // -1: /dev/null
  int standard_error = -1;               // -1: this program's own
  std::map<int, int> descriptors;        // number in the child (>= 3) -> descriptor here
  bool new_session = false;  // setsid: no controlling terminal, not reached by our group's signals
};

// A started child. Its owner waits for it; destruction of one that still runs kills and reaps it, unless it
// was released.
class Process {
 public:
  static Result<Process> spawn(const SpawnRequest& request);
  Process(Process&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  Process& operator=(Process&& other) noexcept {
    std::swap(pid_, other.pid_);
    return *this;
  }
  ~Process();

  pid_t pid() const noexcept { return pid_; }
  Result<int> wait();  // exit code, or 128 + signal
  pid_t release() noexcept { return std::exchange(pid_, -1); }

 private:
  explicit Process(pid_t pid) : pid_(pid) {}
  pid_t pid_ = -1;
};

struct Output {
  int exit_code = 0;
  std::string standard_output;
  std::string standard_error;
};

// Runs a program to its end with `input` on its standard input. Output is bounded to 16 MiB.
Result<Output> run_program(const std::vector<std::string>& arguments, std::string_view input = {});

int exit_code_of(int wait_status) noexcept;  // as a shell reports it

}  // namespace berth
