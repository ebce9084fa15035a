// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/checks.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/text.h"
#include "dockerfile/suggest.h"
#include "dockerfile/variables.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace berth::dockerfile {
namespace {

constexpr std::string_view kDirectiveArgument = "BUILDKIT_DOCKERFILE_CHECK";
constexpr std::array<std::string_view, 2> kExperimental{"CopyIgnoredFile", "InvalidDefinitionDescription"};

using Names = std::set<std::string, std::less<>>;

// What "# check=" says.
struct Choice {
  bool skip_all = false, experimental_all = false, are_errors = false;
  Names skipped, experimental;

  bool wants(std::string_view rule) const {
    if (skip_all || skipped.contains(rule)) return false;
    const bool stable = std::ranges::find(kExperimental, rule) == kExperimental.end();
    return stable || experimental_all || experimental.contains(rule);
  }
};

Result<bool> parse_truth(std::string_view text) {
  for (std::string_view word : {"true", "1", "t"})
    if (to_lower(text) == word) return true;
  for (std::string_view word : {"false", "0", "f"})
    if (to_lower(text) == word) return false;
  return fail(ErrorKind::invalid, "check option error: '{}' is neither true nor false", shown(text));
}

void add_rules(std::string_view list, bool& all, Names& names) {
  for (std::string_view name : split(list, ','))
    trim(name) == "all" ? void(all = true) : void(names.emplace(trim(name)));
}

Result<Choice> parse_choice(std::string_view text) {
  Choice choice;
  for (std::string_view option : split(text, ';')) {
    if (trim(option).empty()) continue;
    auto [key, value] = split_once(option, '=');
    key = trim(key);
    if (key == "skip") {
      add_rules(value, choice.skip_all, choice.skipped);
    } else if (key == "experimental") {
      add_rules(value, choice.experimental_all, choice.experimental);
    } else if (key == "error") {
      choice.are_errors = TRY(parse_truth(trim(value)));
    } else {
      constexpr std::array<std::string_view, 3> kKeys{"skip", "error", "experimental"};
      return fail(ErrorKind::invalid, "unknown check option '{}'{}", shown(key), did_you_mean(key, kKeys));
    }
  }
  return choice;
}

bool is_lower(std::string_view text) { return text == to_lower(text); }
bool is_upper(std::string_view text) { return text == to_upper(text); }

// Words of the name that "_" divides: GITHUB_TOKEN is a secret, MONKEY is none.
bool sounds_secret(std::string_view name) {
  constexpr std::array<std::string_view, 10> kSecrets{
      "apikey", "auth", "credential", "credentials", "key", "passwd", "pword", "password", "secret", "token"};
  bool secret = false;
  const std::string lower = to_lower(name);
  for (std::string_view word : split(lower, '_')) {
    if (word == "public") return false;
    secret = secret || std::ranges::find(kSecrets, word) != kSecrets.end();
  }
  return secret;
}

// Words in which a build replaces variables. Those of RUN and of commands are the shell's.
struct WordsOf {
  std::vector<const Word*> words;
  void add(const Word& word) { words.push_back(&word); }
  void add(const std::optional<Word>& word) {
    if (word) add(*word);
  }
  void add(const std::vector<Word>& all) {
    for (const Word& word : all) add(word);
  }
  void add(const std::vector<Assignment>& all) {
    for (const Assignment& one : all) {
      add(one.name);
      add(one.value);
    }
  }

  void operator()(const ArgInstruction& arg) {
    for (const ArgInstruction::Argument& argument : arg.arguments) add(argument.value);
  }
  void operator()(const EnvInstruction& env) { add(env.variables); }
  void operator()(const LabelInstruction& label) { add(label.labels); }
  void operator()(const RunInstruction& run) {
    for (const MountFlag& mount : run.mounts) add(mount.text);
    add(run.devices);
  }
  void operator()(const CopyInstruction& copy) {
    add(copy.sources);
    add(copy.destination);
    add(copy.chown);
    add(copy.chmod);
    add(copy.excludes);
    add(copy.checksum);
  }
  void operator()(const ExposeInstruction& expose) { add(expose.ports); }
  void operator()(const VolumeInstruction& volume) { add(volume.paths); }
  void operator()(const UserInstruction& user) { add(user.user); }
  void operator()(const WorkdirInstruction& workdir) { add(workdir.path); }
  void operator()(const StopSignalInstruction& stop) { add(stop.signal); }
  template <class Other>
  void operator()(const Other&) {}
};

class Checker {
 public:
  Checker(const Dockerfile& file, const CheckOptions& options, Choice choice)
      : file_(file),
        options_(options),
        choice_(std::move(choice)),
        globals_(global_variables(file, options.arguments)),
        defaults_(global_variables(file, {})) {}

  CheckReport run() && {
    for (Position at : file_.empty_continuations)
      warn("NoEmptyContinuation", at, at.line,
           "an instruction goes on over a line that is empty, which will be an error");
    check_casing();
    check_names();
    for (const Instruction& instruction : file_.global_arguments) check_descriptions(instruction);
    stages_.reserve(file_.stages.size());  // stages point at those that they are FROM
    for (std::size_t number = 0; number < file_.stages.size(); ++number) check_stage(number);
    return {std::move(warnings_), choice_.are_errors};
  }

 private:
  struct StageState {
    Variables variables;
    bool environment_known = false;
    bool has_shell = false;
    bool has_workdir = false;
    const Instruction* command = nullptr;  // the last one of this stage
    const Instruction* entrypoint = nullptr;
    const Instruction* health_check = nullptr;
  };

  bool full() const { return warnings_.size() == kMostWarnings; }

  template <class... Args>
  void warn(std::string_view rule, Position at, int last_line, fmt::format_string<Args...> format,
            Args&&... arguments) {
    if (full() || !choice_.wants(rule)) return;
    auto place =
        std::ranges::upper_bound(warnings_, at.line, {}, [](const Warning& one) { return one.at.line; });
    warnings_.insert(
        place, {std::string(rule), fmt::format(format, std::forward<Args>(arguments)...), at, last_line});
  }
  template <class... Args>
  void warn(std::string_view rule, const Instruction& of, fmt::format_string<Args...> format,
            Args&&... arguments) {
    warn(rule, of.at, of.last_line, format, std::forward<Args>(arguments)...);
  }
  template <class... Args>
  void warn(std::string_view rule, const Stage& of, fmt::format_string<Args...> format, Args&&... arguments) {
    warn(rule, of.at, of.last_line, format, std::forward<Args>(arguments)...);
  }

  // Keywords are to be written as most of them are; those that are neither upper nor lower have no vote.
  void check_casing() {
    long lower = 0, upper = 0;
    auto vote = [&](std::string_view keyword) {
      if (is_lower(keyword)) ++lower;
      if (is_upper(keyword)) ++upper;
    };
    for (const Stage& stage : file_.stages) {
      vote(stage.keyword_as_written);
      for (const Instruction& instruction : stage.instructions) vote(instruction.keyword_as_written);
    }
    const bool to_be_lower = lower > upper;
    auto judge = [&](const auto& of) {
      const std::string& keyword = of.keyword_as_written;
      if (to_be_lower ? is_lower(keyword) : is_upper(keyword)) return;
      warn("ConsistentInstructionCasing", of,
           "'{}' is not in {} case as most of this file's instructions are", shown(keyword),
           to_be_lower ? "lower" : "upper");
    };
    for (const Stage& stage : file_.stages) {
      judge(stage);
      std::ranges::for_each(stage.instructions, judge);
    }
  }

  void check_names() {
    std::set<std::string_view> names;
    for (const Stage& stage : file_.stages) {
      if (stage.name.empty()) continue;
      if (!is_lower(stage.name_as_written))
        warn("StageNameCasing", stage, "the stage name '{}' is not in lower case",
             shown(stage.name_as_written));
      const bool lower = is_lower(stage.keyword_as_written);
      if ((lower || is_upper(stage.keyword_as_written)) &&
          !(lower ? is_lower(stage.as_written) : is_upper(stage.as_written)))
        warn("FromAsCasing", stage, "'{}' and '{}' are not in the same case", stage.keyword_as_written,
             stage.as_written);
      if (stage.name == "context" || stage.name == "scratch")
        warn("ReservedStageName", stage, "the stage name '{}' is reserved", stage.name);
      if (!names.insert(stage.name).second)
        warn("DuplicateStageName", stage, "an earlier stage is called '{}', too", stage.name);
    }
  }

  void check_stage(std::size_t number) {
    const Stage& stage = file_.stages[number];
    check_from(stage);
    if (!stage.name.empty()) check_description("FROM", stage, {stage.name, stage.name_as_written});
    const std::optional<std::size_t> base = base_stage(file_, number, globals_);
    stages_.push_back(base ? on_stage(stages_[*base]) : on_image(stage));
    for (const Instruction& instruction : stage.instructions) {
      check_instruction(stages_.back(), instruction);
      take_over(stages_.back().variables, instruction, globals_, options_.arguments, file_.directives.escape);
    }
  }

  static StageState on_stage(const StageState& base) {
    return {.variables = Variables(&base.variables),
            .environment_known = base.environment_known,
            .has_shell = base.has_shell,
            .has_workdir = base.has_workdir};
  }

  StageState on_image(const Stage& stage) {
    StageState state;
    state.variables.set("PATH", "/bin");  // every build has one
    const std::string name =
        expand_word(stage.base.text, globals_.expansion(file_.directives.escape)).value_or("");
    state.environment_known = name == "scratch";
    if (state.environment_known || !options_.image_of) return state;
    const std::optional<oci::Platform> asked = platform_of(stage);
    const std::optional<BaseImage> image = options_.image_of(name, asked);
    state.environment_known = image.has_value();
    if (!image) return state;
    check_base_platform(stage, name, oci::normalize(image->platform), asked.value_or(options_.platform));
    for (const std::string& variable : image->environment) {
      auto [key, value] = split_once(variable, '=');
      state.variables.set(key, std::string(value));
    }
    return state;
  }

  std::optional<oci::Platform> platform_of(const Stage& stage) const {
    if (!stage.platform) return std::nullopt;
    const auto value = expand_word(stage.platform->text, globals_.expansion(file_.directives.escape));
    if (!value) return std::nullopt;
    const auto platform = oci::parse_platform(*value);
    return platform ? std::optional(*platform) : std::nullopt;
  }

  // What an image does not say is not wrong.
  void check_base_platform(const Stage& stage, std::string_view name, const oci::Platform& has,
                           const oci::Platform& wanted) {
    if (has.os.empty() || has.architecture.empty()) return;
    if (has.os == wanted.os && has.architecture == wanted.architecture) return;
    warn("InvalidBaseImagePlatform", stage, "the image '{}' is for {}, where {} is built for", shown(name),
         shown(oci::format_platform(has)), oci::format_platform(wanted));
  }

  void check_from(const Stage& stage) {
    std::set<std::string> used, unset;
    auto value = expand_word(stage.base.text, globals_.expansion(file_.directives.escape, &used, &unset));
    const bool has_variables = !used.empty();
    if (stage.platform) check_platform(stage, unset);
    for (const std::string& name : unset)
      if (!globals_.knows(name) && !full())
        warn("UndefinedArgInFrom", stage, "no ARG declares '{}'{}", shown(name),
             did_you_mean(name, globals_.names()));
    if (!has_variables) return;
    value = expand_word(stage.base.text, defaults_.expansion(file_.directives.escape));
    if (value && !oci::Reference::parse(*value))
      warn("InvalidDefaultArgInFrom", stage,
           "without build arguments {} is '{}', which cannot be an image's name", shown(stage.base.text),
           shown(*value));
  }

  void check_platform(const Stage& stage, std::set<std::string>& unset) {
    std::set<std::string> used;
    const auto value =
        expand_word(stage.platform->text, globals_.expansion(file_.directives.escape, &used, &unset));
    if (!value) return;
    const std::string redundant = "TARGETPLATFORM";
    if (used == std::set{redundant} && *value == globals_.value(redundant))
      warn("RedundantTargetPlatform", stage, "{} is the platform that FROM takes anyway",
           shown(stage.platform->text));
    if (!used.empty()) return;
    const auto platform = oci::parse_platform(*value);
    auto named = [&](const std::string& part) { return stage.name.find(part) != std::string::npos; };
    if (platform && !named(platform->os) && !named(platform->architecture))
      warn("FromPlatformFlagConstDisallowed", stage, "the platform '{}' is the same whatever is built for",
           shown(*value));
  }

  void check_instruction(StageState& state, const Instruction& instruction) {
    if (state.environment_known) check_variables(state.variables, instruction);
    check_descriptions(instruction);
    std::visit([&](const auto& content) { check_content(state, instruction, content); }, instruction.content);
  }

  void check_variables(const Variables& variables, const Instruction& instruction) {
    std::set<std::string> unset;
    const Expansion expansion = variables.expansion(file_.directives.escape, nullptr, &unset);
    WordsOf of;
    std::visit(of, instruction.content);
    // What is wrong with a word is for the build to say.
    for (const Word* word : of.words) (void)expand_word(word->text, expansion);
    if (const auto* copy = std::get_if<CopyInstruction>(&instruction.content))
      for (const Heredoc& heredoc : copy->heredocs)
        if (heredoc.expand) (void)expand_heredoc(heredoc.content, expansion);
    if (const auto* arg = std::get_if<ArgInstruction>(&instruction.content))
      for (const ArgInstruction::Argument& argument : arg->arguments) unset.erase(argument.name);
    for (const std::string& name : unset)
      if (!variables.knows(name) && !full())
        warn("UndefinedVar", instruction, "the variable '${}' is not defined{}", shown(name),
             did_you_mean(name, variables.names(), "$"));
  }

  void check_descriptions(const Instruction& instruction) {
    std::vector<std::string> names;
    if (const auto* arg = std::get_if<ArgInstruction>(&instruction.content))
      for (const ArgInstruction::Argument& argument : arg->arguments) names.push_back(argument.name);
    if (!names.empty()) check_description("ARG", instruction, names);
  }

  // A comment directly above is one, unless an empty comment is between.
  void check_description(std::string_view keyword, const auto& of, const std::vector<std::string>& names) {
    const std::vector<std::string_view> lines = split(of.comment, '\n');
    if (lines.back().empty()) return;
    for (const std::string& name : names)
      if (std::ranges::any_of(lines, [&](std::string_view line) { return line.starts_with(name + " "); }))
        return;
    warn("InvalidDefinitionDescription", of,
         "the comment above {} does not begin with '{} ' and a description", keyword, shown(names.front()));
  }

  void check_content(StageState&, const Instruction& instruction, const ArgInstruction& arg) {
    for (const ArgInstruction::Argument& argument : arg.arguments) check_secret(instruction, argument.name);
  }
  void check_content(StageState&, const Instruction& instruction, const EnvInstruction& env) {
    if (env.legacy) warn_legacy(instruction);
    for (const Assignment& one : env.variables) check_secret(instruction, one.name.text);
  }
  void check_content(StageState&, const Instruction& instruction, const LabelInstruction& label) {
    if (label.legacy) warn_legacy(instruction);
  }
  void warn_legacy(const Instruction& instruction) {
    warn("LegacyKeyValueFormat", instruction, "\"{0} name value\" is the old form of \"{0} name=value\"",
         instruction.keyword);
  }
  void check_secret(const Instruction& instruction, std::string_view name) {
    if (sounds_secret(name))
      warn("SecretsUsedInArgOrEnv", instruction,
           "{} is no place for a secret, which '{}' seems to be: it stays in the image", instruction.keyword,
           shown(name));
  }

  void check_content(StageState&, const Instruction& instruction, const MaintainerInstruction&) {
    warn("MaintainerDeprecated", instruction, "MAINTAINER is deprecated: a label can name the author");
  }

  void check_content(StageState& state, const Instruction& instruction, const CommandInstruction& command) {
    if (!command.command.exec && !state.has_shell)
      warn("JSONArgsRecommended", instruction,
           "{} runs a shell, which does not pass signals on: a JSON list of words runs the program itself",
           instruction.keyword);
    check_only_one(command.entrypoint ? state.entrypoint : state.command, instruction);
  }
  void check_content(StageState& state, const Instruction& instruction, const HealthCheckInstruction&) {
    check_only_one(state.health_check, instruction);
  }
  // The earlier one is named, for it is the one without an effect.
  void check_only_one(const Instruction*& before, const Instruction& instruction) {
    if (before)
      warn("MultipleInstructionsDisallowed", *before, "a later {0} of this stage takes this {0}'s place",
           instruction.keyword);
    before = &instruction;
  }

  void check_content(StageState& state, const Instruction&, const ShellInstruction&) {
    state.has_shell = true;
  }

  void check_content(StageState& state, const Instruction& instruction, const WorkdirInstruction& workdir) {
    const auto path = expand_word(workdir.path.text, state.variables.expansion(file_.directives.escape));
    if (path && !path->starts_with('/') && !state.has_workdir)
      warn("WorkdirRelativePath", instruction,
           "where '{}' is depends on the base image: no absolute WORKDIR is before it", shown(*path));
    state.has_workdir = true;
  }

  void check_content(StageState& state, const Instruction& instruction, const ExposeInstruction& expose) {
    for (const Word& word : expose.ports)
      for (const std::string& port : expanded_words(state, word)) {
        const std::string_view protocol = split_once(port, '/').second;
        if (!is_lower(protocol))
          warn("ExposeProtoCasing", instruction, "the protocol of '{}' is not in lower case", shown(port));
        if (port.find(':') != std::string::npos)
          warn("ExposeInvalidFormat", instruction,
               "'{}' is an address or maps a port, which EXPOSE does not do", shown(port));
      }
  }

  void check_content(StageState& state, const Instruction& instruction, const CopyInstruction& copy) {
    if (!options_.ignore || copy.from || !choice_.wants("CopyIgnoredFile")) return;
    for (const Word& word : copy.sources)
      for (const std::string& source : expanded_words(state, word)) {
        if (source.find("://") != std::string::npos || source.starts_with("git@")) continue;
        std::string path = clean_path("/" + source).substr(1);
        if (!path.empty() && options_.ignore->excluded(path) && !options_.ignore->may_include_below(path))
          warn("CopyIgnoredFile", instruction, "'{}' is not in the build context: .dockerignore excludes it",
               shown(source));
      }
  }

  template <class Other>
  void check_content(StageState&, const Instruction&, const Other&) {}

  std::vector<std::string> expanded_words(const StageState& state, const Word& word) const {
    return expand_words(word.text, state.variables.expansion(file_.directives.escape))
        .value_or(std::vector<std::string>());
  }

  const Dockerfile& file_;
  const CheckOptions& options_;
  Choice choice_;
  Variables globals_, defaults_;
  std::vector<StageState> stages_;
  std::vector<Warning> warnings_;  // by line
};

}  // namespace

Result<CheckReport> check(const Dockerfile& file, const CheckOptions& options) {
  auto given = options.arguments.find(std::string(kDirectiveArgument));
  Choice choice = TRY(parse_choice(given != options.arguments.end() ? given->second : file.directives.check));
  if (choice.skip_all) return CheckReport{.are_errors = choice.are_errors};
  return Checker(file, options, std::move(choice)).run();
}

}  // namespace berth::dockerfile
