// SPDX-License-Identifier: Apache-2.0
// The value of a word: quotes taken off, escapes resolved, variables replaced, as BuildKit does it. Forms:
// $name ${name}
// ${name:-word} ${name-word} ${name:+word} ${name+word} ${name:?word} ${name?word} ${name#pattern}
// ${name##pattern} ${name%pattern} ${name%%pattern} ${name/pattern/word} ${name//pattern/word}, nested as
// deep as kDeepest. Patterns are of * and ? with the escape character. Single quotes keep all as it is. The
// word of ${name/pattern/word} keeps its escapes. A name is [A-Za-z_][A-Za-z0-9_]*, a number, or one of
// @*#?-$!
//
// The text is hostile: depth, size of the result and work are bounded (invalid, exhausted). Many variables
// that each have a large value are the caller's to bound.
#pragma once
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::dockerfile {

// A variable's value, or nothing where it is not set.
using Lookup = std::function<std::optional<std::string>(std::string_view name)>;

struct Expansion {
  Lookup lookup;
  char escape = '\\';
  std::set<std::string>* used = nullptr;   // names that were looked at are added, needed or not
  std::set<std::string>* unset = nullptr;  // those without a value and without a default
};

inline constexpr std::size_t kLongestExpansion = 1u << 20;  // bytes
inline constexpr int kDeepest = 32;

// One word: blanks inside of it stay.
Result<std::string> expand_word(std::string_view word, const Expansion& expansion);
// What unquoted blanks divide, after the variables have their values: sources of COPY, ports of EXPOSE.
Result<std::vector<std::string>> expand_words(std::string_view text, const Expansion& expansion);
// Of a heredoc: quotes are text, and what escapes is always a backslash, before any character.
Result<std::string> expand_heredoc(std::string_view text, const Expansion& expansion);

}  // namespace berth::dockerfile
