// SPDX-License-Identifier: Apache-2.0
// --progress rawjson: one object a line, in the form of BuildKit's SolveStatus, for programs that read that.
#pragma once
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "base/json.h"
#include "cli/build/events.h"

namespace berth::cli {

class RawJsonProgress final : public ProgressView {
 public:
  using Write = std::function<void(std::string_view)>;
  explicit RawJsonProgress(Write write) : write_(std::move(write)) {}

  void show(const Event& event, Moment now) override;
  void finish(bool, Moment) override {}

 private:
  json::value digest_of(std::int64_t vertex) const;
  json::object to_json(const VertexEvent& event);
  json::object to_json(const LogEvent& event);
  json::object to_json(const StatusEvent& event);
  static json::object to_json(const WarningEvent& event);

  const Write write_;
  std::map<std::int64_t, std::string> digests_;
};

}  // namespace berth::cli
