// SPDX-License-Identifier: Apache-2.0
#include "proxy/engine_source.h"

#include <algorithm>
#include <iterator>
#include <map>

#include "base/buffer.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "proxy/routes/paths.h"
#include "proxy/routes/route_json.h"

namespace berth::proxy {
namespace {

constexpr std::string_view kHost = "berth.route.host", kPort = "berth.route.port", kPath = "berth.route.path",
                           kTls = "berth.route.tls";
constexpr std::size_t kLargestList = 64u << 20;
constexpr std::size_t kLongestEvent = 1u << 20;
constexpr std::chrono::milliseconds kPause{500};

// By which programs are told to end: TERM, KILL, INT, QUIT (nginx), WINCH (httpd), RTMIN+3 (systemd).
bool ends_containers(std::string_view signal) {
  constexpr std::string_view kEnding[] = {"", "15", "9", "2", "3", "28", "37"};
  return std::ranges::find(kEnding, signal) != std::end(kEnding);
}

struct Container {
  std::string id, hosts, port = "80", path, address, status;
  bool tls = false;  // it wants to be asked by HTTPS alone
};

bool is_ready(const Container& container) {
  return !container.address.empty() && container.status.find("(unhealthy)") == std::string::npos &&
         container.status.find("(health: starting)") == std::string::npos;
}

Result<Container> read_container(ObjectReader& in) {
  Container container;
  std::map<std::string, std::string> labels;
  in.read("Id", container.id);
  in.read("Status", container.status);
  in.read("Labels", labels);
  in.read_object("NetworkSettings", [&](ObjectReader& settings) {
    settings.read_object("Networks", [&](ObjectReader& networks) {
      networks.each_object([&](std::string_view, ObjectReader& network) {
        std::string address;
        network.read("IPAddress", address);
        if (container.address.empty()) container.address = address;
      });
    });
  });
  container.hosts = labels[std::string(kHost)];
  if (const auto found = labels.find(std::string(kPort)); found != labels.end())
    container.port = found->second;
  container.path = labels[std::string(kPath)];
  container.tls = labels[std::string(kTls)] == "true" || labels[std::string(kTls)] == "redirect";
  return container;
}

using RoutesByHost = std::map<std::string, json::object>;  // documents of routes (routes/policy_json.h)

// What one container asks for is tried by itself: a label that is wrong is nobody else's trouble.
Result<void> add_container(const Container& container, std::string_view name, RoutesByHost& routes) {
  const std::string host = TRY(checked_host(name));
  const std::string path =
      container.path.empty() || container.path == "/" ? "" : TRY(checked_path(container.path));
  const auto port = parse_integer<std::uint16_t>(container.port);
  if (!port || *port == 0) return fail(ErrorKind::invalid, "{} is \"{}\", no port", kPort, container.port);
  json::object* place = &routes[host];
  if (!path.empty()) {
    json::value& paths = (*place)["paths"];
    if (!paths.is_object()) paths = json::object();
    for (const json::key_value_pair& other : paths.get_object())
      if (path != std::string_view(other.key()) && http::equal_ignoring_case(path, other.key()))
        return fail(ErrorKind::conflict, "{} is \"{}\", and another container has {}", kPath, path,
                    std::string_view(other.key()));
    json::value& one = paths.get_object()[path];
    if (!one.is_object()) one = json::object{{"redirect_https", false}};
    place = &one.get_object();
  }
  json::value& backends = (*place)["backends"];
  if (!backends.is_array()) backends = json::array();
  backends.get_array().emplace_back(fmt::format("http://{}:{}", container.address, *port));
  if (container.tls) (*place)["redirect_https"] = true;
  return {};
}

}  // namespace

EngineSource::~EngineSource() {
  if (thread_.joinable()) thread_.request_stop();
}

std::string EngineSource::engine() const {
  std::lock_guard lock(mutex_);
  return engine_;
}

Result<void> EngineSource::follow(const std::string& engine) {
  if (!engine.empty()) TRY_AS("engine", http::Endpoint::parse(engine));
  thread_ = std::jthread();  // the old one ends first
  {
    std::lock_guard lock(mutex_);
    engine_ = engine;
  }
  leaving_.clear();
  if (engine.empty()) {
    book_.replace(Source::engine, {});
    return {};
  }
  thread_ = std::jthread([this, engine](const std::stop_token& stop) { run(engine, stop); });
  return {};
}

void EngineSource::run(const std::string& engine, const std::stop_token& stop) {
  const Result<http::Endpoint> endpoint = http::Endpoint::parse(engine);
  std::mutex mutex;
  std::condition_variable_any asleep;
  bool told = false;
  while (endpoint && !stop.stop_requested()) {
    const Result<void> listened = listen(*endpoint, stop);
    if (stop.stop_requested()) return;
    if (!told && !listened)
      log_warning("proxy", "the routes of containers stay as they are: {}", listened.error().message);
    told = true;
    std::unique_lock lock(mutex);
    asleep.wait_for(lock, stop, kPause, [] { return false; });
  }
}

// First the events, then the list: what happens in between is heard of.
Result<void> EngineSource::listen(const http::Endpoint& endpoint, const std::stop_token& stop) {
  http::Client events(endpoint), client(endpoint);
  leaving_.clear();  // that one has begun again may not have been heard
  http::Response stream = TRY(
      events.request("GET", "/events?filters=" + percent_encode(R"({"type":["container"]})"), {}, {}, stop));
  if (stream.status != 200)
    return fail(ErrorKind::unavailable, "{} answered {} to /events", endpoint.text, stream.status);
  TRY(read_containers(client));
  Buffer buffer(16u << 10);
  std::string text;
  for (;;) {
    const std::size_t count = TRY(stream.read(buffer, {}, stop));
    if (count == 0) return fail(ErrorKind::unavailable, "{} ended its events", endpoint.text);
    text.append(buffer.data(), count);
    std::size_t end = 0;
    for (std::size_t next; (next = text.find('\n', end)) != std::string::npos; end = next + 1)
      note_event(std::string_view(text).substr(end, next - end));
    text.erase(0, end);
    if (text.size() > kLongestEvent)
      return fail(ErrorKind::corrupt, "{} sent an event without an end", endpoint.text);
    TRY(read_containers(client));
  }
}

void EngineSource::note_event(std::string_view line) {
  const Result<json::value> event = parse_json(line, "an event");
  if (!event) return;
  ObjectReader in(*event, "");
  std::string action, id, signal;
  in.read("Action", action);
  in.read_object("Actor", [&](ObjectReader& actor) {
    actor.read("ID", id);
    actor.read_object("Attributes", [&](ObjectReader& attributes) { attributes.read("signal", signal); });
  });
  // Other signals are messages: to read a configuration anew, to open a log again.
  if ((action == "kill" && ends_containers(signal)) || action == "die" || action == "stop")
    leaving_.insert(id);
  if (action == "start" || action == "destroy") leaving_.erase(id);
}

Result<void> EngineSource::read_containers(http::Client& client) {
  const std::string filters = fmt::format(R"({{"label":["{}"],"status":["running"]}})", kHost);
  http::Response response = TRY(client.request("GET", "/containers/json?filters=" + percent_encode(filters)));
  const std::string text = TRY(response.read_whole(kLargestList));
  const json::value list = TRY(parse_json(text, "the list of containers"));
  const json::value wrapped = json::object{{"containers", list}};
  ObjectReader in(wrapped, "the engine's list");
  RoutesByHost routes;
  in.read_objects("containers", [&](ObjectReader& one) {
    const Result<Container> container = read_container(one);
    if (!container || !is_ready(*container) || leaving_.contains(container->id)) return;
    for (const std::string_view host : split(container->hosts, ','))
      if (const Result<void> added = add_container(*container, trim(host), routes); !added)
        log_warning("proxy", "the container {}: {}", container->id.substr(0, 12), added.error().message);
  });
  TRY(in.finish());
  std::vector<RouteRef> made;
  for (const auto& [host, document] : routes) {
    Result<RouteRef> route = route_from_json(host, document, endpoints_);
    if (route)
      made.push_back(std::move(*route));
    else
      log_warning("proxy", "the containers of {}: {}", host, route.error().message);
  }
  book_.replace(Source::engine, made);
  return {};
}

}  // namespace berth::proxy
