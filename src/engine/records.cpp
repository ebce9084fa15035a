// SPDX-License-Identifier: Apache-2.0
#include "engine/records.h"

#include "base/json.h"
#include "engine/host_config_json.h"
#include "engine/modes.h"
#include "engine/validation.h"
#include "oci/config_json.h"

namespace berth::engine {
namespace {

json::object to_json(const MountPoint& mount) {
  return {{"type", mount.type},
          {"name", mount.name},
          {"source", mount.source},
          {"destination", mount.destination},
          {"driver", mount.driver},
          {"mode", mount.mode},
          {"propagation", mount.propagation},
          {"subpath", mount.subpath},
          {"readOnly", mount.read_only},
          {"readOnlyBelow", mount.read_only_below},
          {"recursive", mount.recursive},
          {"createSource", mount.create_source},
          {"copyUp", mount.copy_up},
          {"anonymous", mount.anonymous}};
}

void read_mount(ObjectReader& in, MountPoint& mount) {
  in.read("type", mount.type);
  in.read("name", mount.name);
  in.read("source", mount.source);
  in.read("destination", mount.destination);
  in.read("driver", mount.driver);
  in.read("mode", mount.mode);
  in.read("propagation", mount.propagation);
  in.read("subpath", mount.subpath);
  in.read("readOnly", mount.read_only);
  in.read("readOnlyBelow", mount.read_only_below);
  in.read("recursive", mount.recursive);
  in.read("createSource", mount.create_source);
  in.read("copyUp", mount.copy_up);
  in.read("anonymous", mount.anonymous);
  // Of a version that did not write it down.
  if (!in.find("anonymous")) mount.anonymous = mount.type == "volume" && is_made_up_volume_name(mount.name);
}

json::object to_json(const network::Endpoint& endpoint) {
  json::object out{{"address", endpoint.address.text()},   {"prefixLength", endpoint.prefix_length},
                   {"gateway", endpoint.gateway.text()},   {"mac", netlink::format_mac(endpoint.mac)},
                   {"interface", endpoint.interface_name}, {"hostInterface", endpoint.host_interface_name}};
  if (endpoint.ipv6)
    out["ipv6"] = json::object{{"address", endpoint.ipv6->address.text()},
                               {"prefixLength", endpoint.ipv6->prefix_length},
                               {"gateway", endpoint.ipv6->gateway.text()}};
  return out;
}

void read_endpoint6(ObjectReader& in, network::Endpoint6& endpoint) {
  std::string address, gateway;
  in.read("address", address);
  in.read("prefixLength", endpoint.prefix_length);
  in.read("gateway", gateway);
  endpoint.address = netlink::Ipv6Address::parse(address).value_or(netlink::Ipv6Address{});
  endpoint.gateway = netlink::Ipv6Address::parse(gateway).value_or(netlink::Ipv6Address{});
}

void read_endpoint(ObjectReader& in, network::Endpoint& endpoint) {
  std::string address, gateway, mac;
  in.read("address", address);
  in.read("prefixLength", endpoint.prefix_length);
  in.read("gateway", gateway);
  in.read("mac", mac);
  in.read("interface", endpoint.interface_name);
  in.read("hostInterface", endpoint.host_interface_name);
  endpoint.address = netlink::Ipv4Address::parse(address).value_or(netlink::Ipv4Address{});
  endpoint.gateway = netlink::Ipv4Address::parse(gateway).value_or(netlink::Ipv4Address{});
  in.read_object("ipv6", [&](ObjectReader& ipv6) { read_endpoint6(ipv6, endpoint.ipv6.emplace()); });
  endpoint.mac = netlink::parse_mac(mac).value_or(netlink::MacAddress{});
}

json::object to_json(const Attachment& attachment) {
  const EndpointSettings& settings = attachment.settings;
  json::object out{{"network", attachment.network},
                   {"name", attachment.network_name},
                   {"aliases", berth::to_json(settings.aliases)},
                   {"ipv4", settings.ipv4_address},
                   {"ipv6", settings.ipv6_address},
                   {"mac", settings.mac_address},
                   {"links", berth::to_json(settings.links)},
                   {"linkLocal", berth::to_json(settings.link_local_addresses)},
                   {"driverOptions", berth::to_json(settings.driver_options)},
                   {"gatewayPriority", settings.gateway_priority}};
  if (attachment.endpoint) out["endpoint"] = to_json(*attachment.endpoint);
  return out;
}

void read_attachment(ObjectReader& in, Attachment& attachment) {
  EndpointSettings& settings = attachment.settings;
  in.read("network", attachment.network);
  in.read("name", attachment.network_name);
  in.read("aliases", settings.aliases);
  in.read("ipv4", settings.ipv4_address);
  in.read("ipv6", settings.ipv6_address);
  in.read("mac", settings.mac_address);
  in.read("links", settings.links);
  in.read("linkLocal", settings.link_local_addresses);
  in.read("driverOptions", settings.driver_options);
  in.read("gatewayPriority", settings.gateway_priority);
  in.read_object("endpoint",
                 [&](ObjectReader& endpoint) { read_endpoint(endpoint, attachment.endpoint.emplace()); });
}

json::object to_json(const network::PublishedPort& port) {
  return {{"protocol", port.protocol},
          {"hostAddress", port.host_address || port.host_address.is_v6 ? port.host_address.text() : ""},
          {"hostPort", port.host_port},
          {"containerAddress", port.container_address.text()},
          {"containerPort", port.container_port}};
}

void read_port(ObjectReader& in, network::PublishedPort& port) {
  std::string host, container;
  std::uint32_t host_port = 0, container_port = 0;
  in.read("protocol", port.protocol);
  in.read("hostAddress", host);
  in.read("hostPort", host_port);
  in.read("containerAddress", container);
  in.read("containerPort", container_port);
  port.host_address = netlink::IpAddress::parse(host).value_or(netlink::IpAddress{});
  port.container_address = netlink::IpAddress::parse(container).value_or(netlink::IpAddress{});
  port.host_port = static_cast<std::uint16_t>(host_port);
  port.container_port = static_cast<std::uint16_t>(container_port);
}

std::string encode_record(const ContainerRecord& record) {
  json::array layers, mounts, attachments, ports;
  for (const Attachment& attachment : record.attachments) attachments.push_back(to_json(attachment));
  for (const network::PublishedPort& port : record.ports) ports.push_back(to_json(port));
  for (const Digest& layer : record.diff_ids) layers.emplace_back(layer.text());
  for (const MountPoint& mount : record.mounts) mounts.push_back(to_json(mount));
  // The record of a build's step is there to be taken away; its variables may be secrets, which do not touch
  // the disk.
  oci::ContainerConfig config = record.config;
  if (record.build_step) config.env.clear();
  json::object document{
      {"created", record.created.nanoseconds},
      {"config", oci::to_json(config, oci::ConfigForm::api)},
      {"hostConfig", to_json(record.host_config)},
      {"imageId", record.image_id ? record.image_id->text() : std::string()},
      {"layers", std::move(layers)},
      {"platform", record.platform},
      {"mounts", std::move(mounts)},
      {"arguments", berth::to_json(record.arguments)},
      {"attachments", std::move(attachments)},
      {"ports", std::move(ports)},
      {"namedByResolver", record.named_by_resolver},
      {"macAddress", record.mac_address},
      {"manuallyStopped", record.manually_stopped},
      {"startedOnce", record.started_once},
      {"wantsToRun", record.wants_to_run},
      {"buildStep", record.build_step},
  };
  return json::serialize(document);
}

Result<ContainerRecord> decode_record(std::string id, std::string name, std::string_view text) {
  json::value document = TRY(parse_json(text, "the container's record"));
  ContainerRecord record;
  record.id = std::move(id);
  record.name = std::move(name);
  std::string image;
  std::vector<std::string> layers;
  bool has_attachments = false;
  ObjectReader in(document, "");
  in.read("created", record.created.nanoseconds);
  in.read_object("config", [&](ObjectReader& config) { oci::read_container_config(config, record.config); });
  in.read_object("hostConfig", [&](ObjectReader& config) { read_host_config(config, record.host_config); });
  in.read("imageId", image);
  in.read("layers", layers);
  in.read("platform", record.platform);
  in.read_objects("mounts", [&](ObjectReader& mount) { read_mount(mount, record.mounts.emplace_back()); });
  in.read("arguments", record.arguments);
  in.read_objects("attachments", [&](ObjectReader& attachment) {
    read_attachment(attachment, record.attachments.emplace_back());
  });
  has_attachments = in.find("attachments") != nullptr;
  in.read_objects("ports", [&](ObjectReader& port) { read_port(port, record.ports.emplace_back()); });
  in.read("namedByResolver", record.named_by_resolver);
  in.read("macAddress", record.mac_address);
  in.read("manuallyStopped", record.manually_stopped);
  in.read("startedOnce", record.started_once);
  in.read("wantsToRun", record.wants_to_run);
  in.read("buildStep", record.build_step);
  TRY(in.finish());
  if (!image.empty()) record.image_id = TRY(Digest::parse(image));
  for (const std::string& layer : layers) record.diff_ids.push_back(TRY(Digest::parse(layer)));
  // Of a version that had the default bridge alone.
  if (!has_attachments && network_kind(record.host_config.network_mode) == NetworkKind::bridge)
    record.attachments.push_back({"bridge", "bridge", {}, std::nullopt});
  return record;
}

}  // namespace

std::vector<db::Migration> migrations() {
  return {{.room = "engine",
           .version = 1,
           .sql = "CREATE TABLE containers("
                  "  id TEXT PRIMARY KEY,"
                  "  name TEXT NOT NULL UNIQUE,"
                  "  record TEXT NOT NULL,"
                  "  state TEXT NOT NULL"
                  ") WITHOUT ROWID;"
                  "CREATE TABLE remembered(name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"}};
}

Durability durability_of(const ContainerRecord& record) {
  return record.host_config.auto_remove ? Durability::visible : Durability::durable;
}

Result<void> insert_container(db::Database& database, const ContainerRecord& record,
                              const keeper::State& state) {
  const std::string document = encode_record(record);
  db::Transaction transaction = TRY(database.begin(durability_of(record)));
  TRY(transaction.run("INSERT INTO containers(id, name, record, state) VALUES(?, ?, ?, ?)", record.id,
                      record.name, document, keeper::encode(state)));
  return transaction.commit();
}

Result<void> update_container(db::Database& database, const ContainerRecord& record,
                              const keeper::State& state, Durability durability) {
  const std::string document = encode_record(record);
  db::Transaction transaction = TRY(database.begin(durability));
  TRY(transaction.run("UPDATE containers SET name = ?, record = ?, state = ? WHERE id = ?", record.name,
                      document, keeper::encode(state), record.id));
  return transaction.commit();
}

Result<void> delete_container(db::Database& database, const ContainerRecord& record) {
  db::Transaction transaction = TRY(database.begin(durability_of(record)));
  TRY(transaction.run("DELETE FROM containers WHERE id = ?", record.id));
  return transaction.commit();
}

Result<std::vector<StoredContainer>> load_containers(db::Database& database,
                                                     std::vector<std::string>& damaged) {
  std::vector<StoredContainer> found;
  db::Transaction transaction = TRY(database.read());
  db::Statement select = TRY(transaction.prepare("SELECT id, name, record, state FROM containers"));
  while (TRY(select.step())) {
    Result<ContainerRecord> record = decode_record(select.text(0), select.text(1), select.text(2));
    if (!record) {
      damaged.push_back(fmt::format("container {}: {}", select.text(0), record.error().message));
      continue;
    }
    Result<keeper::State> state = keeper::decode_state(select.text(3));
    found.push_back({std::move(*record), state ? *state : keeper::State{}});
  }
  return found;
}

Result<std::string> remembered_value(db::Database& database, const std::string& name,
                                     const std::string& first_value) {
  db::Transaction transaction = TRY(database.begin(Durability::durable));
  TRY(transaction.run("INSERT OR IGNORE INTO remembered(name, value) VALUES(?, ?)", name, first_value));
  std::string value = first_value;
  {
    db::Statement select = TRY(transaction.prepare("SELECT value FROM remembered WHERE name = ?"));
    TRY(select.bind(name));
    if (TRY(select.step())) value = select.text(0);
  }
  TRY(transaction.commit());
  return value;
}

}  // namespace berth::engine
