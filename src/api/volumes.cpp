// SPDX-License-Identifier: Apache-2.0
// /volumes: list, create, inspect, remove, prune.
#include <algorithm>

#include "api/respond.h"
#include "api/routes.h"
#include "api/volume_documents.h"
#include "base/clock.h"

namespace berth::api {
namespace {

using engine::VolumeState;

bool matches(const Filters& filters, const VolumeState& volume) {
  auto any = [&](const char* name, auto holds) {
    auto filter = filters.find(name);
    return filter == filters.end() || filter->second.empty() ||
           std::any_of(filter->second.begin(), filter->second.end(), holds);
  };
  auto labels = filters.find("label");
  return any("dangling",
             [&](const std::string& value) { return is_true(value) == volume.containers.empty(); }) &&
         any("driver", [](const std::string& value) { return value == "local"; }) &&
         (labels == filters.end() || labels_match(volume.record.labels, labels->second));
}

Result<void> check_boolean(const Filters& filters, const char* name) {
  auto filter = filters.find(name);
  if (filter == filters.end()) return {};
  for (const std::string& value : filter->second)
    if (!is_true(value) && value != "0" && value != "false" && value != "False" && value != "FALSE")
      return fail(ErrorKind::invalid, "invalid filter '{}={}'", name, value);
  return {};
}

Result<void> list(Call& call) {
  Filters filters = TRY(read_filters(call));
  TRY(check_filter_names(filters, {"dangling", "driver", "label", "name"}));
  TRY(check_boolean(filters, "dangling"));
  const NameFilter names = TRY(NameFilter::take_out_of(filters));
  json::array volumes;
  for (const VolumeState& volume : call.engine.volumes().all())
    if (matches(filters, volume) && names.matches(volume.record.name))
      volumes.push_back(volume_document(volume));
  return send_json(call, 200, json::object{{"Volumes", std::move(volumes)}, {"Warnings", nullptr}});
}

Result<void> create(Call& call) {
  json::value body = TRY(read_json(call));
  engine::NewVolume wanted;
  ObjectReader in(body, "");
  in.read("Name", wanted.name);
  in.read("Driver", wanted.driver);
  in.read("DriverOpts", wanted.options);
  in.read("Labels", wanted.labels);
  const bool cluster = in.find("ClusterVolumeSpec") != nullptr;
  TRY(in.finish());
  if (cluster) {
    send_error(call.exchange, 503, "cluster volumes need swarm mode, which this engine does not have");
    return {};
  }
  VolumeState volume = TRY(call.engine.volumes().create(wanted));
  return send_json(call, 201, volume_document(volume));
}

Result<void> inspect(Call& call) {
  VolumeState volume = TRY(call.engine.volumes().find(call.path.at("name")));
  return send_json(call, 200, volume_document(volume));
}

Result<void> remove(Call& call) {
  Result<void> removed = call.engine.volumes().remove(call.path.at("name"));
  // What was to be gone is gone.
  if (!removed && !(call.flag("force") && removed.error().kind == ErrorKind::not_found)) return removed;
  return send_empty(call, 204);
}

Result<void> update(Call& call) {
  send_error(call.exchange, 503, "only cluster volumes can be updated, and this engine has no swarm mode");
  return {};
}

Result<void> prune(Call& call) {
  Filters filters = TRY(read_filters(call));
  TRY(check_filter_names(filters, {"all", "label", "label!"}));
  TRY(check_boolean(filters, "all"));
  // Since API 1.42 volumes that somebody gave a name stay unless they are asked for.
  const bool all = call.version < 42 || std::any_of(filters["all"].begin(), filters["all"].end(), is_true);
  json::array names;
  std::uint64_t reclaimed = 0;
  for (const engine::VolumeDeletion& deletion : call.engine.volumes().prune([&](const VolumeState& volume) {
         return (all || volume.anonymous()) && labels_match(volume.record.labels, filters["label"]) &&
                (filters["label!"].empty() || !labels_match(volume.record.labels, filters["label!"]));
       })) {
    names.emplace_back(deletion.name);
    reclaimed += deletion.bytes;
  }
  return send_json(
      call, 200,
      json::object{{"VolumesDeleted", names.empty() ? json::value(nullptr) : json::value(std::move(names))},
                   {"SpaceReclaimed", reclaimed}});
}

json::value map_or_null(const std::map<std::string, std::string>& map) {
  return map.empty() ? json::value(nullptr) : json::value(berth::to_json(map));
}

}  // namespace

json::object volume_document(const VolumeState& volume) {
  const Timestamp whole_seconds{volume.record.created.nanoseconds / 1'000'000'000 * 1'000'000'000};
  return {{"CreatedAt", format_time(whole_seconds)},
          {"Driver", "local"},
          {"Labels", map_or_null(volume.record.labels)},
          {"Mountpoint", volume.mountpoint},
          {"Name", volume.record.name},
          {"Options", map_or_null(volume.record.options)},
          {"Scope", "local"}};
}

json::array volume_usage(engine::Engine& engine) {
  json::array list;
  for (const VolumeState& volume : engine.volumes().all()) {
    json::object document = volume_document(volume);
    const std::optional<std::uint64_t> size = engine.volumes().size_of(volume);
    document["UsageData"] = json::object{{"RefCount", volume.containers.size()},
                                         {"Size", size ? static_cast<std::int64_t>(*size) : -1}};
    list.push_back(std::move(document));
  }
  return list;
}

void add_volume_routes(Router& router) {
  router.add("GET", "/volumes", list);
  router.add("POST", "/volumes/create", create);
  router.add("POST", "/volumes/prune", prune);
  router.add("GET", "/volumes/{name}", inspect);
  router.add("PUT", "/volumes/{name}", update);
  router.add("DELETE", "/volumes/{name}", remove);
}

}  // namespace berth::api
