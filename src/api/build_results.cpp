// SPDX-License-Identifier: Apache-2.0
#include "api/build_results.h"

#include "api/build_caches.h"
#include "api/respond.h"
#include "api/routes.h"
#include "archive/pack.h"
#include "build/builder.h"
#include "http/client_watch.h"

namespace berth::api {
namespace {

constexpr std::string_view kTar = "application/x-tar";

Result<std::shared_ptr<const build::BuildResult>> held_result(Call& call) {
  return call.engine.builder().held().get(call.path.at("result"));
}

// As `export` gives a container's.
Result<void> tree(Call& call) {
  const std::shared_ptr<const build::BuildResult> result = TRY(held_result(call));
  Fd root = TRY(call.engine.builder().open_tree(*result));
  BodySink sink(call.exchange, {{"Content-Type", std::string(kTar)}});
  TRY(archive::pack(root.get(), "/", sink, {}));
  return sink.finish();
}

// Begins the answer with what is only known when the first byte is about to go out.
Result<void> archive(Call& call) {
  const std::shared_ptr<const build::BuildResult> result = TRY(held_result(call));
  const std::string_view form = call.parameter("form");
  if (form != "oci" && form != "docker")
    return fail(ErrorKind::invalid, "form must be oci or docker: {}", form);
  std::unique_ptr<BodySink> sink;
  archive::FunctionSink later([&](std::string_view data) { return sink->write(data); });
  auto on_manifest = [&](const Digest& digest) {
    sink = std::make_unique<BodySink>(call.exchange, http::Headers{{"Content-Type", std::string(kTar)},
                                                                   {"Docker-Content-Digest", digest.text()}});
  };
  TRY(call.engine.images().save(result->image,
                                form == "oci" ? image::ArchiveForm::oci : image::ArchiveForm::docker_and_oci,
                                later, on_manifest));
  return sink->finish();
}

Result<void> release(Call& call) {
  call.engine.builder().held().release(call.path.at("result"));
  return send_empty(call, 204);
}

}  // namespace

Result<void> read_build_outputs(Call& call, ObjectReader& preamble, build::BuildRequest& request) {
  std::optional<bool> image;
  std::string name;
  preamble.read("image", image);
  preamble.read("result", name);
  request.record = image.value_or(true);
  if (name.empty()) {
    if (!request.record) preamble.refuse("result", "there for a build that is not to be an image");
  } else if (!build::HeldResults::check_name(name)) {
    preamble.refuse("result", "64 lower-case hex digits");
  } else {
    request.held_as = TRY(call.engine.builder().held().reserve(name));
  }
  return {};
}

void add_build_result_routes(Router& router) {
  router.add("GET", "/berth/builds/{result}/tree", tree);
  router.add("GET", "/berth/builds/{result}/archive", archive);
  add_build_cache_routes(router);
  router.add("DELETE", "/berth/builds/{result}", release);
}

}  // namespace berth::api
