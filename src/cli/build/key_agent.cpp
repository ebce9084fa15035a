// SPDX-License-Identifier: Apache-2.0
#include "cli/build/key_agent.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <optional>

#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "cli/create/security.h"

namespace berth::cli {
namespace {

constexpr std::size_t kLargestKey = 32u << 10;  // what a pipe takes at once
constexpr std::size_t kLongestWords = 4096;     // of what the programs say
constexpr std::string_view kSocketName = "/agent";
constexpr std::string_view kReady = "SSH_AUTH_SOCK=";
constexpr int kLife = 3, kSaid = 4;  // descriptors of the watcher

struct Key {
  std::string file;
  std::string text;
};

// A signal that ends this program waits until no file is left behind.
class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t ends;
    sigemptyset(&ends);
    for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) sigaddset(&ends, signal);
    pthread_sigmask(SIG_BLOCK, &ends, &before_);
  }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
  ~SignalsHeld() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return fmt::format("{}={}", name, value ? value : "");
}

std::unexpected<Error> cannot_start(std::string_view id, std::string_view program, const Error& error) {
  if (error.code == ENOENT)
    return fail(
        ErrorKind::unsupported,
        "--ssh {}: key files need the program {}, which is not here: install OpenSSH's client, or give "
        "an agent's socket",
        id, program);
  return fail(error.kind, "--ssh {}: {}", id, error.message);
}

Result<Key> read_key(std::string_view id, const std::string& file) {
  Result<std::string> text = read_file(file, kLargestKey);
  if (!text && text.error().code != 0)
    return fail(text.error().kind, "--ssh {}: open {}: {}", id, file, words_of_errno(text.error().code));
  if (!text)
    return fail(ErrorKind::invalid, "--ssh {}: {} has more than {} bytes: it is no private key", id, file,
                kLargestKey);
  if (has_passphrase(*text))
    return fail(ErrorKind::unsupported,
                "--ssh {}: the key {} has a passphrase: add it to an agent (ssh-add {}), and give that agent "
                "(--ssh {})",
                id, file, file, id);
  return Key{file, std::move(*text)};
}

// A process that is nothing but the agent's parent: it waits for the end of this program, which closes the
// pipe `life` however it comes, and ends the agent. (prctl(2) has a signal for the parent's death, but
// programs with a group of their own, which ssh-agent is on many systems, are not sent it.) In a session of
// its own, where a terminal's Ctrl-C does not reach it, and with no descriptor that others wait for.
[[noreturn]] void watch(int life, int said, const std::string& socket) {
  ::setsid();
  // Above all that is open, lest one is placed over the other.
  const int life_aside = ::fcntl(life, F_DUPFD, 16), said_aside = ::fcntl(said, F_DUPFD, 16);
  const int nothing = ::open("/dev/null", O_RDWR);
  for (int number = 0; number < 3; ++number) ::dup2(nothing, number);
  ::dup2(life_aside, kLife);
  ::dup2(said_aside, kSaid);
  ::syscall(SYS_close_range, kSaid + 1, UINT_MAX, 0);
  ::fcntl(kLife, F_SETFD, FD_CLOEXEC);
  ::fcntl(kSaid, F_SETFD, FD_CLOEXEC);
  SpawnRequest request;
  request.arguments = {"ssh-agent", "-D", "-s", "-a", socket};
  request.environment = {variable("PATH"), variable("HOME")};
  request.standard_output = request.standard_error = kSaid;
  const Result<Process> agent = Process::spawn(request);
  if (!agent) ::_exit(agent.error().code == ENOENT ? 127 : 126);
  ::close(kSaid);
  char byte = 0;
  while (::read(kLife, &byte, 1) < 0 && errno == EINTR) continue;
  ::kill(agent->pid(), SIGKILL);  // it has the keys in memory alone
  ::waitpid(agent->pid(), nullptr, 0);
  ::_exit(0);
}

// What it says until it is ready, or has failed.
Result<std::string> first_words(int said) {
  std::string words;
  char buffer[512];
  while (words.find('\n') == words.npos && words.size() < kLongestWords) {
    const std::size_t got = TRY(read_some(said, buffer));
    if (got == 0) break;
    words.append(buffer, got);
  }
  return words;
}

// "" for none.
std::string_view first_line(std::string_view text) { return trim(text.substr(0, text.find('\n'))); }

Result<void> add_key(std::string_view id, const Key& key, const std::string& socket) {
  Pipe in = TRY(make_pipe()), errors = TRY(make_pipe());
  TRY(write_all(in.write.get(), key.text));
  in.write.reset();
  SpawnRequest request;
  request.arguments = {"ssh-add", "-q", "-"};
  request.environment = {variable("PATH"), variable("HOME"), "SSH_AUTH_SOCK=" + socket,
                         "SSH_ASKPASS_REQUIRE=never"};
  request.standard_input = in.read.get();
  request.standard_error = errors.write.get();
  request.new_session = true;  // nobody is asked for a passphrase
  Result<Process> program = Process::spawn(request);
  if (!program) return cannot_start(id, "ssh-add", program.error());
  in.read.reset();
  errors.write.reset();
  const Result<std::string> said = read_to_end(errors.read.get(), kLongestWords);
  const int status = TRY(program->wait());
  if (status == 0) return {};
  return fail(ErrorKind::invalid, "--ssh {}: {} is neither an agent's socket nor a private key: {}", id,
              key.file, said && !said->empty() ? first_line(*said) : "ssh-add does not take it");
}

// A Unix socket's address is short.
Result<TemporaryDirectory> place_for_socket() {
  TemporaryDirectory place = TRY(TemporaryDirectory::create("berth-ssh"));
  if (place.path().size() + kSocketName.size() < sizeof(sockaddr_un::sun_path)) return place;
  return TemporaryDirectory::create("berth-ssh", "/tmp");
}

// The name of its cipher lies behind the magic words (OpenSSH's PROTOCOL.key).
bool is_encrypted_openssh_key(std::string_view body) {
  constexpr std::string_view magic("openssh-key-v1\0", 15);
  std::string text(body.substr(0, body.find('-')));
  std::erase_if(text, [](char c) { return c == '\n' || c == '\r' || c == ' '; });
  const std::optional<std::string> bytes = from_base64(text);
  if (!bytes || !bytes->starts_with(magic)) return false;  // which ssh-add finds, too
  constexpr std::string_view none("\0\0\0\4none", 8);
  return !std::string_view(*bytes).substr(magic.size()).starts_with(none);
}

}  // namespace

Result<KeyAgent> KeyAgent::start(std::string_view id, const std::vector<std::string>& files) {
  std::vector<Key> keys;
  for (const std::string& file : files) {
    Key key = TRY(read_key(id, file));
    keys.push_back(std::move(key));
  }
  const SignalsHeld held;
  const TemporaryDirectory place = TRY(place_for_socket());
  const std::string socket = place.path() + std::string(kSocketName);
  Pipe life = TRY(make_pipe()), said = TRY(make_pipe());
  const pid_t watcher = ::fork();
  if (watcher < 0) return fail_errno(errno, "--ssh {}: start a process", id);
  if (watcher == 0) watch(life.read.get(), said.write.get(), socket);
  KeyAgent agent(watcher, std::move(life.write));
  life.read.reset();
  said.write.reset();
  const std::string words = TRY(first_words(said.read.get()));
  if (!words.starts_with(kReady)) {
    int status = 0;
    if (words.empty() && ::waitpid(watcher, &status, 0) == std::exchange(agent.watcher_, -1) &&
        exit_code_of(status) == 127)
      return cannot_start(id, "ssh-agent", Error{ErrorKind::not_found, ENOENT, {}});
    return fail(ErrorKind::unavailable, "--ssh {}: ssh-agent does not start: {}", id,
                words.empty() ? "it says nothing" : first_line(words));
  }
  for (const Key& key : keys) TRY(add_key(id, key, socket));
  agent.socket_ = TRY(open_file(socket, O_PATH));
  return agent;
}

KeyAgent::KeyAgent(KeyAgent&& other) noexcept
    : watcher_(std::exchange(other.watcher_, -1)),
      life_(std::move(other.life_)),
      socket_(std::move(other.socket_)) {}

KeyAgent& KeyAgent::operator=(KeyAgent&& other) noexcept {
  std::swap(watcher_, other.watcher_);
  std::swap(life_, other.life_);
  std::swap(socket_, other.socket_);
  return *this;
}

KeyAgent::~KeyAgent() {
  life_.reset();
  if (watcher_ > 0)
    while (::waitpid(watcher_, nullptr, 0) < 0 && errno == EINTR) continue;
}

bool has_passphrase(std::string_view key) {
  constexpr std::string_view openssh = "-----BEGIN OPENSSH PRIVATE KEY-----";
  if (const std::size_t at = key.find(openssh); at != key.npos)
    return is_encrypted_openssh_key(key.substr(at + openssh.size()));
  return key.find("-----BEGIN ENCRYPTED PRIVATE KEY-----") != key.npos ||
         key.find("Proc-Type: 4,ENCRYPTED") != key.npos;
}

}  // namespace berth::cli
