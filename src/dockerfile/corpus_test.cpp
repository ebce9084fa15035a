// SPDX-License-Identifier: Apache-2.0
// testdata/NAME.dockerfile and what it parses to: NAME.expected, the tree in words, or the whole error. To
// write the expectations anew, and then read what changed: BERTH_UPDATE_GOLDEN=1 dockerfile_test
// --gtest_filter='Corpus.*'
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/file.h"
#include "base/text.h"
#include "dockerfile/dockerfile.h"

namespace berth::dockerfile {
namespace {

// One value to a line where they nest, in quotes: blanks count.
class Dump {
 public:
  std::string of(const Dockerfile& file) {
    const Directives& directives = file.directives;
    if (directives.escape != '\\') line(0, "escape {}", directives.escape);
    if (!directives.syntax.empty()) line(0, "syntax {}", quoted(directives.syntax));
    if (!directives.check.empty()) line(0, "check {}", quoted(directives.check));
    for (const Instruction& argument : file.global_arguments) instruction(0, argument);
    for (const Stage& one : file.stages) stage(one);
    for (Position at : file.empty_continuations) line(0, "empty continuation {}", place(at));
    return std::move(text_);
  }

 private:
  template <class... Args>
  void line(int depth, fmt::format_string<Args...> format, Args&&... arguments) {
    text_ += std::string(static_cast<std::size_t>(depth) * 2, ' ');
    text_ += fmt::format(format, std::forward<Args>(arguments)...) + "\n";
  }

  static std::string place(Position at) { return fmt::format("{}:{}", at.line, at.column); }

  static std::string quoted(std::string_view text) {
    std::string out = "'";
    for (char c : text) {
      if (c == '\n') {
        out += "\\n";
      } else if (c == '\t') {
        out += "\\t";
      } else if (c == '\r') {
        out += "\\r";
      } else {
        out += c;
      }
    }
    return out + "'";
  }
  static std::string quoted(const Word& word) { return quoted(word.text) + " " + place(word.at); }

  void field(std::string_view name, const std::optional<Word>& word) {
    if (word) line(2, "{} {}", name, quoted(*word));
  }
  void field(std::string_view name, const std::vector<Word>& words) {
    for (const Word& word : words) line(2, "{} {}", name, quoted(word));
  }
  void field(std::string_view name, const std::string& text) {
    if (!text.empty()) line(2, "{} {}", name, quoted(text));
  }
  void field(std::string_view name, bool set) {
    if (set) line(2, "{}", name);
  }

  void stage(const Stage& one) {
    line(0, "stage {}-{} {}", place(one.at), one.last_line, quoted(one.original));
    line(1, "base {}", quoted(one.base));
    if (!one.as_written.empty()) line(1, "{} '{}' ({})", one.as_written, one.name, one.name_as_written);
    if (one.platform) line(1, "platform {}", quoted(*one.platform));
    if (!one.comment.empty()) line(1, "comment {}", quoted(one.comment));
    for (const Instruction& each : one.instructions) instruction(1, each);
  }

  void instruction(int depth, const Instruction& one) {
    line(depth, "{} {}-{} {}", one.keyword, place(one.at), one.last_line, quoted(one.original));
    if (!one.comment.empty()) line(2, "comment {}", quoted(one.comment));
    std::visit([&](const auto& content) { show(content); }, one.content);
  }

  void show(const Command& command) {
    for (const std::string& word : command.words)
      line(2, "{} {}", command.exec ? "exec" : "shell", quoted(word));
    if (command.exec && command.words.empty()) line(2, "exec nothing");
    show(command.heredocs);
    if (!command.heredocs.empty())
      line(2, "{} {}", command.script ? "script" : "runs", quoted(shell_text(command)));
  }
  void show(const std::vector<Heredoc>& heredocs) {
    for (const Heredoc& one : heredocs)
      line(2, "heredoc {} {} {} {}", quoted(one.name), place(one.at), one.expand ? "expanded" : "as it is",
           quoted(one.content));
  }
  void show(const std::vector<Assignment>& pairs, bool legacy) {
    for (const auto& [name, value] : pairs)
      line(2, "{} = {}{}", quoted(name), quoted(value), legacy ? " (legacy)" : "");
  }

  void show(const ArgInstruction& content) {
    for (const auto& [name, value] : content.arguments)
      line(2, "{}{}", quoted(name), value ? " = " + quoted(*value) : "");
  }
  void show(const EnvInstruction& content) { show(content.variables, content.legacy); }
  void show(const LabelInstruction& content) { show(content.labels, content.legacy); }
  void show(const MaintainerInstruction& content) { field("name", content.name); }
  void show(const RunInstruction& content) {
    for (const MountFlag& mount : content.mounts) line(2, "mount {}", quoted(mount.text));
    field("network", content.network);
    field("security", content.security);
    field("device", content.devices);
    show(content.command);
  }
  void show(const CopyInstruction& content) {
    field("from", content.from);
    field("chown", content.chown);
    field("chmod", content.chmod);
    field("checksum", content.checksum);
    field("exclude", content.excludes);
    field("link", content.link);
    field("parents", content.parents);
    field("keep git directory", content.keep_git_directory);
    if (content.unpack) line(2, "unpack {}", *content.unpack);
    field("source", content.sources);
    show(content.heredocs);
    line(2, "destination {}", quoted(content.destination));
  }
  void show(const CommandInstruction& content) { show(content.command); }
  void show(const ShellInstruction& content) {
    for (const std::string& word : content.words) line(2, "exec {}", quoted(word));
  }
  void show(const ExposeInstruction& content) { field("port", content.ports); }
  void show(const VolumeInstruction& content) { field("path", content.paths); }
  void show(const UserInstruction& content) { line(2, "{}", quoted(content.user)); }
  void show(const WorkdirInstruction& content) { line(2, "{}", quoted(content.path)); }
  void show(const StopSignalInstruction& content) { line(2, "{}", quoted(content.signal)); }
  void show(const OnBuildInstruction& content) { line(2, "{}", quoted(content.instruction)); }
  void show(const HealthCheckInstruction& content) {
    field("none", content.none);
    field("interval", content.interval);
    field("timeout", content.timeout);
    field("start period", content.start_period);
    field("start interval", content.start_interval);
    field("retries", content.retries);
    show(content.command);
  }

  std::string text_;
};

std::string parsed_form(const std::string& text) {
  Result<Dockerfile> file = parse_dockerfile(text, "Dockerfile");
  if (!file) {
    EXPECT_EQ(file.error().kind, ErrorKind::invalid);
    return "error\n" + file.error().message + "\n";
  }
  return Dump().of(*file);
}

TEST(Corpus, ParsesToWhatIsExpected) {
  std::filesystem::path directory = BERTH_SOURCE_DIR "/src/dockerfile/testdata";
  const bool write = std::getenv("BERTH_UPDATE_GOLDEN") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    if (entry.path().extension() != ".dockerfile") continue;
    ++count;
    std::filesystem::path expected_path = entry.path();
    expected_path.replace_extension(".expected");
    Result<std::string> text = read_file(entry.path().string());
    ASSERT_TRUE(text) << text.error().message;
    std::string form = parsed_form(*text);
    if (write) std::ofstream(expected_path, std::ios::binary) << form;
    Result<std::string> expected = read_file(expected_path.string());
    ASSERT_TRUE(expected) << expected.error().message;
    EXPECT_EQ(form, *expected) << entry.path();
  }
  EXPECT_GE(count, 60);
}

}  // namespace
}  // namespace berth::dockerfile
