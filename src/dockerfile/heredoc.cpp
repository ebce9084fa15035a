// SPDX-License-Identifier: Apache-2.0
// Heredocs are recognised as Docker does it: in words of the whole line, outside of quotes, "<<" at the
// word's front.
#include <algorithm>

#include "base/text.h"
#include "dockerfile/statement.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

// `text` up to where a shell ends a word that began there: "EOF" of "EOF|sort".
std::string_view shell_word(std::string_view text) {
  char quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (c == '\\' && quote != '\'') {
      ++at;
    } else if (quote != 0) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (std::string_view(";&|()<>").find(c) != std::string_view::npos) {
      return text.substr(0, at);
    }
  }
  return text;
}

std::string without_quotes(std::string_view text) {
  std::string plain;
  char quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    if (c == '\\' && quote != '\'' && at + 1 < text.size()) {
      plain += text[++at];
    } else if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (quote != 0 && c == quote) {
      quote = 0;
    } else {
      plain += c;
    }
  }
  return plain;
}

// Nothing if the word is something else: "<<", "<<<word", "'<<EOF'".
std::optional<HeredocStart> start_of(std::string_view word, bool shell) {
  std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  std::string_view rest = word.substr(digits);
  if (!rest.starts_with("<<")) return std::nullopt;
  rest.remove_prefix(2);
  bool strip_tabs = rest.starts_with('-');
  if (strip_tabs) rest.remove_prefix(1);
  if (rest.empty() || rest.find('<') != std::string_view::npos) return std::nullopt;
  if (shell) rest = shell_word(rest);
  std::string_view text = word.substr(0, static_cast<std::size_t>(rest.data() - word.data()) + rest.size());
  std::string name = without_quotes(rest);
  bool expand = name == rest;
  return HeredocStart{text, std::move(name), expand, strip_tabs};
}

std::string_view without_tabs(std::string_view line) {
  return line.substr(std::min(line.find_first_not_of('\t'), line.size()));
}

std::string_view without_line_end(std::string_view line) {
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

Result<std::vector<HeredocStart>> heredoc_starts(Statement& statement, std::string_view text, bool shell) {
  std::vector<HeredocStart> starts;
  if (text.find("<<") == std::string_view::npos) return starts;
  // Docker's lexer takes the backslash here, whatever the file's escape is.
  for (std::string_view word : quoted_words(text, '\\')) {
    std::optional<HeredocStart> start = start_of(word, shell);
    if (!start) continue;
    if (start->name.empty()) return statement.fail_at(word, "a heredoc must have a name: <<EOF");
    if (starts.size() == kMostHeredocs)
      return statement.fail_at(word, "an instruction can have {} heredocs at most", kMostHeredocs);
    starts.push_back(*std::move(start));
  }
  return starts;
}

Result<std::vector<Heredoc>> read_heredocs(Statement& statement, LineReader& lines,
                                           const std::vector<HeredocStart>& starts) {
  std::vector<Heredoc> heredocs;
  for (const HeredocStart& start : starts) {
    Heredoc heredoc{.name = start.name, .expand = start.expand, .at = statement.at(start.text)};
    while (true) {
      std::optional<std::string_view> line = lines.raw();
      if (!line)
        return statement.fail_at(start.text, "unterminated heredoc: no line is \"{}\" and nothing else",
                                 shown(start.name));
      if (start.strip_tabs) line = without_tabs(*line);
      if (without_line_end(*line) == start.name) break;
      heredoc.content += *line;
    }
    heredocs.push_back(std::move(heredoc));
  }
  return heredocs;
}

}  // namespace berth::dockerfile
