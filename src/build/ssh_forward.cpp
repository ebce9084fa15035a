// SPDX-License-Identifier: Apache-2.0
#include "build/ssh_forward.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/unix_address.h"

namespace berth::build {
namespace {

// Numbers of the agent protocol (draft-ietf-sshm-ssh-agent, section 6.1).
constexpr char kFailure = 5, kListKeys = 11, kSign = 13;
constexpr std::size_t kHead = 4, kFlags = 4;
constexpr int kPause = 50;  // milliseconds, where there are no descriptors

// As whom this thread is seen by whoever it connects to (unix(7), SO_PEERCRED): some trust root by that
// alone. Its real and saved ids stay root's, by which it has all back.
class SeenAs {
 public:
  explicit SeenAs(const std::optional<sys::UserIdentity>& user) : other_(user && user->uid != 0) {
    if (other_) become(user->uid, user->gid);
  }
  ~SeenAs() {
    if (other_) become(0, 0);
  }
  SeenAs(const SeenAs&) = delete;
  SeenAs& operator=(const SeenAs&) = delete;

 private:
  // By the kernel's own call: the library's would change all threads.
  static void become(uid_t user, gid_t group) {
    constexpr auto kSame = static_cast<id_t>(-1);
    const bool back = user == 0;
    if (back && syscall(SYS_setresuid, kSame, user, kSame) != 0) std::abort();
    if (syscall(SYS_setresgid, kSame, group, kSame) != 0) std::abort();
    if (!back && syscall(SYS_setresuid, kSame, user, kSame) != 0) std::abort();
  }
  const bool other_;
};

Result<Fd> connect_to(const SshAgent& agent) {
  // One that does not accept must not hold this thread.
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail_errno(errno, "make a socket");
  // The path that an O_PATH descriptor stands for, whatever lies at its name now.
  const UnixAddress address = TRY(make_unix_address(fmt::format("/proc/self/fd/{}", agent.socket.get())));
  {
    const SeenAs seen(agent.user);
    const sys::ActAs acting(agent.user ? &*agent.user : nullptr);
    if (connect(socket.get(), address.get(), address.size) != 0)
      return fail_errno(errno, "connect to the client's SSH agent");
  }
  return socket;
}

std::size_t number_at(std::string_view bytes) {
  std::size_t number = 0;
  for (std::size_t at = 0; at < kHead; ++at) number = number << 8 | static_cast<unsigned char>(bytes[at]);
  return number;
}

// Bytes of one direction, as messages: four bytes of length, and as many bytes, the first of which says what
// it is.
class Messages {
 public:
  bool empty() const { return bytes_.empty(); }
  bool full() const { return bytes_.size() >= kHead + kLargestAgentMessage; }
  void add(std::string_view bytes) { bytes_ += bytes; }
  bool broken() const { return bytes_.size() >= kHead && (length() == 0 || length() > kLargestAgentMessage); }
  // The first, if it is whole.
  std::optional<std::string> take() {
    if (bytes_.size() < kHead || bytes_.size() < kHead + length()) return std::nullopt;
    std::string first = bytes_.substr(0, kHead + length());
    bytes_.erase(0, first.size());
    return first;
  }

 private:
  std::size_t length() const { return number_at(bytes_); }
  std::string bytes_;
};

// A question at a time goes to the agent, and its answer back.
class Conversation {
 public:
  Conversation(Fd step, Fd agent) : step_(std::move(step)), agent_(std::move(agent)) {}

  pollfd step() const {
    const bool reads = !questions_.full() && to_step_.empty();
    return {step_.get(), static_cast<short>((reads ? POLLIN : 0) | (to_step_.empty() ? 0 : POLLOUT)), 0};
  }
  pollfd agent() const {
    return {agent_.get(), static_cast<short>((asked_ ? POLLIN : 0) | (to_agent_.empty() ? 0 : POLLOUT)), 0};
  }

  // False when it is over.
  bool go_on(const pollfd& step, const pollfd& agent) {
    if ((step.revents & POLLIN) != 0 && !receive(step_, questions_)) return false;
    if ((agent.revents & POLLIN) != 0 && !receive(agent_, answers_)) return false;
    if (((step.revents | agent.revents) & (POLLERR | POLLNVAL)) != 0) return false;
    if ((step.revents & (POLLHUP | POLLIN)) == POLLHUP || (agent.revents & (POLLHUP | POLLIN)) == POLLHUP)
      return false;
    if (questions_.broken() || answers_.broken()) return false;
    if (std::optional<std::string> answer = answers_.take()) {
      to_step_ += *answer;
      asked_ = false;
    }
    for (;;) {
      if (!send_rest(step_, to_step_) || !send_rest(agent_, to_agent_)) return false;
      if (asked_ || !to_step_.empty()) return true;
      const std::optional<std::string> question = questions_.take();
      if (!question) return true;
      ask(*question);
    }
  }

 private:
  void ask(const std::string& question) {
    asked_ = is_question(question);
    if (asked_)
      to_agent_ = question;
    else
      to_step_ += std::string{0, 0, 0, 1, kFailure};
  }

  // Whole, and nothing else: what hears it trusts the client, and need not be an agent.
  static bool is_question(std::string_view message) {
    const char kind = message[kHead];
    std::string_view rest = message.substr(kHead + 1);
    if (kind == kListKeys) return rest.empty();
    return kind == kSign && skip_string(rest) && skip_string(rest) && rest.size() == kFlags;
  }
  static bool skip_string(std::string_view& rest) {
    if (rest.size() < kHead) return false;
    const std::size_t length = number_at(rest);
    if (rest.size() - kHead < length) return false;
    rest.remove_prefix(kHead + length);
    return true;
  }

  static bool receive(const Fd& from, Messages& into) {
    char buffer[16u << 10];
    const ssize_t size = recv(from.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    into.add({buffer, static_cast<std::size_t>(size)});
    return size > 0;
  }

  static bool send_rest(const Fd& to, std::string& rest) {
    if (rest.empty()) return true;
    const ssize_t size = send(to.get(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (size < 0) return errno == EAGAIN || errno == EINTR;
    rest.erase(0, static_cast<std::size_t>(size));
    return true;
  }

  Fd step_, agent_;
  Messages questions_, answers_;
  std::string to_step_, to_agent_;
  bool asked_ = false;
};

// A step may connect without an end: what goes wrong is told once.
void accept_one(int listener, const SshAgent& agent, std::vector<Conversation>& conversations, bool& told) {
  Fd step(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!step) {
    if (errno != EAGAIN && errno != ECONNABORTED) poll(nullptr, 0, kPause);
    return;
  }
  Result<Fd> connected = connect_to(agent);
  if (!connected) {
    if (!std::exchange(told, true)) log_warning("build", "{}", connected.error().message);
    return;
  }
  conversations.emplace_back(std::move(step), std::move(*connected));
}

}  // namespace

SshForward::SshForward(Fd listener, Pipe end, const SshAgent& agent)
    : listener_(std::move(listener)), end_(std::move(end)), agent_(agent) {}

SshForward::~SshForward() {
  end_.write.reset();
  if (thread_.joinable()) thread_.join();
}

Result<std::unique_ptr<SshForward>> SshForward::start(const std::string& path, const SshAgent& agent,
                                                      const Owner& owner) {
  Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener) return fail_errno(errno, "make a socket");
  const UnixAddress address = TRY(make_unix_address(path));
  if (bind(listener.get(), address.get(), address.size) != 0) return fail_errno(errno, "bind {}", path);
  // The directory is the engine's alone: nobody has put anything else there.
  if (chown(path.c_str(), owner.uid, owner.gid) != 0 || chmod(path.c_str(), owner.mode) != 0)
    return fail_errno(errno, "own {}", path);
  if (listen(listener.get(), 16) != 0) return fail_errno(errno, "listen at {}", path);
  Pipe end = TRY(make_pipe());
  std::unique_ptr<SshForward> forward(new SshForward(std::move(listener), std::move(end), agent));
  try {
    forward->thread_ = std::thread([serving = forward.get()] { serving->serve(); });
  } catch (const std::system_error& error) {
    return fail(ErrorKind::exhausted, "forward an SSH agent: {}", error.what());
  }
  return forward;
}

void SshForward::serve() const {
  std::vector<Conversation> conversations;
  bool told = false;
  for (;;) {
    const bool room = conversations.size() < kMostAgentConnections;
    std::vector<pollfd> polled{{end_.read.get(), POLLIN, 0}, {room ? listener_.get() : -1, POLLIN, 0}};
    for (const Conversation& one : conversations) {
      polled.push_back(one.step());
      polled.push_back(one.agent());
    }
    if (poll(polled.data(), polled.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return log_warning("build", "an SSH agent is not forwarded any more: poll fails");
    }
    if (polled[0].revents != 0) return;
    std::vector<Conversation> left;
    for (std::size_t number = 0; number < conversations.size(); ++number)
      if (conversations[number].go_on(polled[2 + 2 * number], polled[3 + 2 * number]))
        left.push_back(std::move(conversations[number]));
    conversations = std::move(left);
    if (polled[1].revents != 0) accept_one(listener_.get(), agent_, conversations, told);
  }
}

}  // namespace berth::build
