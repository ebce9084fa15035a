// SPDX-License-Identifier: Apache-2.0
#include "base/signal_name.h"

#include <array>
#include <csignal>
#include <string>
#include <utility>

#include "base/text.h"

namespace berth {

Result<int> parse_signal(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, int>, 33> signals{
      {{"HUP", SIGHUP},       {"INT", SIGINT},     {"QUIT", SIGQUIT}, {"ILL", SIGILL},
       {"TRAP", SIGTRAP},     {"ABRT", SIGABRT},   {"IOT", SIGIOT},   {"BUS", SIGBUS},
       {"FPE", SIGFPE},       {"KILL", SIGKILL},   {"USR1", SIGUSR1}, {"SEGV", SIGSEGV},
       {"USR2", SIGUSR2},     {"PIPE", SIGPIPE},   {"ALRM", SIGALRM}, {"TERM", SIGTERM},
       {"STKFLT", SIGSTKFLT}, {"CHLD", SIGCHLD},   {"CLD", SIGCHLD},  {"CONT", SIGCONT},
       {"STOP", SIGSTOP},     {"TSTP", SIGTSTP},   {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},
       {"URG", SIGURG},       {"XCPU", SIGXCPU},   {"XFSZ", SIGXFSZ}, {"VTALRM", SIGVTALRM},
       {"PROF", SIGPROF},     {"WINCH", SIGWINCH}, {"IO", SIGIO},     {"PWR", SIGPWR},
       {"SYS", SIGSYS}}};
  if (auto number = parse_integer<int>(text)) {
    if (*number >= 1 && *number <= 64) return *number;
    return fail(ErrorKind::invalid, "invalid signal: {}", text);
  }
  std::string name = to_upper(text);
  if (name.starts_with("SIG")) name.erase(0, 3);
  for (auto [known, number] : signals)
    if (known == name) return number;
  // The kernel's SIGRTMIN is 34 for programs; RTMIN+n and RTMAX-n count from there.
  auto offset = [&](std::string_view prefix) {
    return parse_integer<int>(std::string_view(name).substr(prefix.size()));
  };
  if (name == "RTMIN") return 34;
  if (name == "RTMAX") return 64;
  if (name.starts_with("RTMIN+"))
    if (auto up = offset("RTMIN+"); up && *up >= 0 && *up <= 30) return 34 + *up;
  if (name.starts_with("RTMAX-"))
    if (auto down = offset("RTMAX-"); down && *down >= 0 && *down <= 30) return 64 - *down;
  return fail(ErrorKind::invalid, "invalid signal: {}", text);
}

}  // namespace berth
