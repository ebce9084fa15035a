// SPDX-License-Identifier: Apache-2.0
#include "build/deliver.h"

#include <algorithm>

#include "build/cache_document.h"
#include "build/cache_import.h"

namespace berth::build {
namespace {

// Layers with the document about them, as it travels.
image::UnrecordedImage as_artifact(std::span<const CachedResult> results) {
  CacheDocument document = cache_document(results);
  return {.config_bytes = format_cache(document),
          .config_type = std::string(kCacheType),
          .diff_ids = std::move(document.diff_ids)};
}

// Those of the layers that the image has.
std::vector<CachedResult> results_of_image(const std::vector<CachedResult>& all,
                                           const oci::ImageConfig& config) {
  const std::set<Digest> layers(config.diff_ids.begin(), config.diff_ids.end());
  std::vector<CachedResult> results;
  std::ranges::copy_if(all, std::back_inserter(results),
                       [&](const CachedResult& result) { return layers.contains(result.diff_id); });
  return results;
}

std::shared_ptr<const BuildResult> to_be_held(Solve& solve, image::UnrecordedImage image,
                                              const std::vector<CachedResult>& own) {
  auto result = std::make_shared<BuildResult>();
  result->image = std::move(image);
  result->cache = as_artifact(own);
  result->whole_cache = as_artifact(solve.results);
  std::vector<Digest> layers = result->image.diff_ids;
  layers.insert(layers.end(), result->whole_cache.diff_ids.begin(), result->whole_cache.diff_ids.end());
  result->lease = solve.services.options.images->lease(layers);
  return result;
}

Result<void> push_cache(Solve& solve, const CacheTarget& target, const std::vector<CachedResult>& own) {
  image::PushRequest push{.name = target.name, .stop = solve.request.stop};
  push.access = {.settings = solve.request.registries,
                 .credentials = credentials_for(solve.request, target.name)};
  Result<image::Pushed> pushed =
      solve.services.options.images->push(as_artifact(target.whole ? solve.results : own), push);
  if (pushed) return {};
  Error error = std::move(pushed).error().within("write the cache " + target.name.familiar());
  if (!target.optional || solve.request.stop.stop_requested()) return std::unexpected(std::move(error));
  solve.progress.warning(error.message);
  return {};
}

}  // namespace

Result<Digest> deliver(Solve& solve, const oci::ImageConfig& config) {
  const BuildRequest& request = solve.request;
  const std::vector<CachedResult> own = results_of_image(solve.results, config);
  image::UnrecordedImage image{
      .config_bytes = oci::format_image_config(config), .diff_ids = config.diff_ids, .names = request.names};
  if (request.inline_cache) image.config_bytes = TRY(with_inline_cache(image.config_bytes, own));
  const Digest id = sha256_of(image.config_bytes);
  // What may fail comes first: a build that has failed has changed no name.
  for (const CacheTarget& target : request.cache_to) TRY(push_cache(solve, target, own));
  std::shared_ptr<const BuildResult> held;
  if (request.held_as) held = to_be_held(solve, image, own);
  if (request.record)
    TRY(solve.services.options.images->create(
        {.config_bytes = std::move(image.config_bytes), .parent = {}, .names = request.names}));
  if (held) request.held_as->put(std::move(held));
  return id;
}

}  // namespace berth::build
