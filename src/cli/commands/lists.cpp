// SPDX-License-Identifier: Apache-2.0
// Commands that list: ps, images, history.
#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/rows.h"
#include "cli/output/list_format.h"
#include "cli/output/units.h"

namespace berth::cli {
namespace {

constexpr Column kContainerColumns[] = {
    {"Command", "COMMAND"},   {"CreatedAt", "CREATED AT"}, {"ID", "CONTAINER ID"},
    {"Image", "IMAGE"},       {"Labels", "LABELS"},        {"LocalVolumes", "LOCAL VOLUMES"},
    {"Mounts", "MOUNTS"},     {"Names", "NAMES"},          {"Networks", "NETWORKS"},
    {"Platform", "PLATFORM"}, {"Ports", "PORTS"},          {"RunningFor", "CREATED"},
    {"Size", "SIZE"},         {"State", "STATE"},          {"Status", "STATUS"}};
constexpr std::string_view kContainerTable =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
constexpr std::string_view kContainerTableWithSize =
    "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";
constexpr ListLayout kContainers{"*formatter.ContainerContext", kContainerTable, kContainerColumns};
constexpr ListLayout kContainersWithSize{"*formatter.ContainerContext", kContainerTableWithSize,
                                         kContainerColumns};

// --format, unless --quiet asks for ids alone; the configuration's where neither is given.
std::string chosen_format(const Flags& flags, const std::string& configured) {
  if (!flags.on("quiet")) return flags.given("format") ? flags.text("format") : configured;
  if (flags.given("format"))
    print_error("WARNING: Ignoring custom format, because both --format and --quiet are set.\n");
  return "{{.ID}}";
}

Result<int> ps(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  bool size = flags.on("size");
  std::string text = chosen_format(flags, invocation.context.configuration().ps_format);
  ListFormat format = TRY(ListFormat::parse(text, size ? kContainersWithSize : kContainers));
  std::int64_t limit = flags.integer("last");
  if (flags.on("latest") && limit == -1) limit = 1;
  http::Query query;
  if (flags.on("all")) query.add("all", "1");
  if (limit > 0) query.add("limit", std::to_string(limit));
  if (size || (text != "json" && format.mentions("Size"))) query.add("size", "1");
  if (std::string filters = encode_filters(flags.list("filter")); !filters.empty())
    query.add("filters", filters);
  Engine* engine = TRY(invocation.context.engine());
  json::value containers = TRY(engine->get_json("/containers/json", query));
  std::vector<json::object> rows;
  std::vector<const json::value*> sources;
  if (const json::array* list = containers.if_array())
    for (const json::value& container : *list)
      rows.push_back(container_row(container, !flags.on("no-trunc")));
  if (rows.empty()) {
    json::object nothing = container_row(json::value(), true);
    TRY(format.line(nothing));  // a mistake in the format is one even if there is nothing to show
  }
  std::string label;
  std::string out =
      TRY(format.render(rows,
                        [&](const json::object& row, std::string_view name,
                            const std::vector<std::string>& arguments) -> const std::string* {
                          if (name != "Label" || arguments.size() != 1) return nullptr;
                          std::size_t at = static_cast<std::size_t>(&row - rows.data());
                          label = text_of(member_of(containers.get_array()[at], "Labels"), arguments[0]);
                          return &label;
                        }));
  print_out(out);
  return 0;
}

constexpr Column kImageColumns[] = {{"Containers", "CONTAINERS"},
                                    {"CreatedAt", "CREATED AT"},
                                    {"CreatedSince", "CREATED"},
                                    {"Digest", "DIGEST"},
                                    {"ID", "IMAGE ID"},
                                    {"Repository", "REPOSITORY"},
                                    {"SharedSize", "SHARED SIZE"},
                                    {"Size", "SIZE"},
                                    {"Tag", "TAG"},
                                    {"UniqueSize", "UNIQUE SIZE"},
                                    {"VirtualSize", "SIZE"}};
constexpr ListLayout kImages{"*formatter.imageContext",
                             "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}",
                             kImageColumns};
constexpr ListLayout kImagesWithDigests{
    "*formatter.imageContext",
    "{{.Repository}}\t{{.Tag}}\t{{.Digest}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}", kImageColumns};

Result<int> images(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  bool digests = flags.on("digests");
  std::string text = chosen_format(flags, invocation.context.configuration().images_format);
  ListFormat format = TRY(ListFormat::parse(text, digests ? kImagesWithDigests : kImages));
  std::vector<std::string> filters = flags.list("filter");
  if (!invocation.words.empty()) filters.push_back("reference=" + invocation.words[0]);
  http::Query query;
  if (flags.on("all")) query.add("all", "1");
  if (std::string encoded = encode_filters(filters); !encoded.empty()) query.add("filters", encoded);
  Engine* engine = TRY(invocation.context.engine());
  json::value list = TRY(engine->get_json("/images/json", query));
  std::vector<json::object> rows;
  if (const json::array* all = list.if_array())
    for (const json::value& image : *all)
      for (json::object& row :
           image_rows(image, !flags.on("no-trunc"), digests || text.find(".Digest") != text.npos)) {
        row["Containers"] = "N/A";  // only `system df` has counted them
        rows.push_back(std::move(row));
      }
  std::string out = TRY(format.render(rows));
  print_out(out);
  return 0;
}

constexpr Column kHistoryColumns[] = {{"Comment", "COMMENT"},
                                      {"CreatedAt", "CREATED AT"},
                                      {"CreatedBy", "CREATED BY"},
                                      {"CreatedSince", "CREATED"},
                                      {"ID", "IMAGE"},
                                      {"Size", "SIZE"}};
constexpr ListLayout kHistory{"*formatter.historyContext",
                              "{{.ID}}\t{{.CreatedSince}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
                              kHistoryColumns};
constexpr ListLayout kPlainHistory{"*formatter.historyContext",
                                   "{{.ID}}\t{{.CreatedAt}}\t{{.CreatedBy}}\t{{.Size}}\t{{.Comment}}",
                                   kHistoryColumns};

json::object history_row(const json::value& layer, bool shortened, bool human) {
  std::int64_t created = number_of(layer, "Created");
  Timestamp time{created * 1'000'000'000};
  std::string by = text_of(layer, "CreatedBy");
  std::ranges::replace(by, '\t', ' ');
  std::string id = text_of(layer, "Id");
  auto size = static_cast<double>(number_of(layer, "Size"));
  return {{"Comment", text_of(layer, "Comment")},
          {"CreatedAt", created > 0 ? local_rfc3339(time, false) : "N/A"},
          {"CreatedBy", shortened ? shorten(by, 45) : by},
          {"CreatedSince", created > 0 ? ago(time) : "N/A"},
          {"ID", shortened ? short_id(id) : id},
          {"Size", human ? format_size_decimal(size, 3) : std::to_string(number_of(layer, "Size"))}};
}

Result<int> history(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  bool human = flags.on("human");
  std::string text = flags.on("quiet") && !flags.given("format") ? "{{.ID}}" : flags.text("format");
  ListFormat format = TRY(ListFormat::parse(text, human ? kHistory : kPlainHistory));
  http::Query query;
  if (flags.given("platform")) query.add("platform", flags.text("platform"));
  Engine* engine = TRY(invocation.context.engine());
  json::value layers = TRY(engine->get_json("/images/" + segment(invocation.words[0]) + "/history", query));
  std::vector<json::object> rows;
  if (const json::array* all = layers.if_array())
    for (const json::value& layer : *all) rows.push_back(history_row(layer, !flags.on("no-trunc"), human));
  std::string out = TRY(format.render(rows));
  print_out(out);
  return 0;
}

constexpr std::string_view kFormatHelp = "How to print: table, table TEMPLATE, json, or a Go template";
constexpr FlagSpec kPsFlags[] = {
    {"all", 'a', "", "Show stopped containers too"},
    {"filter", 'f', "filter", "Which ones (name=, status=, label=, ...)"},
    {"format", 0, "string", kFormatHelp},
    {"last", 'n', "int", "Show the n last created ones, in any state", "-1"},
    {"latest", 'l', "", "Show the last created one, in any state"},
    {"no-trunc", 0, "", "Do not shorten"},
    {"quiet", 'q', "", "Only show ids"},
    {"size", 's', "", "Show how much they take on disk"},
};
constexpr FlagSpec kImagesFlags[] = {
    {"all", 'a', "", "Show intermediate images too"},
    {"digests", 0, "", "Show digests"},
    {"filter", 'f', "filter", "Which ones (reference=, dangling=, label=, ...)"},
    {"format", 0, "string", kFormatHelp},
    {"no-trunc", 0, "", "Do not shorten"},
    {"quiet", 'q', "", "Only show ids"},
};
constexpr FlagSpec kHistoryFlags[] = {
    {"format", 0, "string", kFormatHelp},
    {"human", 'H', "", "Sizes and times as people read them", "true"},
    {"no-trunc", 0, "", "Do not shorten"},
    {"platform", 0, "string", "Of this platform (os[/arch[/variant]])"},
    {"quiet", 'q', "", "Only show ids"},
};
constexpr Command kCommands[] = {
    {"container ls|container list|container ps|ps", "[OPTIONS]", "List containers", kPsFlags, 0, 0, ps},
    {"image ls|image list|images", "[OPTIONS] [REPOSITORY[:TAG]]", "List images", kImagesFlags, 0, 1, images},
    {"image history|history", "[OPTIONS] IMAGE", "Show how an image was made", kHistoryFlags, 1, 1, history},
};

}  // namespace

std::span<const Command> list_commands() { return kCommands; }

}  // namespace berth::cli
