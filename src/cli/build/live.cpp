// SPDX-License-Identifier: Apache-2.0
#include "cli/build/live.h"

#include <signal.h>

#include "base/fd.h"
#include "cli/stream/terminal.h"

namespace berth::cli {
namespace {

DisplaySize size_of(int terminal) {
  const ConsoleSize size = console_size(terminal);
  return {size.columns > 0 ? size.columns : 80, size.rows > 0 ? size.rows : 24};
}

// As if nobody had waited for it.
void die_of(int signal) {
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  ::sigaction(signal, &standard, nullptr);
  sigset_t mine;
  ::sigemptyset(&mine);
  ::sigaddset(&mine, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &mine, nullptr);
  ::raise(signal);
}

}  // namespace

LiveProgress::LiveProgress(int terminal, bool colour, std::chrono::steady_clock::time_point began)
    : terminal_(terminal), colour_(colour), began_(began), signals_(SignalWatch::Which::ends_and_continue) {
  signals_.start([this](int signal) { on_signal(signal); });
  thread_ = std::thread([this] { draw_until_stopped(); });
}

LiveProgress::~LiveProgress() { end(true); }

void LiveProgress::show(const Event& event, Moment now) {
  std::lock_guard lock(state_mutex_);
  apply(state_, event, now);
}

void LiveProgress::finish(bool failed, Moment) {
  end(failed);
  std::unique_lock lock(state_mutex_);
  const std::string text = (failed ? failure_excerpt(state_) : "") + state_.warnings;
  lock.unlock();  // a signal does not wait for the terminal
  (void)write_all(terminal_, text);
}

void LiveProgress::draw_until_stopped() {
  std::unique_lock lock(state_mutex_);
  for (bool last = false; !last;) {
    last = stopped_;
    lock.unlock();
    draw();
    lock.lock();
    changed_.wait_for(lock, std::chrono::milliseconds(1000 / kFramesASecond),
                      [&] { return last || stopped_; });
  }
  last_drawn_ = true;
  changed_.notify_all();
}

void LiveProgress::draw() {
  if (continued_.exchange(false)) shown_.clear();
  const DisplaySize size = size_of(terminal_);
  std::vector<DisplayLine> lines;
  {
    std::lock_guard lock(state_mutex_);
    if (state_.vertices.empty()) return;  // an error may be all that there will be
    lines = lay_out(state_, size, now());
  }
  (void)write_all(terminal_, redraw(shown_, lines, size.width, colour_));
  shown_ = std::move(lines);
}

// Once for all: what runs is no more, and the next frame stays.
void LiveProgress::stop(bool failed) {
  std::lock_guard lock(state_mutex_);
  if (stopped_) return;
  stopped_ = true;
  state_.finished = true;
  state_.failed = failed;
  for (BuildState::Vertex& vertex : state_.vertices) {
    if (!vertex.running()) continue;
    vertex.completed = now();
    vertex.cancelled = true;
  }
  changed_.notify_all();
}

void LiveProgress::end(bool failed) {
  stop(failed);
  if (thread_.joinable()) thread_.join();
}

void LiveProgress::on_signal(int signal) {
  if (signal == SIGWINCH) return;  // the size is asked for with every frame
  if (signal == SIGCONT) {         // what a shell has written meanwhile stands where the last frame ended
    continued_ = true;
    return;
  }
  stop(true);
  {
    std::unique_lock lock(state_mutex_);
    changed_.wait_for(lock, kForTheLastFrame, [&] { return last_drawn_; });
  }
  die_of(signal);
}

}  // namespace berth::cli
