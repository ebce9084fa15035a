// SPDX-License-Identifier: Apache-2.0
#include "build/git_program.h"

#include <poll.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>

#include "base/fd.h"
#include "base/process.h"
#include "base/text.h"
#include "build/tree.h"

namespace berth::build {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostOutput = 16u << 20;
constexpr std::size_t kKeptErrors = 8u << 10;
constexpr std::size_t kShownErrors = 500;
constexpr int kNotStarted = 127;

// A host that is known to the machine has to show the key that is known. Of root's own keys and settings ssh
// sees nothing: they are not the Dockerfile's to use.
constexpr const char* kSsh =
    "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile=/dev/null "
    "-o IdentityFile=none -o ForwardAgent=no -o ClearAllForwardings=yes -o PermitLocalCommand=no "
    "-o ConnectTimeout=30 -o ServerAliveInterval=15 -o ServerAliveCountMax=4 -o LogLevel=ERROR";

std::map<std::string, std::string> our_settings() {
  return {
      {"core.hooksPath", "/dev/null"},
      {"core.fsmonitor", "false"},
      {"core.symlinks", "true"},
      {"core.fileMode", "true"},
      {"core.autocrlf", "false"},
      {"core.protectHFS", "true"},
      {"core.protectNTFS", "true"},
      {"core.bigFileThreshold", "32m"},  // larger ones are streamed, and not held in memory
      {"transfer.fsckObjects", "true"},
      {"fetch.recurseSubmodules", "false"},
      {"submodule.recurse", "false"},
      {"fetch.writeCommitGraph", "false"},
      {"transfer.unpackLimit", "1"},
      {"transfer.bundleURI", "false"},
      {"protocol.allow", "never"},
      {"protocol.https.allow", "always"},
      {"protocol.http.allow", "always"},
      {"protocol.ssh.allow", "always"},
      {"protocol.git.allow", "always"},
      {"credential.helper", ""},
      {"gc.auto", "0"},  // it would go on in the background
      {"maintenance.auto", "false"},
      {"http.lowSpeedLimit", "1"},
      {"http.lowSpeedTime", "60"},
      {"advice.detachedHead", "false"},
      {"init.defaultBranch", "main"},
  };
}

void add_own(std::vector<std::string>& environment, const char* name) {
  if (const char* value = std::getenv(name)) environment.push_back(std::string(name) + "=" + value);
}

std::vector<std::string> environment_of(const GitSurroundings& surroundings) {
  std::vector<std::string> environment{
      "HOME=" + surroundings.home,
      "XDG_CONFIG_HOME=" + surroundings.home,
      "GIT_CEILING_DIRECTORIES=" + surroundings.home.substr(0, surroundings.home.find_last_of('/')),
      "GIT_CONFIG_NOSYSTEM=1",
      "GIT_CONFIG_GLOBAL=/dev/null",
      "GIT_CONFIG_SYSTEM=/dev/null",
      "GIT_ATTR_NOSYSTEM=1",
      "GIT_TERMINAL_PROMPT=0",
      "GIT_ASKPASS=/bin/false",
      "SSH_ASKPASS=/bin/false",
      "GIT_ALLOW_PROTOCOL=https:http:ssh:git",
      "GIT_PROTOCOL_FROM_USER=0",
      "GIT_NO_REPLACE_OBJECTS=1",
      "GIT_LFS_SKIP_SMUDGE=1",
      std::string("GIT_SSH_COMMAND=") + kSsh,
      "GIT_SSH_VARIANT=ssh",
      "LC_ALL=C",
  };
  if (!surroundings.agent.empty()) environment.push_back("SSH_AUTH_SOCK=" + surroundings.agent);
  add_own(environment, "PATH");
  for (const char* proxy :
       {"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"})
    add_own(environment, proxy);
  std::map<std::string, std::string> settings = our_settings();
  for (const auto& [name, value] : surroundings.settings) settings[name] = value;
  environment.push_back(fmt::format("GIT_CONFIG_COUNT={}", settings.size()));
  std::size_t number = 0;
  for (const auto& [name, value] : settings) {
    environment.push_back(fmt::format("GIT_CONFIG_KEY_{}={}", number, name));
    environment.push_back(fmt::format("GIT_CONFIG_VALUE_{}={}", number++, value));
  }
  return environment;
}

// Root without a capability. All of it is in a namespace of processes, whose first one goes with the one that
// made it, and that one when the thread that waits for it does: whatever git has started, in whichever
// session, ends with the engine.
std::vector<std::string> words_of(const GitSurroundings& surroundings,
                                  const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"setpriv",
                                 "--pdeathsig",
                                 "KILL",
                                 "--",
                                 "unshare",
                                 "--pid",
                                 "--fork",
                                 "--kill-child=KILL",
                                 "--",
                                 "setpriv",
                                 "--bounding-set=-all",
                                 "--inh-caps=-all",
                                 "--no-new-privs",
                                 "--",
                                 "git",
                                 "--no-pager",
                                 "-C",
                                 surroundings.home};
  words.insert(words.end(), arguments.begin(), arguments.end());
  return words;
}

// The leader of a session, and so of a group that whatever it starts is in too.
class Group {
 public:
  explicit Group(Process process) : process_(std::move(process)) {}
  ~Group() { kill_all(); }  // before its leader is reaped: until then the number is nobody else's
  Group(const Group&) = delete;
  Group& operator=(const Group&) = delete;
  void kill_all() const noexcept {
    if (process_.pid() > 0) kill(-process_.pid(), SIGKILL);
  }
  void limit_files() const noexcept {
    const rlimit limit{kLargestContext, kLargestContext};
    prlimit(process_.pid(), RLIMIT_FSIZE, &limit, nullptr);
  }
  Result<int> wait() {
    siginfo_t info;
    while (waitid(P_PID, static_cast<id_t>(process_.pid()), &info, WEXITED | WNOWAIT) != 0)
      if (errno != EINTR) return fail_errno(errno, "wait for git");
    kill_all();  // what it has left behind
    return process_.wait();
  }

 private:
  Process process_;
};

void keep_end(std::string& kept, std::string_view more) {
  kept += more;
  if (kept.size() > 2 * kKeptErrors) kept.erase(0, kept.size() - kKeptErrors);
}

// Until both outputs have ended.
Result<void> listen(Fd output, Fd errors, const OnGitOutput& on_output, std::string& said) {
  std::vector<char> buffer(64u << 10);
  while (output || errors) {
    pollfd polled[] = {{output.get(), POLLIN, 0}, {errors.get(), POLLIN, 0}};
    const int ready = poll(polled, 2, static_cast<int>(std::chrono::milliseconds(kGitSilence).count()));
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return fail_errno(errno, "wait for git");
    if (ready == 0)
      return fail(ErrorKind::timeout, "nothing has come for {} seconds",
                  std::chrono::seconds(kGitSilence).count());
    if (polled[0].revents != 0) {
      const std::size_t size = TRY(read_some(output.get(), buffer));
      if (size == 0) output.reset();
      if (size > 0) TRY(on_output({buffer.data(), size}));
    }
    if (polled[1].revents != 0) {
      const std::size_t size = TRY(read_some(errors.get(), buffer));
      if (size == 0) errors.reset();
      keep_end(said, {buffer.data(), size});
    }
  }
  return {};
}

// Lines that say why, without the progress and without what a server could do to a terminal.
std::string reason_in(std::string_view errors) {
  std::string reason;
  for (const std::string_view line : split(errors, '\n')) {
    const std::string_view last = line.substr(line.find_last_of('\r') + 1);
    if (!last.starts_with("fatal: ") && !last.starts_with("error: ") && !last.starts_with("remote: "))
      continue;
    if (!reason.empty()) reason += "; ";
    reason += last;
  }
  if (reason.empty()) reason = std::string(trim(errors));
  if (reason.size() > kShownErrors) reason = reason.substr(0, kShownErrors) + "...";
  const bool text = valid_utf8(reason);
  for (char& c : reason)
    if (static_cast<unsigned char>(c) < ' ' || c == 0x7f || (!text && static_cast<unsigned char>(c) > 0x7f))
      c = ' ';
  return reason;
}

}  // namespace

Result<GitOutput> run_git(const GitSurroundings& surroundings, const std::vector<std::string>& arguments,
                          const OnGitOutput& on_output) {
  Pipe out = TRY(make_pipe()), errors = TRY(make_pipe());
  SpawnRequest request;
  request.arguments = words_of(surroundings, arguments);
  request.environment = environment_of(surroundings);
  request.standard_output = out.write.get();
  request.standard_error = errors.write.get();
  request.new_session = true;
  Group group(TRY(Process::spawn(request)));
  group.limit_files();
  out.write.reset();
  errors.write.reset();
  GitOutput result;
  auto collect = [&](std::string_view data) -> Result<void> {
    if (result.output.size() + data.size() > kMostOutput)
      return fail(ErrorKind::exhausted, "git says more than {} bytes", kMostOutput);
    result.output += data;
    return {};
  };
  Result<void> heard;
  {
    std::stop_callback end(surroundings.stop, [&] { group.kill_all(); });
    heard =
        listen(std::move(out.read), std::move(errors.read), on_output ? on_output : collect, result.errors);
  }
  if (surroundings.stop.stop_requested()) return fail(ErrorKind::cancelled, "the build was cancelled");
  TRY(std::move(heard));
  result.exit_code = TRY(group.wait());
  if (result.exit_code == kNotStarted)
    return fail(ErrorKind::unsupported,
                "the program git cannot be started: install it where the engine runs");
  return result;
}

Error git_error(const GitOutput& output) {
  std::string reason = reason_in(output.errors);
  if (reason.find("terminal prompts disabled") != reason.npos ||
      reason.find("Authentication failed") != reason.npos)
    return {ErrorKind::unauthenticated, 0,
            "the repository is not there or needs a token (--secret id=GIT_AUTH_TOKEN): " + reason};
  return {ErrorKind::unavailable, 0, "git: " + reason};
}

Result<std::string> git_says(const GitSurroundings& surroundings, const std::vector<std::string>& arguments) {
  GitOutput output = TRY(run_git(surroundings, arguments));
  if (output.exit_code != 0) return std::unexpected(git_error(output));
  return std::move(output.output);
}

}  // namespace berth::build
