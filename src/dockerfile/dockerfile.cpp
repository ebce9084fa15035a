// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/dockerfile.h"

#include <algorithm>
#include <map>

#include "base/text.h"
#include "dockerfile/instructions.h"
#include "dockerfile/lines.h"
#include "dockerfile/mount.h"
#include "dockerfile/statement.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

std::vector<std::string> lines_of(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

Position position_of(std::string_view text, std::size_t offset) {
  std::string_view before = text.substr(0, offset);
  auto line = 1 + std::ranges::count(before, '\n');
  std::size_t start = before.rfind('\n');
  std::size_t column = start == std::string_view::npos ? offset + 1 : offset - start;
  return {static_cast<int>(line), static_cast<int>(column)};
}

// Reads a text's instructions one after the other; its errors have their place.
class Parser {
 public:
  Parser(std::string_view text, std::string_view name, char escape)
      : text_(text.starts_with(kByteOrderMark) ? text.substr(kByteOrderMark.size()) : text),
        lines_(text_, escape) {
    file_.name = name;
    file_.directives.escape = escape;
  }

  Result<Dockerfile> file() {
    whole_ = true;
    TRY(check_text());
    TRY(read_directives());
    TRY(read_instructions());
    if (count_ == 0) return fail(ErrorKind::invalid, "the Dockerfile ({}) is empty", shown(file_.name, 200));
    if (file_.stages.empty()) {
      const Instruction& last = file_.global_arguments.back();
      return wrong(last.at, last.last_line,
                   {ErrorKind::invalid, 0, "no build stage in current context: there is no FROM"});
    }
    TRY(check_stages());
    return std::move(file_);
  }

  Result<std::vector<Instruction>> instructions() {
    TRY(check_text());
    TRY(read_instructions());
    return std::move(file_.global_arguments);
  }

  std::unexpected<Error> wrong(Position at, int last_line, Error error) const {
    return std::unexpected(located(file_, at, last_line, std::move(error)));
  }

 private:
  Result<void> check_text() {
    if (text_.size() > kLongestDockerfile)
      return fail(ErrorKind::invalid, "the Dockerfile ({}) is longer than {} bytes", shown(file_.name, 200),
                  kLongestDockerfile);
    file_.lines = lines_of(text_);
    std::size_t zero = text_.find('\0');
    if (zero == std::string_view::npos) return {};
    Position at = position_of(text_, zero);
    return wrong(at, at.line, {ErrorKind::invalid, 0, "a zero byte: this is not a text"});
  }

  Result<void> read_directives() {
    Result<Directives> directives = lines_.directives();
    if (!directives) return wrong({lines_.line(), 1}, lines_.line(), std::move(directives).error());
    file_.directives = *std::move(directives);
    return {};
  }

  Result<void> read_instructions() {
    while (std::optional<LogicalLine> line = lines_.next()) {
      if (lines_.empty_continuation()) file_.empty_continuations.push_back(*lines_.empty_continuation());
      Statement statement(*line, file_.directives.escape);
      Result<void> read = read_statement(statement, *line);
      if (read) continue;
      Position at = statement.wrong();
      // What is wrong at its beginning is wrong as a whole.
      int last_line = at == statement.at(statement.text()) ? line->last_line : at.line;
      return wrong(at, last_line, std::move(read).error());
    }
    return {};
  }

  Result<void> read_statement(Statement& statement, const LogicalLine& line) {
    if (++count_ > kMostInstructions)
      return statement.fail_at(statement.text(), "a Dockerfile can have {} instructions at most",
                               kMostInstructions);
    if (!valid_utf8(statement.text()))
      return statement.fail_at(statement.text(), "the instruction is not in UTF-8");
    auto [keyword, rest] = split_word(statement.text());
    if (to_upper(keyword) == "FROM") return read_from(statement, line, keyword, rest);
    Instruction instruction{.keyword = to_upper(keyword),
                            .keyword_as_written = std::string(keyword),
                            .original = std::string(statement.text()),
                            .comment = line.comment,
                            .at = statement.at(keyword)};
    instruction.content = TRY(parse_content(statement, keyword, rest, lines_));
    instruction.last_line = lines_.line();
    bool is_argument = std::holds_alternative<ArgInstruction>(instruction.content);
    if (whole_ && file_.stages.empty() && !is_argument)
      return statement.fail_at(statement.text(),
                               "no build stage in current context: only ARG can stand before the first FROM");
    (file_.stages.empty() ? file_.global_arguments : file_.stages.back().instructions)
        .push_back(std::move(instruction));
    return {};
  }

  Result<void> read_from(Statement& statement, const LogicalLine& line, std::string_view keyword,
                         std::string_view rest) {
    if (!whole_) return statement.fail_at(keyword, "FROM begins a build stage, and there can be none here");
    Stage stage = TRY(parse_from(statement, rest));
    stage.comment = line.comment;
    stage.at = statement.at(keyword);
    stage.last_line = line.last_line;
    stage.original = statement.text();
    stage.keyword_as_written = keyword;
    file_.stages.push_back(std::move(stage));
    return {};
  }

  // Numbers must be those of stages, and no stage can be its own source. Any other name may be a stage's, a
  // context's or an image's: that is for the build to say.
  Result<void> check_stages() const {
    std::map<std::string_view, std::size_t> by_name;  // the last one counts
    for (std::size_t i = 0; i < file_.stages.size(); ++i) by_name[file_.stages[i].name] = i;
    for (std::size_t i = 0; i < file_.stages.size(); ++i)
      for (const Instruction& instruction : file_.stages[i].instructions)
        for (const Word& source : sources_of(instruction)) {
          Result<void> checked = check_source(to_lower(source.text), i, by_name);
          if (!checked) return wrong(source.at, source.at.line, std::move(checked).error());
        }
    return {};
  }

  // Other stages that it takes from, or images.
  static std::vector<Word> sources_of(const Instruction& instruction) {
    std::vector<Word> sources;
    if (const auto* copy = std::get_if<CopyInstruction>(&instruction.content))
      if (copy->from) sources.push_back(*copy->from);
    if (const auto* run = std::get_if<RunInstruction>(&instruction.content))
      for (const MountFlag& flag : run->mounts) {
        Result<std::string> from = origin_of_mount(flag.text.text);
        if (from && !from->empty()) sources.push_back({std::move(*from), flag.text.at});
      }
    return sources;
  }

  Result<void> check_source(const std::string& name, std::size_t stage,
                            const std::map<std::string_view, std::size_t>& by_name) const {
    std::optional<std::size_t> index = parse_integer<std::size_t>(name);
    bool is_number = name.find_first_not_of("0123456789") == std::string::npos;
    auto found = by_name.find(name);
    if (!is_number && found != by_name.end()) index = found->second;
    std::size_t count = file_.stages.size();
    if (is_number && (!index || *index >= count))
      return fail(ErrorKind::invalid, "invalid stage index {}: the last stage is {}", shown(name), count - 1);
    if (index == stage)
      return fail(ErrorKind::invalid, "circular dependency: a stage cannot take from itself");
    return {};
  }

  std::string_view text_;
  LineReader lines_;
  Dockerfile file_;
  bool whole_ = false;  // a file with its stages, not instructions alone
  std::size_t count_ = 0;
};

}  // namespace

Result<Dockerfile> parse_dockerfile(std::string_view text, std::string_view name) {
  return Parser(text, name, '\\').file();
}

Result<std::vector<Instruction>> parse_instructions(std::string_view text, std::string_view name,
                                                    char escape) {
  return Parser(text, name, escape).instructions();
}

Result<Instruction> parse_instruction(std::string_view text, std::string_view name, char escape) {
  Parser parser(text, name, escape);
  std::vector<Instruction> instructions = TRY(parser.instructions());
  if (instructions.empty()) return fail(ErrorKind::invalid, "{}: there is no instruction", shown(name, 200));
  if (instructions.size() > 1)
    return parser.wrong(instructions[1].at, instructions[1].last_line,
                        {ErrorKind::invalid, 0, "only one instruction can be given here"});
  return std::move(instructions.front());
}

std::optional<std::size_t> find_stage(const Dockerfile& file, std::string_view name, std::size_t before) {
  before = std::min(before, file.stages.size());
  std::optional<std::size_t> number = parse_integer<std::size_t>(name);
  if (number) return *number < before ? number : std::nullopt;
  std::string lower = to_lower(name);
  if (lower.empty()) return std::nullopt;
  for (std::size_t i = before; i-- > 0;)
    if (file.stages[i].name == lower) return i;
  return std::nullopt;
}

}  // namespace berth::dockerfile
