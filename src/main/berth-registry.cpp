// SPDX-License-Identifier: Apache-2.0
// berth-registry: the registry server. Flags, wiring, signals; everything else is in registryd/.
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/service.h"
#include "base/version.h"
#include "registryd/configuration.h"
#include "registryd/registry.h"

namespace {

using namespace berth;

struct CommandLine {
  bool serve = false;
  std::string file;
  registryd::GarbageOptions garbage;
  std::string grace = "1h";
  bool quiet = false;
};

// The exit code when there is nothing more to do.
std::optional<int> parse(int argc, char** argv, CommandLine& line) {
  CLI::App app{"Berth's registry: the OCI distribution specification over a directory", "berth-registry"};
  app.set_version_flag("-v,--version", fmt::format("Berth registry version {}", kVersion));
  app.require_subcommand(1);
  CLI::App* serve = app.add_subcommand("serve", "Serve as the configuration file says");
  serve->add_option("FILE", line.file, "The CNCF registry's YAML configuration")->required();
  CLI::App* garbage =
      app.add_subcommand("garbage-collect", "Remove what nothing refers to; the registry may go on serving");
  garbage->add_option("FILE", line.file, "The configuration file that the registry serves with")->required();
  garbage->add_flag("-d,--dry-run", line.garbage.dry_run, "Say what would go, and remove nothing");
  garbage->add_flag("-m,--delete-untagged", line.garbage.delete_untagged,
                    "Remove manifests that no tag leads to as well");
  garbage->add_option("--grace", line.grace, "Keep what was pushed so lately and is not used yet")
      ->capture_default_str();
  garbage->add_flag("-q,--quiet", line.quiet, "Say only how much went");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error);
  }
  line.serve = serve->parsed();
  return std::nullopt;
}

Result<registryd::Settings> configure(const std::string& file) {
  const std::string text = TRY(read_file(file));
  registryd::Configuration configuration = TRY(
      registryd::parse_configuration(text, file, [](const std::string& name) -> std::optional<std::string> {
        const char* value = std::getenv(name.c_str());
        return value ? std::optional<std::string>(value) : std::nullopt;
      }));
  set_log_level(configuration.settings.log_level);
  for (const std::string& warning : configuration.warnings) log_warning("registry", "{}", warning);
  return std::move(configuration.settings);
}

Result<void> serve(const CommandLine& line) {
  // Signals are taken by this thread alone, synchronously; every other one is started with them blocked.
  sigset_t stops;
  sigemptyset(&stops);
  for (int number : {SIGINT, SIGTERM, SIGQUIT}) sigaddset(&stops, number);
  pthread_sigmask(SIG_BLOCK, &stops, nullptr);
  signal(SIGPIPE, SIG_IGN);
  signal(SIGHUP, SIG_IGN);
  prepare_to_stay();

  registryd::Settings settings = TRY(configure(line.file));
  std::unique_ptr<registryd::Registry> registry = TRY(registryd::Registry::open(std::move(settings)));
  TRY(registry->start());
  malloc_trim(0);
  int number = 0;
  sigwait(&stops, &number);
  log_info("registry", "stopping on signal {}", number);
  registry->stop();
  return {};
}

Result<void> collect(CommandLine& line) {
  signal(SIGPIPE, SIG_IGN);
  const std::chrono::nanoseconds grace = TRY_AS("--grace", parse_duration(line.grace));
  line.garbage.grace = std::chrono::duration_cast<std::chrono::seconds>(grace);
  registryd::Settings settings = TRY(configure(line.file));
  std::string last;
  TRY(registryd::collect_garbage(settings, line.garbage, [&](std::string_view text) {
    if (!line.quiet && !last.empty()) fmt::print("{}\n", last);
    last = text;
  }));
  fmt::print("{}\n", last);
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  CommandLine line;
  if (std::optional<int> code = parse(argc, argv, line)) return *code;
  Result<void> done = line.serve ? serve(line) : collect(line);
  if (done) return 0;
  log_error("registry", "{}", done.error().message);
  return 1;
}
