// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"
#include "cli/command.h"

namespace berth::cli {
namespace {

template <class Visit>
void each_command(Visit visit) {
  for (auto family : {run_commands, list_commands, container_commands, stream_commands, status_commands,
                      image_commands, archive_commands, inspect_commands, system_commands, resource_commands,
                      network_commands, port_commands, registry_commands, build_commands, route_commands})
    for (const Command& command : family())
      if (visit(command)) return;
}

bool has_name(std::string_view names, std::string_view wanted) {
  while (!names.empty()) {
    std::size_t bar = names.find('|');
    if (names.substr(0, bar) == wanted) return true;
    if (bar == names.npos) return false;
    names.remove_prefix(bar + 1);
  }
  return false;
}

}  // namespace

const Command* find_command(std::string_view path) {
  const Command* found = nullptr;
  each_command([&](const Command& command) {
    if (has_name(command.names, path)) found = &command;
    return found != nullptr;
  });
  return found;
}

std::vector<const Command*> all_commands() {
  std::vector<const Command*> all;
  each_command([&](const Command& command) {
    all.push_back(&command);
    return false;
  });
  return all;
}

std::vector<std::string_view> names_of(const Command& command) { return split(command.names, '|'); }

}  // namespace berth::cli
