// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/variables.h"

#include "base/text.h"
#include "oci/platform.h"

namespace berth::dockerfile {
namespace {

// Whatever is looked for in longer ones is of no interest here, and ten thousand of them would fill the
// memory.
constexpr std::size_t kLongestValue = 4096;
constexpr std::size_t kMostNames = 500;

void set_platform(Variables& variables, const std::string& prefix, const oci::Platform& platform) {
  variables.set(prefix + "PLATFORM", oci::format_platform(platform));
  variables.set(prefix + "OS", platform.os);
  variables.set(prefix + "ARCH", platform.architecture);
  variables.set(prefix + "VARIANT", platform.variant);
}

std::string expanded(const Word& word, const Variables& variables, char escape) {
  return expand_word(word.text, variables.expansion(escape)).value_or("");
}

}  // namespace

const std::optional<std::string>* Variables::find(std::string_view name) const {
  for (const Variables* at = this; at; at = at->base_)
    if (auto found = at->own_.find(name); found != at->own_.end()) return &found->second;
  return nullptr;
}

std::optional<std::string> Variables::value(std::string_view name) const {
  const std::optional<std::string>* found = find(name);
  return found ? *found : std::nullopt;
}

std::vector<std::string_view> Variables::names() const {
  std::vector<std::string_view> names;
  for (const Variables* at = this; at; at = at->base_)
    for (const auto& [name, value] : at->own_) {
      if (names.size() == kMostNames) return names;
      names.push_back(name);
    }
  return names;
}

void Variables::set(std::string_view name, std::string value) {
  if (value.size() > kLongestValue) value.resize(kLongestValue);
  own_.insert_or_assign(std::string(name), std::move(value));
}

// One that has a value keeps it: that of ENV is stronger.
void Variables::declare(std::string_view name) {
  if (!knows(name)) own_.emplace(name, std::nullopt);
}

Expansion Variables::expansion(char escape, std::set<std::string>* used, std::set<std::string>* unset) const {
  return {.lookup = [this](std::string_view name) { return value(name); },
          .escape = escape,
          .used = used,
          .unset = unset};
}

Variables global_variables(const Dockerfile& file, const Arguments& arguments) {
  Variables globals;
  set_platform(globals, "BUILD", oci::host_platform());
  set_platform(globals, "TARGET", oci::host_platform());
  globals.set("TARGETSTAGE", "default");
  for (const Instruction& instruction : file.global_arguments)
    if (const auto* arg = std::get_if<ArgInstruction>(&instruction.content))
      for (const ArgInstruction::Argument& argument : arg->arguments) {
        auto given = arguments.find(argument.name);
        if (given != arguments.end()) {
          globals.set(argument.name, given->second);
        } else if (argument.value) {
          globals.set(argument.name, expanded(*argument.value, globals, file.directives.escape));
        } else {
          globals.declare(argument.name);
        }
      }
  return globals;
}

void take_over(Variables& variables, const Instruction& instruction, const Variables& globals,
               const Arguments& arguments, char escape) {
  // All of an instruction's words mean what was before it.
  std::vector<std::pair<std::string, std::optional<std::string>>> changes;
  if (const auto* arg = std::get_if<ArgInstruction>(&instruction.content)) {
    for (const ArgInstruction::Argument& argument : arg->arguments) {
      auto given = arguments.find(argument.name);
      if (given != arguments.end())
        changes.emplace_back(argument.name, given->second);
      else if (argument.value)
        changes.emplace_back(argument.name, expanded(*argument.value, variables, escape));
      else
        changes.emplace_back(argument.name, globals.value(argument.name));
    }
  } else if (const auto* env = std::get_if<EnvInstruction>(&instruction.content)) {
    for (const Assignment& one : env->variables)
      changes.emplace_back(expanded(one.name, variables, escape), expanded(one.value, variables, escape));
  }
  for (auto& [name, value] : changes)
    value ? variables.set(name, std::move(*value)) : variables.declare(name);
}

std::optional<std::size_t> base_stage(const Dockerfile& file, std::size_t stage, const Variables& globals) {
  std::string name = expanded(file.stages[stage].base, globals, file.directives.escape);
  if (parse_integer<std::size_t>(name)) return std::nullopt;
  return find_stage(file, name, stage);
}

}  // namespace berth::dockerfile
