// SPDX-License-Identifier: Apache-2.0
// The grammar of options, which is that of Go's pflag, as Docker's users type it: -it, -eA=1, -e A=1,
// --rm=false, --flag value, --flag=value, `--` ends. A boolean option never takes the next word. In an
// interspersed command options may follow words; otherwise the first word ends them.
// docs/decisions/0003-command-line-grammar.md says why this is not a library's.
//
//   constexpr FlagSpec flags[] = {{"all", 'a', "", "Show stopped containers too"}, ...};
//   Parsed parsed = TRY(parse_flags(flags, words, true));
//   if (parsed.flags.on("all")) ...
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::cli {

// Refuses an argument with the reason, or returns what is kept of it.
using FlagCheck = Result<std::string> (*)(std::string_view argument);

struct FlagSpec {
  std::string_view name;
  char shorthand = 0;
  // What the argument is, as help shows it. "" is a boolean. "int", "uint16", "duration", "bytes",
  // "decimal", "filter" and "strings" (comma-separated) are checked as such; "list" and "map" collect.
  std::string_view type = "";
  std::string_view help = "";
  std::string_view standard = "";    // the default, as text; shown in help unless it is the type's zero
  FlagCheck check = nullptr;         // of one argument, beyond its type
  std::string_view stands_for = "";  // another flag of the table: a hidden older spelling of it
  bool hidden = false;
};

// What was given, by the table's names. Asking for a name that the table does not have is a bug and aborts.
class Flags {
 public:
  explicit Flags(std::span<const FlagSpec> table) : table_(table), values_(table.size()) {}

  bool given(std::string_view name) const;
  bool on(std::string_view name) const;                               // booleans
  std::string text(std::string_view name) const;                      // the last one given, or the default
  const std::vector<std::string>& list(std::string_view name) const;  // all that were given, in order
  std::int64_t integer(std::string_view name) const;                  // "int", "uint16"; 0 without a default
  std::int64_t bytes(std::string_view name) const;                    // "bytes", in bytes
  std::int64_t nanoseconds(std::string_view name) const;              // "duration"
  bool any() const;                                                   // whether any flag was given

  std::span<const FlagSpec> table() const { return table_; }
  Result<void> set(std::size_t index, std::string_view argument);
  bool has(std::string_view name) const;

 private:
  std::size_t index_of(std::string_view name) const;
  std::span<const FlagSpec> table_;
  std::vector<std::vector<std::string>> values_;
};

struct Parsed {
  Flags flags;
  std::vector<std::string> words;  // what is no option
  bool help = false;               // --help, or -h where the command has no -h of its own
};

// The error's message is pflag's: "unknown flag: --nope".
Result<Parsed> parse_flags(std::span<const FlagSpec> table, std::span<const std::string> arguments,
                           bool interspersed);

Result<bool> parse_boolean(std::string_view text);  // Go's: 1, t, T, TRUE, true, True and their opposites

// The options as help shows them, wrapped to `columns` as pflag does.
std::string describe_flags(std::span<const FlagSpec> table, std::size_t columns);

}  // namespace berth::cli
