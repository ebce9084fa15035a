// SPDX-License-Identifier: Apache-2.0
#include "api/container_documents.h"

#include <set>

#include "api/network_documents.h"
#include "api/respond.h"
#include "base/text.h"
#include "engine/host_config_json.h"
#include "engine/links.h"
#include "engine/port_mapping.h"
#include "engine/runtime_config.h"
#include "layers/changes.h"
#include "oci/config_json.h"

namespace berth::api {
namespace {

using engine::Container;
using engine::ContainerPointer;
using engine::ContainerRecord;
using engine::Engine;
using engine::HealthStatus;
using engine::MountPoint;

json::object health_document(const engine::Health& health) {
  json::array log;
  for (const engine::HealthProbe& probe : health.log)
    log.push_back(json::object{{"Start", format_time(probe.start)},
                               {"End", format_time(probe.end)},
                               {"ExitCode", probe.exit_code},
                               {"Output", probe.output}});
  return {
      {"Status", to_text(health.status)}, {"FailingStreak", health.failing_streak}, {"Log", std::move(log)}};
}

json::object state_document(const Container& container) {
  const keeper::State& state = container.state;
  json::object document{
      {"Status", status_word(container)},
      {"Running", container.alive()},
      {"Paused", container.paused},
      {"Restarting", state.phase == keeper::Phase::restarting},
      {"OOMKilled", state.oom_killed},
      {"Dead", false},
      {"Pid", container.running() ? state.pid : 0},
      {"ExitCode", state.exit_code},
      {"Error", state.error},
      {"StartedAt", format_time(state.started_at)},
      {"FinishedAt", format_time(state.finished_at)},
  };
  if (container.health.status != HealthStatus::none) document["Health"] = health_document(container.health);
  return document;
}

json::object mount_document(const MountPoint& mount) {
  json::object document{{"Type", mount.type}};
  if (!mount.name.empty()) document["Name"] = mount.name;
  document["Source"] = mount.source;
  document["Destination"] = mount.destination;
  if (!mount.driver.empty()) document["Driver"] = mount.driver;
  document["Mode"] = mount.mode;
  document["RW"] = !mount.read_only;
  document["Propagation"] =
      mount.type == "bind" && mount.propagation.empty() ? "rprivate" : mount.propagation;
  return document;
}

// Those of --tmpfs are not among them, as with Docker.
json::array mount_documents(const ContainerRecord& record) {
  json::array list;
  for (const MountPoint& mount : record.mounts) list.push_back(mount_document(mount));
  for (const engine::MountSetting& setting : record.host_config.mounts)
    if (setting.type == "tmpfs")
      list.push_back(
          mount_document({.type = "tmpfs", .destination = setting.target, .read_only = setting.read_only}));
  return list;
}

json::value null_or_list(const std::vector<std::string>& list) {
  return list.empty() ? json::value(nullptr) : json::value(berth::to_json(list));
}

json::value ipam_config(const engine::EndpointSettings& settings) {
  if (settings.ipv4_address.empty() && settings.ipv6_address.empty()) return nullptr;
  json::object config;
  if (!settings.ipv4_address.empty()) config["IPv4Address"] = settings.ipv4_address;
  if (!settings.ipv6_address.empty()) config["IPv6Address"] = settings.ipv6_address;
  return config;
}

json::object endpoint_document(const Container& container, const engine::Attachment& attachment) {
  const std::optional<network::Endpoint>& endpoint = attachment.endpoint;
  const bool attached = endpoint && endpoint->address && container.running();
  const engine::EndpointSettings& settings = attachment.settings;
  const network::Endpoint6* ipv6 = attached && endpoint->ipv6 ? &*endpoint->ipv6 : nullptr;
  return {
      {"IPAMConfig", ipam_config(settings)},
      {"Links", null_or_list(settings.links)},
      {"Aliases", null_or_list(settings.aliases)},
      {"MacAddress", attached ? netlink::format_mac(endpoint->mac) : ""},
      {"DriverOpts", settings.driver_options.empty() ? json::value(nullptr)
                                                     : json::value(berth::to_json(settings.driver_options))},
      {"GwPriority", settings.gateway_priority},
      {"NetworkID", attachment.network},
      {"EndpointID", attached ? endpoint_id(container.record.id, attachment.network) : ""},
      {"Gateway", attached ? endpoint->gateway.text() : ""},
      {"IPAddress", attached ? endpoint->address.text() : ""},
      {"IPPrefixLen", attached ? endpoint->prefix_length : 0},
      {"IPv6Gateway", ipv6 ? ipv6->gateway.text() : ""},
      {"GlobalIPv6Address", ipv6 ? ipv6->address.text() : ""},
      {"GlobalIPv6PrefixLen", ipv6 ? ipv6->prefix_length : 0},
      {"DNSNames", berth::to_json(engine::names_on(container.record, attachment))}};
}

json::object networks_document(const Container& container) {
  json::object networks;
  for (const engine::Attachment& attachment : container.record.attachments)
    networks[attachment.network_name] = endpoint_document(container, attachment);
  return networks;
}

// What the default bridge gave stands beside the networks as well, as it did before there were others.
json::object legacy_endpoint(const Container& container) {
  for (const engine::Attachment& attachment : container.record.attachments)
    if (attachment.network_name == "bridge") return endpoint_document(container, attachment);
  return endpoint_document(container, {});
}

std::string host_address_of(const network::PublishedPort& port) {
  return port.host_address.text();  // of a whole family: 0.0.0.0, ::
}

json::object ports_document(const Container& container) {
  json::object ports;
  if (!container.running()) return ports;
  for (const std::string& exposed : container.record.config.exposed_ports) ports[exposed] = nullptr;
  for (const network::PublishedPort& port : container.record.ports) {
    json::value& list = ports[fmt::format("{}/{}", port.container_port, port.protocol)];
    if (!list.is_array()) list = json::array();
    list.as_array().push_back(
        json::object{{"HostIp", host_address_of(port)}, {"HostPort", std::to_string(port.host_port)}});
  }
  return ports;
}

// For the table of containers.
json::array port_list(const Container& container) {
  json::array list;
  if (!container.running()) return list;
  std::set<std::string> published;
  for (const network::PublishedPort& port : container.record.ports) {
    published.insert(fmt::format("{}/{}", port.container_port, port.protocol));
    list.push_back(json::object{{"IP", host_address_of(port)},
                                {"PrivatePort", port.container_port},
                                {"PublicPort", port.host_port},
                                {"Type", port.protocol}});
  }
  for (const std::string& text : container.record.config.exposed_ports) {
    Result<engine::PortSpec> port = engine::parse_port(text);
    if (port && !published.contains(text))
      list.push_back(json::object{{"PrivatePort", port->port}, {"Type", port->protocol}});
  }
  return list;
}

json::object network_settings(const Container& container) {
  json::object endpoint = legacy_endpoint(container);
  json::object settings{
      {"Bridge", ""},
      {"SandboxID", container.running() ? container.record.id : ""},
      {"SandboxKey", container.running() ? fmt::format("/proc/{}/ns/net", container.state.pid) : ""},
      {"Ports", ports_document(container)},
      {"HairpinMode", false},
      {"LinkLocalIPv6Address", ""},
      {"LinkLocalIPv6PrefixLen", 0},
      {"SecondaryIPAddresses", nullptr},
      {"SecondaryIPv6Addresses", nullptr}};
  for (const char* member : {"EndpointID", "Gateway", "GlobalIPv6Address", "GlobalIPv6PrefixLen", "IPAddress",
                             "IPPrefixLen", "IPv6Gateway", "MacAddress"})
    settings[member] = endpoint[member];
  settings["Networks"] = networks_document(container);
  return settings;
}

std::string first_argument(const ContainerRecord& record) {
  return record.arguments.empty() ? std::string() : record.arguments.front();
}

std::vector<std::string> other_arguments(const ContainerRecord& record) {
  if (record.arguments.empty()) return {};
  return {record.arguments.begin() + 1, record.arguments.end()};
}

}  // namespace

std::string status_text(const Container& container, Timestamp time) {
  const keeper::State& state = container.state;
  auto since = [&](Timestamp moment) {
    return human_duration(
        std::chrono::nanoseconds(std::max<std::int64_t>(0, time.nanoseconds - moment.nanoseconds)));
  };
  if (container.removing) return "Removal In Progress";
  if (state.phase == keeper::Phase::restarting)
    return fmt::format("Restarting ({}) {} ago", state.exit_code, since(state.finished_at));
  if (container.running()) {
    std::string text = "Up " + since(state.started_at);
    if (container.paused) return text + " (Paused)";
    switch (container.health.status) {
      case HealthStatus::none:
        return text;
      case HealthStatus::starting:
        return text + " (health: starting)";
      case HealthStatus::healthy:
        return text + " (healthy)";
      case HealthStatus::unhealthy:
        return text + " (unhealthy)";
    }
  }
  if (!container.ever_started()) return "Created";
  return fmt::format("Exited ({}) {} ago", state.exit_code, since(state.finished_at));
}

Sizes measure(Engine& engine, const ContainerPointer& container) {
  Sizes sizes;
  if (Result<Fd> upper = engine.roots().open_upper(container->record))
    if (Result<std::uint64_t> size = layers::tree_size(upper->get()))
      sizes.writable = static_cast<std::int64_t>(*size);
  sizes.root = sizes.writable;
  for (const Digest& layer : container->record.diff_ids)
    if (Result<layers::Layer> found = engine.layers().get(layer))
      sizes.root += static_cast<std::int64_t>(found->size);
  return sizes;
}

json::object container_document(Engine& engine, const ContainerPointer& container,
                                const std::optional<Sizes>& sizes) {
  json::array exec_ids;
  for (const std::string& id : engine.execs().of(container->record.id)) exec_ids.emplace_back(id);
  ContainerRecord copy;
  {
    std::lock_guard lock(container->mutex);
    if (!container->record.host_config.links.empty()) copy = container->record;
  }
  const std::vector<std::string> links =
      engine::shown_links(engine.containers(), copy);  // takes others' locks
  std::lock_guard lock(container->mutex);
  const ContainerRecord& record = container->record;
  const std::string directory = engine.settings().container_directory(record.id);
  json::object document{
      {"Id", record.id},
      {"Created", format_time(record.created)},
      {"Path", first_argument(record)},
      {"Args", berth::to_json(other_arguments(record))},
      {"State", state_document(*container)},
      {"Image", record.image_id ? record.image_id->text() : ""},
      {"ResolvConfPath", directory + "/resolv.conf"},
      {"HostnamePath", directory + "/hostname"},
      {"HostsPath", directory + "/hosts"},
      {"LogPath", record.host_config.log_driver == "none" ? "" : engine.settings().log_path(record.id)},
      {"Name", "/" + record.name},
      {"RestartCount", container->state.restart_count},
      {"Driver", engine::driver_name(engine.storage().driver)},
      {"Platform", record.platform},
      {"MountLabel", ""},
      {"ProcessLabel", ""},
      {"AppArmorProfile", ""},
      {"ExecIDs", exec_ids.empty() ? json::value(nullptr) : json::value(std::move(exec_ids))},
      {"HostConfig", engine::to_json(record.host_config)},
      {"GraphDriver", json::object{{"Name", engine::driver_name(engine.storage().driver)},
                                   {"Data", json::object{{"UpperDir", directory + "/upper"},
                                                         {"WorkDir", directory + "/work"}}}}},
      {"Mounts", mount_documents(record)},
      {"Config", oci::to_json(record.config, oci::ConfigForm::api)},
      {"NetworkSettings", network_settings(*container)},
  };
  if (!record.host_config.links.empty())
    document["HostConfig"].as_object()["Links"] =
        links.empty() ? json::value(nullptr) : berth::to_json(links);
  if (!record.host_config.masked_paths) document["HostConfig"].as_object()["MaskedPaths"] = nullptr;
  if (sizes) {
    document["SizeRw"] = sizes->writable;
    document["SizeRootFs"] = sizes->root;
  }
  return document;
}

json::object container_summary(Engine& engine, const ContainerPointer& container,
                               const std::optional<Sizes>& sizes) {
  std::lock_guard lock(container->mutex);
  const ContainerRecord& record = container->record;
  std::string image = record.config.image;
  // An image that has lost its name since is shown by its id.
  if (record.image_id)
    if (Result<Digest> now_called = engine.images().resolve_id(image);
        !now_called || *now_called != *record.image_id)
      image = record.image_id->text();
  json::object document{
      {"Id", record.id},
      {"Names", json::array{"/" + record.name}},
      {"Image", image},
      {"ImageID", record.image_id ? record.image_id->text() : ""},
      {"Command", join(record.arguments, " ")},
      {"Created", record.created.nanoseconds / 1'000'000'000},
      {"Ports", port_list(*container)},
      {"Labels", berth::to_json(record.config.labels)},
      {"State", status_word(*container)},
      {"Status", status_text(*container, now())},
      {"HostConfig", json::object{{"NetworkMode", record.host_config.network_mode}}},
      {"NetworkSettings", json::object{{"Networks", networks_document(*container)}}},
      {"Mounts", mount_documents(record)},
  };
  if (sizes) {
    document["SizeRw"] = sizes->writable;
    document["SizeRootFs"] = sizes->root;
  }
  return document;
}

}  // namespace berth::api
