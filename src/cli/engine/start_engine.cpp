// SPDX-License-Identifier: Apache-2.0
#include "cli/engine/start_engine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"
#include "base/process.h"
#include "http/client.h"

namespace berth::cli {
namespace {

constexpr const char* kLog = "/var/log/berthd.log";
constexpr auto kPatience = std::chrono::seconds(20);

std::string program() {
  std::string path(4096, '\0');
  ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  std::string beside = path.substr(0, path.rfind('/') + 1) + "berthd";
  return ::access(beside.c_str(), X_OK) == 0 ? beside : "berthd";
}

std::vector<std::string> whole_environment() {
  std::vector<std::string> all;
  for (char** variable = environ; *variable; ++variable) all.emplace_back(*variable);
  return all;
}

}  // namespace

Result<void> start_engine(const std::string& socket) {
  Fd log = TRY(open_file(kLog, O_WRONLY | O_CREAT | O_APPEND, 0600));
  SpawnRequest request;
  request.arguments = {program()};
  request.environment = whole_environment();
  request.standard_output = log.get();
  request.standard_error = log.get();
  request.new_session = true;
  Result<Process> engine = Process::spawn(request);
  if (!engine)
    return fail(ErrorKind::unavailable,
                "Cannot connect to the Berth engine at unix://{}. Is berthd running? Starting it failed: {}",
                socket, engine.error().message);
  auto give_up = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < give_up) {
    if (http::connect_unix(socket)) {
      fmt::print(stderr, "berth: started an engine in the background (pid {})\n", engine->pid());
      engine->release();
      return {};
    }
    int status = 0;
    if (::waitpid(engine->pid(), &status, WNOHANG) == engine->pid()) {
      engine->release();
      return fail(ErrorKind::unavailable, "berthd ended with exit code {} as it started: see {}",
                  exit_code_of(status), kLog);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return fail(ErrorKind::timeout, "berthd did not answer at {} within {} s: see {}", socket,
              kPatience.count(), kLog);
}

}  // namespace berth::cli
