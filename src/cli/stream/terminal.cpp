// SPDX-License-Identifier: Apache-2.0
#include "cli/stream/terminal.h"

#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"

namespace berth::cli {

bool is_terminal(int descriptor) noexcept { return ::isatty(descriptor) == 1; }

ConsoleSize console_size(int descriptor) noexcept {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) != 0) return {};
  return {size.ws_row, size.ws_col};
}

struct RawTerminal::State {
  int descriptor = -1;
  termios before{};
};

Result<std::unique_ptr<RawTerminal>> RawTerminal::enter(int descriptor) {
  auto state = std::make_shared<State>();
  state->descriptor = descriptor;
  if (::tcgetattr(descriptor, &state->before) != 0)
    return fail_errno(errno, "cannot read the terminal's mode");
  termios raw = state->before;
  ::cfmakeraw(&raw);
  raw.c_cc[VMIN] = 1;
  raw.c_cc[VTIME] = 0;
  if (::tcsetattr(descriptor, TCSANOW, &raw) != 0) return fail_errno(errno, "cannot set the terminal's mode");
  return std::unique_ptr<RawTerminal>(new RawTerminal(std::move(state)));
}

void RawTerminal::restore() noexcept { ::tcsetattr(state_->descriptor, TCSANOW, &state_->before); }

Result<std::string> parse_detach_keys(std::string_view text) {
  std::string keys;
  for (std::string_view key : split(text, ',')) {
    std::string lower = to_lower(key);
    if (key.size() == 1) {
      keys += key;
    } else if (lower.starts_with("ctrl-") && lower.size() == 6) {
      static constexpr std::string_view specials = "@[\\]^_";
      char letter = lower[5];
      if (letter >= 'a' && letter <= 'z')
        keys += static_cast<char>(letter - 'a' + 1);
      else if (std::size_t at = specials.find(letter); at != specials.npos)
        keys += static_cast<char>(at == 0 ? 0 : 26 + at);
      else
        return fail(ErrorKind::invalid, "invalid detach keys ({}): unknown character: '{}'", text, key);
    } else {
      return fail(ErrorKind::invalid, "invalid detach keys ({}): unknown character: '{}'", text, key);
    }
  }
  return keys;
}

}  // namespace berth::cli
