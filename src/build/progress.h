// SPDX-License-Identifier: Apache-2.0
// What a build tells while it goes. Called from several threads at once: an implementation has its own lock.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "image/transfer.h"

namespace berth::build {

// One instruction of a stage that is needed, or one that its base image triggers. Numbers are in the order of
// the Dockerfile; what is triggered has the number of the FROM.
struct Step {
  std::size_t number = 0;  // of this build, from 1
  std::size_t total = 0;
  std::size_t stage = 0;                  // the stage's place among all of the Dockerfile
  std::optional<std::string> stage_name;  // missing: it has none
  std::string text;                       // "RUN make"
  // It may take time: an image as base, RUN, COPY, ADD, WORKDIR. Others change the configuration alone.
  bool is_work = false;
  // Its place among those of its stage (0: it has none, being triggered), how many these are, and how many
  // there are in all stages.
  std::size_t work = 0, works = 0, all_works = 0;
};

enum class OutputStream { standard = 1, error = 2 };

class Progress {
 public:
  virtual ~Progress() = default;
  virtual void planned(
      const std::vector<std::size_t>& stages) = 0;  // those that are needed, before anything else
  virtual void begun(const Step& step) = 0;         // what it takes from other stages is there
  virtual void cached(const Step& step) = 0;        // its result was there already
  virtual void output(const Step& step, OutputStream stream, std::string_view data) = 0;
  virtual void transfer(const Step& step, const image::TransferStatus& status) = 0;  // of a base image
  // One that was begun has come to its end; `error` is missing where that is a good one.
  virtual void done(const Step& /*step*/, const Error* /*error*/) {}
  virtual void warning(std::string_view text) = 0;  // one line, about the whole
  virtual void ended(std::size_t stage) = 0;        // it is whole
  // The end, where the result becomes what was asked for ("exporting to image"), and what of that was done.
  virtual void delivery_begun(std::string_view /*what*/) {}
  virtual void delivered(std::string_view /*what*/) {}
  virtual void delivery_done(const Error* /*error*/) {}
};

}  // namespace berth::build
