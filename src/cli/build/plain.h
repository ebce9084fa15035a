// SPDX-License-Identifier: Apache-2.0
// --progress plain: lines for a log. Each vertex has a number; one is told of at a time, and what others say
// meanwhile waits until it is done, or has been told of for kLongestTurn.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>

#include "cli/build/events.h"
#include "cli/build/state.h"

namespace berth::cli {

class PlainProgress final : public ProgressView {
 public:
  static constexpr std::chrono::seconds kLongestTurn{2};
  using Write = std::function<void(std::string_view)>;
  explicit PlainProgress(Write write) : write_(std::move(write)) {}

  void show(const Event& event, Moment now) override;
  void finish(bool failed, Moment now) override;

 private:
  struct Told {
    std::int64_t id = 0;
    std::size_t number = 0;
    std::string waiting;  // what is to be told
    bool announced = false, completed = false;
  };
  Told& of(const BuildState::Vertex& vertex);
  std::string title(const Told& told);
  void tell(Told& told, std::string_view text);
  void tell_end(Told& told, const BuildState::Vertex& vertex);
  void pump(Moment now);
  bool others_wait() const;
  Told* next();

  const Write write_;
  BuildState state_;
  std::map<std::int64_t, Told> vertices_;
  Told* current_ = nullptr;
  Moment since_{};  // it is the current one
};

}  // namespace berth::cli
