// SPDX-License-Identifier: Apache-2.0
#include "registryd/event.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "http/client.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kQueued = 1000;
constexpr int kTries = 100;  // of one event, with back-off between: then it is dropped, so that others go on
constexpr std::size_t kAnswerLimit = 64u << 10;

std::string envelope_of(const Event& event) {
  json::object target;
  target["mediaType"] = event.media_type;
  target["digest"] = event.digest;
  target["size"] = event.size;
  target["length"] = event.size;
  target["repository"] = event.repository;
  target["url"] = event.url;
  if (!event.tag.empty()) target["tag"] = event.tag;
  if (!event.from_repository.empty()) target["fromRepository"] = event.from_repository;
  json::object request;
  request["id"] = random_identifier().substr(0, 32);
  request["addr"] = event.address;
  request["host"] = event.host;
  request["method"] = event.method;
  request["useragent"] = event.user_agent;
  json::object actor;
  if (!event.user.empty()) actor["name"] = event.user;
  json::object entry;
  entry["id"] = random_identifier().substr(0, 32);
  entry["timestamp"] = format_time(now());
  entry["action"] = event.action;
  entry["target"] = std::move(target);
  entry["request"] = std::move(request);
  entry["actor"] = std::move(actor);
  json::object envelope;
  envelope["events"] = json::array{std::move(entry)};
  return json::serialize(envelope);
}

// "http://host:port/a/b" -> where to connect, and "/a/b".
std::pair<std::string, std::string> split_url(std::string_view url) {
  const std::size_t scheme = url.find("://");
  const std::size_t path = url.find('/', scheme == std::string_view::npos ? 0 : scheme + 3);
  if (path == std::string_view::npos) return {std::string(url), "/"};
  return {std::string(url.substr(0, path)), std::string(url.substr(path))};
}

}  // namespace

struct Notifier::Queue {
  explicit Queue(const NotificationEndpoint& told) : endpoint(told), thread([this] { run(); }) {}
  ~Queue() {
    {
      std::lock_guard guard(mutex);
      stopping = true;
    }
    changed.notify_all();
    thread.join();
  }

  void add(std::string envelope) {
    std::lock_guard guard(mutex);
    if (waiting.size() >= kQueued) {
      waiting.pop_front();
      ++dropped;
    }
    waiting.push_back(std::move(envelope));
    changed.notify_all();
  }

  void run() {
    std::unique_lock lock(mutex);
    int failures = 0;
    for (;;) {
      changed.wait(lock, [this] { return stopping || !waiting.empty(); });
      if (stopping) return;
      const std::string envelope = waiting.front();
      lock.unlock();
      Result<void> sent = send(envelope);
      lock.lock();
      if (!sent && ++failures < kTries) {
        if (failures == endpoint.threshold)
          log_warning("registry", "notifications to {} fail, and are tried again: {}", endpoint.name,
                      sent.error().message);
        if (failures >= endpoint.threshold)
          changed.wait_for(lock, endpoint.backoff, [this] { return stopping; });
        continue;
      }
      if (!sent) ++dropped;
      failures = 0;
      // Unless a full queue has dropped it meanwhile.
      if (!waiting.empty() && waiting.front() == envelope) waiting.pop_front();
    }
  }

  Result<void> send(const std::string& envelope) const {
    auto [server, target] = split_url(endpoint.url);
    http::Endpoint where = TRY(http::Endpoint::parse(server));
    http::Client client(std::move(where));
    client.set_head_timeout(endpoint.timeout);
    http::Headers headers{{"Content-Type", "application/vnd.docker.distribution.events.v2+json"}};
    for (const auto& [name, value] : endpoint.headers) headers.add(name, value);
    http::Response response = TRY(client.request("POST", target, std::move(headers), envelope));
    (void)response.read_whole(kAnswerLimit);
    if (response.status < 200 || response.status >= 400)
      return fail(ErrorKind::unavailable, "the answer was {}", response.status);
    return {};
  }

  const NotificationEndpoint endpoint;
  mutable std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::string> waiting;
  std::uint64_t dropped = 0;
  bool stopping = false;
  std::thread thread;  // last: it uses all the others
};

Notifier::Notifier(const std::vector<NotificationEndpoint>& endpoints) {
  for (const NotificationEndpoint& endpoint : endpoints) queues_.push_back(std::make_unique<Queue>(endpoint));
}

Notifier::~Notifier() = default;

void Notifier::post(const Event& event) {
  if (queues_.empty()) return;
  const std::string envelope = envelope_of(event);
  for (auto& queue : queues_) queue->add(envelope);
}

std::uint64_t Notifier::dropped() const {
  std::uint64_t sum = 0;
  for (const auto& queue : queues_) {
    std::lock_guard guard(queue->mutex);
    sum += queue->dropped;
  }
  return sum;
}

}  // namespace berth::registryd
