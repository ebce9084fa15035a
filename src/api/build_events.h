// SPDX-License-Identifier: Apache-2.0
// What our own client is shown of a build: JSON lines as things happen, whatever stage they happen in. A
// vertex is a step that may take time, or what becomes of the result; steps that change the configuration
// alone are told of when they fail. What a base image triggers has no number: "[build] ONBUILD RUN make".
//
//   {"check": {..}}                   what there is to warn of, as build_call.h has it; the first line, if
//   any
//   {"vertex": {"id": 3, "name": "[build 2/4] RUN make", "stage": "build", "total": 9, "started": TIME}}
//   {"vertex": {.., "completed": TIME}}                            the same again: it is done
//   {"vertex": {.., "completed": TIME, "cached": true}}            its result was there already
//   {"vertex": {.., "completed": TIME, "error": TEXT}}             it has failed
//   {"vertex": {.., "completed": TIME, "cancelled": true}}         it was stopped
//   {"log": {"vertex": 3, "stream": 1, "time": TIME, "data": TEXT}}
//   {"status": {"vertex": 1, "id": "layer", "text": "Downloading", "current": 5, "total": 9, "time": TIME}}
//
// Then what every client is sent: {"aux": {"ID": ..}}, or {"errorDetail": .., "error": ..}. TIME is RFC 3339;
// "total" is the number of vertices that the whole build has, as far as it is known.
#pragma once
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/line_queue.h"
#include "api/valid_text.h"
#include "base/clock.h"
#include "base/json.h"
#include "build/progress.h"

namespace berth::api {

class EventProgress final : public build::Progress {
 public:
  // `write` is called by one thread at a time, and says whether there was room for the line. Texts are as
  // they were said, so that it has to see to it that they are valid.
  using Write = std::function<bool(const json::object& line, Keep keep)>;
  explicit EventProgress(Write write) : write_(std::move(write)) {}

  void planned(const std::vector<std::size_t>& stages) override;
  void begun(const build::Step& step) override;
  void cached(const build::Step& step) override;
  void output(const build::Step& step, build::OutputStream stream, std::string_view data) override;
  void transfer(const build::Step& step, const image::TransferStatus& status) override;
  void done(const build::Step& step, const Error* error) override;
  void warning(std::string_view text) override;
  void ended(std::size_t) override {}
  void delivery_begun(std::string_view what) override;
  void delivered(std::string_view what) override;
  void delivery_done(const Error* error) override;

  void line(const json::object& line);

 private:
  struct Vertex {
    std::int64_t id = 0;
    std::string name, stage;
    std::size_t total = 0;
    Timestamp started;
    bool cached = false;
    bool left_out = false;            // of its output: there was no room
    WholeCharacters standard, error;  // of its output: two streams, each with characters of its own
  };
  std::string name_of(const build::Step& step) const;
  Vertex& begin(const build::Step& step);
  void announce(Vertex& vertex);
  void end(Vertex& vertex, const Error* error);
  Vertex* of(const build::Step& step);
  static json::object to_json(const Vertex& vertex);
  void finish_output(Vertex& vertex);
  void log(Vertex& vertex, build::OutputStream stream, std::string_view text);
  bool write_log(const Vertex& vertex, build::OutputStream stream, std::string_view text, Keep keep);
  void status(std::int64_t vertex, std::string_view id, std::string_view text, std::uint64_t current = 0,
              std::uint64_t total = 0);

  const Write write_;
  std::mutex mutex_;
  bool several_stages_ = false;
  std::int64_t last_id_ = 0;
  std::size_t total_ = 0;
  std::size_t unplanned_ = 0;  // vertices of what base images trigger, or of steps that took no time
  std::map<std::size_t, Vertex> running_;  // by stage: its steps come one after the other
  std::optional<Vertex> delivery_;
};

}  // namespace berth::api
