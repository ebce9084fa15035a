// SPDX-License-Identifier: Apache-2.0
// The commands on networks, but for inspect: create, connect, disconnect, ls, prune, rm.
#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/network_flags.h"
#include "cli/commands/rows.h"
#include "cli/create/network_request.h"
#include "cli/output/list_format.h"
#include "cli/output/natural_order.h"

namespace berth::cli {
namespace {

http::Query filter_query(const Flags& flags) {
  http::Query query;
  if (std::string filters = encode_filters(flags.list("filter")); !filters.empty())
    query.add("filters", filters);
  return query;
}

Result<std::string> path_of(const std::string& network) {
  if (trim(network).empty()) return fail(ErrorKind::invalid, "invalid network name or ID: value is empty");
  return "/networks/" + segment(network);
}

Result<int> create(Invocation& invocation) {
  json::object body = TRY(make_network_request(invocation.flags, invocation.words[0]));
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->post_json("/networks/create", {}, body));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  if (std::string warning = text_of(answer, "Warning"); !warning.empty())
    print_error("WARNING: " + warning + "\n");
  print_out(text_of(answer, "Id") + "\n");
  return 0;
}

// An answer without a body that anybody reads.
Result<int> send(Invocation& invocation, std::string_view action, const json::object& body) {
  std::string path = TRY(path_of(invocation.words[0]));
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->post_json(fmt::format("{}/{}", path, action), {}, body));
  TRY(engine->finish(std::move(response)));
  return 0;
}

Result<int> connect(Invocation& invocation) {
  json::object body = TRY(make_connect_request(invocation.flags, invocation.words[1]));
  return send(invocation, "connect", body);
}

Result<int> disconnect(Invocation& invocation) {
  json::object body{{"Container", invocation.words[1]}, {"Force", invocation.flags.on("force")}};
  return send(invocation, "disconnect", body);
}

Result<int> remove(Invocation& invocation) {
  bool force = invocation.flags.on("force");
  auto one = [&](Engine& engine, const std::string& name) -> Result<void> {
    std::string path = TRY(path_of(name));
    Result<void> removed = engine.remove(path);
    if (removed) print_out(name + "\n");
    bool gone = !removed && force && removed.error().kind == ErrorKind::not_found;
    return gone ? Result<void>{} : removed;
  };
  return for_each_word(invocation, one, false);
}

Result<int> prune(Invocation& invocation) {
  constexpr std::string_view question =
      "WARNING! This will remove all custom networks not used by at least one container.\n"
      "Are you sure you want to continue?";
  if (!invocation.flags.on("force") && !confirm(question)) return 0;
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->call("POST", "/networks/prune", filter_query(invocation.flags)));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  const json::array* deleted = member_of(answer, "NetworksDeleted").if_array();
  if (!deleted || deleted->empty()) return 0;
  std::string out = "Deleted Networks:\n";
  for (const json::value& name : *deleted)
    if (name.is_string()) out += std::string(name.get_string()) + "\n";
  print_out(out + "\n");
  return 0;
}

constexpr Column kColumns[] = {{"CreatedAt", "CREATED AT"},
                               {"Driver", "DRIVER"},
                               {"ID", "NETWORK ID"},
                               {"IPv4", "IPV4"},
                               {"IPv6", "IPV6"},
                               {"Internal", "INTERNAL"},
                               {"Labels", "LABELS"},
                               {"Name", "NAME"},
                               {"Scope", "SCOPE"}};
constexpr ListLayout kLayout{"*network.networkContext", "{{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}",
                             kColumns};

// The networks as the engine lists them, in the order of the table.
std::vector<json::value> sorted_networks(const json::value& answer) {
  std::vector<json::value> networks;
  if (const json::array* all = answer.if_array()) networks.assign(all->begin(), all->end());
  std::ranges::stable_sort(networks, natural_less,
                           [](const json::value& network) { return text_of(network, "Name"); });
  return networks;
}

Result<int> list(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  std::string text = flags.on("quiet") && !flags.given("format") ? "{{.ID}}" : flags.text("format");
  ListFormat format = TRY(ListFormat::parse(text, kLayout));
  Engine* engine = TRY(invocation.context.engine());
  json::value answer = TRY(engine->get_json("/networks", filter_query(flags)));
  std::vector<json::value> networks = sorted_networks(answer);
  std::vector<json::object> rows;
  for (const json::value& network : networks) rows.push_back(network_row(network, !flags.on("no-trunc")));
  std::string label;
  auto method = [&](const json::object& row, std::string_view name,
                    const std::vector<std::string>& arguments) -> const std::string* {
    if (name != "Label" || arguments.size() != 1) return nullptr;
    std::size_t at = static_cast<std::size_t>(&row - rows.data());
    label = text_of(member_of(networks[at], "Labels"), arguments[0]);
    return &label;
  };
  std::string out = TRY(format.render(rows, method));
  print_out(out);
  return 0;
}

constexpr FlagSpec kDisconnectFlags[] = {{"force", 'f', "", "Even if the container is gone"}};
constexpr FlagSpec kRemoveFlags[] = {{"force", 'f', "", "A network that is not there is no failure"}};
constexpr FlagSpec kPruneFlags[] = {
    {"filter", 0, "filter", "Which ones (until=, label=)"},
    {"force", 'f', "", "Do not ask"},
};
constexpr FlagSpec kListFlags[] = {
    {"filter", 'f', "filter", "Which ones (driver=, label=, name=, ...)"},
    {"format", 0, "string", "How to print: table, table TEMPLATE, json, or a Go template"},
    {"no-trunc", 0, "", "Do not shorten"},
    {"quiet", 'q', "", "Only show ids"},
};
constexpr Command kCommands[] = {
    {"network create", "[OPTIONS] NETWORK", "Create a network", kNetworkCreateFlags, 1, 1, create},
    {"network connect", "[OPTIONS] NETWORK CONTAINER", "Connect a container to a network",
     kNetworkConnectFlags, 2, 2, connect},
    {"network disconnect", "[OPTIONS] NETWORK CONTAINER", "Disconnect a container from a network",
     kDisconnectFlags, 2, 2, disconnect},
    {"network ls|network list", "[OPTIONS]", "List networks", kListFlags, 0, 0, list},
    {"network prune", "[OPTIONS]", "Remove networks that no container uses", kPruneFlags, 0, 0, prune},
    {"network rm|network remove", "[OPTIONS] NETWORK [NETWORK...]", "Remove one or more networks",
     kRemoveFlags, 1, kAnyNumber, remove},
};

}  // namespace

std::span<const Command> network_commands() { return kCommands; }

}  // namespace berth::cli
