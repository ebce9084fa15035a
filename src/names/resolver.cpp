// SPDX-License-Identifier: Apache-2.0
#include "names/resolver.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/file.h>

#include <algorithm>

#include "base/file.h"
#include "base/log.h"

namespace berth::names {
namespace {

// One resolver a socket: whoever holds the lock may replace its file.
Result<Fd> take_lock(const std::string& socket_path) {
  const std::string path = socket_path + ".lock";
  Fd lock = TRY(open_file(path, O_RDWR | O_CREAT, 0600));
  if (flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno != EWOULDBLOCK) return fail_errno(errno, "lock {}", path);
  return fail(ErrorKind::conflict, "another resolver of names holds {}: stop it first", path);
}

}  // namespace

Resolver::Resolver(ResolverSettings settings, Fd lock, EventLoop loop)
    : settings_(std::move(settings)),
      lock_(std::move(lock)),
      loop_(std::move(loop)),
      host_servers_(settings_.resolv_conf),
      forwarder_(loop_, settings_.forwarding),
      batch_(make_datagram_batch()) {}

Result<std::unique_ptr<Resolver>> Resolver::open(ResolverSettings settings) {
  Fd lock = TRY(take_lock(settings.socket_path));
  EventLoop loop = TRY(EventLoop::create());
  std::unique_ptr<Resolver> resolver(new Resolver(std::move(settings), std::move(lock), std::move(loop)));
  TRY(resolver->start());
  return resolver;
}

Result<void> Resolver::start() {
  control_ = TRY(ControlServer::open(settings_.socket_path, loop_,
                                     [this](Frame frame) { return handle(std::move(frame)); }));
  control_->on_change = [this] { look_whether_used(); };
  if (settings_.stop_descriptor >= 0)
    TRY(loop_.watch(settings_.stop_descriptor, EPOLLIN, [this](auto) { stopping_ = true; }));
  look_whether_used();
  return {};
}

Resolver::~Resolver() {
  for (const auto& [id, server] : sandboxes_) forwarder_.drop(id);
}

Result<void> Resolver::run() {
  while (!stopping_) TRY(loop_.run_once());
  return {};
}

Verdict Resolver::answer(const std::string& sandbox, Bytes message, Transport transport,
                         std::span<unsigned char> out) {
  const View* view = directory_.view(sandbox);
  return view ? judge(directory_, *view, message, transport, out) : Verdict{};
}

bool Resolver::forward(const std::string& sandbox, Bytes message, const Query& query, Transport transport,
                       Deliver deliver) {
  const View* view = directory_.view(sandbox);
  std::vector<Server> servers =
      view->servers.empty() ? host_servers_.current(std::chrono::steady_clock::now()) : view->servers;
  return forwarder_.forward(sandbox, message, query, transport, std::move(servers), std::move(deliver));
}

ControlServer::Reply Resolver::handle(Frame frame) {
  if (frame.kind == MessageKind::list) return {MessageKind::listing, encode(list())};
  Result<void> done = obey(frame);
  if (done) return {};
  return {MessageKind::failed, encode(done.error())};
}

Result<void> Resolver::obey(Frame& frame) {
  switch (frame.kind) {
    case MessageKind::ping:
      return {};
    case MessageKind::stop:
      stopping_ = true;
      return {};
    case MessageKind::set_network: {
      Network network = TRY(decode_network(frame.body));
      return directory_.set_network(std::move(network));
    }
    case MessageKind::remove_network: {
      const auto names = TRY(decode_names(frame.body));
      directory_.remove_network(names.first);
      return {};
    }
    case MessageKind::set_endpoint: {
      EndpointOf endpoint = TRY(decode_endpoint(frame.body));
      return directory_.set_endpoint(endpoint.network, std::move(endpoint.endpoint));
    }
    case MessageKind::remove_endpoint: {
      const auto names = TRY(decode_names(frame.body));
      directory_.remove_endpoint(names.first, names.second);
      return {};
    }
    case MessageKind::add_sandbox:
      return add_sandbox(frame);
    case MessageKind::remove_sandbox: {
      const auto names = TRY(decode_names(frame.body));
      remove_sandbox(names.first);
      return {};
    }
    default:
      return fail(ErrorKind::unsupported,
                  "the resolver of names does not know message {}: it is of another version",
                  static_cast<int>(frame.kind));
  }
}

Result<void> Resolver::add_sandbox(Frame& frame) {
  SandboxView message = TRY(decode_sandbox_view(frame.body));
  if (!frame.descriptors.empty() && frame.descriptors.size() != 2)
    return fail(ErrorKind::invalid, "a sandbox has a UDP and a TCP socket, or keeps those that it has");
  TRY(check_identifier("sandbox", message.sandbox));
  TRY(check(message.view));
  std::unique_ptr<SandboxServer> server;
  if (!frame.descriptors.empty())
    server =
        TRY(SandboxServer::open(message.sandbox, std::move(frame.descriptors[0]),
                                std::move(frame.descriptors[1]), loop_, *this, batch_, settings_.serving));
  TRY(directory_.set_view(message.sandbox, std::move(message.view)));
  if (!server) return {};
  forwarder_.drop(message.sandbox);  // their askers waited on the old sockets
  sandboxes_[message.sandbox] = std::move(server);
  look_whether_used();
  return {};
}

void Resolver::remove_sandbox(const std::string& id) {
  forwarder_.drop(id);
  sandboxes_.erase(id);
  directory_.remove_view(id);
  look_whether_used();
}

Listing Resolver::list() const {
  Listing listing;
  for (const auto& [id, view] : directory_.views())
    listing.sandboxes.push_back({id, sandboxes_.contains(id)});
  std::ranges::sort(listing.sandboxes, {}, &Listing::Sandbox::id);
  for (const auto& [id, zone] : directory_.networks()) listing.networks.push_back({id, zone.size()});
  return listing;
}

void Resolver::look_whether_used() {
  const bool used = !sandboxes_.empty() || (control_ && control_->connections() > 0);
  if (used && unused_timer_) loop_.cancel(*std::exchange(unused_timer_, std::nullopt));
  if (used || unused_timer_) return;
  unused_timer_ = loop_.after(settings_.unused, [this] {
    unused_timer_.reset();
    log_info("names", "nobody needs the resolver any more");
    stopping_ = true;
  });
}

}  // namespace berth::names
