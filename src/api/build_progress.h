// SPDX-License-Identifier: Apache-2.0
// What a client of the classic builder is shown: JSON lines with "stream" (Engine API, ImageBuild). Stages
// run at once, and such a client has one column: they are told one after the other, in the order of the
// Dockerfile. What the first that is not done says goes out at once; what others say waits, up to kMostHeld
// bytes each.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "api/line_queue.h"
#include "base/json.h"
#include "build/progress.h"

namespace berth::api {

class ClassicProgress final : public build::Progress {
 public:
  static constexpr std::size_t kMostHeld = 1u << 20;

  // `write` is called by one thread at a time, and says whether there was room for the line. A quiet one is
  // not told of steps.
  using Write = std::function<bool(const json::object& line, Keep keep)>;
  ClassicProgress(Write write, bool quiet) : write_(std::move(write)), quiet_(quiet) {}

  void planned(const std::vector<std::size_t>& stages) override;
  void begun(const build::Step& step) override;
  void cached(const build::Step& step) override;
  void output(const build::Step& step, build::OutputStream stream, std::string_view data) override;
  void transfer(const build::Step& step, const image::TransferStatus& status) override;
  void warning(std::string_view text) override;
  void ended(std::size_t stage) override;

  void flush();  // what was held back, in order: for a build that has failed
  void say(const std::string& text);
  void line(const json::object& line);

 private:
  void tell(std::size_t stage, std::string_view text, Keep keep = Keep::always);
  void stream(std::string_view text, Keep keep = Keep::always);

  const Write write_;
  const bool quiet_;
  std::mutex mutex_;
  std::vector<std::size_t> waiting_;  // stages that are not done, the last of the Dockerfile first
  std::set<std::size_t> ended_;
  std::map<std::size_t, std::string> held_;
  bool left_out_ = false;  // there was no room for some output
};

}  // namespace berth::api
