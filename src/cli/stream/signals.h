// SPDX-License-Identifier: Apache-2.0
// Signals that this program receives, handed to a function in a thread of their own: the main thread may be
// blocked writing to a pipe that nobody reads.
#pragma once
#include <functional>
#include <memory>

namespace berth::cli {

class SignalWatch {
 public:
  enum class Which {
    all,                // everything that --sig-proxy forwards, and SIGWINCH
    ends_only,          // what would end the program, and SIGWINCH
    ends_and_continue,  // SIGCONT as well
  };
  // Blocks the signals from here on; they are delivered once start() was called. Make it before any other
  // thread is started: threads inherit the mask.
  explicit SignalWatch(Which which);
  ~SignalWatch();
  void start(std::function<void(int signal)> on_signal);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace berth::cli
