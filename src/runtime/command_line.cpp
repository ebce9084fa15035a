// SPDX-License-Identifier: Apache-2.0
#include "runtime/command_line.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/clock.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/json.h"
#include "runtime/commands.h"

namespace berth::runtime {
namespace {

const OptionSpec* find_option(const std::vector<OptionSpec>& known, std::string_view word) {
  for (const OptionSpec& one : known)
    if (word == one.name || (word.size() == 1 && word[0] == one.letter)) return &one;
  return nullptr;
}

constexpr const char* kUsage =
    "berth-runtime: runs containers from OCI bundles\n\n"
    "Usage: berth-runtime [--root DIR] [--log FILE] [--log-format text|json] COMMAND\n\n"
    "  run [-b BUNDLE] [-d] ID       create and start a container, and wait for it unless detached\n"
    "  create [-b BUNDLE] ID         make a container that waits for `start`\n"
    "  start ID                      run its program\n"
    "  exec ID PROGRAM [ARGS...]     run another program in it\n"
    "  state ID | list | ps ID       what is known about containers\n"
    "  kill ID [SIGNAL]              send a signal (TERM)\n"
    "  pause ID | resume ID          stop and continue all of its processes\n"
    "  update [--resources FILE] ID  change its limits\n"
    "  delete [-f] ID                remove what is left of it\n"
    "  spec [-b DIR]                 write a configuration to begin with\n"
    "  features                      what this runtime can do, as JSON\n";

// Containerd and podman read the log's last line to learn what went wrong.
void log_failure(const std::string& file, bool as_json, const std::string& message) {
  Result<Fd> log = open_file(file, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (!log) return;
  const std::string time = format_time(now());
  json::object line{{"level", "error"}, {"msg", message}, {"time", time}};
  std::string text = as_json
                         ? json::serialize(line)
                         : "time=\"" + time + "\" level=error msg=" + json::serialize(json::string(message));
  (void)write_all(log->get(), text + "\n");
}

const std::vector<OptionSpec>& global_options() {
  static const std::vector<OptionSpec> options = {{"root", 0, true},
                                                  {"log", 0, true},
                                                  {"log-format", 0, true},
                                                  {"debug", 0, false},
                                                  {"systemd-cgroup", 0, false},
                                                  {"rootless", 0, true},
                                                  {"criu", 0, true},
                                                  {"help", 'h', false},
                                                  {"version", 'v', false},
                                                  {"cgroup-manager", 0, true}};
  return options;
}

}  // namespace

std::string Arguments::value(std::string_view name, std::string fallback) const {
  auto found = values_.find(std::string(name));
  return found == values_.end() ? std::move(fallback) : found->second.back();
}

const std::vector<std::string>& Arguments::values(std::string_view name) const {
  static const std::vector<std::string> none;
  auto found = values_.find(std::string(name));
  return found == values_.end() ? none : found->second;
}

Result<Arguments> Arguments::parse(std::vector<std::string> words, const std::vector<OptionSpec>& known,
                                   bool mixed) {
  Arguments out;
  std::size_t i = 0;
  for (; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word == "--") {
      ++i;
      break;
    }
    if (word.size() < 2 || word[0] != '-') {
      if (!mixed) break;
      out.rest_.emplace_back(word);
      continue;
    }
    word.remove_prefix(word.starts_with("--") ? 2 : 1);
    std::size_t equals = word.find('=');
    const OptionSpec* option = find_option(known, word.substr(0, equals));
    if (!option) return fail(ErrorKind::invalid, "unknown option \"{}\"", words[i]);
    std::string value;
    if (equals != std::string_view::npos)
      value = word.substr(equals + 1);
    else if (option->takes_value) {
      if (++i >= words.size())
        return fail(ErrorKind::invalid, "the option \"--{}\" needs a value", option->name);
      value = words[i];
    }
    if (!option->takes_value && value == "false") continue;
    out.values_[std::string(option->name)].push_back(std::move(value));
  }
  for (; i < words.size(); ++i) out.rest_.push_back(std::move(words[i]));
  return out;
}

int run_command_line(std::vector<std::string> words) {
  Result<Arguments> global = Arguments::parse(std::move(words), global_options(), false);
  auto complain = [](const std::string& message) { (void)write_all(2, "berth-runtime: " + message + "\n"); };
  if (!global) {
    complain(global.error().message);
    return 1;
  }
  if (global->has("version")) {
    (void)write_all(1, "berth-runtime version 0.1.0\nspec: 1.2.0\n");
    return 0;
  }
  if (global->has("help") || global->rest().empty()) {
    (void)write_all(global->has("help") ? 1 : 2, kUsage);
    return global->has("help") ? 0 : 1;
  }
  std::vector<std::string> rest = global->rest();
  std::string name = rest.front();
  rest.erase(rest.begin());
  Store store(global->value("root", "/run/berth-runtime"));
  Result<int> done = run_command(store, name, std::move(rest));
  if (done) return *done;
  if (global->has("log"))
    log_failure(global->value("log"), global->value("log-format") == "json", done.error().message);
  complain(done.error().message);
  return name == "exec" ? 255 : 1;
}

}  // namespace berth::runtime
