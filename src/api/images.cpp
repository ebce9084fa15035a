// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "api/respond.h"
#include "api/routes.h"
#include "archive/stream.h"
#include "base/file.h"
#include "base/text.h"
#include "oci/config_json.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace berth::api {
namespace {

json::array to_list(const std::vector<std::string>& texts) { return to_json(texts); }

json::object image_document(const image::Image& image, std::string_view storage_driver) {
  json::array layers;
  for (const Digest& layer : image.diff_ids) layers.emplace_back(layer.text());
  const oci::Platform& platform = image.config.platform;
  json::object document{{"Id", image.id.text()},
                        {"RepoTags", to_list(image.tags)},
                        {"RepoDigests", to_list(image.digests)},
                        {"Parent", image.parent ? image.parent->text() : ""},
                        {"Comment", image.comment},
                        {"Created", format_time(image.created)},
                        {"DockerVersion", image.config.docker_version},
                        {"Author", image.author},
                        {"Config", oci::to_json(image.config.config, oci::ConfigForm::api)},
                        {"Architecture", platform.architecture},
                        {"Os", platform.os},
                        {"Size", image.size},
                        {"GraphDriver", json::object{{"Name", storage_driver}, {"Data", nullptr}}},
                        {"RootFS", json::object{{"Type", "layers"}, {"Layers", std::move(layers)}}},
                        {"Metadata", json::object{{"LastTagTime", format_time(image.last_tagged)}}}};
  if (!platform.variant.empty()) document["Variant"] = platform.variant;
  return document;
}

Result<void> inspect(Call& call) {
  image::Image image = TRY(call.engine.images().resolve(call.path.at("name")));
  return send_json(call, 200, image_document(image, engine::driver_name(call.engine.storage().driver)));
}

json::object summary_document(const image::Summary& summary, std::int64_t containers) {
  return {{"Id", summary.id.text()},
          {"ParentId", summary.parent ? summary.parent->text() : ""},
          {"RepoTags", to_list(summary.tags)},
          {"RepoDigests", to_list(summary.digests)},
          {"Created", summary.created.nanoseconds / 1'000'000'000},
          {"Size", summary.size},
          {"SharedSize", summary.shared_size},
          {"Labels", summary.labels.empty() ? json::value(nullptr) : json::value(to_json(summary.labels))},
          {"Containers", containers}};
}

Result<void> list(Call& call) {
  Filters filters = TRY(read_filters(call));
  std::vector<image::Summary> found =
      TRY(call.engine.images().list(call.flag("all"), filters, call.flag("shared-size")));
  json::array result;
  for (const image::Summary& summary : found) result.push_back(summary_document(summary, -1));
  return send_json(call, 200, result);
}

Result<void> history(Call& call) {
  std::vector<image::HistoryLine> lines = TRY(call.engine.images().history(call.path.at("name")));
  json::array result;
  for (const image::HistoryLine& line : lines)
    result.push_back(
        json::object{{"Id", line.id ? line.id->text() : "<missing>"},
                     {"Created", line.created.nanoseconds / 1'000'000'000},
                     {"CreatedBy", line.created_by},
                     {"Tags", line.tags.empty() ? json::value(nullptr) : json::value(to_list(line.tags))},
                     {"Size", line.size},
                     {"Comment", line.comment}});
  return send_json(call, 200, result);
}

json::array removal_documents(const std::vector<image::Removal>& removals) {
  json::array list;
  for (const image::Removal& removal : removals)
    list.push_back(json::object{
        {removal.kind == image::Removal::Kind::untagged ? "Untagged" : "Deleted", removal.text}});
  return list;
}

Result<void> remove(Call& call) {
  std::vector<image::Removal> removals = TRY(call.engine.reserve().even_on_a_full_disk([&] {
    return call.engine.images().remove(call.path.at("name"), call.flag("force"), call.flag("noprune"),
                                       call.engine.image_users());
  }));
  call.engine.reserve().replenish();
  return send_json(call, 200, removal_documents(removals));
}

Result<void> tag(Call& call) {
  std::string name(call.parameter("repo"));
  if (name.empty()) return fail(ErrorKind::invalid, "missing parameter: repo");
  if (!call.parameter("tag").empty()) name.append(":").append(call.parameter("tag"));
  oci::Reference reference = TRY(oci::Reference::parse_with_default_tag(name));
  TRY(call.engine.images().tag(call.path.at("name"), reference));
  return call.exchange.respond(201, {}, "");
}

Result<void> prune(Call& call) {
  Filters filters = TRY(read_filters(call));
  auto dangling = filters.find("dangling");
  const bool all = dangling != filters.end() && !dangling->second.empty() &&
                   (dangling->second[0] == "false" || dangling->second[0] == "0");
  filters.erase("dangling");
  image::PruneResult pruned = TRY(call.engine.reserve().even_on_a_full_disk(
      [&] { return call.engine.images().prune(all, filters, call.engine.image_users()); }));
  call.engine.reserve().replenish();
  return send_json(call, 200,
                   json::object{{"ImagesDeleted", removal_documents(pruned.removals)},
                                {"SpaceReclaimed", pruned.reclaimed}});
}

// A failure once the stream has begun is its last line.
Result<void> finish_with_error(Call& call, const Error& error) {
  if (!call.exchange.responded()) return std::unexpected(error);
  TRY(call.exchange.write(
      json::serialize(
          json::object{{"error", error.message}, {"errorDetail", json::object{{"message", error.message}}}}) +
      "\n"));
  return call.exchange.finish();
}

Result<void> import(Call& call) {
  image::ImportRequest request;
  for (std::string_view change : call.request().query.all("changes")) request.changes.emplace_back(change);
  request.message = call.parameter("message");
  if (std::string_view platform = call.parameter("platform"); !platform.empty())
    request.platform = TRY(oci::parse_platform(platform));
  if (std::string_view repository = call.parameter("repo"); !repository.empty()) {
    std::string name(repository);
    if (!call.parameter("tag").empty()) name.append(":").append(call.parameter("tag"));
    request.name = TRY(oci::Reference::parse(name));
  }
  BodySource body(call.exchange);
  Digest id = TRY(call.engine.images().import(body, request));
  TRY(call.exchange.begin(200, {{"Content-Type", "application/json"}}));
  TRY(call.exchange.write(json::serialize(json::object{{"status", id.text()}}) + "\n"));
  return call.exchange.finish();
}

// POST /images/create is a pull, or an import from a URL or the request's body.
Result<void> create(Call& call) {
  std::string_view source = call.parameter("fromSrc");
  if (source == "-") return import(call);
  if (!source.empty())
    return fail(ErrorKind::unsupported,
                "importing from a URL is not available in this version: download {} and import the file",
                source);
  return pull(call);
}

Result<void> load(Call& call) {
  image::LoadRequest request;
  if (std::string_view platform = call.parameter("platform"); !platform.empty())
    if (Result<oci::Platform> parsed = oci::parse_platform(platform)) request.platform = *parsed;
  BodySource body(call.exchange);
  Result<std::vector<image::Loaded>> loaded = call.engine.images().load(body, request);
  if (!loaded) return finish_with_error(call, loaded.error());
  TRY(call.exchange.begin(200, {{"Content-Type", "application/json"}}));
  auto say = [&](const std::string& text) {
    return call.exchange.write(json::serialize(json::object{{"stream", text + "\n"}}) + "\n");
  };
  for (const image::Loaded& image : *loaded) {
    for (const auto& [name, previous] : image.moved)
      TRY(say(fmt::format("The image {} already exists, renaming the old one with ID {} to empty string",
                          name, previous.text())));
    for (const std::string& name : image.names) TRY(say("Loaded image: " + name));
    if (image.names.empty()) TRY(say("Loaded image ID: " + image.id.text()));
  }
  return call.exchange.finish();
}

Result<void> save(Call& call, const std::vector<std::string>& names) {
  if (names.empty()) return fail(ErrorKind::invalid, "no images specified: name at least one");
  BodySink sink(call.exchange, {{"Content-Type", "application/x-tar"}});
  TRY(call.engine.images().save(names, sink));
  return sink.finish();
}

Result<void> save_one(Call& call) { return save(call, {call.path.at("name")}); }

Result<void> save_many(Call& call) {
  std::vector<std::string> names;
  for (std::string_view name : call.request().query.all("names")) names.emplace_back(name);
  return save(call, names);
}

Result<void> search(Call&) {
  return fail(ErrorKind::unsupported, "searching is not offered: registries have no common way to search");
}

}  // namespace

void add_image_routes(Router& router) {
  router.add("GET", "/images/json", list);
  router.add("GET", "/images/search", search);
  router.add("GET", "/images/get", save_many);
  router.add("POST", "/images/create", create);
  router.add("POST", "/images/load", load);
  router.add("POST", "/images/prune", prune);
  router.add("GET", "/images/{name...}/json", inspect);
  router.add("GET", "/images/{name...}/history", history);
  router.add("GET", "/images/{name...}/get", save_one);
  router.add("POST", "/images/{name...}/tag", tag);
  router.add("DELETE", "/images/{name...}", remove);
}

}  // namespace berth::api
