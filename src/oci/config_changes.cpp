// SPDX-License-Identifier: Apache-2.0
#include "oci/config_changes.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace berth::oci {
namespace {

using Words = std::vector<std::string>;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::unexpected<Error> wrong(std::string_view instruction, std::string_view why) {
  return fail(ErrorKind::invalid, "{} {}", instruction, why);
}

// A JSON list of strings, or nothing: then the text is meant for a shell.
std::optional<Words> exec_form(std::string_view text) {
  if (!text.starts_with('[')) return std::nullopt;
  Result<json::value> value = parse_json(text, "the list");
  if (!value || !value->is_array()) return std::nullopt;
  Words words;
  for (const json::value& item : value->get_array()) {
    if (!item.is_string()) return std::nullopt;
    words.emplace_back(item.get_string());
  }
  return words;
}

Words shell_form(const ContainerConfig& config, std::string_view command) {
  Words words = config.shell && !config.shell->empty() ? *config.shell : Words{"/bin/sh", "-c"};
  words.emplace_back(command);
  return words;
}

Words plain_words(std::string_view text) {
  Words words;
  std::string word;
  for (char c : text) {
    if (!is_blank(c)) {
      word += c;
    } else if (!word.empty()) {
      words.push_back(std::exchange(word, {}));
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

// Words as a shell would see them: quotes joined and removed, a backslash takes the next character as it is
// (inside double quotes only before ", \ and $). No expansion.
Result<Words> quoted_words(std::string_view instruction, std::string_view text) {
  Words words;
  std::string word;
  bool started = false;
  char quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    char c = text[at];
    bool escapes = quote == 0 || (quote == '"' && at + 1 < text.size() &&
                                  (text[at + 1] == '"' || text[at + 1] == '\\' || text[at + 1] == '$'));
    if (c == '\\' && quote != '\'' && escapes && at + 1 < text.size()) {
      word += text[++at];
      started = true;
    } else if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
      started = true;
    } else if (is_blank(c)) {
      if (started) words.push_back(std::exchange(word, {}));
      started = false;
    } else {
      word += c;
      started = true;
    }
  }
  if (quote != 0) return wrong(instruction, "has a quote that is not closed");
  if (started) words.push_back(std::move(word));
  return words;
}

// NAME=value pairs, or one NAME and the rest of the line as its value.
Result<std::vector<std::pair<std::string, std::string>>> name_values(std::string_view instruction,
                                                                     std::string_view text) {
  std::vector<std::pair<std::string, std::string>> pairs;
  std::size_t first_end = text.find_first_of(" \t");
  if (text.substr(0, first_end).find('=') == std::string_view::npos) {
    if (first_end == std::string_view::npos) return wrong(instruction, "must have two arguments");
    pairs.emplace_back(text.substr(0, first_end), trim(text.substr(first_end)));
    return pairs;
  }
  Words words = TRY(quoted_words(instruction, text));
  for (const std::string& word : words) {
    std::size_t equals = word.find('=');
    if (equals == std::string::npos)
      return fail(ErrorKind::invalid,
                  "Syntax error - can't find = in \"{}\". Must be of the form: name=value", word);
    if (equals == 0) return wrong(instruction, "names can not be blank");
    pairs.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return pairs;
}

void set_environment(std::vector<std::string>& env, const std::string& name, const std::string& value) {
  std::string assignment = name + "=" + value;
  auto same = [&](const std::string& entry) { return split_once(entry, '=').first == name; };
  auto found = std::ranges::find_if(env, same);
  if (found == env.end()) {
    env.push_back(std::move(assignment));
  } else {
    *found = std::move(assignment);
  }
}

Result<std::uint16_t> port_number(std::string_view text) {
  std::optional<std::uint16_t> port = parse_integer<std::uint16_t>(text);
  if (!port) return fail(ErrorKind::invalid, "invalid containerPort: {}", text);
  return *port;
}

// "80", "80/udp", "8000-8010", "8000-8010/tcp"
Result<void> expose(ContainerConfig& config, std::string_view text) {
  auto [range, protocol] = split_once(text, '/');
  std::string transport = text.find('/') == std::string_view::npos ? "tcp" : to_lower(protocol);
  if (transport != "tcp" && transport != "udp" && transport != "sctp")
    return fail(ErrorKind::invalid, "invalid proto: {}", protocol);
  auto [first_text, last_text] = split_once(range, '-');
  std::uint16_t first = TRY(port_number(first_text));
  std::uint16_t last = first;
  if (range.find('-') != std::string_view::npos) last = TRY(port_number(last_text));
  if (last < first) return fail(ErrorKind::invalid, "invalid range specified for port: {}", range);
  for (std::uint32_t port = first; port <= last; ++port)
    config.exposed_ports.insert(fmt::format("{}/{}", port, transport));
  return {};
}

// "--name=value" at the front of `text`, taken off; empty at the first word that is none.
std::string_view take_option(std::string_view& text) {
  if (!text.starts_with("--")) return {};
  std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  std::string_view option = text.substr(0, end);
  text = trim(text.substr(end));
  return option;
}

Result<void> set_health_option(HealthCheck& check, std::string_view option) {
  auto [name, value] = split_once(option, '=');
  if (name == "--retries") {
    std::optional<std::int32_t> retries = parse_integer<std::int32_t>(value);
    if (!retries || *retries < 0) return wrong("HEALTHCHECK", "--retries must be a number, 0 or more");
    check.retries = *retries;
    return {};
  }
  std::chrono::nanoseconds* target = name == "--interval"         ? &check.interval
                                     : name == "--timeout"        ? &check.timeout
                                     : name == "--start-period"   ? &check.start_period
                                     : name == "--start-interval" ? &check.start_interval
                                                                  : nullptr;
  if (!target) return fail(ErrorKind::invalid, "unknown flag: {}", name.substr(2));
  std::chrono::nanoseconds duration = TRY(parse_duration(value));
  if (duration.count() != 0 && duration < std::chrono::milliseconds(1))
    return fail(ErrorKind::invalid, "interval \"{}\" cannot be less than 1ms", name.substr(2));
  *target = duration;
  return {};
}

Result<void> set_health_check(ContainerConfig& config, std::string_view text) {
  HealthCheck check;
  while (true) {
    std::string_view option = take_option(text);
    if (option.empty()) break;
    TRY(set_health_option(check, option));
  }
  std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  std::string kind = to_upper(text.substr(0, end));
  std::string_view command = trim(text.substr(end));
  if (kind == "NONE") {
    if (!command.empty()) return wrong("HEALTHCHECK", "NONE takes no arguments");
    check = HealthCheck{};
    check.test = {"NONE"};
  } else if (kind == "CMD") {
    if (command.empty()) return wrong("HEALTHCHECK", "CMD misses the command");
    if (std::optional<Words> words = exec_form(command)) {
      check.test = {"CMD"};
      check.test.insert(check.test.end(), words->begin(), words->end());
    } else {
      check.test = {"CMD-SHELL", std::string(command)};
    }
  } else {
    return fail(ErrorKind::invalid, "Unknown type \"{}\" in HEALTHCHECK (try CMD)", kind);
  }
  config.healthcheck = std::move(check);
  return {};
}

// Lexical, as the path is not looked up: relative to the directory before, "." and ".." resolved.
std::string working_directory(std::string_view before, std::string_view text) {
  std::string whole =
      text.starts_with('/') ? std::string(text) : std::string(before) + "/" + std::string(text);
  std::vector<std::string> parts;
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

Result<void> set_on_build(ContainerConfig& config, std::string_view text) {
  std::string trigger = to_upper(text.substr(0, text.find_first_of(" \t")));
  if (trigger == "ONBUILD")
    return fail(ErrorKind::invalid, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger == "MAINTAINER" || trigger == "FROM")
    return fail(ErrorKind::invalid, "{} isn't allowed as an ONBUILD trigger", trigger);
  config.on_build.emplace_back(text);
  return {};
}

Result<void> set_volumes(ContainerConfig& config, std::string_view text) {
  Words paths = exec_form(text).value_or(plain_words(text));
  for (const std::string& path : paths) {
    if (trim(path).empty()) return wrong("VOLUME", "specified can not be an empty string");
    config.volumes.emplace(trim(path));
  }
  return {};
}

Result<void> apply(ContainerConfig& config, const std::string& name, std::string_view text) {
  if (name == "CMD") {
    config.cmd = exec_form(text).value_or(shell_form(config, text));
    config.args_escaped = false;
  } else if (name == "ENTRYPOINT") {
    config.entrypoint = exec_form(text).value_or(shell_form(config, text));
  } else if (name == "ENV") {
    auto pairs = TRY(name_values(name, text));
    for (const auto& [key, value] : pairs) set_environment(config.env, key, value);
  } else if (name == "LABEL") {
    auto pairs = TRY(name_values(name, text));
    for (const auto& [key, value] : pairs) config.labels[key] = value;
  } else if (name == "EXPOSE") {
    Words ports = plain_words(text);
    for (const std::string& port : ports) TRY(expose(config, port));
  } else if (name == "HEALTHCHECK") {
    TRY(set_health_check(config, text));
  } else if (name == "ONBUILD") {
    TRY(set_on_build(config, text));
  } else if (name == "SHELL") {
    std::optional<Words> words = exec_form(text);
    if (!words || words->empty()) return wrong(name, "requires the arguments to be in JSON form");
    config.shell = std::move(words);
  } else if (name == "STOPSIGNAL") {
    config.stop_signal = text;
  } else if (name == "USER") {
    config.user = text;
  } else if (name == "VOLUME") {
    TRY(set_volumes(config, text));
  } else if (name == "WORKDIR") {
    config.working_dir = working_directory(config.working_dir, text);
  } else {
    return fail(ErrorKind::invalid, "{} is not a valid change command", name.substr(0, 100));
  }
  return {};
}

}  // namespace

Result<void> apply_change(ContainerConfig& config, std::string_view instruction) {
  std::string_view line = trim(instruction);
  if (line.find('\0') != std::string_view::npos || !valid_utf8(line))
    return fail(ErrorKind::invalid, "a change must be text in UTF-8");
  std::size_t end = std::min(line.find_first_of(" \t"), line.size());
  std::string name = to_upper(line.substr(0, end));
  std::string_view text = trim(line.substr(end));
  if (name.empty()) return fail(ErrorKind::invalid, "a change must be a Dockerfile instruction, not empty");
  if (text.empty()) return wrong(name.substr(0, 100), "requires at least one argument");
  ContainerConfig changed = config;
  TRY(apply(changed, name, text));
  config = std::move(changed);
  return {};
}

Result<void> apply_changes(ContainerConfig& config, std::span<const std::string> instructions) {
  ContainerConfig changed = config;
  for (const std::string& text : instructions) {
    std::string joined;  // a backslash at the end of a line continues it
    for (std::string_view line : split(text, '\n')) {
      if (line.ends_with('\r')) line.remove_suffix(1);
      std::string_view trimmed = trim(line);
      if (joined.empty() && (trimmed.empty() || trimmed.starts_with('#'))) continue;
      if (trimmed.ends_with('\\')) {
        joined.append(trimmed.substr(0, trimmed.size() - 1));
        continue;
      }
      joined.append(line);
      TRY(apply_change(changed, std::exchange(joined, {})));
    }
    if (!joined.empty()) TRY(apply_change(changed, joined));
  }
  config = std::move(changed);
  return {};
}

}  // namespace berth::oci
