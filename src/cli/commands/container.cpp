// SPDX-License-Identifier: Apache-2.0
// Commands that change containers: stop, kill, restart, pause, unpause, wait, rm, rename, update, commit, and
// prune.
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/create/security.h"
#include "cli/output/list_format.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

std::string path_of(const std::string& container, std::string_view action) {
  return fmt::format("/containers/{}{}{}", segment(container), action.empty() ? "" : "/", action);
}

Result<int> stop_or_restart(Invocation& invocation, std::string_view action) {
  http::Query query;
  if (invocation.flags.given("signal")) query.add("signal", invocation.flags.text("signal"));
  if (invocation.flags.given("timeout")) query.add("t", invocation.flags.text("timeout"));
  return for_each_word(invocation, [&](Engine& engine, const std::string& name) {
    return engine.post(path_of(name, action), query);
  });
}

Result<int> stop(Invocation& invocation) { return stop_or_restart(invocation, "stop"); }
Result<int> restart(Invocation& invocation) { return stop_or_restart(invocation, "restart"); }

Result<int> kill(Invocation& invocation) {
  http::Query query;
  if (invocation.flags.given("signal")) query.add("signal", invocation.flags.text("signal"));
  return for_each_word(invocation, [&](Engine& engine, const std::string& name) {
    return engine.post(path_of(name, "kill"), query);
  });
}

Result<int> pause(Invocation& invocation) {
  return for_each_word(invocation, [](Engine& engine, const std::string& name) {
    return engine.post(path_of(name, "pause"));
  });
}

Result<int> unpause(Invocation& invocation) {
  return for_each_word(invocation, [](Engine& engine, const std::string& name) {
    return engine.post(path_of(name, "unpause"));
  });
}

Result<int> wait(Invocation& invocation) {
  auto one = [](Engine& engine, const std::string& name) -> Result<void> {
    http::Response response = TRY(engine.call("POST", path_of(name, "wait")));
    int code = TRY(read_exit_code(response));
    print_out(fmt::format("{}\n", code));
    return {};
  };
  return for_each_word(invocation, one, false);
}

Result<int> remove(Invocation& invocation) {
  http::Query query;
  if (invocation.flags.on("force")) query.add("force", "1");
  if (invocation.flags.on("link")) query.add("link", "1");
  if (invocation.flags.on("volumes")) query.add("v", "1");
  auto one = [&](Engine& engine, const std::string& given) -> Result<void> {
    std::string_view name = given;
    while (name.starts_with('/')) name.remove_prefix(1);
    if (name.empty()) return fail(ErrorKind::invalid, "Container name cannot be empty");
    return engine.remove(path_of(std::string(name), ""), query);
  };
  return for_each_word(invocation, one);
}

Result<int> rename(Invocation& invocation) {
  std::string old_name(trim(invocation.words[0])), new_name(trim(invocation.words[1]));
  if (old_name.empty() || new_name.empty())
    return fail(ErrorKind::invalid, "Error: Neither old nor new names may be empty");
  http::Query query;
  query.add("name", new_name);
  Engine* engine = TRY(invocation.context.engine());
  Result<void> done = engine->post(path_of(old_name, "rename"), query);
  if (done) return 0;
  return fail(done.error().kind, "{}\nError: failed to rename container named {}", done.error().message,
              old_name);
}

Result<json::object> update_request(const Flags& flags) {
  json::object body{{"CpuShares", flags.integer("cpu-shares")},
                    {"Memory", flags.bytes("memory")},
                    {"NanoCpus", flags.given("cpus") ? cpus_of(flags.text("cpus")) : 0},
                    {"BlkioWeight", flags.integer("blkio-weight")},
                    {"CpuPeriod", flags.integer("cpu-period")},
                    {"CpuQuota", flags.integer("cpu-quota")},
                    {"CpuRealtimePeriod", flags.integer("cpu-rt-period")},
                    {"CpuRealtimeRuntime", flags.integer("cpu-rt-runtime")},
                    {"CpusetCpus", flags.text("cpuset-cpus")},
                    {"CpusetMems", flags.text("cpuset-mems")},
                    {"MemoryReservation", flags.bytes("memory-reservation")},
                    {"MemorySwap", flags.bytes("memory-swap")}};
  if (flags.given("pids-limit")) body["PidsLimit"] = flags.integer("pids-limit");
  if (flags.given("restart")) {
    std::string text = flags.text("restart");
    auto [name, count] = split_once(text, ':');
    auto retries = count.empty() ? std::optional<std::int32_t>(0) : parse_integer<std::int32_t>(count);
    if (!retries)
      return fail(ErrorKind::invalid,
                  "invalid restart policy format: maximum retry count must be an integer");
    body["RestartPolicy"] = json::object{{"Name", name}, {"MaximumRetryCount", *retries}};
  }
  return body;
}

Result<int> update(Invocation& invocation) {
  if (!invocation.flags.any())
    return fail(ErrorKind::invalid, "you must provide one or more flags when using this command");
  json::object body = TRY(update_request(invocation.flags));
  auto one = [&](Engine& engine, const std::string& name) -> Result<void> {
    http::Response response = TRY(engine.post_json(path_of(name, "update"), {}, body));
    json::value answer = TRY(read_json(response, "the engine's answer"));
    if (const json::array* warnings = member_of(answer, "Warnings").if_array())
      for (const json::value& warning : *warnings)
        if (warning.is_string()) print_error(std::string(warning.get_string()) + "\n");
    return {};
  };
  return for_each_word(invocation, one);
}

Result<int> commit(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  http::Query query;
  query.add("container", invocation.words[0]);
  if (!flags.text("author").empty()) query.add("author", flags.text("author"));
  if (!flags.text("message").empty()) query.add("comment", flags.text("message"));
  for (const std::string& change : flags.list("change")) query.add("changes", change);
  if (!flags.on("pause")) query.add("pause", "0");
  if (invocation.words.size() > 1 && !invocation.words[1].empty()) {
    Result<oci::Reference> reference = oci::Reference::parse(invocation.words[1]);
    if (!reference) return fail(ErrorKind::invalid, "invalid reference format");
    if (reference->digest()) return fail(ErrorKind::invalid, "cannot commit to digest reference");
    query.add("repo", reference->familiar_repository());
    query.add("tag", reference->tag().value_or("latest"));
  }
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->post_json("/commit", query, {}));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  print_out(text_of(answer, "Id") + "\n");
  return 0;
}

Result<int> prune(Invocation& invocation) {
  constexpr std::string_view question =
      "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";
  if (!invocation.flags.on("force") && !confirm(question)) return 0;
  http::Query query;
  if (std::string filters = encode_filters(invocation.flags.list("filter")); !filters.empty())
    query.add("filters", filters);
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->call("POST", "/containers/prune", query));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  print_pruned(deleted_list(answer, "ContainersDeleted", "Deleted Containers"),
               number_of(answer, "SpaceReclaimed"));
  return 0;
}

constexpr FlagSpec kStopFlags[] = {
    {"signal", 's', "string", "Signal to send"},
    {"time", 0, "int", "", "", nullptr, "timeout"},
    {"timeout", 't', "int", "Seconds to wait before it is killed; -1 waits for ever"},
};
constexpr FlagSpec kKillFlags[] = {{"signal", 's', "string", "Signal to send"}};
constexpr FlagSpec kRemoveFlags[] = {
    {"force", 'f', "", "Kill it first if it runs"},
    {"link", 'l', "", "Remove the link of this name"},
    {"volumes", 'v', "", "Remove its anonymous volumes too"},
};
constexpr FlagSpec kUpdateFlags[] = {
    {"blkio-weight", 0, "uint16", "Relative weight of block I/O, 10 to 1000; 0 for none", "0"},
    {"cpu-period", 0, "int", "Period of the CPU quota, in microseconds"},
    {"cpu-quota", 0, "int", "CPU time within a period, in microseconds"},
    {"cpu-rt-period", 0, "int", "Period of the real-time quota, in microseconds"},
    {"cpu-rt-runtime", 0, "int", "Real-time CPU time within a period, in microseconds"},
    {"cpu-shares", 'c', "int", "Relative weight of CPU time"},
    {"cpus", 0, "decimal", "Number of CPUs, such as 1.5"},
    {"cpuset-cpus", 0, "string", "CPUs to run on (0-3, 0,1)"},
    {"cpuset-mems", 0, "string", "Memory nodes to use (0-3, 0,1)"},
    {"kernel-memory", 0, "bytes", "Ignored", "", nullptr, "", true},
    {"memory", 'm', "bytes", "Memory limit"},
    {"memory-reservation", 0, "bytes", "Memory that is kept for it"},
    {"memory-swap", 0, "bytes", "Limit of memory and swap together; -1 for no limit"},
    {"pids-limit", 0, "int", "Limit of processes; -1 for none"},
    {"restart", 0, "string", "Restart policy: no, always, unless-stopped, on-failure[:n]"},
};
constexpr FlagSpec kCommitFlags[] = {
    {"author", 'a', "string", "Who made it"},
    {"change", 'c', "list", "Apply an instruction of a Dockerfile"},
    {"message", 'm', "string", "What it is"},
    {"pause", 'p', "", "Pause the container while it is read", "true"},
};
constexpr FlagSpec kPruneFlags[] = {
    {"filter", 0, "filter", "Which ones (until=, label=)"},
    {"force", 'f', "", "Do not ask"},
};

constexpr std::string_view kMany = "CONTAINER [CONTAINER...]";
constexpr std::string_view kManyOptions = "[OPTIONS] CONTAINER [CONTAINER...]";
constexpr Command kCommands[] = {
    {"container stop|stop", kManyOptions, "Stop one or more running containers", kStopFlags, 1, kAnyNumber,
     stop},
    {"container restart|restart", kManyOptions, "Restart one or more containers", kStopFlags, 1, kAnyNumber,
     restart},
    {"container kill|kill", kManyOptions, "Kill one or more running containers", kKillFlags, 1, kAnyNumber,
     kill},
    {"container pause|pause",
     kMany,
     "Pause all processes within one or more containers",
     {},
     1,
     kAnyNumber,
     pause},
    {"container unpause|unpause",
     kMany,
     "Unpause all processes within one or more containers",
     {},
     1,
     kAnyNumber,
     unpause},
    {"container wait|wait",
     kMany,
     "Wait until containers stop, then print their exit codes",
     {},
     1,
     kAnyNumber,
     wait},
    {"container rm|container remove|rm", kManyOptions, "Remove one or more containers", kRemoveFlags, 1,
     kAnyNumber, remove},
    {"container rename|rename", "CONTAINER NEW_NAME", "Rename a container", {}, 2, 2, rename},
    {"container update|update", kManyOptions, "Change limits of one or more containers", kUpdateFlags, 1,
     kAnyNumber, update},
    {"container commit|commit", "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
     "Make an image of a container's changes", kCommitFlags, 1, 2, commit},
    {"container prune", "[OPTIONS]", "Remove all stopped containers", kPruneFlags, 0, 0, prune},
};

}  // namespace

std::span<const Command> container_commands() { return kCommands; }

}  // namespace berth::cli
