// SPDX-License-Identifier: Apache-2.0
#include "api/network_documents.h"

#include "base/digest.h"

namespace berth::api {
namespace {

json::array ranges_of(const engine::NetworkRecord& record) {
  json::array ranges;
  if (record.subnet.length == 0) return ranges;
  json::object range{{"Subnet", record.subnet.text()}};
  if (record.range) range["IPRange"] = record.range->text();
  range["Gateway"] = record.gateway.text();
  if (!record.auxiliary.empty()) range["AuxiliaryAddresses"] = berth::to_json(record.auxiliary);
  ranges.push_back(std::move(range));
  if (!record.ipv6) return ranges;
  json::object range6{{"Subnet", record.ipv6->subnet.text()}};
  if (record.ipv6->range) range6["IPRange"] = record.ipv6->range->text();
  range6["Gateway"] = record.ipv6->gateway.text();
  if (!record.auxiliary6.empty()) range6["AuxiliaryAddresses"] = berth::to_json(record.auxiliary6);
  ranges.push_back(std::move(range6));
  return ranges;
}

}  // namespace

std::string endpoint_id(const std::string& container, const std::string& network) {
  return sha256_of(container + "/" + network).hex();
}

json::object network_summary(const engine::NetworkState& network) {
  const engine::NetworkRecord& record = network.record;
  return {{"Name", record.name},
          {"Id", record.id},
          {"Created", format_time(record.created)},
          {"Scope", "local"},
          {"Driver", record.driver},
          {"EnableIPv4", true},
          {"EnableIPv6", record.ipv6.has_value()},
          {"IPAM", json::object{{"Driver", "default"}, {"Options", nullptr}, {"Config", ranges_of(record)}}},
          {"Internal", record.internal},
          {"Attachable", record.attachable},
          {"Ingress", false},
          {"ConfigFrom", json::object{{"Network", ""}}},
          {"ConfigOnly", false},
          {"Containers", json::object()},
          {"Options", berth::to_json(record.options)},
          {"Labels", berth::to_json(record.labels)}};
}

json::object network_document(const engine::NetworkState& network) {
  json::object document = network_summary(network);
  json::object& containers = document["Containers"].as_object();
  for (const engine::NetworkUser& user : network.users)
    containers[user.container] = json::object{
        {"Name", user.name},
        {"EndpointID", endpoint_id(user.container, network.record.id)},
        {"MacAddress", netlink::format_mac(user.endpoint.mac)},
        {"IPv4Address", fmt::format("{}/{}", user.endpoint.address.text(), user.endpoint.prefix_length)},
        {"IPv6Address", user.endpoint.ipv6 ? fmt::format("{}/{}", user.endpoint.ipv6->address.text(),
                                                         user.endpoint.ipv6->prefix_length)
                                           : ""}};
  return document;
}

void read_endpoint_settings(ObjectReader& in, engine::EndpointSettings& settings) {
  in.read("Aliases", settings.aliases);
  in.read("Links", settings.links);
  in.read("MacAddress", settings.mac_address);
  in.read("DriverOpts", settings.driver_options);
  in.read("GwPriority", settings.gateway_priority);
  in.read_object("IPAMConfig", [&](ObjectReader& ipam) {
    ipam.read("IPv4Address", settings.ipv4_address);
    ipam.read("IPv6Address", settings.ipv6_address);
    ipam.read("LinkLocalIPs", settings.link_local_addresses);
  });
}

}  // namespace berth::api
