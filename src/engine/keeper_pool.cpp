// SPDX-License-Identifier: Apache-2.0
#include "engine/keeper_pool.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "base/log.h"
#include "keeper/assignment.h"
#include "keeper/paths.h"
#include "runtime/container.h"

namespace berth::engine {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kReady = 2;
constexpr auto kStillInUse = std::chrono::seconds(30);
// The container that was just started has the processors first.
constexpr auto kPauseAfterUse = std::chrono::milliseconds(15);

std::string title_of_length(std::size_t length) {
  std::string title = "(waits for a container)";
  title.resize(std::max(title.size(), length), ' ');
  return title;
}

}  // namespace

KeeperPool::KeeperPool(std::string program, std::size_t title_length)
    : program_(std::move(program)),
      title_(title_of_length(title_length)),
      thread_([this](std::stop_token stop) { keep_ready(std::move(stop)); }) {}

KeeperPool::~KeeperPool() = default;

Result<std::shared_ptr<KeeperLink>> KeeperPool::take(const std::string& container_id,
                                                     const std::string& run_directory, int network,
                                                     std::span<const int> layers) {
  const std::string assignment = keeper::encode_assignment(run_directory, layers.size());
  std::vector<int> descriptors;
  if (network >= 0) descriptors.push_back(network);
  descriptors.insert(descriptors.end(), layers.begin(), layers.end());
  auto assign = [&](const Waiting& to) {
    return keeper::send_message(to.socket.get(), keeper::MessageKind::serve, 0, assignment, descriptors);
  };
  auto linked = [&](Waiting one) {
    return std::make_shared<KeeperLink>(container_id, std::move(one.socket), one.process.release());
  };
  // One that ended while it waited does not take its assignment: its process is reaped, the next one asked.
  while (std::optional<Waiting> one = take_ready())
    if (assign(*one)) return linked(std::move(*one));
  Waiting fresh = TRY(start());
  TRY(assign(fresh));
  return linked(std::move(fresh));
}

std::optional<KeeperPool::Waiting> KeeperPool::take_ready() {
  std::lock_guard lock(mutex_);
  last_use_ = steady_clock::now();
  changed_.notify_all();
  if (ready_.empty()) return std::nullopt;
  Waiting one = std::move(ready_.front());
  ready_.pop_front();
  return one;
}

// Opened once. So all keepers of an engine are of one version, the one that it understands, whatever an
// upgrade puts in the file's place.
Result<int> KeeperPool::executable() {
  std::lock_guard lock(executable_mutex_);
  if (!executable_)
    executable_ = TRY_AS("open the keeper's program", runtime::protected_executable(program_));
  return executable_.get();
}

Result<KeeperPool::Waiting> KeeperPool::start() {
  const int executable = TRY(this->executable());
  auto ends = TRY(make_socket_pair(SOCK_STREAM));
  // Away from the number that the keeper expects, so that it is not the same one.
  Fd control(fcntl(ends.second.get(), F_DUPFD_CLOEXEC, 16));
  if (!control) return fail_errno(errno, "duplicate the control socket");
  SpawnRequest request;
  request.arguments = {program_, title_};
  request.executable = fmt::format("/proc/self/fd/{}", executable);
  request.descriptors[keeper::kControlDescriptor] = control.get();
  request.new_session = true;
  Process process = TRY(Process::spawn(request));
  return Waiting{std::move(ends.first), std::move(process)};
}

bool KeeperPool::in_use() const { return last_use_ && steady_clock::now() - *last_use_ < kStillInUse; }

void KeeperPool::keep_ready(std::stop_token stop) {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);  // the program's signals are not this thread's business
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (!in_use()) {
      std::deque<Waiting> of_no_use = std::exchange(ready_, {});
      lock.unlock();
      of_no_use.clear();
      lock.lock();
      changed_.wait(lock, stop, [this] { return in_use(); });
    } else if (ready_.size() >= kReady) {
      changed_.wait_until(lock, stop, *last_use_ + kStillInUse, [this] { return ready_.size() < kReady; });
    } else {
      changed_.wait_for(lock, stop, kPauseAfterUse, [] { return false; });
      lock.unlock();
      Result<Waiting> one = start();
      lock.lock();
      if (one) {
        ready_.push_back(std::move(*one));
        continue;
      }
      log_warning("engine", "no keeper is started ahead: {}", one.error().message);
      last_use_.reset();  // until one is needed again
    }
  }
}

}  // namespace berth::engine
