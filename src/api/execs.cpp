// SPDX-License-Identifier: Apache-2.0
#include "api/respond.h"
#include "api/routes.h"
#include "api/streams.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::api {
namespace {

using engine::ContainerPointer;

void read_console_size(ObjectReader& in, std::optional<oci::ConsoleSize>& size) {
  const json::value* value = in.find("ConsoleSize");
  if (!value || !value->is_array() || value->get_array().size() != 2) return;
  auto side = [&](std::size_t index) {
    const json::value& number = value->get_array()[index];
    return number.is_int64() && number.get_int64() > 0 ? static_cast<std::uint32_t>(number.get_int64()) : 0u;
  };
  if (side(0) > 0) size = oci::ConsoleSize{side(0), side(1)};
}

Result<void> create(Call& call) {
  ContainerPointer container = TRY(call.container());
  json::value body = TRY(read_json(call));
  engine::ExecConfig config;
  std::string detach_keys;
  ObjectReader in(body, "");
  in.read("User", config.user);
  in.read("Privileged", config.options.privileged);
  in.read("Tty", config.options.terminal);
  in.read("AttachStdin", config.attach_stdin);
  in.read("AttachStdout", config.attach_stdout);
  in.read("AttachStderr", config.attach_stderr);
  in.read("DetachKeys", detach_keys);
  in.read("Env", config.options.environment);
  in.read("WorkingDir", config.options.working_directory);
  in.read("Cmd", config.options.arguments);
  read_console_size(in, config.options.console_size);
  TRY(in.finish());
  config.detach_keys = TRY(parse_detach_keys(detach_keys));
  std::string id = TRY(call.engine.execs().create(container, std::move(config)));
  return send_json(call, 201, json::object{{"Id", id}});
}

Result<void> start(Call& call) {
  const std::string& id = call.path.at("id");
  json::value body = TRY(read_json(call, true));
  bool detach = false;
  std::optional<oci::ConsoleSize> size;
  ObjectReader in(body, "");
  in.read("Detach", detach);
  read_console_size(in, size);
  TRY(in.finish());
  engine::Exec exec = TRY(call.engine.execs().inspect(id));
  TRY(call.engine.execs().begin(id));
  if (detach) {
    TRY(call.engine.execs().run(id, Fd(), {}, size));
    return call.exchange.respond(200, {}, "");
  }
  const bool terminal = exec.config.options.terminal;
  http::HijackedConnection connection = TRY(hijack_stream(call, terminal));
  // The connection is the keeper's from here on; a copy stays for the words of a failed start.
  Fd copy = TRY(connection.socket.duplicate());
  keeper::Attach attach;
  attach.input = exec.config.attach_stdin;
  attach.output = exec.config.attach_stdout || (terminal && exec.config.attach_stderr);
  attach.errors = exec.config.attach_stderr && !terminal;
  attach.framed = !terminal;
  if (terminal) attach.detach_keys = exec.config.detach_keys;
  attach.initial_input = std::move(connection.leftover);
  Result<void> ran = call.engine.execs().run(id, std::move(connection.socket), std::move(attach), size);
  if (ran) return {};
  const std::string words = "OCI runtime exec failed: " + ran.error().message + "\r\n";
  std::string text;
  if (terminal)
    text = words;
  else
    append_frame(text, 2, words);
  (void)write_all(copy.get(), text);
  return {};
}

Result<void> inspect(Call& call) {
  engine::Exec exec = TRY(call.engine.execs().inspect(call.path.at("id")));
  const std::vector<std::string>& arguments = exec.config.options.arguments;
  std::vector<std::string> others;
  if (arguments.size() > 1) others.assign(arguments.begin() + 1, arguments.end());
  return send_json(
      call, 200,
      json::object{
          {"ID", exec.id},
          {"Running", exec.running},
          {"ExitCode", exec.started && !exec.running ? json::value(exec.exit_code) : json::value(nullptr)},
          {"ProcessConfig", json::object{{"tty", exec.config.options.terminal},
                                         {"entrypoint", arguments.empty() ? "" : arguments[0]},
                                         {"arguments", to_json(others)},
                                         {"privileged", exec.config.options.privileged},
                                         {"user", exec.config.user}}},
          {"OpenStdin", exec.config.attach_stdin},
          {"OpenStderr", exec.config.attach_stderr},
          {"OpenStdout", exec.config.attach_stdout},
          {"CanRemove", exec.started && !exec.running},
          {"ContainerID", exec.container->record.id},
          {"DetachKeys", ""},
          {"Pid", exec.pid}});
}

Result<void> resize(Call& call) {
  auto rows = parse_integer<std::uint16_t>(call.parameter("h")),
       columns = parse_integer<std::uint16_t>(call.parameter("w"));
  if (!rows || !columns)
    return fail(ErrorKind::invalid, "invalid terminal size: h and w must be numbers up to 65535");
  TRY(call.engine.execs().resize(call.path.at("id"), *rows, *columns));
  return call.exchange.respond(200, {}, "");
}

}  // namespace

void add_exec_routes(Router& router) {
  router.add("POST", "/containers/{id}/exec", create);
  router.add("POST", "/exec/{id}/start", start);
  router.add("GET", "/exec/{id}/json", inspect);
  router.add("POST", "/exec/{id}/resize", resize);
}

}  // namespace berth::api
