// SPDX-License-Identifier: Apache-2.0
#include "keeper/state.h"

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "keeper/paths.h"

namespace berth::keeper {
namespace {

constexpr std::pair<Phase, std::string_view> kPhases[] = {{Phase::created, "created"},
                                                          {Phase::running, "running"},
                                                          {Phase::restarting, "restarting"},
                                                          {Phase::exited, "exited"}};

std::string_view to_text(Phase phase) {
  for (auto [candidate, name] : kPhases)
    if (candidate == phase) return name;
  return "created";
}

}  // namespace

std::string encode(const State& state) {
  return json::serialize(json::object{{"phase", to_text(state.phase)},
                                      {"keeperPid", state.keeper_pid},
                                      {"pid", state.pid},
                                      {"pidStartTime", state.pid_start_time},
                                      {"startedAt", state.started_at.nanoseconds},
                                      {"finishedAt", state.finished_at.nanoseconds},
                                      {"exitCode", state.exit_code},
                                      {"oomKilled", state.oom_killed},
                                      {"restartCount", state.restart_count},
                                      {"error", state.error}});
}

Result<State> decode_state(std::string_view text) {
  json::value document = TRY(parse_json(text, "the container's state"));
  State state;
  std::string phase;
  ObjectReader in(document, "");
  in.read("phase", phase);
  in.read("keeperPid", state.keeper_pid);
  in.read("pid", state.pid);
  in.read("pidStartTime", state.pid_start_time);
  in.read("startedAt", state.started_at.nanoseconds);
  in.read("finishedAt", state.finished_at.nanoseconds);
  in.read("exitCode", state.exit_code);
  in.read("oomKilled", state.oom_killed);
  in.read("restartCount", state.restart_count);
  in.read("error", state.error);
  TRY(in.finish());
  for (auto [candidate, name] : kPhases) {
    if (name != phase) continue;
    state.phase = candidate;
    return state;
  }
  return fail(ErrorKind::corrupt, "the container's state names an unknown phase '{}'", phase);
}

Result<State> read_state(const std::string& run_directory) {
  std::string text = TRY(read_file(run_directory + "/" + kStateFile, 64 * 1024));
  return decode_state(text);
}

std::uint64_t process_start_time(pid_t pid) {
  Result<std::string> text = read_file(fmt::format("/proc/{}/stat", pid), 4096);
  if (!text) return 0;
  // The second field is the program's name in parentheses and may hold anything: count from the last one.
  std::size_t close = text->rfind(')');
  if (close == std::string::npos) return 0;
  auto fields = split(trim(std::string_view(*text).substr(close + 1)), ' ');
  return fields.size() > 19 ? parse_integer<std::uint64_t>(fields[19]).value_or(0) : 0;
}

}  // namespace berth::keeper
