// SPDX-License-Identifier: Apache-2.0
// The --flags between an instruction's keyword and its arguments.
#pragma once
#include <span>
#include <variant>

#include "dockerfile/statement.h"

namespace berth::dockerfile {

struct Flag {
  std::string_view name;
  using Target = std::variant<std::optional<Word>*, std::vector<Word>*, bool*, std::optional<bool>*>;
  Target into;
};

// Takes the flags off the front of `rest`. Those that `known` does not have are refused, and so is one given
// twice, unless it is a list.
Result<void> take_flags(Statement& statement, std::string_view& rest, std::span<const Flag> known);

}  // namespace berth::dockerfile
