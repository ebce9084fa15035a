// SPDX-License-Identifier: Apache-2.0
// Commands with streams of a container: start, attach, exec, logs.
#include <unistd.h>

#include <cerrno>

#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/attached.h"
#include "cli/commands/common.h"
#include "cli/create/request.h"
#include "cli/flags/checks.h"
#include "cli/output/list_format.h"
#include "cli/stream/demultiplex.h"

namespace berth::cli {
namespace {

constexpr int kBrokenPipeExit = 128 + 13;
constexpr std::size_t kBuffer = 256u << 10;

Result<http::Upgraded> attach_streams(Engine& engine, const std::string& path, bool input,
                                      const Flags& flags) {
  http::Query query;
  query.add("stream", "1");
  if (input) query.add("stdin", "1");
  query.add("stdout", "1");
  query.add("stderr", "1");
  if (flags.given("detach-keys")) query.add("detachKeys", flags.text("detach-keys"));
  return engine.upgrade(path + "/attach", query);
}

Result<int> finish(Result<SessionEnd> end, http::Response& waiting, bool detach_is_success) {
  if (!end && end.error().code == EPIPE) return kBrokenPipeExit;
  if (!end) return std::unexpected(std::move(end).error());
  if (*end == SessionEnd::detached) {
    if (detach_is_success) return 0;
    return fail(ErrorKind::cancelled, "read escape sequence");
  }
  return read_exit_code(waiting);
}

Result<int> start_attached(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  if (invocation.words.size() > 1)
    return fail(ErrorKind::invalid, "you cannot start and attach multiple containers at once");
  Engine* engine = TRY(invocation.context.engine());
  std::string path = "/containers/" + segment(invocation.words[0]);
  json::value container = TRY(engine->get_json(path + "/json"));
  const json::value& config = member_of(container, "Config");
  bool terminal = flag_of(config, "Tty");
  bool input = flags.on("interactive") && flag_of(config, "OpenStdin");
  TRY(check_terminal(input, terminal));
  std::string keys = TRY(detach_keys_of(flags, invocation.context));
  Attachment attachment(*engine, {path, input, terminal, true, keys});
  Engine streams = engine->another();
  http::Upgraded connection = TRY(attach_streams(streams, path, input, flags));
  http::Query condition;
  condition.add("condition",
                flag_of(member_of(container, "HostConfig"), "AutoRemove") ? "removed" : "next-exit");
  Engine waiter = engine->another();
  http::Response waiting = TRY(waiter.call("POST", path + "/wait", condition));
  Result<void> started = engine->post(path + "/start");
  if (!started) return std::unexpected(std::move(started).error());
  Result<SessionEnd> end = attachment.relay(connection);
  connection.socket.reset();
  return finish(std::move(end), waiting, true);
}

Result<int> start(Invocation& invocation) {
  if (invocation.flags.on("attach") || invocation.flags.on("interactive")) return start_attached(invocation);
  Engine* engine = TRY(invocation.context.engine());
  std::vector<std::string> failed;
  for (const std::string& name : invocation.words) {
    Result<void> done = engine->post("/containers/" + segment(name) + "/start");
    if (done) {
      print_out(name + "\n");
    } else {
      print_error(done.error().message + "\n");
      failed.push_back(name);
    }
  }
  if (failed.empty()) return 0;
  return fail(ErrorKind::system, "Error: failed to start containers: {}", join(failed, ", "));
}

Result<int> attach(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  Engine* engine = TRY(invocation.context.engine());
  std::string path = "/containers/" + segment(invocation.words[0]);
  json::value container = TRY(engine->get_json(path + "/json"));
  const json::value& state = member_of(container, "State");
  if (!flag_of(state, "Running"))
    return fail(ErrorKind::conflict, "cannot attach to a stopped container, start it first");
  if (flag_of(state, "Paused"))
    return fail(ErrorKind::conflict, "cannot attach to a paused container, unpause it first");
  if (flag_of(state, "Restarting"))
    return fail(ErrorKind::conflict, "cannot attach to a restarting container, wait until it is running");
  const json::value& config = member_of(container, "Config");
  bool terminal = flag_of(config, "Tty");
  bool input = !flags.on("no-stdin") && flag_of(config, "OpenStdin");
  TRY(check_terminal(input, terminal));
  std::string keys = TRY(detach_keys_of(flags, invocation.context));
  Attachment attachment(*engine, {path, input, terminal, flags.on("sig-proxy"), keys});
  Engine waiter = engine->another();
  http::Response waiting = TRY(waiter.call("POST", path + "/wait"));
  Engine streams = engine->another();
  http::Upgraded connection = TRY(attach_streams(streams, path, input, flags));
  Result<SessionEnd> end = attachment.relay(connection);
  connection.socket.reset();
  return finish(std::move(end), waiting, false);
}

Result<json::object> exec_request(const Flags& flags, std::span<const std::string> words,
                                  ConsoleSize console) {
  std::vector<std::string> environment;
  for (const std::string& path : flags.list("env-file")) {
    std::vector<std::string> lines = TRY(read_settings_file(path, true));
    environment.insert(environment.end(), lines.begin(), lines.end());
  }
  environment.insert(environment.end(), flags.list("env").begin(), flags.list("env").end());
  bool detached = flags.on("detach");
  json::object body{{"User", flags.text("user")},
                    {"Privileged", flags.on("privileged")},
                    {"Tty", flags.on("tty")},
                    {"AttachStdin", !detached && flags.on("interactive")},
                    {"AttachStderr", !detached},
                    {"AttachStdout", !detached},
                    {"Detach", detached},
                    {"DetachKeys", flags.text("detach-keys")},
                    {"Env", to_json(environment)},
                    {"WorkingDir", flags.text("workdir")},
                    {"Cmd", to_json(std::vector<std::string>(words.begin() + 1, words.end()))}};
  if (console.rows) body["ConsoleSize"] = json::array{console.rows, console.columns};
  return body;
}

Result<int> exec_attached(Invocation& invocation, Engine& engine, const std::string& path,
                          ConsoleSize console) {
  const Flags& flags = invocation.flags;
  bool terminal = flags.on("tty");
  std::string keys = TRY(detach_keys_of(flags, invocation.context));
  json::object body{{"Detach", false}, {"Tty", terminal}};
  if (console.rows) body["ConsoleSize"] = json::array{console.rows, console.columns};
  Attachment attachment(engine, {path, flags.on("interactive"), terminal, false, keys});
  Engine streams = engine.another();
  http::Upgraded connection = TRY(streams.upgrade(path + "/start", {}, json::serialize(body)));
  Result<SessionEnd> end = attachment.relay(connection);
  connection.socket.reset();
  if (!end && end.error().code == EPIPE) return kBrokenPipeExit;
  if (!end) return std::unexpected(std::move(end).error());
  if (*end == SessionEnd::detached) return 0;
  json::value result = TRY(engine.get_json(path + "/json"));
  return static_cast<int>(number_of(result, "ExitCode"));
}

Result<int> exec(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  TRY(check_terminal(!flags.on("detach") && flags.on("interactive"), flags.on("tty")));
  ConsoleSize console = flags.on("tty") ? console_size(STDOUT_FILENO) : ConsoleSize{};
  json::object body = TRY(exec_request(flags, invocation.words, console));
  Engine* engine = TRY(invocation.context.engine());
  http::Response created =
      TRY(engine->post_json("/containers/" + segment(invocation.words[0]) + "/exec", {}, body));
  json::value answer = TRY(read_json(created, "the engine's answer"));
  std::string path = "/exec/" + text_of(answer, "Id");
  if (!flags.on("detach")) {
    Result<int> code = exec_attached(invocation, *engine, path, console);
    if (code) return code;
    print_error(code.error().message + "\n");
    int start_code = exit_code_of_start(code.error().message);
    return start_code == 125 ? 1 : start_code;
  }
  http::Response started =
      TRY(engine->post_json(path + "/start", {}, {{"Detach", true}, {"Tty", flags.on("tty")}}));
  TRY(engine->finish(std::move(started)));
  return 0;
}

Result<int> logs(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  Engine* engine = TRY(invocation.context.engine());
  std::string path = "/containers/" + segment(invocation.words[0]);
  json::value container = TRY(engine->get_json(path + "/json"));
  http::Query query;
  query.add("stdout", "1");
  query.add("stderr", "1");
  if (flags.on("follow")) query.add("follow", "1");
  if (flags.on("timestamps")) query.add("timestamps", "1");
  if (flags.on("details")) query.add("details", "1");
  for (std::string_view bound : {"since", "until"}) {
    if (!flags.given(bound)) continue;
    std::string time = TRY(timestamp_argument(flags.text(bound)));
    query.add(bound, time);
  }
  query.add("tail", flags.text("tail"));
  http::Response response = TRY(engine->call("GET", path + "/logs", query));
  bool terminal = flag_of(member_of(container, "Config"), "Tty");
  Demultiplexer frames(STDOUT_FILENO, STDERR_FILENO);
  Buffer buffer(kBuffer);
  for (;;) {
    std::size_t got = TRY(response.read(buffer));
    if (got == 0) break;
    Result<void> shown;
    std::vector<iovec> whole{{buffer.data(), got}};
    if (terminal)
      shown = write_everything(STDOUT_FILENO, whole);
    else
      shown = frames.feed({buffer.data(), got});
    if (!shown && shown.error().code == EPIPE) return kBrokenPipeExit;
    if (!shown) return std::unexpected(std::move(shown).error());
  }
  if (!frames.failure().empty())
    return fail(ErrorKind::system, "error from daemon in stream: {}", frames.failure());
  return 0;
}

constexpr FlagSpec kStartFlags[] = {
    {"attach", 'a', "", "Attach the output and pass signals on"},
    {"detach-keys", 0, "string", "Keys that detach from the container"},
    {"interactive", 'i', "", "Attach standard input"},
};
constexpr FlagSpec kAttachFlags[] = {
    {"detach-keys", 0, "string", "Keys that detach from the container"},
    {"no-stdin", 0, "", "Do not attach standard input"},
    {"sig-proxy", 0, "", "Pass signals that arrive here on to the process", "true"},
};
constexpr FlagSpec kExecFlags[] = {
    {"detach", 'd', "", "Run it in the background"},
    {"detach-keys", 0, "string", "Keys that detach from the process"},
    {"env", 'e', "list", "Set an environment variable", "", check_environment},
    {"env-file", 0, "list", "Read environment variables from a file"},
    {"interactive", 'i', "", "Keep standard input open"},
    {"privileged", 0, "", "Give the process extended privileges"},
    {"tty", 't', "", "Give it a terminal"},
    {"user", 'u', "string", "User and group (name|uid[:group|gid])"},
    {"workdir", 'w', "string", "Working directory"},
};
constexpr FlagSpec kLogsFlags[] = {
    {"details", 0, "", "Show what the log driver adds"},
    {"follow", 'f', "", "Go on with what comes"},
    {"since", 0, "string", "From this time on (RFC 3339, seconds, or 42m ago)"},
    {"tail", 'n', "string", "So many lines from the end", "all"},
    {"timestamps", 't', "", "Show when each line was written"},
    {"until", 0, "string", "Up to this time (RFC 3339, seconds, or 42m ago)"},
};
constexpr Command kCommands[] = {
    {"container start|start", "[OPTIONS] CONTAINER [CONTAINER...]", "Start one or more stopped containers",
     kStartFlags, 1, kAnyNumber, start},
    {"container attach|attach", "[OPTIONS] CONTAINER", "Attach to the streams of a running container",
     kAttachFlags, 1, 1, attach},
    {"container exec|exec", "[OPTIONS] CONTAINER COMMAND [ARG...]", "Run a command in a running container",
     kExecFlags, 2, kAnyNumber, exec, false},
    {"container logs|logs", "[OPTIONS] CONTAINER", "Show what a container has written", kLogsFlags, 1, 1,
     logs},
};

}  // namespace

std::span<const Command> stream_commands() { return kCommands; }

}  // namespace berth::cli
