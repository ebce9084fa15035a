// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/statement.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace berth::dockerfile {
namespace {

// Where the word at the front ends: at a blank outside of quotes. `open` is set to the quote that is not
// closed.
std::size_t word_end(std::string_view text, char escape, char& open) {
  open = 0;
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    char c = text[at];
    if (open == 0 && is_blank(c)) break;
    if (c == escape && open != '\'') {
      ++at;
    } else if (open != 0) {
      if (c == open) open = 0;
    } else if (c == '"' || c == '\'') {
      open = c;
    }
  }
  return std::min(at, text.size());
}

}  // namespace

std::vector<std::string_view> blank_separated(std::string_view text) {
  std::vector<std::string_view> words;
  std::size_t at = 0;
  while (true) {
    while (at < text.size() && is_blank(text[at])) ++at;
    if (at == text.size()) return words;
    std::size_t start = at;
    while (at < text.size() && !is_blank(text[at])) ++at;
    words.push_back(text.substr(start, at - start));
  }
}

std::vector<std::string_view> quoted_words(std::string_view text, char escape) {
  std::vector<std::string_view> words;
  text = trim_blanks(text);
  while (!text.empty()) {
    char open = 0;
    std::size_t end = word_end(text, escape, open);
    words.push_back(text.substr(0, end));
    text = trim_blanks(text.substr(end));
  }
  return words;
}

Result<std::optional<std::vector<std::string>>> string_list(Statement& statement, std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;
  Result<json::value> value = parse_json(text, "the list");
  if (!value || !value->is_array()) return std::nullopt;
  std::vector<std::string> words;
  for (const json::value& item : value->get_array()) {
    if (!item.is_string())
      return statement.fail_at(text, "a list in JSON form must be of strings only: [\"a\", \"b\"]");
    words.emplace_back(item.get_string());
    if (words.back().find('\0') != std::string::npos)
      return statement.fail_at(text, "a string in a JSON list holds a zero byte");
  }
  return words;
}

}  // namespace berth::dockerfile
