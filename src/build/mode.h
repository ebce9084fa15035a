// SPDX-License-Identifier: Apache-2.0
// --chmod: "0755", "u=rwX,go=rX", as chmod(1) reads it.
#pragma once
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"

namespace berth::build {

class ModeChange {
 public:
  static Result<ModeChange> parse(std::string_view text);
  // The permission bits (07777) of a file that has `mode`.
  std::uint32_t apply(std::uint32_t mode, bool is_directory) const noexcept;

 private:
  struct Clause {
    std::uint32_t who = 0;  // bits of u, g, o: 04700, 02070, 01007
    char action = '=';
    std::uint32_t bits = 0;       // as rwx of all three, and set-id and sticky bits
    bool execute_if_any = false;  // X
    char copied_from = 0;         // u, g or o: the permissions are those of these
  };
  std::uint32_t apply(const Clause& clause, std::uint32_t mode, bool is_directory) const noexcept;

  std::variant<std::uint32_t, std::vector<Clause>> change_{0u};
};

}  // namespace berth::build
