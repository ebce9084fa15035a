// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/instructions.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "dockerfile/flags.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

Result<void> no_flags(Statement& statement, std::string_view& rest) {
  return take_flags(statement, rest, {});
}

std::unexpected<Error> needs_argument(Statement& statement, std::string_view keyword) {
  return statement.fail_at(statement.text(), "{} requires at least one argument", keyword);
}

// NAME=value pairs, or one NAME and the rest of the line as its value.
Result<std::vector<Assignment>> assignments(Statement& statement, std::string_view keyword,
                                            std::string_view rest, bool& legacy) {
  std::vector<std::string_view> words = quoted_words(rest, statement.escape());
  if (words.empty()) return needs_argument(statement, keyword);
  legacy = words.front().find('=') == std::string_view::npos;
  if (legacy) {
    auto [name, value] = split_word(rest);
    if (value.empty()) return statement.fail_at(rest, "{} must have two arguments", keyword);
    return std::vector<Assignment>{{statement.word(name), statement.word(value)}};
  }
  std::vector<Assignment> pairs;
  for (std::string_view word : words) {
    std::size_t equals = word.find('=');
    if (equals == std::string_view::npos)
      return statement.fail_at(word, "Syntax error - can't find = in \"{}\". Must be of the form: name=value",
                               shown(word));
    if (equals == 0) return statement.fail_at(word, "{} names can not be blank", keyword);
    pairs.push_back({statement.word(word.substr(0, equals)), statement.word(word.substr(equals + 1))});
  }
  return pairs;
}

Result<Content> parse_env(Statement& statement, std::string_view rest, LineReader&) {
  TRY(no_flags(statement, rest));
  EnvInstruction env;
  env.variables = TRY(assignments(statement, "ENV", rest, env.legacy));
  return env;
}

Result<Content> parse_label(Statement& statement, std::string_view rest, LineReader&) {
  TRY(no_flags(statement, rest));
  LabelInstruction label;
  label.labels = TRY(assignments(statement, "LABEL", rest, label.legacy));
  return label;
}

Result<Content> parse_arg(Statement& statement, std::string_view rest, LineReader&) {
  TRY(no_flags(statement, rest));
  ArgInstruction arg;
  for (std::string_view word : quoted_words(rest, statement.escape())) {
    std::size_t equals = word.find('=');
    if (equals == 0) return statement.fail_at(word, "ARG names can not be blank");
    ArgInstruction::Argument argument{std::string(word.substr(0, equals)), std::nullopt};
    if (equals != std::string_view::npos) argument.value = statement.word(word.substr(equals + 1));
    arg.arguments.push_back(std::move(argument));
  }
  if (arg.arguments.empty()) return needs_argument(statement, "ARG");
  return arg;
}

// The rest of the line, whatever is in it.
Result<std::string_view> one_argument(Statement& statement, std::string_view keyword, std::string_view rest) {
  TRY(no_flags(statement, rest));
  if (rest.empty()) return statement.fail_at(statement.text(), "{} requires exactly one argument", keyword);
  return rest;
}

Result<Content> parse_maintainer(Statement& statement, std::string_view rest, LineReader&) {
  std::string_view text = TRY(one_argument(statement, "MAINTAINER", rest));
  return MaintainerInstruction{std::string(text)};
}
Result<Content> parse_user(Statement& statement, std::string_view rest, LineReader&) {
  std::string_view text = TRY(one_argument(statement, "USER", rest));
  return UserInstruction{statement.word(text)};
}
Result<Content> parse_workdir(Statement& statement, std::string_view rest, LineReader&) {
  std::string_view text = TRY(one_argument(statement, "WORKDIR", rest));
  return WorkdirInstruction{statement.word(text)};
}
Result<Content> parse_stop_signal(Statement& statement, std::string_view rest, LineReader&) {
  std::string_view text = TRY(one_argument(statement, "STOPSIGNAL", rest));
  return StopSignalInstruction{statement.word(text)};
}

Result<Content> parse_expose(Statement& statement, std::string_view rest, LineReader&) {
  TRY(no_flags(statement, rest));
  ExposeInstruction expose;
  for (std::string_view word : blank_separated(rest)) expose.ports.push_back(statement.word(word));
  if (expose.ports.empty()) return needs_argument(statement, "EXPOSE");
  return expose;
}

Result<Content> parse_volume(Statement& statement, std::string_view rest, LineReader&) {
  TRY(no_flags(statement, rest));
  VolumeInstruction volume;
  auto list = TRY(string_list(statement, rest));
  if (list) {
    for (const std::string& path : *list)
      volume.paths.push_back({std::string(trim_blanks(path)), statement.at(rest)});
  } else {
    for (std::string_view word : blank_separated(rest)) volume.paths.push_back(statement.word(word));
  }
  if (volume.paths.empty()) return needs_argument(statement, "VOLUME");
  for (const Word& path : volume.paths)
    if (path.text.empty()) return statement.fail_at(rest, "VOLUME specified can not be an empty string");
  return volume;
}

std::string heredocs_as_written(const std::vector<Heredoc>& heredocs) {
  std::string text;
  for (const Heredoc& heredoc : heredocs) text += "\n" + heredoc.content + heredoc.name;
  return text;
}

Result<Content> parse_on_build(Statement& statement, std::string_view rest, LineReader& lines) {
  TRY(no_flags(statement, rest));
  auto [keyword, arguments] = split_word(rest);
  if (keyword.empty()) return needs_argument(statement, "ONBUILD");
  std::string trigger = to_upper(keyword);
  if (trigger == "ONBUILD")
    return statement.fail_at(keyword, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger == "MAINTAINER" || trigger == "FROM")
    return statement.fail_at(keyword, "{} isn't allowed as an ONBUILD trigger", trigger);
  Content content = TRY(parse_content(statement, keyword, arguments, lines));
  std::string text(rest);
  if (const auto* run = std::get_if<RunInstruction>(&content))
    text += heredocs_as_written(run->command.heredocs);
  if (const auto* copy = std::get_if<CopyInstruction>(&content)) text += heredocs_as_written(copy->heredocs);
  // It becomes a part of the image's configuration, which is JSON.
  if (!valid_utf8(text)) return statement.fail_at(rest, "the heredoc of an ONBUILD is not in UTF-8");
  return OnBuildInstruction{std::move(text)};
}

using Parser = Result<Content> (*)(Statement&, std::string_view, LineReader&);
struct Entry {
  std::string_view keyword;
  Parser parse;
};
constexpr std::array<Entry, 17> kEntries{{{"ADD", parse_add},
                                          {"ARG", parse_arg},
                                          {"CMD", parse_cmd},
                                          {"COPY", parse_copy},
                                          {"ENTRYPOINT", parse_entrypoint},
                                          {"ENV", parse_env},
                                          {"EXPOSE", parse_expose},
                                          {"HEALTHCHECK", parse_health_check},
                                          {"LABEL", parse_label},
                                          {"MAINTAINER", parse_maintainer},
                                          {"ONBUILD", parse_on_build},
                                          {"RUN", parse_run},
                                          {"SHELL", parse_shell},
                                          {"STOPSIGNAL", parse_stop_signal},
                                          {"USER", parse_user},
                                          {"VOLUME", parse_volume},
                                          {"WORKDIR", parse_workdir}}};

bool valid_stage_name(std::string_view name) {
  auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  auto allowed = [&](char c) {
    return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  };
  return is_letter(name.front()) && std::ranges::all_of(name, allowed);
}

}  // namespace

Result<Content> parse_content(Statement& statement, std::string_view keyword, std::string_view rest,
                              LineReader& lines) {
  std::string name = to_upper(keyword);
  auto entry = std::ranges::find(kEntries, name, &Entry::keyword);
  if (entry != kEntries.end()) return entry->parse(statement, rest, lines);
  std::vector<std::string_view> known{"FROM"};
  for (const Entry& one : kEntries) known.push_back(one.keyword);
  return statement.fail_at(keyword, "unknown instruction: {}{}", shown(name), did_you_mean(name, known));
}

Result<Stage> parse_from(Statement& statement, std::string_view rest) {
  Stage stage;
  TRY(take_flags(statement, rest, std::array{Flag{"--platform", &stage.platform}}));
  std::vector<std::string_view> words = blank_separated(rest);
  bool named = words.size() == 3 && to_lower(words[1]) == "as";
  if (!named && words.size() != 1)
    return statement.fail_at(statement.text(), "FROM requires either one or three arguments");
  stage.base = statement.word(words[0]);
  if (!named) return stage;
  stage.as_written = words[1];
  stage.name_as_written = words[2];
  stage.name = to_lower(words[2]);
  if (!valid_stage_name(stage.name))
    return statement.fail_at(
        words[2], "invalid name for build stage: \"{}\", name can't start with a number or contain symbols",
        shown(words[2]));
  return stage;
}

}  // namespace berth::dockerfile
