// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <deque>
#include <list>
#include <mutex>

#include "base/log.h"
#include "http/connection.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kStackFactor = 4;  // instrumented frames are larger
#else
constexpr std::size_t kStackFactor = 1;
#endif

namespace berth::http {
namespace {

constexpr int kAcceptBackoffMilliseconds = 50;
// A client's next connection is often close behind its last: so many threads wait for it, so long.
constexpr std::size_t kSpareThreads = 4;
constexpr auto kSpareTime = std::chrono::seconds(5);

// New threads inherit the mask of the one that makes them: ours must not run the program's signal handlers.
class BlockedSignals {
 public:
  BlockedSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~BlockedSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedSignals(const BlockedSignals&) = delete;
  BlockedSignals& operator=(const BlockedSignals&) = delete;

 private:
  sigset_t before_;
};

std::vector<gid_t> groups_of(int socket) {
  std::vector<gid_t> groups(64);
  for (;;) {
    socklen_t size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const bool known = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size) == 0;
    const bool larger = !known && errno == ERANGE && size > groups.size() * sizeof(gid_t);
    groups.resize(known || larger ? size / sizeof(gid_t) : 0);
    if (!larger) return groups;
  }
}

Peer describe_peer(int socket, const sockaddr_storage& address) {
  Peer peer;
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    peer.address = fmt::format("{}:{}", text, ntohs(v4.sin_port));
  } else if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    peer.address = fmt::format("[{}]:{}", text, ntohs(v6.sin6_port));
  } else {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    peer.address = "@";
    peer.local = true;
    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0) {
      peer.uid = credentials.uid;
      peer.gid = credentials.gid;
      peer.pid = credentials.pid;
      peer.groups = groups_of(socket);
    }
  }
  return peer;
}

// Small writes leave at once, and a peer whose machine vanished is noticed.
void tune_tcp(int socket) {
  const int on = 1;
  setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

// What a blocked write returns after is EAGAIN.
void limit_writes(int socket, std::chrono::milliseconds timeout) {
  if (timeout.count() <= 0) return;
  const timeval time{timeout.count() / 1000, timeout.count() % 1000 * 1000};
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
}

void turn_away(Fd socket, bool tls) {
  static constexpr std::string_view kAnswer =
      "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
  if (!tls) (void)send(socket.get(), kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  ::shutdown(socket.get(), SHUT_WR);
}

}  // namespace

struct Server::State {
  // A thread of this server and the socket it works on; -1 once that is not the server's to touch.
  struct Task {
    int descriptor = -1;
    bool idle = false;
  };
  using TaskPlace = std::list<Task>::iterator;
  using Work = std::function<void(TaskPlace)>;
  struct Job {
    TaskPlace task;
    Work work;
  };

  Handler handler;
  Limits limits;
  std::vector<Listener> listeners;
  Fd stop_signal;  // an eventfd, readable from stop() on
  std::optional<pthread_t> acceptor;
  bool backing_off = false;  // the acceptor's own, as is the next: out of descriptors or memory just now,
  bool short_of_resources = false;  // and since the last success (said once)

  mutable std::mutex mutex;
  std::condition_variable changed;
  std::list<Task> tasks;
  std::deque<Job> jobs;  // never more than there are spare threads, each of which takes one
  std::condition_variable job_came;
  std::size_t threads = 0;  // that run or are about to
  std::size_t spare = 0;    // that wait for a job
  bool stopping = false;
  std::optional<pthread_t> finished;  // ended or about to, and not joined yet

  Result<void> start_task(int descriptor, Work work);
  void work_off(Job job);
  std::optional<Job> wait_for_job();
  void end_thread();
  void accept_until_stopped();
  void accept_from(const Listener& listener);
  void serve(Fd socket, Peer peer, const std::shared_ptr<TlsContext>& tls, TaskPlace task);
  void hang_up(bool idle_only);
};

namespace {

using ThreadBody = std::function<void()>;

void* run_thread(void* argument) {
  std::unique_ptr<ThreadBody> body(static_cast<ThreadBody*>(argument));
  (*body)();
  return nullptr;
}

Result<pthread_t> start_thread(std::size_t stack_bytes, ThreadBody body) {
  auto start = std::make_unique<ThreadBody>(std::move(body));
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes * kStackFactor);
  pthread_t thread;
  BlockedSignals blocked;
  int error = pthread_create(&thread, &attributes, run_thread, start.get());
  pthread_attr_destroy(&attributes);
  if (error != 0) return fail_errno(error, "start a thread");
  (void)start.release();  // the thread's now
  return thread;
}

}  // namespace

Result<void> Server::State::start_task(int descriptor, Work work) {
  std::unique_lock lock(mutex);
  if (stopping) return fail(ErrorKind::cancelled, "the server stops");
  TaskPlace task = tasks.insert(tasks.end(), Task{descriptor});
  if (jobs.size() < spare) {
    jobs.push_back({task, std::move(work)});
    job_came.notify_one();
    return {};
  }
  ++threads;
  lock.unlock();
  Result<pthread_t> thread = start_thread(limits.stack_bytes, [this, task, work = std::move(work)]() mutable {
    work_off({task, std::move(work)});
  });
  if (thread) return {};
  lock.lock();
  tasks.erase(task);
  --threads;
  changed.notify_all();
  return std::unexpected(std::move(thread).error());
}

void Server::State::work_off(Job first) {
  for (std::optional<Job> job = std::move(first); job; job = wait_for_job()) {
    try {
      job->work(job->task);
    } catch (const std::exception& exception) {
      log_error("http", "a connection ended by an exception: {}", exception.what());
    } catch (...) {
      log_error("http", "a connection ended by an unknown exception");
    }
    job->work = nullptr;  // what it holds goes before the task is said to have ended
    std::lock_guard lock(mutex);
    tasks.erase(job->task);
    changed.notify_all();
  }
  end_thread();
}

std::optional<Server::State::Job> Server::State::wait_for_job() {
  std::unique_lock lock(mutex);
  if (stopping || spare >= kSpareThreads) return std::nullopt;
  ++spare;
  job_came.wait_for(lock, kSpareTime, [this] { return stopping || !jobs.empty(); });
  --spare;
  if (jobs.empty()) return std::nullopt;
  Job job = std::move(jobs.front());
  jobs.pop_front();
  return job;
}

// Each thread that ends joins the one that ended before it, and stop() joins the last: no thread is detached,
// and at most one that has ended is kept.
void Server::State::end_thread() {
  std::optional<pthread_t> earlier;
  {
    std::lock_guard lock(mutex);
    earlier = std::exchange(finished, pthread_self());
    --threads;
    changed.notify_all();
  }
  if (earlier) pthread_join(*earlier, nullptr);
}

void Server::State::hang_up(bool idle_only) {
  for (Task& task : tasks)
    if (task.descriptor >= 0 && (task.idle || !idle_only)) ::shutdown(task.descriptor, SHUT_RDWR);
}

namespace {

// Ties a connection to its entry in the server's list.
template <class State>
class TaskHost final : public ConnectionHost {
 public:
  TaskHost(State& state, typename State::TaskPlace task) : state_(state), task_(task) {}
  ~TaskHost() override { forget_descriptor(); }

  bool enter_idle() override {
    std::lock_guard lock(state_.mutex);
    task_->idle = true;
    return !state_.stopping;
  }
  void leave_idle() override {
    std::lock_guard lock(state_.mutex);
    task_->idle = false;
  }
  bool stopping() override {
    std::lock_guard lock(state_.mutex);
    return state_.stopping;
  }
  void forget_descriptor() override {
    std::lock_guard lock(state_.mutex);
    task_->descriptor = -1;
  }
  Result<void> start_relay(std::unique_ptr<TlsStream> stream, Fd local) override {
    const int descriptor = stream->descriptor();
    struct Ends {
      std::unique_ptr<TlsStream> stream;
      Fd local;
    };
    auto ends = std::make_shared<Ends>(Ends{std::move(stream), std::move(local)});
    State& state = state_;
    return state.start_task(descriptor, [ends, &state](typename State::TaskPlace task) {
      ends->stream->relay(std::move(ends->local));
      std::lock_guard lock(state.mutex);
      task->descriptor = -1;
    });
  }

 private:
  State& state_;
  typename State::TaskPlace task_;
};

}  // namespace

void Server::State::serve(Fd socket, Peer peer, const std::shared_ptr<TlsContext>& tls, TaskPlace task) {
  // Destroyed in reverse order: the server forgets the descriptor before the connection closes it.
  std::optional<Connection> connection;
  TaskHost<State> host(*this, task);
  if (tls) {
    std::unique_ptr<TlsStream> stream = make_server_stream(std::move(socket), *tls);
    if (!host.enter_idle()) return;
    Result<void> shaken = stream->shake_hands(deadline_in(limits.head_timeout));
    if (!shaken) {
      log_debug("http", "{}: {}", peer.address, shaken.error().message);
      host.forget_descriptor();
      return;
    }
    peer.tls = true;
    peer.certificate_name = stream->peer_certificate_name();
    connection.emplace(std::move(stream), std::move(peer), limits, handler, host);
  } else {
    const Passed passed = peer.local ? Passed::kept : Passed::closed;
    connection.emplace(make_plain_stream(std::move(socket), passed), std::move(peer), limits, handler, host);
  }
  connection->serve();
}

void Server::State::accept_from(const Listener& listener) {
  for (;;) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    Fd socket(accept4(listener.socket.get(), reinterpret_cast<sockaddr*>(&address), &size, SOCK_CLOEXEC));
    if (!socket) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      // Out of descriptors or memory: the client stays queued until there are some again.
      backing_off = true;
      if (!std::exchange(short_of_resources, true))
        log_warning("http", "{}", fail_errno(errno, "accept on {}", listener.name).error().message);
      return;
    }
    short_of_resources = false;
    std::size_t open;
    {
      std::lock_guard lock(mutex);
      open = tasks.size();
    }
    if (open >= limits.connections) {
      turn_away(std::move(socket), listener.tls != nullptr);
      continue;
    }
    if (address.ss_family != AF_UNIX) tune_tcp(socket.get());
    limit_writes(socket.get(), limits.write_timeout);
    Peer peer = describe_peer(socket.get(), address);
    const int descriptor = socket.get();
    auto owned = std::make_shared<Fd>(std::move(socket));
    Result<void> started = start_task(
        descriptor, [this, owned, peer = std::move(peer), tls = listener.tls](TaskPlace task) mutable {
          serve(std::move(*owned), std::move(peer), tls, task);
        });
    if (!started) {
      log_warning("http", "{}: {}", listener.name, started.error().message);
      turn_away(std::move(*owned), listener.tls != nullptr);
    }
  }
}

void Server::State::accept_until_stopped() {
  std::vector<pollfd> polled{{stop_signal.get(), POLLIN, 0}};
  for (const Listener& listener : listeners) polled.push_back({listener.socket.get(), POLLIN, 0});
  for (;;) {
    // Backing off, only the stop signal can wake us.
    const bool wait = backing_off;
    backing_off = false;
    int ready = poll(polled.data(), wait ? 1 : polled.size(), wait ? kAcceptBackoffMilliseconds : -1);
    if (ready < 0 && errno != EINTR) {
      log_error("http", "{}", fail_errno(errno, "wait for connections").error().message);
      backing_off = true;
      continue;
    }
    if (polled[0].revents != 0) return;
    if (wait) continue;
    for (std::size_t index = 0; index < listeners.size(); ++index)
      if (polled[index + 1].revents != 0) accept_from(listeners[index]);
  }
}

Server::Server() = default;

Server::~Server() { stop(); }

Result<void> Server::start(std::vector<Listener> listeners, Handler handler, Limits limits) {
  if (state_) return fail(ErrorKind::conflict, "the server runs already");
  auto state = std::make_unique<State>();
  state->handler = std::move(handler);
  state->limits = limits;
  state->listeners = std::move(listeners);
  state->stop_signal = Fd(eventfd(0, EFD_CLOEXEC));
  if (!state->stop_signal) return fail_errno(errno, "create an event descriptor");
  State& running = *state;
  running.acceptor = TRY(start_thread(limits.stack_bytes, [&running] {
    try {
      running.accept_until_stopped();
    } catch (const std::exception& exception) {
      log_error("http", "no more connections are accepted: {}", exception.what());
    }
  }));
  state_ = std::move(state);
  return {};
}

void Server::stop() {
  if (!state_) return;
  const std::uint64_t one = 1;
  (void)!::write(state_->stop_signal.get(), &one, sizeof one);
  pthread_join(*state_->acceptor, nullptr);
  state_->listeners.clear();

  std::unique_lock lock(state_->mutex);
  state_->stopping = true;
  state_->job_came.notify_all();
  state_->hang_up(true);
  auto none_left = [&] { return state_->threads == 0; };
  if (!state_->changed.wait_for(lock, state_->limits.stop_grace, none_left)) {
    state_->hang_up(false);
    state_->changed.wait(lock, none_left);
  }
  std::optional<pthread_t> last = std::exchange(state_->finished, std::nullopt);
  lock.unlock();
  if (last) pthread_join(*last, nullptr);
  state_.reset();
}

std::size_t Server::connections() const noexcept {
  if (!state_) return 0;
  std::lock_guard lock(state_->mutex);
  return state_->tasks.size();
}

}  // namespace berth::http
