// SPDX-License-Identifier: Apache-2.0
// run and create.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/attached.h"
#include "cli/commands/common.h"
#include "cli/commands/pull.h"
#include "cli/commands/run_flags.h"
#include "cli/create/request.h"
#include "cli/create/security.h"
#include "cli/output/list_format.h"

namespace berth::cli {
namespace {

constexpr int kBrokenPipeExit = 128 + 13;

// "docker: ..." in Docker's words: what failed before the container ran.
int report(const Invocation& invocation, const Error& error, int code) {
  print_error(fmt::format("berth: {}\n\nRun 'berth {} --help' for more information\n", error.message,
                          invocation.path));
  return code;
}

Result<void> check_pull_policy(const std::string& policy) {
  if (policy == "missing" || policy == "always" || policy == "never") return {};
  return fail(ErrorKind::invalid,
              "invalid pull option: '{}': must be one of \"always\", \"missing\" or \"never\"", policy);
}

Result<void> check_container_id_file(const std::string& path) {
  if (path.empty() || !exists(path)) return {};
  return fail(ErrorKind::conflict,
              "container ID file found, make sure the other container isn't running or delete {}", path);
}

Result<void> write_container_id_file(const std::string& path, const std::string& id) {
  if (path.empty()) return {};
  Result<Fd> file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
  if (!file)
    return fail(ErrorKind::invalid, "failed to create the container ID file: open {}: {}", path,
                words_of_errno(file.error().code));
  return write_all(file->get(), id);
}

bool image_is_missing(const Error& error) {
  return error.kind == ErrorKind::not_found && error.message.find("No such image") != std::string::npos;
}

Result<json::value> post_create(Engine& engine, const CreateRequest& request) {
  http::Query query;
  if (!request.name.empty()) query.add("name", request.name);
  if (!request.platform.empty()) query.add("platform", request.platform);
  http::Response response = TRY(engine.post_json("/containers/create", query, *request.body));
  return read_json(response, "the engine's answer");
}

// Creates the container, its image pulled first if that is asked for. Returns its id.
Result<std::string> create_container(Context& context, const Flags& flags, const CreateRequest& request) {
  Engine& engine = *TRY(context.engine());
  std::string policy = flags.text("pull");
  TRY(check_pull_policy(policy));
  TRY(check_container_id_file(flags.text("cidfile")));
  for (const std::string& warning : request.warnings) print_error(fmt::format("WARNING: {}\n", warning));
  PullOptions pull{request.platform, flags.on("quiet"), STDERR_FILENO};
  Result<oci::Reference> name = oci::Reference::parse_with_default_tag(request.image);
  if (policy == "always") {
    if (!name) return fail(ErrorKind::invalid, "invalid reference format: {}", request.image);
    TRY(pull_image(context, *name, pull));
  }
  Result<json::value> created = post_create(engine, request);
  if (!created && name && policy == "missing" && image_is_missing(created.error())) {
    if (!pull.quiet)
      print_error(fmt::format("Unable to find image '{}' locally\n", familiar_name(request.image)));
    TRY(pull_image(context, *name, pull));
    created = post_create(engine, request);
  }
  if (!created) return std::unexpected(std::move(created).error());
  if (const json::array* warnings = member_of(*created, "Warnings").if_array())
    for (const json::value& warning : *warnings)
      if (warning.is_string())
        print_error(fmt::format("WARNING: {}\n", std::string_view(warning.get_string())));
  std::string id = text_of(*created, "Id");
  TRY(write_container_id_file(flags.text("cidfile"), id));
  return id;
}

Result<http::Upgraded> attach(Engine& engine, const std::string& id, const CreateRequest& request,
                              const Flags& flags) {
  http::Query query;
  query.add("stream", "1");
  if (request.attach_input) query.add("stdin", "1");
  if (request.attach_output) query.add("stdout", "1");
  if (request.attach_error) query.add("stderr", "1");
  if (flags.given("detach-keys")) query.add("detachKeys", flags.text("detach-keys"));
  return engine.upgrade("/containers/" + id + "/attach", query);
}

// Attached before it starts, so that nothing of its output is missed, and waited for before, so that its
// exit code is not either.
int run_attached(Invocation& invocation, Engine& engine, const std::string& id,
                 const CreateRequest& request) {
  const Flags& flags = invocation.flags;
  std::string path = "/containers/" + id;
  Result<std::string> keys = detach_keys_of(flags, invocation.context);
  if (!keys) return report(invocation, keys.error(), 125);
  Attachment attachment(engine, {path, request.attach_input, request.terminal, flags.on("sig-proxy"), *keys});
  Engine streams = engine.another();
  Result<http::Upgraded> connection = attach(streams, id, request, flags);
  if (!connection) return report(invocation, connection.error(), 125);
  http::Query condition;
  condition.add("condition", flags.on("rm") ? "removed" : "next-exit");
  Engine waiter = engine.another();
  Result<http::Response> waiting = waiter.call("POST", path + "/wait", condition);
  if (!waiting) return report(invocation, waiting.error(), 125);

  if (Result<void> started = engine.post(path + "/start"); !started) {
    int code = exit_code_of_start(started.error().message);
    connection->socket.reset();
    report(invocation, started.error(), code);
    if (flags.on("rm")) (void)waiting->read_whole(1 << 20);  // until it is removed
    return code;
  }
  Result<SessionEnd> end = attachment.relay(*connection);
  connection->socket.reset();
  if (!end && end.error().code == EPIPE) return kBrokenPipeExit;
  if (end && *end == SessionEnd::detached) return 0;
  Result<int> code = read_exit_code(*waiting);
  if (!code) return report(invocation, code.error(), 125);
  if (!end) print_error(end.error().message + "\n");
  return *code;
}

Result<int> run(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  bool detached = flags.on("detach");
  ConsoleSize console = flags.on("tty") ? console_size(STDOUT_FILENO) : ConsoleSize{};
  Result<CreateRequest> request = make_create_request(flags, invocation.words, detached, console);
  if (!request) return report(invocation, request.error(), 125);
  if (detached && !flags.list("attach").empty())
    return fail(ErrorKind::invalid, "conflicting options: cannot specify both --attach and --detach");
  TRY(check_terminal(request->attach_input, request->terminal));
  Result<Engine*> engine = invocation.context.engine();
  if (!engine) return report(invocation, engine.error(), 125);
  Result<std::string> id = create_container(invocation.context, flags, *request);
  if (!id) return report(invocation, id.error(), exit_code_of_start(id.error().message));
  if (!detached) return run_attached(invocation, **engine, *id, *request);
  if (Result<void> started = (*engine)->post("/containers/" + *id + "/start"); !started)
    return report(invocation, started.error(), exit_code_of_start(started.error().message));
  print_out(*id + "\n");
  return 0;
}

Result<int> create(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  ConsoleSize console = flags.on("tty") ? console_size(STDOUT_FILENO) : ConsoleSize{};
  Result<CreateRequest> request = make_create_request(flags, invocation.words, false, console);
  if (!request) return report(invocation, request.error(), 125);
  std::string id = TRY(create_container(invocation.context, flags, *request));
  print_out(id + "\n");
  return 0;
}

constexpr std::string_view kUsage = "[OPTIONS] IMAGE [COMMAND] [ARG...]";
constexpr Command kCommands[] = {
    {"container run|run", kUsage, "Create and run a new container from an image", kRunFlags, 1, kAnyNumber,
     run, false},
    {"container create|create", kUsage, "Create a new container", kCreateFlags, 1, kAnyNumber, create, false},
};

}  // namespace

std::span<const Command> run_commands() { return kCommands; }

}  // namespace berth::cli
