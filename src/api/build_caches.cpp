// SPDX-License-Identifier: Apache-2.0
#include "api/build_caches.h"

#include "api/respond.h"
#include "build/builder.h"

namespace berth::api {
namespace {

constexpr std::size_t kMostCaches = 64;  // of one build
using Kind = build::CacheSource::Kind;

Result<void> add_source(build::BuildRequest& request, build::CacheSource source) {
  if (request.cache_from.size() >= kMostCaches)
    return fail(ErrorKind::invalid, "more than {} caches to import", kMostCaches);
  request.cache_from.push_back(std::move(source));
  return {};
}

Result<void> add_named_source(build::BuildRequest& request, Kind kind, const std::string& name) {
  TRY_AS("the cache " + name, oci::Reference::parse_with_default_tag(name));
  return add_source(request, {.kind = kind, .reference = name, .directory = {}, .description = name});
}

Result<void> read_source(ObjectReader& one, build::BuildRequest& request,
                         std::vector<PassedCache>& directories) {
  std::string type, name, path;
  std::optional<std::uint64_t> descriptor;
  one.read("type", type);
  one.read("ref", name);
  one.read("descriptor", descriptor);
  one.read("path", path);
  TRY(one.finish());
  if (type == "registry") return add_named_source(request, Kind::registry, name);
  if (type == "local" && descriptor) {
    directories.push_back({.source = request.cache_from.size(), .descriptor = *descriptor});
    return add_source(request,
                      {.kind = Kind::directory, .reference = {}, .directory = {}, .description = path});
  }
  if (type == "local") return fail(ErrorKind::invalid, "the cache {} has no descriptor", path);
  return fail(ErrorKind::unsupported, "caches of the type \"{}\" cannot be imported", type);
}

Result<void> read_target(ObjectReader& one, build::BuildRequest& request) {
  std::string type, name, mode;
  bool optional = false;
  one.read("type", type);
  one.read("ref", name);
  one.read("mode", mode);
  one.read("ignoreError", optional);
  TRY(one.finish());
  if (type == "inline") {
    request.inline_cache = true;
    return {};
  }
  if (type != "registry")
    return fail(ErrorKind::unsupported, "caches of the type \"{}\" cannot be exported", type);
  if (!mode.empty() && mode != "min" && mode != "max")
    return fail(ErrorKind::invalid, "a cache's mode is min or max, not \"{}\"", mode);
  if (request.cache_to.size() >= kMostCaches)
    return fail(ErrorKind::invalid, "more than {} caches to export", kMostCaches);
  oci::Reference reference = TRY_AS("the cache " + name, oci::Reference::parse_with_default_tag(name));
  if (reference.digest()) return fail(ErrorKind::invalid, "the cache {} cannot be written to a digest", name);
  request.cache_to.push_back({.name = std::move(reference), .whole = mode == "max", .optional = optional});
  return {};
}

Result<void> get_cache(Call& call) {
  const std::shared_ptr<const build::BuildResult> result =
      TRY(call.engine.builder().held().get(call.path.at("result")));
  BodySink sink(call.exchange, {{"Content-Type", "application/x-tar"}});
  TRY(call.engine.images().save(call.parameter("mode") == "max" ? result->whole_cache : result->cache,
                                image::ArchiveForm::oci, sink));
  return sink.finish();
}

}  // namespace

Result<void> read_cache_images(Call& call, build::BuildRequest& request) {
  const std::string_view text = call.parameter("cachefrom");
  if (text.empty()) return {};
  const json::value list = TRY(parse_json(text, "cachefrom"));
  if (list.is_null()) return {};
  if (!list.is_array()) return fail(ErrorKind::invalid, "cachefrom must be a list of texts");
  for (const json::value& name : list.get_array()) {
    if (!name.is_string()) return fail(ErrorKind::invalid, "cachefrom must be a list of texts");
    TRY(add_named_source(request, Kind::image, std::string(name.get_string())));
  }
  return {};
}

Result<std::vector<PassedCache>> read_build_caches(ObjectReader& preamble, build::BuildRequest& request) {
  std::vector<PassedCache> directories;
  Result<void> done;
  auto then = [&](auto read) {
    if (done) done = read();
  };
  preamble.read_objects(
      "cacheFrom", [&](ObjectReader& one) { then([&] { return read_source(one, request, directories); }); });
  preamble.read_objects("cacheTo",
                        [&](ObjectReader& one) { then([&] { return read_target(one, request); }); });
  TRY(std::move(done));
  return directories;
}

void add_build_cache_routes(Router& router) { router.add("GET", "/berth/builds/{result}/cache", get_cache); }

}  // namespace berth::api
