// SPDX-License-Identifier: Apache-2.0
// Help, made from the tables.
#pragma once
#include <string>

#include "cli/command.h"

namespace berth::cli {

std::span<const FlagSpec> global_flags();
std::string overview();                                                   // berth --help
std::string group_help(std::string_view group);                           // berth container --help
std::string command_help(const Command& command, std::string_view path);  // berth ps --help
bool is_group(std::string_view name);

// "Usage:  berth ps [OPTIONS]", and where help is: what follows a complaint about the usage.
std::string usage_hint(const Command& command, std::string_view path);

}  // namespace berth::cli
