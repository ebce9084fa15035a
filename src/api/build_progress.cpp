// SPDX-License-Identifier: Apache-2.0
#include "api/build_progress.h"

#include <algorithm>

namespace berth::api {
namespace {

constexpr std::string_view kLeftOut =
    "\n[more output of this stage is left out here: it came while an earlier one was shown]\n";
constexpr std::string_view kNotRead = "\n[more output is left out here: it came faster than it was read]\n";

}  // namespace

void ClassicProgress::planned(const std::vector<std::size_t>& stages) {
  std::lock_guard lock(mutex_);
  waiting_ = stages;
  std::ranges::sort(waiting_, std::greater());
}

void ClassicProgress::begun(const build::Step& step) {
  tell(step.stage, fmt::format("Step {}/{} : {}\n", step.number, step.total, step.text));
}

void ClassicProgress::cached(const build::Step& step) { tell(step.stage, " ---> Using cache\n"); }

void ClassicProgress::output(const build::Step& step, build::OutputStream, std::string_view data) {
  tell(step.stage, data, Keep::if_room);
}

// Bars mean nothing in one column.
void ClassicProgress::transfer(const build::Step& step, const image::TransferStatus& status) {
  if (status.total > 0) return;
  tell(step.stage, fmt::format("{}{}{}\n", status.id, status.id.empty() ? "" : ": ", status.text));
}

void ClassicProgress::warning(std::string_view text) { say(fmt::format("[Warning] {}\n", text)); }

void ClassicProgress::ended(std::size_t stage) {
  std::lock_guard lock(mutex_);
  ended_.insert(stage);
  while (!waiting_.empty() && ended_.contains(waiting_.back())) {
    waiting_.pop_back();
    if (waiting_.empty()) return;
    if (auto held = held_.extract(waiting_.back())) stream(held.mapped());
  }
}

void ClassicProgress::flush() {
  std::lock_guard lock(mutex_);
  for (const auto& [stage, text] : std::exchange(held_, {})) stream(text);
}

void ClassicProgress::say(const std::string& text) {
  std::lock_guard lock(mutex_);
  stream(text);
}

void ClassicProgress::line(const json::object& line) {
  std::lock_guard lock(mutex_);
  write_(line, Keep::always);
}

void ClassicProgress::tell(std::size_t stage, std::string_view text, Keep keep) {
  if (quiet_) return;
  std::lock_guard lock(mutex_);
  if (!waiting_.empty() && waiting_.back() == stage) return stream(text, keep);
  std::string& held = held_[stage];
  if (held.size() >= kMostHeld) return;
  held += text.substr(0, kMostHeld - held.size());
  if (held.size() >= kMostHeld) held += kLeftOut;
}

void ClassicProgress::stream(std::string_view text, Keep keep) {
  if (left_out_) left_out_ = !write_({{"stream", kNotRead}}, keep);
  if (!left_out_) left_out_ = !write_({{"stream", text}}, keep);
}

}  // namespace berth::api
