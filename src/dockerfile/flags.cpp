// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/flags.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

// The word at the front of `rest`, taken off; `value` is the same without its quotes and backslashes. The
// backslash is one here even where the file's escape is another: Docker's rule.
std::string_view take_word(std::string_view& rest, std::string& value) {
  char quote = 0;
  std::size_t at = 0;
  for (; at < rest.size(); ++at) {
    char c = rest[at];
    if (quote == 0 && is_blank(c)) break;
    if (c == '\\') {
      if (at + 1 < rest.size()) value += rest[++at];
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      value += c;
    }
  }
  std::string_view word = rest.substr(0, at);
  rest = trim_blanks(rest.substr(at));
  return word;
}

class FlagReader {
 public:
  FlagReader(Statement& statement, std::string_view part, std::string_view text)
      : statement_(statement), part_(part) {
    std::size_t equals = text.find('=');
    has_value_ = equals != std::string_view::npos;
    name_ = text.substr(0, equals);
    if (has_value_) value_ = text.substr(equals + 1);
  }

  std::string_view name() const { return name_; }

  Result<void> store(const Flag::Target& into) {
    if (auto* const* text = std::get_if<std::optional<Word>*>(&into)) return word(**text);
    if (auto* const* list = std::get_if<std::vector<Word>*>(&into)) return word((*list)->emplace_back());
    if (auto* const* truth = std::get_if<std::optional<bool>*>(&into)) return boolean(**truth);
    return boolean(*std::get<bool*>(into));
  }

 private:
  template <class Out>
  Result<void> word(Out& out) {
    if (!has_value_) return statement_.fail_at(part_, "missing a value on flag: {}", shown(name_));
    out = Word{std::string(value_), statement_.at(part_)};
    return {};
  }

  template <class Out>
  Result<void> boolean(Out& out) {
    std::string lower = has_value_ ? to_lower(value_) : "true";
    if (lower.empty()) return statement_.fail_at(part_, "missing a value on flag: {}", shown(name_));
    if (lower != "true" && lower != "false")
      return statement_.fail_at(part_, "expecting boolean value for flag {}, not: {}", shown(name_),
                                shown(value_));
    out = lower == "true";
    return {};
  }

  Statement& statement_;
  std::string_view part_;
  std::string_view name_;
  std::string_view value_;
  bool has_value_ = false;
};

std::unexpected<Error> unknown_flag(Statement& statement, std::string_view part, std::string_view name,
                                    std::span<const Flag> known) {
  std::vector<std::string_view> names;
  for (const Flag& flag : known) names.push_back(flag.name.substr(2));
  return statement.fail_at(part, "unknown flag: {}{}", shown(name),
                           did_you_mean(name.substr(2), names, "--"));
}

}  // namespace

Result<void> take_flags(Statement& statement, std::string_view& rest, std::span<const Flag> known) {
  std::set<std::string_view> seen;
  while (rest.starts_with("--")) {
    std::string text;
    std::string_view part = take_word(rest, text);
    if (text == "--") return {};
    FlagReader reader(statement, part, text);
    auto flag = std::ranges::find(known, reader.name(), &Flag::name);
    if (flag == known.end()) return unknown_flag(statement, part, reader.name(), known);
    bool is_list = std::holds_alternative<std::vector<Word>*>(flag->into);
    if (!seen.insert(flag->name).second && !is_list)
      return statement.fail_at(part, "duplicate flag specified: {}", flag->name);
    TRY(reader.store(flag->into));
  }
  return {};
}

}  // namespace berth::dockerfile
