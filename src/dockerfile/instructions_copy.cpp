// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "base/text.h"
#include "dockerfile/flags.h"
#include "dockerfile/instructions.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

// The words between blanks where no heredoc stands, whose name may hold blanks in quotes.
std::vector<std::string_view> words_around(std::string_view text, const std::vector<HeredocStart>& heredocs) {
  std::vector<std::string_view> words;
  auto take_until = [&](const char* end) {
    std::string_view part = text.substr(0, static_cast<std::size_t>(end - text.data()));
    std::vector<std::string_view> found = blank_separated(part);
    words.insert(words.end(), found.begin(), found.end());
    text.remove_prefix(part.size());
  };
  for (const HeredocStart& heredoc : heredocs) {
    take_until(heredoc.text.data());
    text.remove_prefix(heredoc.text.size());
  }
  take_until(text.data() + text.size());
  return words;
}

// It becomes a file of that name, whose directory is the destination's to say.
Result<void> check_file_name(Statement& statement, const HeredocStart& heredoc) {
  bool file = heredoc.name != "." && heredoc.name != ".." && heredoc.name.find('/') == std::string::npos;
  if (file) return {};
  return statement.fail_at(heredoc.text, "\"{}\" is not the name of a file: a heredoc's name must be one",
                           shown(heredoc.name));
}

std::unexpected<Error> misses_destination(Statement& statement, std::string_view keyword, std::size_t count) {
  if (count == 0) return statement.fail_at(statement.text(), "{} requires at least two arguments", keyword);
  return statement.fail_at(
      statement.text(),
      "{} requires at least two arguments, but only one was provided. Destination could not be determined.",
      keyword);
}

Result<void> read_paths(Statement& statement, std::string_view keyword, std::string_view rest,
                        LineReader& lines, CopyInstruction& copy) {
  std::vector<Word> paths;
  std::vector<HeredocStart> starts;
  auto list = TRY(string_list(statement, rest));
  if (list) {
    for (std::string& path : *list) paths.push_back({std::move(path), statement.at(rest)});
  } else {
    starts = TRY(heredoc_starts(statement, rest, false));
    for (const HeredocStart& start : starts) TRY(check_file_name(statement, start));
    for (std::string_view word : words_around(rest, starts)) paths.push_back(statement.word(word));
  }
  if (paths.size() + starts.size() < 2)
    return misses_destination(statement, keyword, paths.size() + starts.size());
  if (!starts.empty() && rest.ends_with(starts.back().text))
    return statement.fail_at(starts.back().text, "{} cannot accept a heredoc as a destination", keyword);
  copy.destination = std::move(paths.back());
  paths.pop_back();
  copy.sources = std::move(paths);
  copy.heredocs = TRY(read_heredocs(statement, lines, starts));
  return {};
}

}  // namespace

Result<Content> parse_copy(Statement& statement, std::string_view rest, LineReader& lines) {
  CopyInstruction copy;
  TRY(take_flags(statement, rest,
                 std::vector<Flag>{{"--from", &copy.from},
                                   {"--chown", &copy.chown},
                                   {"--chmod", &copy.chmod},
                                   {"--link", &copy.link},
                                   {"--parents", &copy.parents},
                                   {"--exclude", &copy.excludes}}));
  if (copy.from && copy.from->text.empty()) copy.from.reset();
  if (copy.from && copy.from->text.find('$') != std::string::npos)
    return statement.fail_at_position(
        copy.from->at,
        "--from takes no variables: give the image a stage's name, as in \"FROM ${{IMAGE}} AS name\"");
  TRY(read_paths(statement, "COPY", rest, lines, copy));
  return copy;
}

Result<Content> parse_add(Statement& statement, std::string_view rest, LineReader& lines) {
  CopyInstruction copy{.add = true};
  TRY(take_flags(statement, rest,
                 std::vector<Flag>{{"--checksum", &copy.checksum},
                                   {"--chown", &copy.chown},
                                   {"--chmod", &copy.chmod},
                                   {"--link", &copy.link},
                                   {"--keep-git-dir", &copy.keep_git_directory},
                                   {"--unpack", &copy.unpack},
                                   {"--exclude", &copy.excludes}}));
  TRY(read_paths(statement, "ADD", rest, lines, copy));
  return copy;
}

}  // namespace berth::dockerfile
