// SPDX-License-Identifier: Apache-2.0
// berth-proxy: the load balancer. Flags, wiring, signals; everything else is in proxy/.
#include <malloc.h>
#include <signal.h>

#include <CLI/CLI.hpp>

#include "base/file.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/service.h"
#include "base/version.h"
#include "proxy/configuration.h"
#include "proxy/proxy.h"

namespace {

using namespace berth;

struct CommandLine {
  std::string file = "/etc/berth/proxy.json";
  bool check = false, debug = false;
};

// The exit code when there is nothing more to do.
std::optional<int> parse(int argc, char** argv, CommandLine& line) {
  CLI::App app{"Berth's load balancer: HTTP by host, with routes that change without a restart",
               "berth-proxy"};
  app.set_version_flag("-v,--version", fmt::format("Berth proxy version {}", kVersion));
  app.add_option("-c,--config", line.file, "The configuration: Hipache's JSON")->capture_default_str();
  app.add_flag("-t,--test", line.check, "Read the configuration, say whether it is good, and end");
  app.add_flag("-d,--debug", line.debug, "Say more");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  return std::nullopt;
}

Result<proxy::Settings> configure(const CommandLine& line) {
  const std::string text = TRY(read_file(line.file));
  proxy::Configuration configuration = TRY(proxy::parse_configuration(text, line.file));
  for (const std::string& warning : configuration.warnings)
    log_warning("proxy", "{}: {}", line.file, warning);
  return std::move(configuration.settings);
}

// Until it is told to end, or another program has taken over.
void serve(proxy::Proxy& proxy, const sigset_t& signals, char** argv) {
  for (;;) {
    int number = 0;
    sigwait(&signals, &number);
    if (number == SIGUSR1) {
      proxy.reopen_logs();
    } else if (number == SIGUSR2) {
      const Result<pid_t> handed = proxy.hand_over_to(argv);
      if (handed) {
        notify_manager(fmt::format("MAINPID={}\nREADY=1", *handed));
        return log_info("proxy", "another program serves now");
      }
      log_error("proxy", "{}", handed.error().message);
    } else if (number != SIGHUP && number != SIGCHLD) {
      notify_manager("STOPPING=1");
      return log_info("proxy", "stopping on signal {}", number);
    }
  }
}

Result<void> run(const CommandLine& line, char** argv) {
  // Signals are taken by this thread alone, synchronously; every other one is started with them blocked.
  sigset_t signals;
  sigemptyset(&signals);
  for (int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGUSR1, SIGUSR2, SIGCHLD})
    sigaddset(&signals, number);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  proxy::Inherited inherited = proxy::take_inherited();
  const bool successor = static_cast<bool>(inherited.ready);
  prepare_to_stay();
  proxy::Settings settings = TRY(configure(line));
  if (line.check) {
    TRY_AS(line.file, proxy::Proxy::check(settings));
    fmt::print("{} is good\n", line.file);
    return {};
  }
  std::unique_ptr<proxy::Proxy> proxy =
      TRY_AS(line.file, proxy::Proxy::open(std::move(settings), std::move(inherited)));
  TRY(proxy->start());
  malloc_trim(0);
  fmt::print("berth-proxy {} serves as {} says\n", kVersion, line.file);
  std::fflush(stdout);
  if (!successor) notify_manager("READY=1");  // otherwise it is the other one that says who serves
  serve(*proxy, signals, argv);
  proxy->drain();
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  if (std::optional<int> code = parse(argc, argv, line)) return *code;
  if (line.debug) set_log_level(LogLevel::debug);
  const Result<void> done = run(line, argv);
  if (done) return 0;
  log_error("proxy", "{}", done.error().message);
  return 1;
}
