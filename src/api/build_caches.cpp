// SPDX-License-Identifier: Apache-2.0
#include "api/build_caches.h"

#include <sys/stat.h>

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

// Once: the descriptor is the build's then.
Result<void> add_directory(Call& call, build::BuildRequest& request, const std::string& held,
                           const std::string& path) {
  build::HeldResults& results = call.engine.builder().held();
  const std::shared_ptr<const build::BuildResult> result = TRY(results.get(held));
  if (!result->directory) return fail(ErrorKind::invalid, "{} holds no cache's directory", held);
  results.release(held);
  return add_source(
      request,
      {.kind = Kind::directory, .reference = {}, .directory = result->directory, .description = path});
}

Result<void> read_source(Call& call, ObjectReader& one, build::BuildRequest& request) {
  std::string type, name, held, path;
  one.read("type", type);
  one.read("ref", name);
  one.read("held", held);
  one.read("path", path);
  TRY(one.finish());
  if (type == "registry") return add_named_source(request, Kind::registry, name);
  if (type == "local") return add_directory(call, request, held, path);
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

Result<void> put_directory(Call& call) {
  std::vector<Fd> passed = call.exchange.take_descriptors();
  if (passed.size() != 1)
    return fail(ErrorKind::invalid, "one descriptor of a directory is to be passed, and {} were",
                passed.size());
  struct stat status;
  if (fstat(passed.front().get(), &status) != 0) return fail_errno(errno, "look at the cache's directory");
  if (!S_ISDIR(status.st_mode)) return fail(ErrorKind::invalid, "the cache is not a directory");
  auto result = std::make_shared<build::BuildResult>();
  result->directory = std::make_shared<const Fd>(std::move(passed.front()));
  TRY(call.engine.builder().held().hold(call.path.at("result"), std::move(result)));
  return send_empty(call, 204);
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

Result<void> read_build_caches(Call& call, ObjectReader& preamble, build::BuildRequest& request) {
  Result<void> done;
  auto then = [&](auto read) {
    if (done) done = read();
  };
  preamble.read_objects("cacheFrom",
                        [&](ObjectReader& one) { then([&] { return read_source(call, one, request); }); });
  preamble.read_objects("cacheTo",
                        [&](ObjectReader& one) { then([&] { return read_target(one, request); }); });
  return done;
}

void add_build_cache_routes(Router& router) {
  router.add("PUT", "/berth/builds/{result}/cache", put_directory);
  router.add("GET", "/berth/builds/{result}/cache", get_cache);
}

}  // namespace berth::api
