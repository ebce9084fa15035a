// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/disk_usage.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/rows.h"
#include "cli/output/list_format.h"
#include "cli/output/units.h"

namespace berth::cli {
namespace {

constexpr Column kSummaryColumns[] = {{"Active", "ACTIVE"},
                                      {"Reclaimable", "RECLAIMABLE"},
                                      {"Size", "SIZE"},
                                      {"TotalCount", "TOTAL"},
                                      {"Type", "TYPE"}};
constexpr ListLayout kSummary{"*formatter.diskUsageContext",
                              "{{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}",
                              kSummaryColumns};

struct Usage {
  std::string_view type;
  std::size_t total = 0;
  std::size_t active = 0;
  std::int64_t size = 0;
  std::int64_t reclaimable = 0;
  bool percent = true;  // show the share that can be had back, when there is any size

  json::object row() const {
    std::string back = format_size_decimal(static_cast<double>(reclaimable));
    if (percent && size > 0) back += fmt::format(" ({}%)", reclaimable * 100 / size);
    return {{"Active", std::to_string(active)},
            {"Reclaimable", back},
            {"Size", format_size_decimal(static_cast<double>(size))},
            {"TotalCount", std::to_string(total)},
            {"Type", type}};
  }
};

const json::array& list_of(const json::value& document, std::string_view member) {
  static const json::array empty;
  const json::array* list = member_of(document, member).if_array();
  return list ? *list : empty;
}

Usage image_usage(const json::value& usage) {
  Usage images{"Images"};
  images.size = number_of(usage, "LayersSize");
  std::int64_t used = 0;
  for (const json::value& image : list_of(usage, "Images")) {
    ++images.total;
    if (number_of(image, "Containers") <= 0) continue;
    ++images.active;
    if (number_of(image, "Size") != -1 && number_of(image, "SharedSize") != -1)
      used += number_of(image, "Size") - number_of(image, "SharedSize");
  }
  images.reclaimable = images.size - used;
  return images;
}

Usage container_usage(const json::value& usage) {
  Usage containers{"Containers"};
  for (const json::value& container : list_of(usage, "Containers")) {
    std::string state = text_of(container, "State");
    bool active = state == "running" || state == "paused" || state == "restarting";
    ++containers.total;
    containers.size += number_of(container, "SizeRw");
    if (active)
      ++containers.active;
    else
      containers.reclaimable += number_of(container, "SizeRw");
  }
  return containers;
}

Usage volume_usage(const json::value& usage) {
  Usage volumes{"Local Volumes"};
  for (const json::value& volume : list_of(usage, "Volumes")) {
    const json::value& data = member_of(volume, "UsageData");
    std::int64_t size = std::max<std::int64_t>(number_of(data, "Size"), 0);
    ++volumes.total;
    volumes.size += size;
    if (number_of(data, "RefCount") > 0)
      ++volumes.active;
    else
      volumes.reclaimable += size;
  }
  return volumes;
}

Usage build_usage(const json::value& usage) {
  Usage build{"Build Cache"};
  build.percent = false;
  std::int64_t used = 0;
  for (const json::value& record : list_of(usage, "BuildCache")) {
    ++build.total;
    if (flag_of(record, "InUse")) ++build.active;
    if (!flag_of(record, "Shared")) {
      build.size += number_of(record, "Size");
      if (flag_of(record, "InUse")) used += number_of(record, "Size");
    }
  }
  build.reclaimable = build.size - used;
  return build;
}

constexpr Column kDetailColumns[] = {{"Repository", "REPOSITORY"},
                                     {"Tag", "TAG"},
                                     {"ID", "IMAGE ID"},
                                     {"CreatedSince", "CREATED"},
                                     {"Size", "SIZE"},
                                     {"SharedSize", "SHARED SIZE"},
                                     {"UniqueSize", "UNIQUE SIZE"},
                                     {"Containers", "CONTAINERS"}};
constexpr ListLayout kImages{"*formatter.imageContext",
                             "{{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.CreatedSince}}\t{{.Size}}\t{{."
                             "SharedSize}}\t{{.UniqueSize}}\t{{.Containers}}",
                             kDetailColumns};
constexpr Column kContainerColumns[] = {{"ID", "CONTAINER ID"}, {"Image", "IMAGE"},
                                        {"Command", "COMMAND"}, {"LocalVolumes", "LOCAL VOLUMES"},
                                        {"Size", "SIZE"},       {"RunningFor", "CREATED"},
                                        {"Status", "STATUS"},   {"Names", "NAMES"}};
constexpr ListLayout kContainers{"*formatter.ContainerContext",
                                 "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.LocalVolumes}}\t{{.Size}}\t{{."
                                 "RunningFor}}\t{{.Status}}\t{{.Names}}",
                                 kContainerColumns};
constexpr Column kVolumeColumns[] = {{"Name", "VOLUME NAME"}, {"Links", "LINKS"}, {"Size", "SIZE"}};
constexpr ListLayout kVolumes{"*formatter.volumeContext", "{{.Name}}\t{{.Links}}\t{{.Size}}", kVolumeColumns};
constexpr Column kBuildColumns[] = {
    {"ID", "CACHE ID"},          {"CacheType", "CACHE TYPE"},    {"Size", "SIZE"},
    {"CreatedSince", "CREATED"}, {"LastUsedSince", "LAST USED"}, {"UsageCount", "USAGE"},
    {"Shared", "SHARED"}};
constexpr ListLayout kBuild{
    "*formatter.buildCacheContext",
    "{{.ID}}\t{{.CacheType}}\t{{.Size}}\t{{.CreatedSince}}\t{{.LastUsedSince}}\t{{.UsageCount}}\t{{.Shared}}",
    kBuildColumns};

std::string since(const json::value& record, std::string_view member) {
  Result<Timestamp> time = parse_time(text_of(record, member));
  return time && time->nanoseconds > 0 ? ago(*time) : "";
}

Result<std::string> details(const json::value& usage) {
  std::vector<json::object> images, containers, volumes, build;
  for (const json::value& image : list_of(usage, "Images"))
    for (json::object& row : image_rows(image, true, false)) images.push_back(std::move(row));
  for (const json::value& container : list_of(usage, "Containers")) {
    json::object row = container_row(container, true);
    row["Size"] = format_size_decimal(static_cast<double>(number_of(container, "SizeRw")), 3);
    containers.push_back(std::move(row));
  }
  for (const json::value& volume : list_of(usage, "Volumes")) {
    const json::value& data = member_of(volume, "UsageData");
    const bool sized = !data.is_null() && number_of(data, "Size") >= 0;
    volumes.push_back(
        {{"Name", text_of(volume, "Name")},
         {"Links", data.is_null() ? "N/A" : std::to_string(number_of(data, "RefCount"))},
         {"Size", sized ? format_size_decimal(static_cast<double>(number_of(data, "Size"))) : "N/A"}});
  }
  for (const json::value& record : list_of(usage, "BuildCache"))
    build.push_back({{"ID", text_of(record, "ID").substr(0, 12)},
                     {"CacheType", text_of(record, "Type")},
                     {"Size", format_size_decimal(static_cast<double>(number_of(record, "Size")), 3)},
                     {"CreatedSince", since(record, "CreatedAt")},
                     {"LastUsedSince", since(record, "LastUsedAt")},
                     {"UsageCount", std::to_string(number_of(record, "UsageCount"))},
                     {"Shared", flag_of(record, "Shared") ? "true" : "false"}});
  struct Section {
    std::string title;
    const ListLayout& layout;
    const std::vector<json::object>& rows;
  };
  std::string cache = format_size_decimal(static_cast<double>(build_usage(usage).size));
  std::string out;
  for (const Section& section : {Section{"Images space usage:", kImages, images},
                                 Section{"\nContainers space usage:", kContainers, containers},
                                 Section{"\nLocal Volumes space usage:", kVolumes, volumes},
                                 Section{"\nBuild cache usage: " + cache, kBuild, build}}) {
    ListFormat format = TRY(ListFormat::parse("table", section.layout));
    std::string table = TRY(format.render(section.rows));
    out += section.title + "\n\n" + table;
  }
  return out;
}

}  // namespace

Result<int> disk_usage(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  ListFormat format = TRY(ListFormat::parse(flags.text("format"), kSummary));
  Engine* engine = TRY(invocation.context.engine());
  json::value usage = TRY(engine->get_json("/system/df"));
  std::string out;
  if (flags.on("verbose") && !flags.given("format")) {
    out = TRY(details(usage));
  } else {
    Usage kinds[] = {image_usage(usage), container_usage(usage), volume_usage(usage), build_usage(usage)};
    std::vector<json::object> rows;
    for (const Usage& kind : kinds) rows.push_back(kind.row());
    out = TRY(format.render(rows));
  }
  print_out(out);
  return 0;
}

}  // namespace berth::cli
