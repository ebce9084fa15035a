// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/config_changes.h"

#include <algorithm>
#include <array>

#include "base/clock.h"
#include "base/signal_name.h"
#include "base/text.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

using Words = std::vector<std::string>;
using Pairs = std::vector<std::pair<std::string, std::string>>;
using oci::ContainerConfig;

Result<Pairs> expand_pairs(std::string_view keyword, const std::vector<Assignment>& assignments,
                           const Expansion& expansion) {
  Pairs pairs;
  for (const auto& [name_word, value_word] : assignments) {
    std::string name = TRY(expand_word(name_word.text, expansion));
    std::string value = TRY(expand_word(value_word.text, expansion));
    if (name.empty()) return fail(ErrorKind::invalid, "{} names can not be blank", keyword);
    pairs.emplace_back(std::move(name), std::move(value));
  }
  return pairs;
}

Result<std::uint16_t> port_number(std::string_view text) {
  std::optional<std::uint16_t> port = parse_integer<std::uint16_t>(text);
  if (!port) return fail(ErrorKind::invalid, "invalid containerPort: {}", shown(text));
  return *port;
}

// "80", "80/udp", "8000-8010", "8000-8010/tcp". An address or a host's port before it says nothing to an
// image, and is left out as Docker does it: "127.0.0.1:8080:80".
Result<void> read_ports(std::string_view text, std::set<std::string>& ports) {
  auto [written, protocol] = split_once(text, '/');
  std::string transport = text.find('/') == std::string_view::npos ? "tcp" : to_lower(protocol);
  if (transport != "tcp" && transport != "udp" && transport != "sctp")
    return fail(ErrorKind::invalid, "invalid proto: {}", shown(protocol));
  std::string_view range = written.substr(written.rfind(':') + 1);
  auto [first_text, last_text] = split_once(range, '-');
  std::uint16_t first = TRY(port_number(first_text));
  std::uint16_t last = first;
  if (range.find('-') != std::string_view::npos) last = TRY(port_number(last_text));
  if (last < first) return fail(ErrorKind::invalid, "invalid range specified for port: {}", shown(range));
  for (std::uint32_t port = first; port <= last; ++port) ports.insert(fmt::format("{}/{}", port, transport));
  return {};
}

Result<std::chrono::nanoseconds> duration_of(const std::optional<Word>& word) {
  if (!word || word->text.empty()) return std::chrono::nanoseconds(0);
  return parse_duration(word->text);
}

Result<oci::HealthCheck> health_check_of(const HealthCheckInstruction& written) {
  oci::HealthCheck check;
  if (written.none) {
    check.test = {"NONE"};
    return check;
  }
  check.test = {written.command.exec ? "CMD" : "CMD-SHELL"};
  check.test.insert(check.test.end(), written.command.words.begin(), written.command.words.end());
  check.interval = TRY(duration_of(written.interval));
  check.timeout = TRY(duration_of(written.timeout));
  check.start_period = TRY(duration_of(written.start_period));
  check.start_interval = TRY(duration_of(written.start_interval));
  if (written.retries) check.retries = parse_integer<std::int32_t>(written.retries->text).value_or(0);
  return check;
}

// Lexical, as the path is not looked up: relative to the directory before, "." and ".." resolved.
std::string working_directory(std::string_view before, std::string_view text) {
  std::string whole =
      text.starts_with('/') ? std::string(text) : std::string(before) + "/" + std::string(text);
  Words parts;
  for (std::string_view part : split(whole, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (!parts.empty()) {
      parts.pop_back();
    }
  }
  return "/" + join(parts, "/");
}

// One overload for each instruction. All of them fail before they change anything.
class Applier {
 public:
  Applier(ContainerConfig& config, const Expansion& expansion, ConfigState& state)
      : config_(config), expansion_(expansion), state_(state) {}

  Result<void> operator()(const EnvInstruction& env) {
    Pairs pairs = TRY(expand_pairs("ENV", env.variables, expansion_));
    for (const auto& [name, value] : pairs) set_environment(config_.env, name, value);
    return {};
  }
  Result<void> operator()(const LabelInstruction& label) {
    Pairs pairs = TRY(expand_pairs("LABEL", label.labels, expansion_));
    for (auto& [name, value] : pairs) config_.labels[name] = std::move(value);
    return {};
  }
  Result<void> operator()(const ExposeInstruction& expose) {
    std::set<std::string> ports;
    for (const Word& word : expose.ports) {
      Words texts = TRY(expand_words(word.text, expansion_));
      for (const std::string& text : texts) TRY(read_ports(text, ports));
    }
    config_.exposed_ports.merge(ports);
    return {};
  }
  Result<void> operator()(const VolumeInstruction& volume) {
    Words paths;
    for (const Word& word : volume.paths) {
      std::string path = TRY(expand_word(word.text, expansion_));
      if (trim(path).empty()) return fail(ErrorKind::invalid, "VOLUME specified can not be an empty string");
      paths.push_back(std::move(path));
    }
    config_.volumes.insert(paths.begin(), paths.end());
    return {};
  }
  Result<void> operator()(const UserInstruction& user) {
    config_.user = TRY(expand_word(user.user.text, expansion_));
    return {};
  }
  Result<void> operator()(const WorkdirInstruction& workdir) {
    std::string path = TRY(expand_word(workdir.path.text, expansion_));
    config_.working_dir = working_directory(config_.working_dir, path);
    return {};
  }
  Result<void> operator()(const StopSignalInstruction& signal) {
    config_.stop_signal = TRY(expand_word(signal.signal.text, expansion_));
    TRY(parse_signal(config_.stop_signal));
    return {};
  }
  Result<void> operator()(const HealthCheckInstruction& check) {
    config_.healthcheck = TRY(health_check_of(check));
    return {};
  }
  Result<void> operator()(const ShellInstruction& shell) {
    config_.shell = shell.words;
    return {};
  }
  Result<void> operator()(const OnBuildInstruction& trigger) {
    config_.on_build.push_back(trigger.instruction);
    return {};
  }
  Result<void> operator()(const CommandInstruction& written) {
    Words words = command_words(written.command, config_);
    if (written.entrypoint) {
      config_.entrypoint = std::move(words);
      if (!state_.cmd_was_set) config_.cmd.reset();  // the base's: it was an argument to another program
    } else {
      config_.cmd = std::move(words);
      config_.args_escaped = false;
      state_.cmd_was_set = true;
    }
    return {};
  }
  template <class Other>
  Result<void> operator()(const Other&) {
    return fail(ErrorKind::invalid, "the instruction changes more than the configuration");
  }

 private:
  ContainerConfig& config_;
  const Expansion& expansion_;
  ConfigState& state_;
};

std::optional<std::string> environment_value(const Words& environment, std::string_view name) {
  for (const std::string& entry : environment) {
    auto [key, value] = split_once(entry, '=');
    if (key == name) return std::string(value);
  }
  return std::nullopt;
}

}  // namespace

bool changes_config_only(const Instruction& instruction) noexcept {
  static constexpr std::array<std::string_view, 12> keywords{
      "CMD",     "ENTRYPOINT", "ENV",        "EXPOSE", "HEALTHCHECK", "LABEL",
      "ONBUILD", "SHELL",      "STOPSIGNAL", "USER",   "VOLUME",      "WORKDIR"};
  return std::ranges::find(keywords, instruction.keyword) != keywords.end();
}

Result<void> apply(ContainerConfig& config, const Instruction& instruction, const Expansion& expansion,
                   ConfigState& state) {
  return std::visit(Applier(config, expansion, state), instruction.content);
}

Result<void> apply_changes(ContainerConfig& config, std::span<const std::string> instructions) {
  ContainerConfig changed = config;
  ConfigState state;
  Expansion expansion{.lookup = [&](std::string_view name) { return environment_value(changed.env, name); }};
  for (const std::string& text : instructions) {
    std::vector<Instruction> parsed = TRY(parse_instructions(text, "change"));
    for (const Instruction& instruction : parsed) {
      if (!changes_config_only(instruction))
        return fail(ErrorKind::invalid, "{} is not a valid change command", instruction.keyword);
      Result<void> applied = apply(changed, instruction, expansion, state);
      if (!applied)  // it may say what a ${NAME:?text} says
        return fail(applied.error().kind, "{}: {}", shown(instruction.original),
                    shown(applied.error().message, 1000));
    }
  }
  config = std::move(changed);
  return {};
}

void set_environment(Words& environment, std::string_view name, std::string_view value) {
  std::string assignment = fmt::format("{}={}", name, value);
  auto found = std::ranges::find_if(
      environment, [&](const std::string& entry) { return split_once(entry, '=').first == name; });
  if (found == environment.end()) {
    environment.push_back(std::move(assignment));
  } else {
    *found = std::move(assignment);
  }
}

Words command_words(const Command& command, const ContainerConfig& config) {
  if (command.exec) return command.words;
  Words words = config.shell && !config.shell->empty() ? *config.shell : Words{"/bin/sh", "-c"};
  words.push_back(shell_text(command));
  return words;
}

}  // namespace berth::dockerfile
