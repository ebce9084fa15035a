// SPDX-License-Identifier: Apache-2.0
#include "engine/keeper_link.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "base/log.h"
#include "keeper/paths.h"

namespace berth::engine {

Result<keeper::Reply> KeeperLink::ask(keeper::MessageKind kind, std::string_view body,
                                      std::span<const int> descriptors, std::chrono::milliseconds patience) {
  std::uint64_t request;
  {
    std::lock_guard lock(mutex_);
    if (closed_) return fail(ErrorKind::unavailable, "the container's keeper has ended");
    request = ++last_request_;
    requests_[request];
  }
  Result<void> sent = [&] {
    std::lock_guard lock(sending_);
    return keeper::send_message(socket_.get(), kind, request, body, descriptors);
  }();
  if (sent) return wait(request, patience);
  std::lock_guard lock(mutex_);
  requests_.erase(request);
  return std::unexpected(std::move(sent).error());
}

Result<void> KeeperLink::hand_over(const Fd& client, const keeper::Attach& options) {
  constexpr std::uint64_t no_reply = 0;
  const int descriptor = client.get();
  std::lock_guard lock(sending_);
  return keeper::send_message(socket_.get(), keeper::MessageKind::attach, no_reply, keeper::encode(options),
                              {&descriptor, 1});
}

Result<keeper::Reply> KeeperLink::wait(std::uint64_t request, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  answered_.wait_for(lock, patience, [&] { return closed_ || requests_[request].has_value(); });
  std::optional<keeper::Reply> reply = std::move(requests_[request]);
  requests_.erase(request);
  if (!reply)
    return closed_
               ? fail(ErrorKind::unavailable, "the container's keeper has ended")
               : fail(ErrorKind::timeout, "the container's keeper did not answer in {} ms", patience.count());
  if (reply->error) return std::unexpected(std::move(*reply->error));
  return std::move(*reply);
}

void KeeperLink::deliver(std::uint64_t request, keeper::Reply reply) {
  std::lock_guard lock(mutex_);
  auto asked = requests_.find(request);
  if (asked == requests_.end()) return;  // the asker gave up
  asked->second = std::move(reply);
  answered_.notify_all();
}

void KeeperLink::close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  answered_.notify_all();
}

Result<std::unique_ptr<KeeperWatch>> KeeperWatch::start(KeeperCallbacks callbacks) {
  Fd epoll(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail_errno(errno, "create an epoll instance");
  Fd stop(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!stop) return fail_errno(errno, "create an event descriptor");
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = stop.get();
  if (epoll_ctl(epoll.get(), EPOLL_CTL_ADD, stop.get(), &event) != 0)
    return fail_errno(errno, "watch for the stop");
  std::unique_ptr<KeeperWatch> watch(
      new KeeperWatch(std::move(callbacks), std::move(epoll), std::move(stop)));
  watch->thread_ = std::thread([raw = watch.get()] { raw->run(); });
  return watch;
}

KeeperWatch::KeeperWatch(KeeperCallbacks callbacks, Fd epoll, Fd stop)
    : callbacks_(std::move(callbacks)), epoll_(std::move(epoll)), stop_(std::move(stop)) {}

KeeperWatch::~KeeperWatch() {
  eventfd_write(stop_.get(), 1);
  if (thread_.joinable()) thread_.join();
}

Result<void> KeeperWatch::add(std::shared_ptr<KeeperLink> link) {
  std::lock_guard lock(mutex_);
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.fd = link->descriptor();
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, link->descriptor(), &event) != 0)
    return fail_errno(errno, "watch a keeper");
  links_[link->descriptor()] = std::move(link);
  return {};
}

void KeeperWatch::run() {
  epoll_event events[64];
  for (;;) {
    int count = epoll_wait(epoll_.get(), events, 64, -1);
    if (count < 0 && errno != EINTR) return log_error("engine", "wait for keepers: errno {}", errno);
    for (int i = 0; i < count; ++i) {
      if (events[i].data.fd == stop_.get()) return;
      std::shared_ptr<KeeperLink> link;
      {
        std::lock_guard lock(mutex_);
        if (auto found = links_.find(events[i].data.fd); found != links_.end()) link = found->second;
      }
      if (link) on_readable(link);
    }
  }
}

void KeeperWatch::on_readable(const std::shared_ptr<KeeperLink>& link) {
  Result<bool> open = link->reader_.receive(link->descriptor(), MSG_DONTWAIT);
  for (;;) {
    Result<std::optional<keeper::Message>> message = link->reader_.next();
    if (!message) {
      log_error("engine", "container {}: {}", link->container_id(), message.error().message);
      return remove(link);
    }
    if (!*message) break;
    switch ((*message)->kind) {
      case keeper::MessageKind::reply:
        if (auto reply = keeper::decode_reply((*message)->body))
          link->deliver((*message)->request, std::move(*reply));
        break;
      case keeper::MessageKind::state:
        if (auto state = keeper::decode_state((*message)->body)) callbacks_.on_state(link, *state);
        break;
      case keeper::MessageKind::exec_exited:
        if (auto exited = keeper::decode_exec_exited((*message)->body))
          callbacks_.on_exec_exited(link, *exited);
        break;
      default:
        break;  // a newer keeper's news
    }
  }
  if (!open || !*open) remove(link);
}

void KeeperWatch::remove(const std::shared_ptr<KeeperLink>& link) {
  {
    std::lock_guard lock(mutex_);
    epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, link->descriptor(), nullptr);
    links_.erase(link->descriptor());
  }
  link->close();
  if (link->child_ > 0) {
    int status;  // its end of the socket closed because it exited, so this does not wait
    while (waitpid(link->child_, &status, 0) < 0 && errno == EINTR) {
    }
  }
  callbacks_.on_gone(link);
}

Result<std::shared_ptr<KeeperLink>> connect_keeper(const std::string& container_id,
                                                   const std::string& run_directory) {
  Fd directory = TRY(open_file(run_directory, O_PATH | O_DIRECTORY));
  Fd socket_fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_fd) return fail_errno(errno, "create a socket");
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory.get(), keeper::kSocketFile);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (connect(socket_fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    return fail_errno(errno, "connect to the keeper of container {}", container_id);
  return std::make_shared<KeeperLink>(container_id, std::move(socket_fd), 0);
}

}  // namespace berth::engine
