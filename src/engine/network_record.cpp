// SPDX-License-Identifier: Apache-2.0
#include "engine/network_record.h"

#include "base/json.h"

namespace berth::engine {
namespace {

json::object to_json(const network::Ipv6Subnet& ipv6) {
  return {{"subnet", ipv6.subnet.text()},
          {"gateway", ipv6.gateway.text()},
          {"range", ipv6.range ? ipv6.range->text() : ""}};
}

void read_ipv6(ObjectReader& in, NetworkRecord& record) {
  std::string subnet, gateway, range;
  in.read("subnet", subnet);
  in.read("gateway", gateway);
  in.read("range", range);
  std::optional<netlink::Ipv6Prefix> prefix = netlink::Ipv6Prefix::parse(subnet);
  std::optional<netlink::Ipv6Address> address = netlink::Ipv6Address::parse(gateway);
  if (prefix && address) record.ipv6 = {*prefix, *address, netlink::Ipv6Prefix::parse(range)};
}

std::string encode(const NetworkRecord& record) {
  json::object document{{"name", record.name},
                        {"driver", record.driver},
                        {"created", record.created.nanoseconds},
                        {"internal", record.internal},
                        {"attachable", record.attachable},
                        {"subnet", record.subnet.text()},
                        {"gateway", record.gateway.text()},
                        {"range", record.range ? record.range->text() : ""},
                        {"auxiliary", berth::to_json(record.auxiliary)},
                        {"auxiliary6", berth::to_json(record.auxiliary6)},
                        {"subnetChosenByUser", record.subnet_chosen_by_user},
                        {"options", berth::to_json(record.options)},
                        {"labels", berth::to_json(record.labels)}};
  if (record.ipv6) document["ipv6"] = to_json(*record.ipv6);
  document["subnet6ChosenByUser"] = record.subnet6_chosen_by_user;
  return json::serialize(document);
}

Result<NetworkRecord> decode(std::string id, std::string_view text) {
  json::value document = TRY(parse_json(text, "the network's record"));
  NetworkRecord record;
  record.id = std::move(id);
  std::string subnet, gateway, range;
  ObjectReader in(document, "");
  in.read("name", record.name);
  in.read("driver", record.driver);
  in.read("created", record.created.nanoseconds);
  in.read("internal", record.internal);
  in.read("attachable", record.attachable);
  in.read("subnet", subnet);
  in.read("gateway", gateway);
  in.read("range", range);
  in.read("auxiliary", record.auxiliary);
  in.read("auxiliary6", record.auxiliary6);
  in.read("subnetChosenByUser", record.subnet_chosen_by_user);
  in.read("subnet6ChosenByUser", record.subnet6_chosen_by_user);
  in.read_object("ipv6", [&](ObjectReader& ipv6) { read_ipv6(ipv6, record); });
  in.read("options", record.options);
  in.read("labels", record.labels);
  TRY(in.finish());
  record.subnet = netlink::Ipv4Prefix::parse(subnet).value_or(netlink::Ipv4Prefix{});
  record.gateway = netlink::Ipv4Address::parse(gateway).value_or(netlink::Ipv4Address{});
  if (!range.empty()) record.range = netlink::Ipv4Prefix::parse(range);
  return record;
}

}  // namespace

std::vector<db::Migration> network_migrations() {
  return {{.room = "networks",
           .version = 1,
           .sql = "CREATE TABLE networks(id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;",
           .additive = true}};
}

Result<void> insert_network(db::Database& database, const NetworkRecord& record) {
  db::Transaction transaction = TRY(database.begin(Durability::durable));
  TRY(transaction.run("INSERT INTO networks(id, record) VALUES(?, ?)", record.id, encode(record)));
  return transaction.commit();
}

Result<void> delete_network(db::Database& database, const std::string& id) {
  db::Transaction transaction = TRY(database.begin(Durability::durable));
  TRY(transaction.run("DELETE FROM networks WHERE id = ?", id));
  return transaction.commit();
}

Result<std::vector<NetworkRecord>> load_networks(db::Database& database, std::vector<std::string>& damaged) {
  std::vector<NetworkRecord> found;
  db::Transaction transaction = TRY(database.read());
  db::Statement select = TRY(transaction.prepare("SELECT id, record FROM networks ORDER BY id"));
  while (TRY(select.step())) {
    Result<NetworkRecord> record = decode(select.text(0), select.text(1));
    if (record)
      found.push_back(std::move(*record));
    else
      damaged.push_back(fmt::format("network {}: {}", select.text(0), record.error().message));
  }
  return found;
}

}  // namespace berth::engine
