// SPDX-License-Identifier: Apache-2.0
// How a build is shown, from the first byte of its context to its end. Progress goes to standard error.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "archive/stream.h"
#include "base/error.h"
#include "cli/build/clean_text.h"
#include "cli/build/events.h"
#include "cli/flags/flags.h"
#include "http/client.h"

namespace berth::cli {

enum class ShowMode {
  plain,
  live,     // drawn on a terminal
  raw,      // rawjson
  nothing,  // -q: what is said is only worth something when the build fails
};

// --progress, or else $BUILDKIT_PROGRESS; auto is a display where standard error is a terminal.
Result<ShowMode> chosen_show(const Flags& flags);

class BuildShow {
 public:
  BuildShow(ShowMode mode, bool debug);
  ~BuildShow();

  // The context's source, with a vertex that tells how much of it was sent.
  std::unique_ptr<archive::Source> watched(std::unique_ptr<archive::Source> body);
  // The answer to its end. Returns the image's id; the build's error is an error.
  Result<std::string> follow(http::Response& response);

 private:
  class WatchedSource;
  Moment now() const;
  void show(const Event& event);
  void tell(const std::vector<std::string>& lines);
  Result<void> read(http::Response& response, std::string& image);

  const ShowMode mode_;
  const bool debug_;
  const std::chrono::steady_clock::time_point began_;
  std::unique_ptr<ProgressView> view_;
  OutputLines stream_;  // text that comes in place of events
  std::string kept_;    // of it, for when a quiet build fails
};

}  // namespace berth::cli
