// SPDX-License-Identifier: Apache-2.0
// --progress tty: what a terminal shows of a build at a moment. Pure.
#pragma once
#include <string>
#include <vector>

#include "cli/build/state.h"

namespace berth::cli {

struct DisplaySize {
  std::size_t width = 80;
  std::size_t height = 24;
};

struct DisplayLine {
  enum class Kind { header, running, done, failed, cancelled, detail };
  Kind kind = Kind::detail;
  std::string text;  // at most as wide as the terminal
};

// At most height - 1 lines, for the cursor is below them; a build that is finished is shown whole, with a
// line for each vertex, however high that is. What there is no room for is the oldest that is done, then
// details.
std::vector<DisplayLine> lay_out(const BuildState& state, DisplaySize size, Moment now);

// What the terminal is sent so that these lines stand where `before` (as it shows them at `width`) stands:
// one write, which leaves the cursor below, visible, and the terminal's modes as they were.
std::string redraw(const std::vector<DisplayLine>& before, const std::vector<DisplayLine>& lines,
                   std::size_t width, bool colour);

}  // namespace berth::cli
