// SPDX-License-Identifier: Apache-2.0
#include <sys/utsname.h>

#include <algorithm>
#include <thread>

#include "api/api.h"
#include "api/container_documents.h"
#include "api/respond.h"
#include "api/routes.h"
#include "api/volume_documents.h"
#include "base/file.h"
#include "base/text.h"
#include "base/version.h"
#include "engine/host_facts.h"
#include "oci/platform.h"
#include "sys/cgroup.h"

namespace berth::api {
namespace {

using engine::ContainerPointer;

std::string api_version() { return fmt::format("1.{}", kNewestVersion); }
std::string oldest_api_version() { return fmt::format("1.{}", kOldestVersion); }

Result<void> ping(Call& call) {
  http::Headers headers{{"Api-Version", api_version()},
                        {"Builder-Version", "1"},
                        {"Docker-Experimental", "false"},
                        {"Ostype", "linux"},
                        {"Swarm", "inactive"},
                        {"Server", fmt::format("Berth/{} (linux)", kVersion)},
                        {"Cache-Control", "no-cache, no-store, must-revalidate"},
                        {"Pragma", "no-cache"},
                        {"Content-Type", "text/plain; charset=utf-8"}};
  // Tells a client of ours that descriptors arrive: a socket that is forwarded looks like any other.
  if (const std::size_t passed = call.exchange.take_descriptors().size(); passed > 0)
    headers.add("Berth-Passed", std::to_string(passed));
  return call.exchange.respond(200, std::move(headers), call.request().method == "HEAD" ? "" : "OK");
}

Result<void> version(Call& call) {
  const std::string architecture = oci::host_platform().architecture;
  const std::string kernel = engine::kernel_version();
  json::object details{{"ApiVersion", api_version()},
                       {"MinAPIVersion", oldest_api_version()},
                       {"Arch", architecture},
                       {"KernelVersion", kernel},
                       {"Os", "linux"},
                       {"Experimental", "false"},
                       {"GitCommit", ""},
                       {"BuildTime", ""}};
  json::array components{
      json::object{{"Name", "Engine"}, {"Version", kVersion}, {"Details", std::move(details)}}};
  return send_json(call, 200,
                   json::object{{"Platform", json::object{{"Name", "Berth Engine"}}},
                                {"Components", std::move(components)},
                                {"Version", kVersion},
                                {"ApiVersion", api_version()},
                                {"MinAPIVersion", oldest_api_version()},
                                {"GitCommit", ""},
                                {"Os", "linux"},
                                {"Arch", architecture},
                                {"KernelVersion", kernel},
                                {"BuildTime", ""}});
}

struct Counts {
  int all = 0, running = 0, paused = 0;
};

Counts count_containers(engine::Engine& engine) {
  Counts counts;
  for (const ContainerPointer& container : engine.containers().shown()) {
    std::lock_guard lock(container->mutex);
    ++counts.all;
    if (container->paused)
      ++counts.paused;
    else if (container->alive())
      ++counts.running;
  }
  return counts;
}

json::object cgroup_document() {
  Result<sys::CgroupLayout> layout = sys::CgroupLayout::detect();
  if (!layout) return {{"CgroupDriver", "none"}, {"CgroupVersion", "1"}};
  auto has = [&](std::string_view controller) { return layout->of(controller) != nullptr; };
  return {{"CgroupDriver", "cgroupfs"},   {"CgroupVersion", layout->pure_unified() ? "2" : "1"},
          {"MemoryLimit", has("memory")}, {"SwapLimit", has("memory")},
          {"CpuCfsPeriod", has("cpu")},   {"CpuCfsQuota", has("cpu")},
          {"CPUShares", has("cpu")},      {"CPUSet", has("cpuset")},
          {"PidsLimit", has("pids")},     {"OomKillDisable", has("memory") && !layout->pure_unified()}};
}

// "http://user:password@host" -> "http://xxxxx:xxxxx@host": info is for everybody's eyes.
std::string without_password(const std::string& proxy) {
  const std::size_t at = proxy.rfind('@'), mark = proxy.find("://");
  if (at == std::string::npos) return proxy;
  const std::size_t begin = mark == std::string::npos ? 0 : mark + 3;
  return proxy.substr(0, begin) + "xxxxx:xxxxx" + proxy.substr(at);
}

json::object registry_document(const registry::Settings& settings) {
  json::array networks{"::1/128", "127.0.0.0/8"};
  json::object hosts{{"docker.io", json::object{{"Name", "docker.io"},
                                                {"Mirrors", to_json(settings.mirrors)},
                                                {"Secure", true},
                                                {"Official", true}}}};
  for (const std::string& entry : settings.insecure) {
    if (entry.find('/') != std::string::npos)
      networks.emplace_back(entry);
    else
      hosts[entry] =
          json::object{{"Name", entry}, {"Mirrors", json::array()}, {"Secure", false}, {"Official", false}};
  }
  return {{"IndexConfigs", std::move(hosts)},
          {"InsecureRegistryCIDRs", std::move(networks)},
          {"Mirrors", to_json(settings.mirrors)}};
}

template <class Pools>
void add_pools(json::array& list, const Pools& pools) {
  for (const auto& pool : pools)
    list.push_back(json::object{{"Base", pool.base.text()}, {"Size", pool.length}});
}

// Only those that the engine was told.
json::array address_pools_document(const engine::Settings& settings) {
  json::array list;
  add_pools(list, settings.subnet_pools);
  add_pools(list, settings.subnet_pools6);
  return list;
}

json::value warnings_document(const std::vector<std::string>& warnings) {
  if (warnings.empty()) return nullptr;
  json::array document;
  for (const std::string& warning : warnings) document.emplace_back("WARNING: " + warning);
  return document;
}

Result<void> info(Call& call) {
  engine::Engine& engine = call.engine;
  const Counts counts = count_containers(engine);
  std::vector<image::Summary> images = TRY(engine.images().list(false, {}));
  utsname names{};
  uname(&names);
  json::object document{
      {"ID", engine.id()},
      {"Name", engine::host_name()},
      {"ServerVersion", kVersion},
      {"Containers", counts.all},
      {"ContainersRunning", counts.running},
      {"ContainersPaused", counts.paused},
      {"ContainersStopped", counts.all - counts.running - counts.paused},
      {"Images", images.size()},
      {"Driver", engine::driver_name(engine.storage().driver)},
      {"DriverStatus", json::array{json::array{"Backing Filesystem", engine.storage().backing},
                                   json::array{"Layer Format", engine::layer_format(engine.storage().driver)},
                                   json::array{"Reason", engine.storage().reason}}},
      {"Plugins", json::object{{"Volume", json::array{"local"}},
                               {"Network", json::array{"bridge", "host", "none"}},
                               {"Authorization", nullptr},
                               {"Log", json::array{"json-file", "local", "none"}}}},
      {"LoggingDriver", engine.settings().log_driver},
      {"IPv4Forwarding", read_file("/proc/sys/net/ipv4/ip_forward", 16).value_or("0").starts_with('1')},
      {"Debug", engine.settings().debug},
      {"SystemTime", format_time(now())},
      {"KernelVersion", engine::kernel_version()},
      {"OperatingSystem", engine::operating_system()},
      {"OSType", "linux"},
      {"Architecture", names.machine},
      {"NCPU", std::max(1u, std::thread::hardware_concurrency())},
      {"MemTotal", engine::host_memory()},
      {"DockerRootDir", engine.settings().data_root},
      {"IndexServerAddress", "https://index.docker.io/v1/"},
      {"DefaultAddressPools", address_pools_document(engine.settings())},
      {"RegistryConfig", registry_document(engine.settings().registries)},
      {"Labels", to_json(engine.settings().labels)},
      {"Runtimes", json::object{{"berth", json::object{{"path", "built in"}}}}},
      {"DefaultRuntime", "berth"},
      {"InitBinary", "berth-init"},
      {"SecurityOptions", json::array{"name=seccomp,profile=builtin", "name=cgroupns"}},
      {"LiveRestoreEnabled", true},
      {"Swarm", json::object{{"NodeID", ""}, {"LocalNodeState", "inactive"}, {"ControlAvailable", false}}},
      {"Warnings", warnings_document(engine.networks().warnings())},
      {"HttpProxy", without_password(engine.settings().registries.proxies.http)},
      {"HttpsProxy", without_password(engine.settings().registries.proxies.https)},
      {"NoProxy", engine.settings().registries.proxies.without},
      {"ExperimentalBuild", false},
  };
  for (auto& [name, value] : cgroup_document()) document[name] = value;
  return send_json(call, 200, document);
}

json::object event_document(const engine::Event& event, int version) {
  json::object attributes;
  for (const auto& [name, value] : event.attributes) attributes[name] = value;
  json::object document{{"Type", event.type},
                        {"Action", event.action},
                        {"Actor", json::object{{"ID", event.actor}, {"Attributes", std::move(attributes)}}},
                        {"scope", "local"},
                        {"time", event.time.nanoseconds / 1'000'000'000},
                        {"timeNano", event.time.nanoseconds}};
  if (version < 52 && (event.type == "container" || event.type == "image")) {
    document["status"] = event.action;
    document["id"] = event.actor;
    auto image = event.attributes.find("image");
    if (event.type == "container" && image != event.attributes.end()) document["from"] = image->second;
  }
  return document;
}

bool event_matches(const Filters& filters, const engine::Event& event) {
  auto any = [&](const char* name, auto matches) {
    auto filter = filters.find(name);
    return filter == filters.end() || filter->second.empty() ||
           std::any_of(filter->second.begin(), filter->second.end(), matches);
  };
  auto attribute = [&](const std::string& name) {
    auto found = event.attributes.find(name);
    return found == event.attributes.end() ? std::string() : found->second;
  };
  auto actor_is = [&](const char* type) {
    return [&, type](const std::string& value) {
      return event.type == type &&
             (event.actor == value || (value.size() >= 4 && event.actor.starts_with(value)) ||
              attribute("name") == value);
    };
  };
  auto labels = filters.find("label");
  return any("type", [&](const std::string& value) { return event.type == value; }) &&
         any("event",
             [&](const std::string& value) {
               return event.action == value || event.action.starts_with(value + ":");
             }) &&
         any("container", actor_is("container")) && any("volume", actor_is("volume")) &&
         any("network", actor_is("network")) &&
         any("image",
             [&](const std::string& value) {
               return (event.type == "image" && (event.actor == value || attribute("name") == value)) ||
                      (event.type == "container" && attribute("image") == value);
             }) &&
         (labels == filters.end() || labels_match(event.attributes, labels->second));
}

Result<void> events(Call& call) {
  Filters filters = TRY(read_filters(call));
  const Timestamp present = now();
  Timestamp since = present, until;
  if (std::string_view text = call.parameter("since"); !text.empty())
    since = TRY(parse_time_or_ago(text, present));
  if (std::string_view text = call.parameter("until"); !text.empty())
    until = TRY(parse_time_or_ago(text, present));
  std::shared_ptr<engine::EventSubscription> subscription = TRY(call.engine.events().subscribe());
  TRY(call.exchange.begin(200, {{"Content-Type", "application/json"}}));
  auto send = [&](const engine::Event& event) -> Result<void> {
    if (!event_matches(filters, event)) return {};
    return call.exchange.write(json::serialize(event_document(event, call.version)) + "\n");
  };
  if (!call.parameter("since").empty())
    for (const engine::Event& event : call.engine.events().since(since, until ? until : present))
      TRY(send(event));
  for (;;) {
    while (std::optional<engine::Event> event = subscription->take()) {
      if (event->time <= present) continue;  // it was replayed
      if (until && event->time > until) return call.exchange.finish();
      TRY(send(*event));
    }
    if (subscription->overrun()) return call.exchange.finish();
    int patience = -1;
    if (until) {
      const std::int64_t left = (until.nanoseconds - now().nanoseconds) / 1'000'000;
      if (left <= 0) return call.exchange.finish();
      patience = static_cast<int>(std::min<std::int64_t>(left + 1, 3'600'000));
    }
    bool there = TRY(wait_readable(call.exchange, {subscription->descriptor()}, patience));
    if (!there) return {};
  }
}

Result<json::array> build_cache(engine::Engine& engine) {
  const std::vector<build::CacheLine> cache = TRY(engine.builder().usage());
  json::array lines;
  for (const build::CacheLine& line : cache)
    lines.push_back(json::object{{"ID", line.id},
                                 {"Type", line.kind},
                                 {"Description", line.description},
                                 {"InUse", line.in_use},
                                 {"Shared", line.shared},
                                 {"Size", line.size},
                                 {"CreatedAt", format_time(line.created)},
                                 {"LastUsedAt", format_time(line.last_used)},
                                 {"UsageCount", line.uses}});
  return lines;
}

Result<void> disk_usage(Call& call) {
  image::DiskUsage usage = TRY(call.engine.images().disk_usage());
  json::array cache = TRY(build_cache(call.engine));
  std::map<std::string, std::int64_t> users;
  json::array containers;
  for (const ContainerPointer& container : call.engine.containers().shown()) {
    if (container->record.image_id) ++users[container->record.image_id->text()];
    containers.push_back(container_summary(call.engine, container, measure(call.engine, container)));
  }
  json::array images;
  for (const image::Summary& summary : usage.images)
    images.push_back(json::object{{"Id", summary.id.text()},
                                  {"ParentId", summary.parent ? summary.parent->text() : ""},
                                  {"RepoTags", to_json(summary.tags)},
                                  {"RepoDigests", to_json(summary.digests)},
                                  {"Created", summary.created.nanoseconds / 1'000'000'000},
                                  {"Size", summary.size},
                                  {"SharedSize", std::max<std::int64_t>(0, summary.shared_size)},
                                  {"Labels", to_json(summary.labels)},
                                  {"Containers", users[summary.id.text()]}});
  return send_json(call, 200,
                   json::object{{"LayersSize", usage.layers_size},
                                {"Images", std::move(images)},
                                {"Containers", std::move(containers)},
                                {"Volumes", volume_usage(call.engine)},
                                {"BuildCache", std::move(cache)}});
}

std::string_view to_text(image::Finding::Kind kind) {
  switch (kind) {
    case image::Finding::Kind::missing_layer:
      return "missing layer";
    case image::Finding::Kind::damaged_layer:
      return "damaged layer";
    case image::Finding::Kind::damaged_blob:
      return "damaged blob";
    case image::Finding::Kind::damaged_config:
      return "damaged config";
    case image::Finding::Kind::unused_layer:
      return "unused layer";
    case image::Finding::Kind::database:
      return "database";
  }
  return "";
}

Result<void> check(Call& call) {
  const image::ImageStore::CheckOptions options{.set_aside = call.flag("repair")};
  std::vector<image::Finding> found = TRY(call.engine.images().check(options));
  json::array findings;
  for (const image::Finding& finding : found) {
    std::string subject = finding.layer
                              ? (finding.kind == image::Finding::Kind::damaged_blob ? "blob " : "layer ") +
                                    finding.layer->text()
                              : std::string(to_text(finding.kind));
    if (!finding.image.empty()) subject += " of image " + finding.image;
    findings.push_back(json::object{{"Subject", subject}, {"Problem", finding.text}});
  }
  std::vector<image::Summary> images = TRY(call.engine.images().list(true, {}));
  std::vector<layers::Layer> layers = TRY(call.engine.layers().list());
  return send_json(
      call, 200,
      json::object{{"Findings", std::move(findings)},
                   {"Checked", json::object{{"Images", images.size()}, {"Layers", layers.size()}}}});
}

Result<void> no_swarm(Call& call) {
  send_error(call.exchange, 503,
             "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to "
             "connect this node to swarm and try again.");
  return {};
}

Result<void> no_plugins(Call& call) { return send_json(call, 200, json::array()); }

}  // namespace

void add_system_routes(Router& router) {
  router.add("GET", "/_ping", ping);
  router.add("GET", "/version", version);
  router.add("GET", "/info", info);
  router.add("GET", "/events", events);
  router.add("GET", "/system/df", disk_usage);
  router.add("POST", "/berth/system/check", check);
}

void add_unavailable_routes(Router& router) {
  for (const char* path : {"/swarm", "/nodes", "/services", "/tasks", "/secrets", "/configs"})
    router.add("GET", path, no_swarm);
  for (const char* path : {"/swarm/init", "/swarm/join", "/swarm/leave", "/services/create",
                           "/secrets/create", "/configs/create"})
    router.add("POST", path, no_swarm);
  router.add("GET", "/plugins", no_plugins);
}

}  // namespace berth::api
