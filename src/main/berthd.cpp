// SPDX-License-Identifier: Apache-2.0
// berthd: the engine. Flags, wiring, signals; everything else is in the rooms below.
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>

#include "api/api.h"
#include "base/file.h"
#include "base/log.h"
#include "base/service.h"
#include "base/text.h"
#include "base/version.h"
#include "engine/daemon_options.h"
#include "engine/engine.h"
#include "engine/registry_options.h"
#include "http/listener.h"
#include "http/server.h"
#include "http/tls.h"

namespace {

using namespace berth;

// What was written on the command line, by option.
struct CommandLine {
  std::vector<std::vector<std::string>> values;  // as long as the table
  std::vector<std::string> given;                // flags' names
  bool show_version = false;
};

// The exit code when there is nothing more to do.
std::optional<int> parse(int argc, char** argv, CommandLine& line) {
  CLI::App app{"Berth's engine: the Docker Engine API over containers that outlive it", "berthd"};
  const auto& table = engine::daemon_options();
  line.values.resize(table.size());
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].flag.empty()) continue;
    std::string names = "--" + std::string(table[i].flag);
    if (table[i].letter) names = std::string("-") + table[i].letter + "," + names;
    const std::string help(table[i].help);
    if (table[i].shape == engine::OptionShape::boolean)
      app.add_option(names, line.values[i], help)->expected(0, 1)->default_str("true");
    else
      app.add_option(names, line.values[i], help)->allow_extra_args(false);
  }
  app.add_flag("-v,--version", line.show_version, "Print the version and quit");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (table[i].flag.empty() || app.count("--" + std::string(table[i].flag)) == 0) continue;
    line.given.emplace_back(table[i].flag);
    if (line.values[i].empty()) line.values[i] = {"true"};
  }
  return std::nullopt;
}

Result<engine::DaemonOptions> configure(const CommandLine& line) {
  engine::DaemonOptions options;
  const auto& table = engine::daemon_options();
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (line.values[i].empty()) continue;
    if (!table[i].apply)
      log_warning("berthd", "--{} has no effect here", table[i].flag);
    else
      TRY_AS("--" + std::string(table[i].flag), table[i].apply(options, line.values[i]));
  }
  Result<std::string> file = read_file(options.config_file);
  if (!file && options.config_file_given) return std::unexpected(std::move(file).error());
  if (file) {
    std::vector<std::string> warnings;
    TRY_AS(options.config_file, engine::apply_daemon_json(options, *file, line.given, warnings));
    for (const std::string& warning : warnings) log_warning("berthd", "{}", warning);
  }
  engine::take_proxies_of_environment(options.settings.registries.proxies);
  TRY(engine::apply_environment(options, [](const char* name) -> const char* { return getenv(name); }));
  if (options.hosts.empty()) options.hosts = {"unix://" + options.settings.exec_root + "/berth.sock"};
  return options;
}

// The file first: asking NSS loads half a megabyte of libraries into a program that stays, and may ask the
// network. Nobody has to have the default's group.
std::optional<gid_t> group_id(const std::string& name) {
  if (auto number = parse_integer<gid_t>(name)) return *number;
  std::unique_ptr<FILE, int (*)(FILE*)> file(fopen("/etc/group", "re"), fclose);
  for (const struct group* entry; file && (entry = fgetgrent(file.get()));)
    if (name == entry->gr_name) return entry->gr_gid;
  if (name == engine::DaemonOptions().group) return std::nullopt;
  const struct group* entry = getgrnam(name.c_str());
  return entry ? std::optional(entry->gr_gid) : std::nullopt;
}

Result<http::Listener> listen_on_tcp(const engine::DaemonOptions& options, std::string_view address) {
  std::shared_ptr<http::TlsContext> tls;
  if (options.tls || options.tls_verify) {
    tls = TRY(http::make_server_tls(
        {options.tls_certificate, options.tls_key, options.tls_verify ? options.tls_ca : std::string()}));
  } else if (!options.allow_plain_tcp) {
    return fail(
        ErrorKind::denied,
        "refusing to listen on tcp://{} without TLS: whoever reaches it would be root here; give "
        "--tlsverify with --tlscacert, --tlscert and --tlskey, or --allow-plain-tcp if that is wanted",
        address);
  } else {
    log_warning("berthd", "listening on tcp://{} without TLS: whoever reaches it is root here", address);
  }
  const std::size_t colon = address.rfind(':');
  std::string host(address.substr(0, colon));
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::optional<std::uint16_t> port = tls ? 2376 : 2375;
  if (colon != std::string_view::npos) port = parse_integer<std::uint16_t>(address.substr(colon + 1));
  if (!port) return fail(ErrorKind::invalid, "invalid port in tcp://{}", address);
  return http::listen_tcp(host, *port, std::move(tls));
}

Result<std::vector<http::Listener>> listen(const engine::DaemonOptions& options, std::vector<Fd> inherited) {
  std::vector<http::Listener> listeners;
  for (const std::string& host : options.hosts) {
    std::string_view text = host;
    if (text.starts_with("unix://")) {
      const std::string path(text.substr(7));
      if (!path.starts_with('/'))
        return fail(ErrorKind::invalid, "'{}' is not a socket's absolute path", host);
      TRY(make_directories(path.substr(0, std::max<std::size_t>(1, path.rfind('/'))), 0755));
      std::optional<gid_t> group = group_id(options.group);
      listeners.push_back(TRY(http::listen_unix(path, group ? 0660 : 0600, group)));
    } else if (text.starts_with("tcp://")) {
      listeners.push_back(TRY(listen_on_tcp(options, text.substr(6))));
    } else if (text.starts_with("fd://")) {
      if (inherited.empty())
        return fail(ErrorKind::invalid,
                    "no sockets were passed for fd://: is this started by a socket unit?");
      for (Fd& socket : inherited) listeners.push_back(TRY(http::adopt_listener(std::move(socket))));
      inherited.clear();
    } else {
      return fail(ErrorKind::invalid, "cannot listen on '{}': use unix:///path, tcp://host:port or fd://",
                  host);
    }
  }
  return listeners;
}

Result<void> write_pid_file(const std::string& path) {
  if (path.empty()) return {};
  return write_file_atomically(AT_FDCWD, path, std::to_string(getpid()), 0644, Durability::visible);
}

Result<void> serve(const CommandLine& line) {
  // Signals are taken by this thread alone, synchronously; every other one is started with them blocked.
  sigset_t stops;
  sigemptyset(&stops);
  for (int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) sigaddset(&stops, number);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
  signal(SIGPIPE, SIG_IGN);
  prepare_to_stay();

  std::vector<Fd> inherited = http::take_systemd_sockets();
  engine::DaemonOptions options = TRY(configure(line));
  if (options.settings.debug || options.log_level == "debug")
    set_log_level(LogLevel::debug);
  else if (options.log_level == "warn")
    set_log_level(LogLevel::warning);
  else if (options.log_level == "error" || options.log_level == "fatal")
    set_log_level(LogLevel::error);
  if (geteuid() != 0) return fail(ErrorKind::denied, "the engine must be run as root");

  std::unique_ptr<engine::Engine> engine = TRY(engine::Engine::open(options.settings, options.builds));
  std::vector<http::Listener> listeners = TRY(listen(options, std::move(inherited)));
  for (const http::Listener& listener : listeners) log_info("berthd", "listening on {}", listener.name);
  http::Server server;
  // What takes longer than that, a pull or a log that is followed, is cut off: service managers wait too.
  TRY(server.start(std::move(listeners), api::make_handler(*engine),
                   {.stop_grace = std::chrono::seconds(3)}));
  TRY(write_pid_file(options.pid_file));
  malloc_trim(0);

  int number = 0;
  do sigwait(&stops, &number);
  while (number == SIGHUP);
  log_info("berthd", "stopping on signal {}; containers go on", number);
  server.stop();
  engine.reset();
  // Last: whoever waits for the file to go may start the next engine then.
  if (!options.pid_file.empty()) unlink(options.pid_file.c_str());
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  if (std::optional<int> code = parse(argc, argv, line)) return *code;
  if (line.show_version) {
    fmt::print("Berth engine version {}\n", berth::kVersion);
    return 0;
  }
  Result<void> served = serve(line);
  if (served) return 0;
  log_error("berthd", "{}", served.error().message);
  return 1;
}
