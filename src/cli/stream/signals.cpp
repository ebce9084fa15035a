// SPDX-License-Identifier: Apache-2.0
#include "cli/stream/signals.h"

#include <signal.h>

#include <algorithm>
#include <thread>

namespace berth::cli {

struct SignalWatch::State {
  sigset_t watched{};
  sigset_t before{};
  std::thread thread;
  int stop_signal = SIGRTMIN;
};

SignalWatch::SignalWatch(Which which) : state_(std::make_unique<State>()) {
  ::sigemptyset(&state_->watched);
  static constexpr int ends[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
  static constexpr int never[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGURG,  SIGSEGV,
                                  SIGBUS,  SIGFPE,  SIGILL,  SIGABRT, SIGTRAP, SIGSYS};
  if (which != Which::all) {
    for (int signal : ends) ::sigaddset(&state_->watched, signal);
    if (which == Which::ends_and_continue) ::sigaddset(&state_->watched, SIGCONT);
  } else {
    for (int signal = 1; signal < 32; ++signal)
      if (std::ranges::find(never, signal) == std::end(never)) ::sigaddset(&state_->watched, signal);
  }
  ::sigaddset(&state_->watched, state_->stop_signal);
  ::pthread_sigmask(SIG_BLOCK, &state_->watched, &state_->before);
}

SignalWatch::~SignalWatch() {
  if (state_->thread.joinable()) {
    ::pthread_kill(state_->thread.native_handle(), state_->stop_signal);
    state_->thread.join();
  }
  ::pthread_sigmask(SIG_SETMASK, &state_->before, nullptr);
}

void SignalWatch::start(std::function<void(int)> on_signal) {
  state_->thread =
      std::thread([watched = state_->watched, stop = state_->stop_signal, on_signal = std::move(on_signal)] {
        for (;;) {
          int signal = 0;
          if (::sigwait(&watched, &signal) != 0) continue;
          if (signal == stop) return;
          on_signal(signal);
        }
      });
}

}  // namespace berth::cli
