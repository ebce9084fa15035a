// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/text.h"
#include "dockerfile/flags.h"
#include "dockerfile/instructions.h"
#include "dockerfile/mount.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

// A JSON list is what runs; anything else is for a shell.
Result<Command> command_of(Statement& statement, std::string_view text) {
  auto words = TRY(string_list(statement, text));
  if (words) return Command{.exec = true, .words = *std::move(words)};
  return Command{.exec = false, .words = {std::string(text)}};
}

Result<Content> parse_command(Statement& statement, std::string_view rest, bool entrypoint) {
  TRY(take_flags(statement, rest, {}));
  if (rest.empty())
    return statement.fail_at(statement.text(), "{} requires at least one argument",
                             entrypoint ? "ENTRYPOINT" : "CMD");
  Command command = TRY(command_of(statement, rest));
  return CommandInstruction{entrypoint, std::move(command)};
}

Result<Command> run_command(Statement& statement, std::string_view text, LineReader& lines) {
  Command command = TRY(command_of(statement, text));
  if (text.empty() || command.words.empty())
    return statement.fail_at(statement.text(), "RUN requires at least one argument");
  if (command.exec) return command;
  std::vector<HeredocStart> starts = TRY(heredoc_starts(statement, text, true));
  command.script = !starts.empty() && starts.front().text == text;
  command.heredocs = TRY(read_heredocs(statement, lines, starts));
  for (const Heredoc& heredoc : command.heredocs)
    if (!valid_utf8(heredoc.content)) return statement.fail_at(text, "the heredoc of a RUN is not in UTF-8");
  return command;
}

Result<void> check_choice(Statement& statement, const std::optional<Word>& flag, std::string_view what,
                          std::span<const std::string_view> choices, std::string& out) {
  if (!flag) return {};
  out = flag->text;
  if (std::ranges::find(choices, flag->text) != choices.end()) return {};
  return statement.fail_at_position(flag->at, "unsupported {} \"{}\"{}", what, shown(flag->text),
                                    did_you_mean(flag->text, choices));
}

// A duration of a health check: 0 or what is not there means the default.
Result<void> check_duration(Statement& statement, std::string_view flag, const std::optional<Word>& value) {
  if (!value || value->text.empty()) return {};
  Result<std::chrono::nanoseconds> duration = parse_duration(value->text);
  if (!duration)
    return statement.fail_at_position(
        value->at, "{}: '{}' is not a duration: use a number with a unit, such as 300ms, 10s or 1h30m", flag,
        shown(value->text));
  if (duration->count() != 0 && *duration < std::chrono::milliseconds(1))
    return statement.fail_at_position(value->at, "{} cannot be less than 1ms", flag);
  return {};
}

Result<void> check_retries(Statement& statement, const std::optional<Word>& value) {
  if (!value || value->text.empty()) return {};
  std::optional<std::int32_t> retries = parse_integer<std::int32_t>(value->text);
  if (!retries || *retries < 0)
    return statement.fail_at_position(value->at, "--retries must be a number, 0 or more, not '{}'",
                                      shown(value->text));
  return {};
}

}  // namespace

std::string shell_text(const Command& command) {
  if (command.exec || command.words.empty()) return "";
  if (command.script && !command.heredocs.empty()) return command.heredocs.front().content;
  std::string text = command.words.front();
  for (const Heredoc& heredoc : command.heredocs) text += "\n" + heredoc.content + heredoc.name;
  return text;
}

Result<Content> parse_run(Statement& statement, std::string_view rest, LineReader& lines) {
  RunInstruction run;
  std::vector<Word> mounts;
  std::optional<Word> network, security;
  TRY(take_flags(statement, rest,
                 std::array{Flag{"--mount", &mounts}, Flag{"--network", &network},
                            Flag{"--security", &security}, Flag{"--device", &run.devices}}));
  for (Word& mount : mounts) {
    if (Result<void> checked = check_mount(mount.text); !checked)
      return statement.fail_at_position(mount.at, "--mount: {}", checked.error().message);
    run.mounts.push_back({std::move(mount)});
  }
  static constexpr std::array<std::string_view, 3> networks{"default", "none", "host"};
  static constexpr std::array<std::string_view, 2> securities{"sandbox", "insecure"};
  TRY(check_choice(statement, network, "network mode", networks, run.network));
  TRY(check_choice(statement, security, "security mode", securities, run.security));
  run.command = TRY(run_command(statement, rest, lines));
  return run;
}

Result<Content> parse_cmd(Statement& statement, std::string_view rest, LineReader&) {
  return parse_command(statement, rest, false);
}

Result<Content> parse_entrypoint(Statement& statement, std::string_view rest, LineReader&) {
  return parse_command(statement, rest, true);
}

Result<Content> parse_shell(Statement& statement, std::string_view rest, LineReader&) {
  TRY(take_flags(statement, rest, {}));
  auto words = TRY(string_list(statement, rest));
  if (rest.empty() || (words && words->empty()))
    return statement.fail_at(statement.text(), "SHELL requires at least one argument");
  if (!words) return statement.fail_at(rest, "SHELL requires the arguments to be in JSON form");
  return ShellInstruction{*std::move(words)};
}

Result<Content> parse_health_check(Statement& statement, std::string_view rest, LineReader&) {
  HealthCheckInstruction check;
  TRY(take_flags(
      statement, rest,
      std::array{Flag{"--interval", &check.interval}, Flag{"--timeout", &check.timeout},
                 Flag{"--start-period", &check.start_period}, Flag{"--start-interval", &check.start_interval},
                 Flag{"--retries", &check.retries}}));
  auto [kind, command] = split_word(rest);
  if (kind.empty()) return statement.fail_at(statement.text(), "HEALTHCHECK requires at least one argument");
  std::string upper = to_upper(kind);
  if (upper == "NONE") {
    if (!command.empty()) return statement.fail_at(command, "HEALTHCHECK NONE takes no arguments");
    check.none = true;
    return check;
  }
  if (upper != "CMD")
    return statement.fail_at(kind, "Unknown type \"{}\" in HEALTHCHECK (try CMD)", shown(upper));
  check.command = TRY(command_of(statement, command));
  if (command.empty() || check.command.words.empty())
    return statement.fail_at(kind, "Missing command after HEALTHCHECK CMD");
  TRY(check_duration(statement, "--interval", check.interval));
  TRY(check_duration(statement, "--timeout", check.timeout));
  TRY(check_duration(statement, "--start-period", check.start_period));
  TRY(check_duration(statement, "--start-interval", check.start_interval));
  TRY(check_retries(statement, check.retries));
  return check;
}

}  // namespace berth::dockerfile
