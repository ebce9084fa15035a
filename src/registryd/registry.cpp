// SPDX-License-Identifier: Apache-2.0
#include "registryd/registry.h"

#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <thread>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "http/client.h"
#include "http/listener.h"
#include "registryd/dispatch.h"
#include "registryd/service.h"

namespace berth::registryd {
namespace {

constexpr auto kHousekeepingInterval = std::chrono::minutes(1);
constexpr std::size_t kControlHead = 4096;

http::Limits public_limits(const Settings& settings) {
  http::Limits limits;
  limits.head_bytes = 32u << 10;
  limits.body_timeout = std::chrono::minutes(2);
  limits.write_timeout = std::chrono::minutes(2);
  limits.idle_timeout = std::chrono::minutes(2);
  limits.stop_grace = settings.drain_timeout;
  return limits;
}

Result<std::shared_ptr<http::TlsContext>> make_tls(const Settings& settings, const std::string& bundle) {
  if (!settings.tls) return nullptr;
  return http::make_server_tls({.certificate = settings.tls->certificate,
                                .key = settings.tls->key,
                                .client_authority = bundle,
                                .only_tls13 = settings.tls->only_tls13});
}

// One file of all the client authorities, since that is what a TLS context takes.
Result<std::string> bundle_of(const Settings& settings, std::optional<TemporaryDirectory>& place) {
  if (!settings.tls || settings.tls->client_authorities.empty()) return "";
  std::string all;
  for (const std::string& path : settings.tls->client_authorities) all += TRY(read_file(path)) + "\n";
  place = TRY(TemporaryDirectory::create("berth-registry"));
  std::string path = place->path() + "/client-authorities.pem";
  TRY(write_file_atomically(AT_FDCWD, path, all, 0600, Durability::visible));
  return path;
}

Result<http::Listener> listen_as_told(const Settings& settings) {
  if (settings.network == "unix") return http::listen_unix(settings.address, 0660);
  const std::size_t colon = settings.address.rfind(':');
  auto port = colon == std::string::npos ? std::nullopt
                                         : parse_integer<std::uint16_t>(settings.address.substr(colon + 1));
  if (!port) return fail(ErrorKind::invalid, "http.addr: '{}' is not host:port", settings.address);
  std::string host = settings.address.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::optional<TemporaryDirectory> place;
  const std::string bundle = TRY_AS("http.tls.clientcas", bundle_of(settings, place));
  std::shared_ptr<http::TlsContext> tls = TRY_AS("http.tls", make_tls(settings, bundle));
  return http::listen_tcp(host, *port, std::move(tls));
}

std::string control_path(const Settings& settings) { return settings.root_directory + "/control.sock"; }

// ---- the control socket: one request, "POST /garbage-collect?...", answered line by line

std::string garbage_query(const GarbageOptions& options) {
  http::Query query;
  query.add("dry-run", options.dry_run ? "1" : "0");
  query.add("delete-untagged", options.delete_untagged ? "1" : "0");
  query.add("grace", std::to_string(options.grace.count()));
  return query.text();
}

GarbageOptions parse_garbage_query(const http::Query& query) {
  GarbageOptions options;
  options.dry_run = query.get_or("dry-run", "") == "1";
  options.delete_untagged = query.get_or("delete-untagged", "") == "1";
  if (auto grace = parse_integer<std::int64_t>(query.get_or("grace", "")); grace && *grace >= 0)
    options.grace = std::chrono::seconds(*grace);
  return options;
}

std::string summary_of(const GarbageReport& report, bool dry_run) {
  return fmt::format("{} {} blobs of {} bytes, {} manifests and {} links",
                     dry_run ? "would remove" : "removed", report.blobs, report.bytes, report.manifests,
                     report.links);
}

}  // namespace

struct Registry::State {
  explicit State(Settings settings) : service(std::move(settings)) {}

  void control(Registry& registry, http::Exchange& exchange);
  void keep_house();

  Service service;
  std::optional<http::Server> server, control_server;
  std::uint16_t port = 0;

  std::mutex mutex;
  std::condition_variable stop_asked;
  bool stopping = false;
  std::thread housekeeping;
};

Registry::Registry(std::unique_ptr<State> state) : state_(std::move(state)) {}

Registry::~Registry() { stop(); }

Result<std::unique_ptr<Registry>> Registry::open(Settings settings, std::chrono::milliseconds patience) {
  auto state = std::make_unique<State>(std::move(settings));
  Service& service = state->service;
  const std::string& root = service.settings.root_directory;
  service.access = TRY(make_access(service.settings));
  if (service.settings.proxy) service.upstream = TRY(make_upstream(*service.settings.proxy));
  TRY_AS("storage.filesystem.rootdirectory", make_directories(root, 0700));
  if (exists(root + "/docker/registry/v2"))
    log_warning("registry",
                "{} holds another registry's data (docker/registry/v2): that is left alone, and not "
                "served; copy it over with a client",
                root);
  service.storage = TRY(open_file_storage(root + "/blobs", patience));
  if (Result<std::size_t> swept = Fetches::sweep(*service.storage); !swept)
    log_warning("registry", "sweep what was being fetched: {}", swept.error().message);
  service.catalog = TRY(Catalog::open(root, *service.storage));
  service.catalog->on_change([&service](std::string_view repository) { service.cache.drop(repository); });
  if (service.upstream)
    service.fetches = std::make_unique<Fetches>(*service.storage, *service.catalog, *service.upstream);
  service.uploads = std::make_unique<UploadTable>(*service.storage);
  return std::unique_ptr<Registry>(new Registry(std::move(state)));
}

std::uint16_t Registry::port() const noexcept { return state_->port; }

Result<void> Registry::start() {
  State& state = *state_;
  Service& service = state.service;
  http::Listener listener = TRY(listen_as_told(service.settings));
  state.port = http::port_of(listener);
  log_info("registry", "listening on {} (on port {}), storing in {}", listener.name, state.port,
           service.settings.root_directory);

  http::Listener control = TRY(http::listen_unix(control_path(service.settings), 0600));
  std::vector<http::Listener> controls;
  controls.push_back(std::move(control));
  state.control_server.emplace();
  TRY(state.control_server->start(std::move(controls),
                                  [this](http::Exchange& exchange) { state_->control(*this, exchange); },
                                  {.head_bytes = kControlHead, .connections = 16}));

  std::vector<http::Listener> listeners;
  listeners.push_back(std::move(listener));
  state.server.emplace();
  service.count_connections = [&state] { return state.server->connections(); };
  TRY(state.server->start(
      std::move(listeners), [&service](http::Exchange& exchange) { dispatch(service, exchange); },
      public_limits(service.settings)));
  state.housekeeping = std::thread([&state] { state.keep_house(); });
  return {};
}

void Registry::stop() {
  State& state = *state_;
  if (state.server) state.server->stop();
  if (state.control_server) {
    state.control_server->stop();
    ::unlink(control_path(state.service.settings).c_str());
  }
  {
    std::lock_guard guard(state.mutex);
    state.stopping = true;
  }
  state.stop_asked.notify_all();
  if (state.service.fetches) state.service.fetches->stop();
  if (state.housekeeping.joinable()) state.housekeeping.join();
  state.server.reset();
  state.control_server.reset();
}

Result<GarbageReport> Registry::collect_garbage(const GarbageOptions& options,
                                                const std::function<void(std::string_view)>& say) {
  Service& service = state_->service;
  std::lock_guard one_at_a_time(service.garbage);
  GarbageReport report =
      TRY(registryd::collect_garbage(*service.catalog, *service.storage, service.vouched, options, say));
  if (!options.dry_run)
    service.metrics.garbage_collected(report.blobs, static_cast<std::uint64_t>(report.bytes));
  return report;
}

void Registry::State::control(Registry& registry, http::Exchange& exchange) {
  if (exchange.request().method != "POST" || exchange.request().path != "/garbage-collect") {
    (void)exchange.respond(404, {}, "");
    return;
  }
  const GarbageOptions options = parse_garbage_query(exchange.request().query);
  if (!exchange.begin(200, {{"Content-Type", "text/plain"}})) return;
  Result<GarbageReport> report = registry.collect_garbage(
      options, [&](std::string_view line) { (void)exchange.write(std::string(line) + "\n"); });
  // The last line says how it went: the head is long on its way.
  (void)exchange.write(report ? "ok " + summary_of(*report, options.dry_run) + "\n"
                              : "error " + report.error().message + "\n");
  (void)exchange.finish();
}

// Uploads that nobody came back for.
void Registry::State::keep_house() {
  const Settings& settings = service.settings;
  auto purge_at = std::chrono::steady_clock::now();
  std::unique_lock lock(mutex);
  while (!stopping) {
    lock.unlock();
    service.uploads->drop_idle();
    if (settings.purge_uploads && !settings.purge_dry_run && std::chrono::steady_clock::now() >= purge_at) {
      purge_at = std::chrono::steady_clock::now() + settings.purge_interval;
      Result<std::size_t> swept = service.storage->sweep_uploads(settings.purge_age);
      if (!swept)
        log_warning("registry", "purge uploads: {}", swept.error().message);
      else if (*swept > 0)
        log_info("registry", "{} uploads were purged", *swept);
    }
    lock.lock();
    stop_asked.wait_for(lock, kHousekeepingInterval, [this] { return stopping; });
  }
}

namespace {

// By the process that serves. Nothing: none does.
Result<bool> ask_server(const Settings& settings, const GarbageOptions& options,
                        const std::function<void(std::string_view)>& say) {
  Result<Fd> answers = http::connect_unix(control_path(settings));
  if (!answers) return false;
  http::Endpoint endpoint = TRY(http::Endpoint::parse("unix://" + control_path(settings)));
  http::Client client(std::move(endpoint));
  http::Response response = TRY(client.request("POST", "/garbage-collect?" + garbage_query(options)));
  std::string pending;
  char buffer[4096];
  for (;;) {
    const std::size_t got = TRY(response.read(buffer));
    if (got == 0) break;
    pending.append(buffer, got);
    for (std::size_t feed; (feed = pending.find('\n')) != std::string::npos; pending.erase(0, feed + 1)) {
      std::string_view line = std::string_view(pending).substr(0, feed);
      if (line.starts_with("error ")) return fail(ErrorKind::system, "{}", line.substr(6));
      say(line.starts_with("ok ") ? line.substr(3) : line);
    }
  }
  return true;
}

}  // namespace

Result<void> collect_garbage(const Settings& settings, const GarbageOptions& options,
                             const std::function<void(std::string_view)>& say) {
  if (TRY(ask_server(settings, options, say))) return {};
  Settings alone = settings;
  alone.notifications.clear();
  alone.htpasswd.reset();
  alone.token.reset();
  alone.proxy.reset();
  std::unique_ptr<Registry> registry = TRY(Registry::open(std::move(alone)));
  const GarbageReport report = TRY(registry->collect_garbage(options, say));
  say(summary_of(report, options.dry_run));
  return {};
}

}  // namespace berth::registryd
