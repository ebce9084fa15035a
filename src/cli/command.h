// SPDX-License-Identifier: Apache-2.0
// A command is a row of a table: its names, what it takes, and the function that does it. Tables are constant
// data: starting the program builds nothing.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "cli/context.h"
#include "cli/flags/flags.h"

namespace berth::cli {

struct Command;

struct Invocation {
  const Command& command;
  std::string_view path;  // as typed: "container ls"
  Flags flags;
  std::vector<std::string> words;
  Context& context;
};

// Returns the exit code. An error's message is printed as it is, and the exit code is 1.
using Handler = Result<int> (*)(Invocation& invocation);

inline constexpr int kAnyNumber = -1;

struct Command {
  std::string_view names;       // each a full path, the canonical first: "container ls|container list|ps"
  std::string_view usage = "";  // behind the name: "[OPTIONS] CONTAINER"
  std::string_view summary = "";
  std::span<const FlagSpec> flags = {};
  int least = 0;  // how many words it takes
  int most = kAnyNumber;
  Handler handler = nullptr;
  bool interspersed = true;  // options may follow words
  bool parses = true;        // false: everything behind the name is a word
};

// One function a family, each in commands/.
std::span<const Command> container_commands();
std::span<const Command> run_commands();
std::span<const Command> stream_commands();
std::span<const Command> status_commands();
std::span<const Command> image_commands();
std::span<const Command> archive_commands();
std::span<const Command> inspect_commands();
std::span<const Command> list_commands();
std::span<const Command> system_commands();
std::span<const Command> resource_commands();
std::span<const Command> network_commands();
std::span<const Command> port_commands();
std::span<const Command> registry_commands();
std::span<const Command> build_commands();
std::span<const Command> route_commands();

const Command* find_command(std::string_view path);
std::vector<const Command*> all_commands();
std::vector<std::string_view> names_of(const Command& command);

}  // namespace berth::cli
