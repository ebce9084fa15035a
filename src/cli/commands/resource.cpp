// SPDX-License-Identifier: Apache-2.0
// The simple commands on volumes: ls, create, rm and prune.
#include <algorithm>
#include <map>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/rows.h"
#include "cli/flags/checks.h"
#include "cli/output/list_format.h"
#include "cli/output/natural_order.h"

namespace berth::cli {
namespace {

json::object settings(const std::vector<std::string>& list) {
  json::object object;
  for (const std::string& item : list) {
    auto [name, value] = split_once(item, '=');
    object[name] = value;
  }
  return object;
}

http::Query filter_query(const Flags& flags) {
  http::Query query;
  if (std::string filters = encode_filters(flags.list("filter")); !filters.empty())
    query.add("filters", filters);
  return query;
}

constexpr Column kVolumeColumns[] = {{"Availability", "AVAILABILITY"},
                                     {"Driver", "DRIVER"},
                                     {"Group", "GROUP"},
                                     {"Labels", "LABELS"},
                                     {"Links", "LINKS"},
                                     {"Mountpoint", "MOUNTPOINT"},
                                     {"Name", "VOLUME NAME"},
                                     {"Scope", "SCOPE"},
                                     {"Size", "SIZE"},
                                     {"Status", "STATUS"}};
constexpr ListLayout kVolumes{"*formatter.volumeContext", "{{.Driver}}\t{{.Name}}", kVolumeColumns};

Result<int> list_volumes(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  std::string text = flags.on("quiet") ? "{{.Name}}" : flags.text("format");
  ListFormat format = TRY(ListFormat::parse(text, kVolumes));
  Engine* engine = TRY(invocation.context.engine());
  json::value answer = TRY(engine->get_json("/volumes", filter_query(flags)));
  std::vector<json::object> rows;
  std::map<std::string, const json::value*> by_name;
  if (const json::array* volumes = member_of(answer, "Volumes").if_array())
    for (const json::value& volume : *volumes) {
      by_name[text_of(volume, "Name")] = &volume;
      rows.push_back({{"Availability", "N/A"},
                      {"Driver", text_of(volume, "Driver")},
                      {"Group", "N/A"},
                      {"Labels", labels_of(volume)},
                      {"Links", "N/A"},
                      {"Mountpoint", text_of(volume, "Mountpoint")},
                      {"Name", text_of(volume, "Name")},
                      {"Scope", text_of(volume, "Scope")},
                      {"Size", "N/A"},
                      {"Status", "N/A"}});
    }
  std::ranges::sort(rows, natural_less,
                    [](const json::object& row) { return std::string_view(row.at("Name").get_string()); });
  std::string label;
  auto method = [&](const json::object& row, std::string_view name,
                    const std::vector<std::string>& arguments) -> const std::string* {
    if (name != "Label" || arguments.size() != 1) return nullptr;
    label = text_of(member_of(*by_name.at(std::string(row.at("Name").as_string())), "Labels"), arguments[0]);
    return &label;
  };
  std::string out = TRY(format.render(rows, method));
  print_out(out);
  return 0;
}

Result<int> create_volume(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  json::object body{{"Driver", flags.text("driver")},
                    {"DriverOpts", settings(flags.list("opt"))},
                    {"Labels", settings(flags.list("label"))}};
  if (!invocation.words.empty()) body["Name"] = invocation.words[0];
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->post_json("/volumes/create", {}, body));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  print_out(text_of(answer, "Name") + "\n");
  return 0;
}

Result<int> remove_volumes(Invocation& invocation) {
  http::Query query;
  if (invocation.flags.on("force")) query.add("force", "1");
  return for_each_word(invocation, [&](Engine& engine, const std::string& name) {
    return engine.remove("/volumes/" + segment(name), query);
  });
}

Result<int> prune_volumes(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  const bool all = flags.on("all");
  std::vector<std::string> filters = flags.list("filter");
  if (all && std::any_of(filters.begin(), filters.end(),
                         [](const std::string& filter) { return filter.starts_with("all="); }))
    return fail(ErrorKind::invalid, "conflicting options: cannot specify both --all and --filter all=1");
  std::string_view question =
      all ? "WARNING! This will remove all local volumes not used by at least one container.\nAre you sure "
            "you want to continue?"
          : "WARNING! This will remove anonymous local volumes not used by at least one container.\nAre you "
            "sure you want to continue?";
  if (!flags.on("force") && !confirm(question)) return 0;
  if (all) filters.push_back("all=1");
  http::Query query;
  if (!filters.empty()) query.add("filters", encode_filters(filters));
  Engine* engine = TRY(invocation.context.engine());
  http::Response response = TRY(engine->call("POST", "/volumes/prune", query));
  json::value answer = TRY(read_json(response, "the engine's answer"));
  std::string out;
  if (const json::array* deleted = member_of(answer, "VolumesDeleted").if_array();
      deleted && !deleted->empty()) {
    out += "Deleted Volumes:\n";
    for (const json::value& name : *deleted) out += std::string(name.as_string()) + "\n";
    out += "\n";
  }
  const auto reclaimed = static_cast<double>(number_of(answer, "SpaceReclaimed"));
  print_out(out + "Total reclaimed space: " + format_size_decimal(reclaimed) + "\n");
  return 0;
}

constexpr std::string_view kFormatHelp = "How to print: table, table TEMPLATE, json, or a Go template";
constexpr FlagSpec kListVolumes[] = {
    {"filter", 'f', "filter", "Which ones (dangling=, driver=, label=, name=)"},
    {"format", 0, "string", kFormatHelp},
    {"quiet", 'q', "", "Only show names"},
};
constexpr FlagSpec kCreateVolume[] = {
    {"driver", 'd', "string", "Driver of the volume", "local"},
    {"label", 0, "list", "Set a label", "", check_label},
    {"opt", 'o', "map", "Options of the driver"},
};
constexpr FlagSpec kForce[] = {{"force", 'f', "", "A volume that is not there is no failure"}};
constexpr FlagSpec kPruneVolumes[] = {
    {"all", 'a', "", "Those with a name too, not only anonymous ones"},
    {"filter", 0, "filter", "Which ones (label=, label!=)"},
    {"force", 'f', "", "Do not ask"},
};
constexpr Command kCommands[] = {
    {"volume ls|volume list", "[OPTIONS]", "List volumes", kListVolumes, 0, 0, list_volumes},
    {"volume create", "[OPTIONS] [VOLUME]", "Create a volume", kCreateVolume, 0, 1, create_volume},
    {"volume rm|volume remove", "[OPTIONS] VOLUME [VOLUME...]", "Remove volumes", kForce, 1, kAnyNumber,
     remove_volumes},
    {"volume prune", "[OPTIONS]", "Remove volumes that no container uses", kPruneVolumes, 0, 0,
     prune_volumes},
};

}  // namespace

std::span<const Command> resource_commands() { return kCommands; }

}  // namespace berth::cli
