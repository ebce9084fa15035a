// SPDX-License-Identifier: Apache-2.0
#include "build/stage.h"

#include "base/text.h"
#include "build/selection.h"
#include "dockerfile/suggest.h"
#include "oci/manifest.h"
#include "runtime/users.h"
#include "sys/rooted_path.h"

namespace berth::build {
namespace {

constexpr const char* kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

template <class... Functions>
struct Overloaded : Functions... {
  using Functions::operator()...;
};

}  // namespace

StageBuilder::StageBuilder(Solve& solve, const PlannedStage& planned)
    : solve_(solve), planned_(planned), stage_(solve.file.stages[planned.index]) {}

Result<StageResult> StageBuilder::run() {
  TRY(begin());
  for (std::size_t number = 0; number < stage_.instructions.size(); ++number) {
    const dockerfile::Instruction& instruction = stage_.instructions[number];
    Result<void> done = perform(instruction, step_of(number + 1, instruction.original));
    if (!done) return failed_at(instruction.at, instruction.last_line, std::move(done).error());
  }
  solve_.progress.ended(planned_.index);
  return StageResult{config_, arguments_};
}

// That somebody has stopped it is nothing about the place.
std::unexpected<Error> StageBuilder::failed_at(dockerfile::Position at, int last_line, Error error) const {
  if (error.kind == ErrorKind::cancelled) return std::unexpected(std::move(error));
  return std::unexpected(dockerfile::located(solve_.file, at, last_line, std::move(error)));
}

Step StageBuilder::step_of(std::size_t place, std::string text) const {
  Step step;
  step.number = planned_.first_step + place;
  step.total = solve_.plan.steps;
  step.stage = planned_.index;
  if (!stage_.name.empty()) step.stage_name = stage_.name;
  step.text = std::move(text);
  step.work = planned_.work_numbers[place];
  step.is_work = step.work > 0;
  step.works = planned_.works;
  step.all_works = solve_.plan.works;
  return step;
}

// FROM, and what the base image wants to happen in every build on it.
Result<void> StageBuilder::begin() {
  const Step step = step_of(0, stage_.original);
  if (const auto* stage = std::get_if<FromStage>(&planned_.base))
    (void)solve_.board.wait(stage->index, solve_.stop);  // take_base() tells of its failure
  solve_.progress.begun(step);
  Result<std::vector<std::string>> triggers = take_base(step);
  solve_.progress.done(step, triggers ? nullptr : &triggers.error());
  if (!triggers) return failed_at(stage_.at, stage_.at.line, std::move(triggers).error());
  last_change_ = config_.created;
  for (const std::string& trigger : *triggers) {
    Result<void> done = fire(trigger);
    if (!done)
      return failed_at(stage_.at, stage_.at.line,
                       std::move(done).error().within("ONBUILD " + dockerfile::shown(trigger)));
  }
  return {};
}

Result<void> StageBuilder::fire(const std::string& trigger) {
  const dockerfile::Instruction instruction =
      TRY(dockerfile::parse_instruction(trigger, "ONBUILD of the base image"));
  Step step = step_of(0, "ONBUILD " + trigger);
  step.is_work = makes_files(instruction);
  step.work = 0;
  return perform(instruction, step);
}

// The configuration that the stage begins with. Returns the triggers that were in it.
Result<std::vector<std::string>> StageBuilder::take_base(const Step& step) {
  if (const auto* stage = std::get_if<FromStage>(&planned_.base)) {
    StageResult base = TRY(solve_.board.wait(stage->index, solve_.stop));
    config_ = std::move(base.config);
    arguments_ = std::move(base.arguments);
    return std::exchange(config_.config.on_build, {});
  }
  config_ = TRY(config_of_base(step));
  return std::exchange(config_.config.on_build, {});
}

Result<oci::ImageConfig> StageBuilder::config_of_base(const Step& step) {
  if (std::holds_alternative<FromScratch>(planned_.base)) return empty_image(planned_.platform);
  if (const auto* context = std::get_if<FromContext>(&planned_.base))
    return image_of_context(context->name, planned_.platform, step);
  const std::string& name = std::get<FromImage>(planned_.base).name;
  image::Image image = TRY(base_image(solve_, name, planned_.platform, step));
  return std::move(image.config);
}

// What BuildKit's images from scratch say: what is built on them may look at $PATH.
oci::ImageConfig StageBuilder::empty_image(const std::optional<oci::Platform>& platform) const {
  oci::ImageConfig config;
  config.platform = platform.value_or(solve_.request.platform.value_or(oci::host_platform()));
  config.config.env = {std::string("PATH=") + kDefaultPath};
  config.config.working_dir = "/";
  return config;
}

Result<void> StageBuilder::perform(const dockerfile::Instruction& instruction, const Step& step) {
  await_sources(instruction);
  if (solve_.stop.stop_requested()) return fail(ErrorKind::cancelled, "the build was cancelled");
  solve_.progress.begun(step);
  Result<void> done = carry_out(instruction, step);
  solve_.progress.done(step, done ? nullptr : &done.error());
  return done;
}

// A step begins when all is there that it takes: until then it is the other stages that work. What is wrong
// is for the step itself to find.
void StageBuilder::await_sources(const dockerfile::Instruction& instruction) {
  std::vector<std::string> sources;
  if (const auto* copy = std::get_if<dockerfile::CopyInstruction>(&instruction.content); copy && copy->from)
    sources.push_back(copy->from->text);
  if (const auto* run = std::get_if<dockerfile::RunInstruction>(&instruction.content))
    for (const dockerfile::MountFlag& flag : run->mounts)
      if (Result<std::string> from = dockerfile::origin_of_mount(flag.text.text))
        sources.push_back(std::move(*from));
  for (const std::string& source : sources)
    if (auto stage = dockerfile::find_stage(solve_.file, source, planned_.index))
      (void)solve_.board.wait(*stage, solve_.stop);
}

Result<void> StageBuilder::carry_out(const dockerfile::Instruction& instruction, const Step& step) {
  Made made = TRY(dispatch(instruction, step));
  record(made);
  TRY(check_size());
  if (made.cached) solve_.progress.cached(step);
  if (made.layer) {
    std::lock_guard lock(solve_.mutex);
    ++(made.cached ? solve_.cached : solve_.made);
    solve_.results.push_back(*made.layer);
  }
  return {};
}

// Each value may be as long as a file, and each may hold those before: what they come to in all has to be
// bounded.
Result<void> StageBuilder::check_size() const {
  std::size_t size = 0;
  for (const std::string& entry : config_.config.env) size += entry.size();
  for (const auto& [name, value] : config_.config.labels) size += name.size() + value.size();
  for (const auto& [name, value] : arguments_) size += name.size() + value.size();
  for (const oci::History& line : config_.history) size += line.created_by.size();
  if (size <= oci::kDocumentLimit) return {};
  return fail(ErrorKind::exhausted, "variables, labels and history come to more than {} bytes",
              oci::kDocumentLimit);
}

Result<StageBuilder::Made> StageBuilder::dispatch(const dockerfile::Instruction& instruction,
                                                  const Step& step) {
  return std::visit(
      Overloaded{[&](const dockerfile::ArgInstruction& one) { return declare(one, instruction); },
                 [&](const dockerfile::RunInstruction& one) { return run_command(one, step); },
                 [&](const dockerfile::CopyInstruction& one) { return copy(one, step); },
                 [&](const dockerfile::WorkdirInstruction& one) { return enter_directory(one, step); },
                 [&](const dockerfile::MaintainerInstruction& one) -> Result<Made> {
                   config_.author = one.name;
                   return Made{.history = instruction.original};
                 },
                 [&](const auto&) { return change_config(instruction); }},
      instruction.content);
}

// A layer's time is that of its making, whenever that was; what follows without one has the same: so a build
// that finds all in the cache gives the same image again.
void StageBuilder::record(const Made& made) {
  if (made.layer) {
    config_.diff_ids.push_back(made.layer->diff_id);
    last_change_ = std::max(last_change_, made.layer->created);
  }
  Timestamp created = solve_.epoch ? *solve_.epoch : last_change_;
  if (!created) created = now();
  config_.history.push_back({.created = created,
                             .created_by = made.history,
                             .author = "",
                             .comment = "",
                             .empty_layer = !made.layer});
  config_.created = created;
}

Result<StageBuilder::Made> StageBuilder::declare(const dockerfile::ArgInstruction& instruction,
                                                 const dockerfile::Instruction& whole) {
  // TARGETPLATFORM is the result's, whatever this stage runs on: so one stage compiles for another platform.
  const std::map<std::string, std::string> platform =
      platform_arguments(solve_.request.platform.value_or(oci::host_platform()));
  for (const auto& argument : instruction.arguments) {
    std::optional<std::string> value;
    const auto given = solve_.request.arguments.find(argument.name);
    const auto global = solve_.plan.global_arguments.find(argument.name);
    const auto predefined = platform.find(argument.name);
    if (given != solve_.request.arguments.end()) {
      value = given->second;
      std::lock_guard lock(solve_.mutex);
      solve_.used_arguments.insert(argument.name);
    } else if (argument.value) {
      value = TRY(dockerfile::expand_word(argument.value->text, expansion()));
    } else if (global != solve_.plan.global_arguments.end()) {
      value = global->second;
    } else if (predefined != platform.end()) {
      value = predefined->second;
    }
    if (value) arguments_[argument.name] = std::move(*value);
  }
  return Made{.history = whole.original};
}

Result<StageBuilder::Made> StageBuilder::change_config(const dockerfile::Instruction& instruction) {
  TRY(dockerfile::apply(config_.config, instruction, expansion(), state_));
  return Made{.history = instruction.original};
}

std::string StageBuilder::in_working_directory(std::string_view path) const {
  std::string whole(path);
  if (!path.starts_with('/')) whole = fmt::format("{}/{}", config_.config.working_dir, path);
  const bool directory = path.empty() || path.ends_with('/') || path.ends_with("/.") || path == ".";
  std::string clean = "/" + sys::clean_relative(whole);
  if (directory && clean != "/") clean += "/";
  return clean;
}

// The directory is made if the stage does not have it, and belongs to the user of the steps.
Result<StageBuilder::Made> StageBuilder::enter_directory(const dockerfile::WorkdirInstruction& instruction,
                                                         const Step& step) {
  const std::string written = TRY(dockerfile::expand_word(instruction.path.text, expansion()));
  std::string path = in_working_directory(written);
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
  Made made{.history = fmt::format("WORKDIR {}", path)};
  if (path != "/") {
    const std::shared_ptr<const Tree> tree = TRY(mount_tree(solve_, config_.diff_ids));
    Result<struct stat> there = sys::stat_in_root(tree->root.get(), path);
    if (there && !S_ISDIR(there->st_mode))
      return fail(ErrorKind::conflict, "cannot make {} the working directory: it is a file", path);
    if (!there) {
      sys::NewDirectory directory{.mode = 0755, .owner = 0, .group = 0};
      const runtime::AccountFiles accounts = runtime::read_account_files(tree->root.get());
      if (Result<runtime::ResolvedUser> user = runtime::resolve_user(accounts, config_.config.user, {})) {
        directory.owner = user->user.uid;
        directory.group = user->user.gid;
      }
      const Digest key =
          key_of("workdir").add(path).add_number(directory.owner).add_number(directory.group).finish();
      auto make = [&](int root) -> Result<void> {
        TRY(sys::make_directories_in_root(root, path, directory));
        return {};
      };
      made = TRY(layer_by_writing(key, step, made.history, {.write = make, .amount = Amount()}));
    }
  }
  config_.config.working_dir = path;
  return made;
}

std::optional<std::string> StageBuilder::value_of(std::string_view name) const {
  for (const std::string& entry : config_.config.env)
    if (auto [known, value] = split_once(entry, '='); known == name) return std::string(value);
  if (auto found = arguments_.find(std::string(name)); found != arguments_.end()) return found->second;
  if (name == "PATH") return kDefaultPath;
  if (is_proxy_argument(name))
    if (auto given = solve_.request.arguments.find(std::string(name));
        given != solve_.request.arguments.end())
      return given->second;
  return std::nullopt;
}

dockerfile::Expansion StageBuilder::expansion() const {
  dockerfile::Expansion expansion;
  expansion.lookup = [this](std::string_view name) { return value_of(name); };
  expansion.escape = solve_.file.directives.escape;
  return expansion;
}

}  // namespace berth::build
