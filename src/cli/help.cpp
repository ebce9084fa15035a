// SPDX-License-Identifier: Apache-2.0
#include "cli/help.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "base/text.h"

namespace berth::cli {
namespace {

constexpr FlagSpec kGlobalFlags[] = {
    {"config", 0, "string", "Directory of config.json", ""},
    {"context", 'c', "string", "Accepted and ignored: there is one context, \"default\"", ""},
    {"debug", 'D', "", "Say more about what goes wrong", ""},
    {"host", 'H', "list", "Engine to talk to: unix:///path, tcp://host:port", ""},
    {"log-level", 'l', "string", "Accepted for compatibility", "info"},
    {"tls", 0, "", "Use TLS", ""},
    {"tlscacert", 0, "string", "Trust certificates that this authority signed", ""},
    {"tlscert", 0, "string", "Certificate to show", ""},
    {"tlskey", 0, "string", "Key of the certificate", ""},
    {"tlsverify", 0, "", "Use TLS and check the engine's certificate", ""},
    {"version", 'v', "", "Print the version and quit", ""},
};

struct Group {
  std::string_view name;
  std::string_view summary;
};
constexpr Group kGroups[] = {{"builder", "Manage builds"},
                             {"buildx", "Manage builds, as newer clients call it"},
                             {"container", "Manage containers"},
                             {"image", "Manage images"},
                             {"manifest", "Look at manifests in registries"},
                             {"network", "Manage networks"},
                             {"route", "Manage routes of the load balancer"},
                             {"system", "Manage Berth"},
                             {"volume", "Manage volumes"}};

constexpr std::string_view kCommon[] = {"run",    "exec",  "ps",     "build",   "pull", "push",
                                        "images", "login", "logout", "version", "info"};

std::size_t columns() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

std::string row(std::string_view name, std::string_view summary) {
  return fmt::format("  {:<11} {}\n", name, summary);
}

std::string first_line(std::string_view text) { return std::string(text.substr(0, text.find('\n'))); }

bool is_common(std::string_view name) { return std::ranges::find(kCommon, name) != std::end(kCommon); }

}  // namespace

std::span<const FlagSpec> global_flags() { return kGlobalFlags; }

bool is_group(std::string_view name) {
  return std::ranges::find(kGroups, name, &Group::name) != std::end(kGroups);
}

std::string overview() {
  std::string out =
      "Usage:  berth [OPTIONS] COMMAND\n\nA container engine, and its command line\n\nCommon Commands:\n";
  std::map<std::string_view, std::string_view> top;
  for (const Command* command : all_commands())
    for (std::string_view name : names_of(*command))
      if (name.find(' ') == name.npos) top[name] = command->summary;
  for (std::string_view name : kCommon)
    if (top.contains(name)) out += row(name, first_line(top[name]));
  out += "\nManagement Commands:\n";
  for (const Group& group : kGroups) out += row(group.name, group.summary);
  out += "\nCommands:\n";
  for (const auto& [name, summary] : top)
    if (!is_common(name)) out += row(name, first_line(summary));
  out += "\nGlobal Options:\n" + describe_flags(kGlobalFlags, columns());
  return out + "\nRun 'berth COMMAND --help' for more information on a command.\n";
}

std::string group_help(std::string_view group) {
  auto known = std::ranges::find(kGroups, group, &Group::name);
  std::string out = fmt::format("Usage:  berth {} COMMAND\n\n{}\n\nCommands:\n", group, known->summary);
  std::map<std::string_view, std::string_view> rows;
  std::string prefix = std::string(group) + " ";
  for (const Command* command : all_commands())
    for (std::string_view name : names_of(*command))
      if (name.starts_with(prefix)) {
        rows[name.substr(prefix.size())] = command->summary;
        break;  // aliases are not listed
      }
  for (const auto& [name, summary] : rows) out += row(name, first_line(summary));
  return out + fmt::format("\nRun 'berth {} COMMAND --help' for more information on a command.\n", group);
}

std::string command_help(const Command& command, std::string_view path) {
  std::string out = fmt::format("Usage:  berth {} {}\n\n{}\n", path, command.usage, command.summary);
  std::vector<std::string_view> names = names_of(command);
  if (names.size() > 1) {
    out += "\nAliases:\n  ";
    for (std::size_t i = 0; i < names.size(); ++i) out += fmt::format("{}berth {}", i ? ", " : "", names[i]);
    out += "\n";
  }
  std::string flags = describe_flags(command.flags, columns());
  if (!flags.empty()) out += "\nOptions:\n" + flags;
  return out;
}

std::string usage_hint(const Command& command, std::string_view path) {
  return fmt::format("\nUsage:  berth {} {}\n\nRun 'berth {} --help' for more information\n", path,
                     command.usage, path);
}

}  // namespace berth::cli
