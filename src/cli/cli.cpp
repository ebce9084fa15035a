// SPDX-License-Identifier: Apache-2.0
#include "cli/cli.h"

#include <csignal>

#include "base/text.h"
#include "cli/command.h"
#include "cli/help.h"
#include "cli/output/list_format.h"
#include "cli/version.h"

namespace berth::cli {
namespace {

constexpr int kUsageExit = 125;

GlobalOptions global_options(const Flags& flags) {
  GlobalOptions options;
  options.hosts = flags.list("host");
  options.config_directory = flags.text("config");
  options.debug = flags.on("debug");
  options.tls = flags.on("tls");
  options.tls_verify = flags.on("tlsverify");
  options.tls_authority = flags.text("tlscacert");
  options.tls_certificate = flags.text("tlscert");
  options.tls_key = flags.text("tlskey");
  return options;
}

int unknown_command(std::span<const std::string> words) {
  bool grouped = is_group(words[0]) && words.size() > 1;
  std::string path = grouped ? words[0] + " " + words[1] : words[0];
  print_error(fmt::format("berth: unknown command: berth {}\n\n", path));
  if (grouped) print_error(fmt::format("Usage:  berth {}\n\n", words[0]));
  print_error(fmt::format("Run 'berth {}--help' for more information\n", grouped ? words[0] + " " : ""));
  return 1;
}

// "requires 2 arguments": in Docker's words.
std::string arity_complaint(const Command& command, std::string_view path) {
  auto plural = [](int count) { return count == 1 ? "" : "s"; };
  std::string wanted;
  if (command.most == 0)
    wanted = "accepts no arguments";
  else if (command.most == command.least)
    wanted = fmt::format("requires {} argument{}", command.least, plural(command.least));
  else if (command.most == kAnyNumber)
    wanted = fmt::format("requires at least {} argument{}", command.least, plural(command.least));
  else if (command.least == 0)
    wanted = fmt::format("requires at most {} argument{}", command.most, plural(command.most));
  else
    wanted = fmt::format("requires at least {} and at most {} arguments", command.least, command.most);
  return fmt::format("berth: 'berth {}' {}\n", path, wanted);
}

int run_command(const Command& command, std::string_view path, std::span<const std::string> arguments,
                Context& context) {
  std::vector<std::string> separated;  // by "--": no options
  if (!command.parses) {
    separated.assign(arguments.begin(), arguments.end());
    separated.insert(separated.begin(), "--");
    arguments = separated;
  }
  Result<Parsed> parsed = parse_flags(command.flags, arguments, command.interspersed);
  if (!parsed) {
    print_error(parsed.error().message + "\n" + usage_hint(command, path));
    return kUsageExit;
  }
  if (parsed->help) {
    print_out(command_help(command, path));
    return 0;
  }
  int count = static_cast<int>(parsed->words.size());
  if (count < command.least || (command.most != kAnyNumber && count > command.most)) {
    print_error(arity_complaint(command, path) + usage_hint(command, path));
    return 1;
  }
  Invocation invocation{command, path, std::move(parsed->flags), std::move(parsed->words), context};
  Result<int> done = command.handler(invocation);
  if (done) return *done;
  if (!done.error().message.empty()) print_error(done.error().message + "\n");
  return 1;
}

int dispatch(std::span<const std::string> words, Context& context) {
  bool grouped = is_group(words[0]);
  if (grouped) {
    bool bare = words.size() == 1 || words[1] == "--help" || words[1] == "-h";
    if (bare) {
      words.size() == 1 ? print_error(group_help(words[0])) : print_out(group_help(words[0]));
      return 0;
    }
  }
  std::string path = grouped ? words[0] + " " + words[1] : words[0];
  const Command* command = find_command(path);
  if (!command) return unknown_command(words);
  return run_command(*command, path, words.subspan(grouped ? 2 : 1), context);
}

// berth help [COMMAND]
int help(std::span<const std::string> words) {
  if (words.empty()) return print_out(overview()), 0;
  std::string path = join(words, " ");
  if (is_group(path)) return print_out(group_help(path)), 0;
  if (const Command* command = find_command(path)) return print_out(command_help(*command, path)), 0;
  return unknown_command(words);
}

}  // namespace

int run(int argument_count, char** arguments) {
  std::signal(SIGPIPE, SIG_IGN);  // writes tell of it, and the terminal's mode is put back
  std::vector<std::string> all(arguments + std::min(argument_count, 1), arguments + argument_count);
  Result<Parsed> parsed = parse_flags(global_flags(), all, false);
  if (!parsed) {
    print_error(parsed.error().message +
                "\n\nUsage:  berth [OPTIONS] COMMAND [ARG...]\n\nRun 'berth --help' for more information\n");
    return kUsageExit;
  }
  if (parsed->flags.on("version")) {
    print_out(fmt::format("Berth version {}, build {}\n", kVersion, kBuild));
    return 0;
  }
  std::span<const std::string> words = parsed->words;
  if (parsed->help || words.empty()) {
    print_out(overview());
    return 0;
  }
  if (words[0] == "help") return help(words.subspan(1));
  Context context(global_options(parsed->flags));
  return dispatch(words, context);
}

}  // namespace berth::cli
