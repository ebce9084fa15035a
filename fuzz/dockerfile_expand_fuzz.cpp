// SPDX-License-Identifier: Apache-2.0
// Words of Dockerfiles: a line of the escape character and a variable's value, then the word. What it is
// worth is bounded, is the same for one word and for its parts, and what is said of a wrong one can be shown.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "dockerfile/expand.h"

namespace {

using namespace berth::dockerfile;

void require(bool condition) {
  if (!condition) std::abort();
}

void require_showable(const berth::Error& error) {
  require(error.kind == berth::ErrorKind::invalid || error.kind == berth::ErrorKind::exhausted);
  require(error.message.size() < 5000 && berth::valid_utf8(error.message));
  require(std::ranges::none_of(error.message,
                               [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }));
}

bool is_blank(char c) { return std::string_view(" \t\n\v\f\r").find(c) != std::string_view::npos; }

std::string without_blanks(std::string text) {
  std::erase_if(text, is_blank);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::size_t line = input.find('\n');
  if (line == std::string_view::npos || line == 0) return 0;
  const std::string_view value = input.substr(1, line - 1), text = input.substr(line + 1);
  std::set<std::string> used, unset;
  const Expansion expansion{.lookup = [&](std::string_view name) -> std::optional<std::string> {
                              if (name.starts_with('n')) return std::nullopt;
                              return std::string(name.starts_with('e') ? "" : value);
                            },
                            .escape = input.front() == '`' ? '`' : '\\',
                            .used = &used,
                            .unset = &unset};
  const auto word = expand_word(text, expansion);
  const auto words = expand_words(text, expansion);
  const auto heredoc = expand_heredoc(text, expansion);
  require(word.has_value() == words.has_value());
  for (const std::string& name : unset) require(used.contains(name) && name.starts_with('n'));
  if (!heredoc) require_showable(heredoc.error());
  if (!word) {
    require_showable(word.error());
    require_showable(words.error());
    return 0;
  }
  require(word->size() <= kLongestExpansion);
  std::string together;
  for (const std::string& one : *words) {
    require(!one.empty());
    together += one;
  }
  require(without_blanks(together) == without_blanks(*word));
  if (text.find_first_of("$'\"\\`") == std::string_view::npos) require(*word == text && *heredoc == text);
  return 0;
}
