// SPDX-License-Identifier: Apache-2.0
#include "build/plan.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "dockerfile/expand.h"
#include "dockerfile/mount.h"
#include "oci/reference.h"

namespace berth::build {
namespace {

using dockerfile::Dockerfile;
using dockerfile::Instruction;
using dockerfile::Stage;

constexpr std::array kProxyArguments{"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"};

// Not a stage, nor nothing.
bool is_image(const Origin& origin) noexcept {
  return std::holds_alternative<FromImage>(origin) || std::holds_alternative<FromContext>(origin);
}

class Planner {
 public:
  Planner(const Dockerfile& file, const PlanInput& input) : file_(file), input_(input) {}

  Result<Plan> run() {
    TRY(read_global_arguments());
    plan_.target = TRY(find_target());
    needed_.assign(file_.stages.size(), false);
    needed_[plan_.target] = true;
    // Stages need earlier ones alone, so that one round from the end finds all.
    for (std::size_t index = plan_.target + 1; index-- > 0;)
      if (needed_[index]) TRY(plan_stage(index));
    std::ranges::reverse(plan_.stages);
    number_steps();
    return std::move(plan_);
  }

 private:
  Result<void> read_global_arguments() {
    values_ = platform_arguments(input_.platform);
    for (const Instruction& instruction : file_.global_arguments)
      for (const auto& argument : std::get<dockerfile::ArgInstruction>(instruction.content).arguments) {
        std::optional<std::string> value;
        if (auto given = input_.arguments.find(argument.name); given != input_.arguments.end()) {
          value = given->second;
          plan_.used_arguments.insert(argument.name);
        } else if (argument.value) {
          Result<std::string> expanded = dockerfile::expand_word(argument.value->text, expansion());
          if (!expanded) return at(instruction, expanded.error());
          value = std::move(*expanded);
        }
        if (!value) continue;
        values_[argument.name] = *value;
        plan_.global_arguments[argument.name] = *value;
      }
    return {};
  }

  std::unexpected<Error> at(const Instruction& instruction, Error error) const {
    return std::unexpected(
        dockerfile::located(file_, instruction.at, instruction.last_line, std::move(error)));
  }
  std::unexpected<Error> at(const Stage& stage, Error error) const {
    return std::unexpected(dockerfile::located(file_, stage.at, stage.at.line, std::move(error)));
  }

  dockerfile::Expansion expansion() const {
    dockerfile::Expansion expansion;
    expansion.lookup = [this](std::string_view name) -> std::optional<std::string> {
      auto found = values_.find(std::string(name));
      return found == values_.end() ? std::nullopt : std::optional(found->second);
    };
    expansion.escape = file_.directives.escape;
    return expansion;
  }

  Result<std::size_t> find_target() const {
    if (input_.target.empty()) return file_.stages.size() - 1;
    if (auto found = dockerfile::find_stage(file_, input_.target, file_.stages.size())) return *found;
    return fail(ErrorKind::not_found, "{} has no stage \"{}\": name one of its stages with --target",
                file_.name, input_.target);
  }

  Result<void> plan_stage(std::size_t index) {
    const Stage& stage = file_.stages[index];
    PlannedStage planned{.index = index};
    Result<std::string> base = dockerfile::expand_word(stage.base.text, expansion());
    if (!base) return at(stage, base.error());
    if (base->empty())
      return at(stage, Error{ErrorKind::invalid, 0,
                             fmt::format("the base name ({}) is empty: an ARG in it has no value",
                                         stage.base.text)});
    planned.base = origin_of(file_, input_.contexts, *base, index);
    if (stage.platform) {
      Result<std::string> platform = dockerfile::expand_word(stage.platform->text, expansion());
      if (!platform) return at(stage, platform.error());
      Result<oci::Platform> parsed = oci::parse_platform(*platform);
      if (!parsed) return at(stage, parsed.error());
      planned.platform = *parsed;
    }
    need(planned.base);
    for (const Instruction& instruction : stage.instructions) TRY(need_of(instruction, index));
    plan_.stages.push_back(std::move(planned));
    return {};
  }

  Result<void> need_of(const Instruction& instruction, std::size_t index) {
    if (const auto* copy = std::get_if<dockerfile::CopyInstruction>(&instruction.content)) {
      if (copy->from) need(origin_of(file_, input_.contexts, copy->from->text, index));
    } else if (const auto* run = std::get_if<dockerfile::RunInstruction>(&instruction.content)) {
      for (const dockerfile::MountFlag& flag : run->mounts)
        if (const Result<std::string> from = dockerfile::origin_of_mount(flag.text.text);
            from && !from->empty())
          need(origin_of(file_, input_.contexts, *from, index));
    }
    return {};
  }

  void need(const Origin& origin) {
    if (const auto* stage = std::get_if<FromStage>(&origin)) needed_[stage->index] = true;
  }

  void number_steps() {
    std::size_t number = 1;
    for (PlannedStage& stage : plan_.stages) {
      stage.first_step = number;
      const std::vector<Instruction>& instructions = file_.stages[stage.index].instructions;
      number += 1 + instructions.size();
      auto add = [&](bool is_work) { stage.work_numbers.push_back(is_work ? ++stage.works : 0); };
      add(is_image(stage.base));
      for (const Instruction& instruction : instructions) add(makes_files(instruction));
      plan_.works += stage.works;
    }
    plan_.steps = number - 1;
  }

  const Dockerfile& file_;
  const PlanInput& input_;
  Plan plan_;
  std::vector<bool> needed_;
  std::map<std::string, std::string> values_;
};

}  // namespace

Result<Plan> make_plan(const Dockerfile& file, const PlanInput& input) { return Planner(file, input).run(); }

bool makes_files(const Instruction& instruction) noexcept {
  return std::holds_alternative<dockerfile::RunInstruction>(instruction.content) ||
         std::holds_alternative<dockerfile::CopyInstruction>(instruction.content) ||
         std::holds_alternative<dockerfile::WorkdirInstruction>(instruction.content);
}

std::string context_name(std::string_view written) {
  constexpr std::string_view latest = ":latest";
  const Result<oci::Reference> reference = oci::Reference::parse(written);
  std::string name = reference ? reference->familiar() : std::string(written);
  if (name.ends_with(latest)) name.resize(name.size() - latest.size());
  return name;
}

Origin origin_of(const Dockerfile& file, const std::set<std::string>& contexts, std::string_view name,
                 std::size_t before) {
  std::string context = context_name(name);
  const bool replaced = name != "scratch" && contexts.contains(context);
  if (auto stage = dockerfile::find_stage(file, name, before)) {
    const bool by_name = !file.stages[*stage].name.empty() && to_lower(name) == file.stages[*stage].name;
    if (!replaced || !by_name) return FromStage{*stage};
  }
  if (replaced) return FromContext{std::move(context)};
  if (name == "scratch") return FromScratch{};
  return FromImage{std::string(name)};
}

std::map<std::string, std::string> platform_arguments(const oci::Platform& target) {
  std::map<std::string, std::string> arguments;
  auto add = [&](const std::string& prefix, const oci::Platform& platform) {
    arguments[prefix + "PLATFORM"] = oci::format_platform(platform);
    arguments[prefix + "OS"] = platform.os;
    arguments[prefix + "ARCH"] = platform.architecture;
    arguments[prefix + "VARIANT"] = platform.variant;
  };
  add("TARGET", target);
  add("BUILD", oci::host_platform());
  return arguments;
}

bool is_proxy_argument(std::string_view name) noexcept {
  return std::ranges::any_of(kProxyArguments, [&](std::string_view proxy) {
    return name == proxy || (name.size() == proxy.size() && name == to_lower(proxy));
  });
}

}  // namespace berth::build
