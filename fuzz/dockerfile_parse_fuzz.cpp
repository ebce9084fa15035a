// SPDX-License-Identifier: Apache-2.0
// Dockerfiles from strangers: what is read lies in the file and reads back from its own text, messages can be
// shown, and what cannot be applied changes nothing.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "dockerfile/config_changes.h"
#include "dockerfile/dockerfile.h"
#include "dockerfile/mount.h"

namespace {

using namespace berth::dockerfile;

void require(bool condition) {
  if (!condition) std::abort();
}

void require_showable(const berth::Error& error) {
  require(error.kind == berth::ErrorKind::invalid || error.kind == berth::ErrorKind::exhausted);
  require(berth::valid_utf8(error.message));
  require(std::ranges::none_of(error.message, [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f;
  }));
}

const std::vector<Heredoc>& heredocs_of(const Instruction& instruction) {
  static const std::vector<Heredoc> none;
  if (const auto* run = std::get_if<RunInstruction>(&instruction.content)) return run->command.heredocs;
  if (const auto* copy = std::get_if<CopyInstruction>(&instruction.content)) return copy->heredocs;
  return none;
}

void require_same(const Instruction& one, const Instruction& other) {
  require(one.original == other.original && one.keyword == other.keyword);
  require(one.content.index() == other.content.index());
  const std::vector<Heredoc>& heredocs = heredocs_of(one);
  const std::vector<Heredoc>& others = heredocs_of(other);
  require(heredocs.size() == others.size());
  for (std::size_t i = 0; i < heredocs.size(); ++i)
    require(heredocs[i].name == others[i].name && heredocs[i].content == others[i].content &&
            heredocs[i].expand == others[i].expand);
}

void check_instruction(const Instruction& instruction, const Dockerfile& file) {
  require(instruction.at.line >= 1 && instruction.at.column >= 1);
  require(instruction.last_line >= instruction.at.line);
  require(instruction.last_line <= static_cast<int>(file.lines.size()));
  require(instruction.original.find('\n') == std::string::npos);
  const auto* trigger = std::get_if<OnBuildInstruction>(&instruction.content);
  if (trigger) {
    berth::Result<Instruction> triggered =
        parse_instruction(trigger->instruction, "it", file.directives.escape);
    require(triggered.has_value());
    return;
  }
  std::string text = instruction.original;
  for (const Heredoc& heredoc : heredocs_of(instruction)) text += "\n" + heredoc.content + heredoc.name;
  berth::Result<Instruction> again = parse_instruction(text, "it", file.directives.escape);
  require(again.has_value());
  require_same(instruction, *again);
}

void check_file(const Dockerfile& file) {
  require(!file.stages.empty());
  for (const Instruction& argument : file.global_arguments) check_instruction(argument, file);
  for (std::size_t i = 0; i < file.stages.size(); ++i) {
    const Stage& stage = file.stages[i];
    require(!stage.base.text.empty() && stage.last_line <= static_cast<int>(file.lines.size()));
    if (!stage.name.empty()) require(find_stage(file, stage.name, i + 1) == i);
    for (const Instruction& instruction : stage.instructions) check_instruction(instruction, file);
  }
}

void check_mounts(std::string_view text) {
  berth::Result<Mount> mount = parse_mount(text);
  if (!mount) return require_showable(mount.error());
  bool has_id = mount->type == Mount::Type::secret || mount->type == Mount::Type::ssh;
  require(!has_id || !mount->id.empty());
  if (text.find('$') == std::string_view::npos) require(check_mount(text).has_value());
}

void check_changes(std::string_view text) {
  berth::oci::ContainerConfig config;
  config.env = {"A=a b", "B=$A"};
  berth::oci::ContainerConfig before = config;
  std::string changes(text);
  berth::Result<void> applied = apply_changes(config, std::span(&changes, 1));
  if (applied) return;
  require_showable(applied.error());
  require(config == before);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  berth::Result<Dockerfile> file = parse_dockerfile(text, "Dockerfile");
  if (file) {
    check_file(*file);
  } else {
    require_showable(file.error());
  }
  berth::Result<Instruction> instruction = parse_instruction(text, "it");
  if (!instruction) require_showable(instruction.error());
  check_mounts(text);
  check_changes(text);
  return 0;
}
