// SPDX-License-Identifier: Apache-2.0
// What a file offers and asks for.
#include <algorithm>
#include <set>

#include "base/text.h"
#include "dockerfile/checks.h"
#include "dockerfile/mount.h"
#include "dockerfile/suggest.h"
#include "dockerfile/variables.h"

namespace berth::dockerfile {
namespace {

// The rest of the comment's line that begins with the name.
std::string description_of(std::string_view comment, std::string_view name) {
  if (name.empty()) return "";
  for (std::string_view line : split(comment, '\n'))
    if (line.starts_with(name) && line.substr(name.size()).starts_with(' '))
      return std::string(trim(line.substr(name.size())));
  return "";
}

std::string description_of(const Stage& stage) {
  std::string description = description_of(stage.comment, stage.name_as_written);
  return description.empty() ? description_of(stage.comment, stage.name) : description;
}

class Outliner {
 public:
  Outliner(const Dockerfile& file, std::size_t target, const Arguments& arguments)
      : file_(file), target_(target), given_(arguments), globals_(global_variables(file, arguments)) {}

  Outline run() && {
    follow();
    outline_.target = file_.stages[target_].name;
    outline_.description = description_of(file_.stages[target_]);
    variables_.reserve(file_.stages.size());
    for (std::size_t number = 0; number < file_.stages.size(); ++number) read_stage(number);
    return std::move(outline_);
  }

 private:
  // From the target through all that it is FROM or takes from, which may also be later stages.
  void follow() {
    needed_.assign(file_.stages.size(), false);
    std::vector<std::size_t> to_do;
    auto need = [&](std::optional<std::size_t> stage) {
      if (!stage || needed_[*stage]) return;
      needed_[*stage] = true;
      to_do.push_back(*stage);
    };
    need(target_);
    while (!to_do.empty()) {
      const std::size_t number = to_do.back();
      to_do.pop_back();
      read_from(file_.stages[number]);
      need(base_stage(file_, number, globals_));
      for (const Instruction& instruction : file_.stages[number].instructions)
        for (const std::string& source : sources_of(instruction))
          need(find_stage(file_, source, file_.stages.size()));
    }
    read_global_arguments();
  }

  std::vector<std::string> sources_of(const Instruction& instruction) const {
    std::vector<std::string> sources;
    if (const auto* copy = std::get_if<CopyInstruction>(&instruction.content); copy && copy->from)
      sources.push_back(copy->from->text);
    if (const auto* run = std::get_if<RunInstruction>(&instruction.content))
      for (const MountFlag& flag : run->mounts)
        if (Result<std::string> from = origin_of_mount(flag.text.text)) sources.push_back(std::move(*from));
    return sources;
  }

  void read_from(const Stage& stage) {
    const Expansion expansion = globals_.expansion(file_.directives.escape, &used_);
    (void)expand_word(stage.base.text, expansion);
    if (stage.platform) (void)expand_word(stage.platform->text, expansion);
  }

  // Those that a FROM uses, by itself or in another's default.
  void read_global_arguments() {
    std::vector<Outline::Argument> arguments;
    for (auto instruction = file_.global_arguments.rbegin(); instruction != file_.global_arguments.rend();
         ++instruction)
      if (const auto* arg = std::get_if<ArgInstruction>(&instruction->content))
        for (auto argument = arg->arguments.rbegin(); argument != arg->arguments.rend(); ++argument) {
          if (!used_.contains(argument->name) || !seen_.insert(argument->name).second) continue;
          if (argument->value && !given_.contains(argument->name))
            (void)expand_word(argument->value->text, globals_.expansion(file_.directives.escape, &used_));
          arguments.push_back({argument->name, globals_.value(argument->name).value_or(""),
                               description_of(instruction->comment, argument->name)});
        }
    outline_.arguments.assign(arguments.rbegin(), arguments.rend());
  }

  void read_stage(std::size_t number) {
    const std::optional<std::size_t> base = base_stage(file_, number, globals_);
    variables_.emplace_back(base ? &variables_[*base] : nullptr);
    Variables& variables = variables_.back();
    if (!needed_[number]) return;
    for (const Instruction& instruction : file_.stages[number].instructions) {
      take_over(variables, instruction, globals_, given_, file_.directives.escape);
      if (const auto* arg = std::get_if<ArgInstruction>(&instruction.content))
        for (const ArgInstruction::Argument& argument : arg->arguments)
          if (seen_.insert(argument.name).second)
            outline_.arguments.push_back({argument.name, variables.value(argument.name).value_or(""),
                                          description_of(instruction.comment, argument.name)});
      if (const auto* run = std::get_if<RunInstruction>(&instruction.content)) read_mounts(*run, variables);
    }
  }

  void read_mounts(const RunInstruction& run, const Variables& variables) {
    for (const MountFlag& flag : run.mounts) {
      Result<Mount> mount = parse_mount(flag.text.text, variables.expansion(file_.directives.escape));
      if (!mount) continue;
      if (mount->type == Mount::Type::secret) add(outline_.secrets, *mount);
      if (mount->type == Mount::Type::ssh) add(outline_.ssh, *mount);
      if (mount->type != Mount::Type::cache) continue;
      std::string& id = mount->id.empty() ? mount->target : mount->id;
      if (caches_.insert(id).second) outline_.cache_mounts.push_back(std::move(id));
    }
  }
  static void add(std::vector<Outline::Needed>& all, const Mount& mount) {
    auto same = std::ranges::find(all, mount.id, &Outline::Needed::id);
    if (same == all.end()) same = all.insert(same, {mount.id});
    same->required = same->required || mount.required;
  }

  const Dockerfile& file_;
  std::size_t target_;
  const Arguments& given_;
  Variables globals_;
  std::vector<bool> needed_;
  std::set<std::string> used_;  // names in FROM
  std::set<std::string> seen_, caches_;
  std::vector<Variables> variables_;  // by stage
  Outline outline_;
};

}  // namespace

std::vector<TargetLine> targets(const Dockerfile& file) {
  std::vector<TargetLine> lines;
  for (const Stage& stage : file.stages) {
    const std::size_t number = lines.size();
    lines.push_back({stage.name.empty() ? std::to_string(number) : stage.name, description_of(stage),
                     number + 1 == file.stages.size()});
  }
  return lines;
}

Result<Outline> outline(const Dockerfile& file, std::string_view target, const Arguments& arguments) {
  std::optional<std::size_t> stage = file.stages.size() - 1;
  if (!target.empty()) stage = find_stage(file, target, file.stages.size());
  if (stage) return Outliner(file, *stage, arguments).run();
  std::vector<std::string_view> names;
  for (const Stage& one : file.stages)
    if (!one.name.empty()) names.push_back(one.name);
  return fail(ErrorKind::not_found, "no build stage is called '{}'{}", shown(target),
              did_you_mean(target, names));
}

}  // namespace berth::dockerfile
