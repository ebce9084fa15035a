// SPDX-License-Identifier: Apache-2.0
// The user's terminal.
#pragma once
#include <memory>
#include <string>

#include "base/error.h"
#include "cli/create/request.h"

namespace berth::cli {

bool is_terminal(int descriptor) noexcept;
ConsoleSize console_size(int descriptor) noexcept;

// Puts a terminal into raw mode while it lives. restore() may be called from a signal's thread as well, and
// more than once.
class RawTerminal {
 public:
  static Result<std::unique_ptr<RawTerminal>> enter(int descriptor);
  ~RawTerminal() { restore(); }
  void restore() noexcept;

 private:
  struct State;
  explicit RawTerminal(std::shared_ptr<State> state) : state_(std::move(state)) {}
  std::shared_ptr<State> state_;
};

// "ctrl-p,ctrl-q" as the bytes that a terminal sends for it.
Result<std::string> parse_detach_keys(std::string_view text);

}  // namespace berth::cli
