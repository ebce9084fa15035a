// SPDX-License-Identifier: Apache-2.0
// /networks: list, create, inspect, connect, disconnect, remove, prune.
#include <algorithm>
#include <charconv>

#include "api/network_documents.h"
#include "api/respond.h"
#include "api/routes.h"
#include "base/text.h"

namespace berth::api {
namespace {

using engine::NetworkState;

bool matches(const Filters& filters, const NetworkState& network) {
  const engine::NetworkRecord& record = network.record;
  auto any = [&](const char* name, auto holds) {
    auto filter = filters.find(name);
    return filter == filters.end() || filter->second.empty() ||
           std::any_of(filter->second.begin(), filter->second.end(), holds);
  };
  auto labels = filters.find("label");
  return any("driver", [&](const std::string& value) { return record.driver == value; }) &&
         any("id", [&](const std::string& value) { return record.id.starts_with(value); }) &&
         any("scope", [](const std::string& value) { return value == "local"; }) &&
         any("type",
             [&](const std::string& value) { return (value == "builtin") == network.predefined(); }) &&
         any("dangling",
             [&](const std::string& value) {
               return is_true(value) == (network.users.empty() && !network.predefined());
             }) &&
         (labels == filters.end() || labels_match(record.labels, labels->second));
}

Result<void> list(Call& call) {
  Filters filters = TRY(read_filters(call));
  TRY(check_filter_names(filters, {"driver", "id", "name", "scope", "type", "dangling", "label"}));
  const NameFilter names = TRY(NameFilter::take_out_of(filters));
  json::array networks;
  for (const NetworkState& network : call.engine.networks().all())
    if (matches(filters, network) && names.matches(network.record.name))
      networks.push_back(network_summary(network));
  return send_json(call, 200, networks);
}

Result<void> create(Call& call) {
  json::value body = TRY(read_json(call));
  engine::NewNetwork wanted;
  bool config_only = false;
  std::string config_from;
  ObjectReader in(body, "");
  in.read("Name", wanted.name);
  in.read("Driver", wanted.driver);
  in.read("Internal", wanted.internal);
  in.read("Attachable", wanted.attachable);
  in.read("EnableIPv4", wanted.ipv4);
  in.read("EnableIPv6", wanted.ipv6);
  in.read("Ingress", wanted.ingress);
  in.read("Scope", wanted.scope);
  in.read("ConfigOnly", config_only);
  in.read_object("ConfigFrom", [&](ObjectReader& from) { from.read("Network", config_from); });
  in.read("Options", wanted.options);
  in.read("Labels", wanted.labels);
  in.read_object("IPAM", [&](ObjectReader& ipam) {
    ipam.read("Driver", wanted.ipam_driver);
    ipam.read_objects("Config", [&](ObjectReader& config) {
      engine::IpamSetting& setting = wanted.ipam.emplace_back();
      config.read("Subnet", setting.subnet);
      config.read("IPRange", setting.range);
      config.read("Gateway", setting.gateway);
      config.read("AuxiliaryAddresses", setting.auxiliary);
    });
  });
  TRY(in.finish());
  if (config_only || !config_from.empty())
    return fail(ErrorKind::unsupported,
                "configuration-only networks are not supported: create the network itself");
  NetworkState made = TRY(call.engine.networks().create(wanted));
  return send_json(call, 201, json::object{{"Id", made.record.id}, {"Warning", ""}});
}

Result<void> inspect(Call& call) {
  NetworkState network = TRY(call.engine.networks().find(call.path.at("id")));
  return send_json(call, 200, network_document(network));
}

Result<void> remove(Call& call) {
  TRY(call.engine.networks().remove(call.path.at("id")));
  return send_empty(call, 204);
}

Result<void> connect(Call& call) {
  json::value body = TRY(read_json(call));
  std::string container;
  engine::EndpointSettings settings;
  ObjectReader in(body, "");
  in.read("Container", container);
  in.read_object("EndpointConfig",
                 [&](ObjectReader& endpoint) { read_endpoint_settings(endpoint, settings); });
  TRY(in.finish());
  engine::ContainerPointer found = TRY(call.engine.containers().find(container));
  TRY(call.engine.lifecycle().connect(found, call.path.at("id"), settings));
  return send_empty(call, 200);
}

Result<void> disconnect(Call& call) {
  json::value body = TRY(read_json(call));
  std::string container;
  bool force = false;
  ObjectReader in(body, "");
  in.read("Container", container);
  in.read("Force", force);
  TRY(in.finish());
  engine::ContainerPointer found = TRY(call.engine.containers().find(container));
  TRY(call.engine.lifecycle().disconnect(found, call.path.at("id"), force));
  return send_empty(call, 200);
}

// "until": a time, in seconds or as RFC 3339, or how long ago.
Result<void> prune(Call& call) {
  Filters filters = TRY(read_filters(call));
  TRY(check_filter_names(filters, {"label", "label!", "until"}));
  std::optional<Timestamp> until;
  for (const std::string& text : filters["until"]) until = TRY(parse_time_or_ago(text, now()));
  json::array names;
  for (const std::string& name : call.engine.networks().prune([&](const NetworkState& network) {
         return labels_match(network.record.labels, filters["label"]) &&
                (filters["label!"].empty() || !labels_match(network.record.labels, filters["label!"])) &&
                (!until || network.record.created.nanoseconds < until->nanoseconds);
       }))
    names.emplace_back(name);
  return send_json(call, 200,
                   json::object{{"NetworksDeleted",
                                 names.empty() ? json::value(nullptr) : json::value(std::move(names))}});
}

}  // namespace

void add_network_routes(Router& router) {
  router.add("GET", "/networks", list);
  router.add("POST", "/networks/create", create);
  router.add("POST", "/networks/prune", prune);
  router.add("GET", "/networks/{id}", inspect);
  router.add("DELETE", "/networks/{id}", remove);
  router.add("POST", "/networks/{id}/connect", connect);
  router.add("POST", "/networks/{id}/disconnect", disconnect);
}

}  // namespace berth::api
