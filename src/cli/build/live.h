// SPDX-License-Identifier: Apache-2.0
// --progress tty: draws what display.h lays out, in place, kFramesASecond times at most. A signal that ends
// the program waits for a last frame first, but not for a terminal that takes none (Ctrl-S, a connection that
// hangs). Every write leaves the terminal as it should be, so that nothing is to be put right after a program
// that was killed.
#pragma once
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include "cli/build/display.h"
#include "cli/stream/signals.h"

namespace berth::cli {

class LiveProgress final : public ProgressView {
 public:
  static constexpr int kFramesASecond = 10;
  static constexpr std::chrono::milliseconds kForTheLastFrame{1000};  // before a signal ends the program

  // To be made before any other thread: it blocks signals. `began` is what moments are counted from.
  LiveProgress(int terminal, bool colour, std::chrono::steady_clock::time_point began);
  ~LiveProgress() override;

  void show(const Event& event, Moment now) override;
  void finish(bool failed, Moment now) override;

 private:
  void draw_until_stopped();
  void draw();
  void stop(bool failed);
  void end(bool failed);
  void on_signal(int signal);
  Moment now() const { return std::chrono::steady_clock::now() - began_; }

  const int terminal_;
  const bool colour_;
  const std::chrono::steady_clock::time_point began_;

  std::mutex state_mutex_;
  std::condition_variable changed_;
  BuildState state_;
  bool stopped_ = false;
  bool last_drawn_ = false;

  std::atomic<bool> continued_ = false;  // after a stop: others may have written below
  std::vector<DisplayLine> shown_;       // the thread's, which alone draws: a terminal may take its time
  std::thread thread_;
  SignalWatch signals_;  // the last: its thread uses the others
};

}  // namespace berth::cli
