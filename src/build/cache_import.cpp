// SPDX-License-Identifier: Apache-2.0
#include "build/cache_import.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <system_error>
#include <thread>

#include "build/layout_directory.h"
#include "oci/manifest.h"
#include "registry/endpoints.h"
#include "registry/session.h"

namespace berth::build {
namespace {

// A registry is asked for documents alone, and the build waits for it.
constexpr std::chrono::seconds kPatience(10);

// The document is the manifest's config, or inside of an image's.
Result<RemoteCache> read_cache(const oci::Manifest& manifest, const ReadDocument& read) {
  const bool own = manifest.config.media_type == kCacheType;
  if (!own && !oci::is_config(manifest.config.media_type))
    return fail(ErrorKind::unsupported, "it is neither an image nor a build cache of this engine's, but {}",
                manifest.config.media_type.substr(0, 200));
  const std::string bytes = TRY(read(manifest.config));
  RemoteCache cache;
  if (own) {
    cache.document = TRY(parse_cache(bytes));
  } else {
    std::optional<CacheDocument> document = TRY(inline_cache_of(bytes));
    if (!document)
      return fail(ErrorKind::not_found,
                  "the image has no cache in it: it was not built with --cache-to type=inline");
    cache.document = std::move(*document);
  }
  if (cache.document.diff_ids.size() != manifest.layers.size())
    return fail(ErrorKind::corrupt, "its manifest lists {} layers, its document {}", manifest.layers.size(),
                cache.document.diff_ids.size());
  cache.blobs = manifest.layers;
  return cache;
}

Result<RemoteCache> open_at(const registry::Endpoint& endpoint, const oci::Reference& name,
                            const BuildRequest& request, const std::stop_token& stop) {
  const registry::Credentials credentials =
      endpoint.mirror ? registry::Credentials{} : credentials_for(request, name);
  // For its layers too: what does not come is done here.
  registry::Settings settings = request.registries;
  settings.patience = std::min<std::chrono::milliseconds>(settings.patience, kPatience);
  settings.attempts = std::min(settings.attempts, 2);
  const std::shared_ptr<registry::Session> session =
      TRY(registry::Session::open(endpoint, settings, credentials, "pull", stop));
  registry::FetchedDocument top =
      TRY(session->manifest(name.digest() ? name.digest()->text() : *name.tag(), stop));
  const oci::Platform wanted = request.platform.value_or(oci::host_platform());
  auto read_inner = [&](const oci::Descriptor& descriptor) -> Result<std::string> {
    registry::FetchedDocument document = TRY(session->manifest(descriptor.digest.text(), stop));
    return std::move(document.bytes);
  };
  const oci::Manifest manifest =
      TRY(read_manifest(std::move(top.bytes), read_inner, wanted, name.familiar()));
  RemoteCache cache = TRY(read_cache(
      manifest, [&](const oci::Descriptor& descriptor) { return session->document(descriptor, stop); }));
  cache.read = [session](const oci::Descriptor& blob, archive::Sink& sink, const std::stop_token& until) {
    return session->blob(blob, 0, sink, until);
  };
  return cache;
}

Result<RemoteCache> open_registry_cache(const std::string& text, const BuildRequest& request,
                                        const std::stop_token& stop) {
  const oci::Reference name = TRY(oci::Reference::parse_with_default_tag(text));
  std::optional<Error> failure;
  for (const registry::Endpoint& endpoint : TRY(registry::endpoints_of(name, request.registries))) {
    Result<RemoteCache> cache = open_at(endpoint, name, request, stop);
    if (cache || stop.stop_requested()) return cache;
    failure = std::move(cache).error();
  }
  return std::unexpected(std::move(*failure));
}

// An image that is here; its layers are, too.
Result<RemoteCache> open_image_cache(const std::string& name, const BuildRequest& request,
                                     const image::ImageStore& images, const std::stop_token& stop) {
  const Result<image::Image> image = images.resolve(name);
  if (!image) return open_registry_cache(name, request, stop);
  std::optional<CacheDocument> document = TRY(inline_cache_of(image->config_bytes));
  if (!document)
    return fail(ErrorKind::not_found,
                "the image has no cache in it: it was not built with --cache-to type=inline");
  RemoteCache cache;
  cache.document = std::move(*document);
  return cache;
}

Result<RemoteCache> open_source(const CacheSource& source, const BuildRequest& request,
                                const image::ImageStore& images, const std::stop_token& stop) {
  switch (source.kind) {
    case CacheSource::Kind::registry:
      return open_registry_cache(source.reference, request, stop);
    case CacheSource::Kind::image:
      return open_image_cache(source.reference, request, images, stop);
    case CacheSource::Kind::directory:
      return open_cache_directory(source.directory);
  }
  return fail(ErrorKind::invalid, "a cache of no kind");
}

using Opened = std::vector<std::optional<Result<RemoteCache>>>;

// All at once, so that they are waited for once; those that take longer than kPatience are not.
Opened open_sources(const BuildRequest& request, const image::ImageStore& images,
                    const std::stop_token& stop) {
  std::stop_source late;
  const std::stop_callback forward(stop, [&] { late.request_stop(); });
  Opened opened(request.cache_from.size());
  auto open = [&](std::size_t number) {
    Result<RemoteCache> cache = open_source(request.cache_from[number], request, images, late.get_token());
    if (!cache && late.stop_requested() && !stop.stop_requested())
      cache = fail(ErrorKind::timeout, "it did not answer within {} seconds", kPatience.count());
    opened[number] = std::move(cache);
  };
  const std::jthread clock([&](const std::stop_token& over) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, over, kPatience, [] { return false; });
    if (!over.stop_requested()) late.request_stop();
  });
  std::vector<std::jthread> threads;
  for (std::size_t number = 0; number < opened.size(); ++number) try {
      threads.emplace_back([&open, number] { open(number); });
    } catch (const std::system_error&) {
      open(number);  // no more threads to be had
    }
  threads.clear();  // all have come to their end
  return opened;
}

}  // namespace

// config.json has Docker Hub's under a URL of its own, and others with or without a scheme.
registry::Credentials credentials_for(const BuildRequest& request, const oci::Reference& name) {
  const std::string& domain = name.domain();
  std::vector<std::string> keys{domain, "https://" + domain, "https://" + domain + "/", "http://" + domain};
  if (domain == "docker.io") keys.emplace_back("https://index.docker.io/v1/");
  for (const std::string& key : keys)
    if (auto found = request.credentials.find(key); found != request.credentials.end()) return found->second;
  return {};
}

Result<RemoteCache> open_cache_directory(std::shared_ptr<const Tree> directory) {
  const oci::Index index = TRY(read_layout_index(*directory));
  if (index.manifests.empty()) return fail(ErrorKind::not_found, "its index.json lists nothing");
  auto read = [&](const oci::Descriptor& descriptor) { return read_layout_document(*directory, descriptor); };
  const std::string manifest_bytes = TRY(read(index.manifests.front()));
  const oci::Manifest manifest = TRY(oci::parse_manifest(manifest_bytes));
  RemoteCache cache = TRY(read_cache(manifest, read));
  cache.read = [directory](const oci::Descriptor& blob, archive::Sink& sink, const std::stop_token&) {
    return read_layout_blob(*directory, blob, sink);
  };
  return cache;
}

void ImportedCaches::add(RemoteCache cache) {
  const auto kept = std::make_shared<const RemoteCache>(std::move(cache));
  for (const CacheEntry& entry : kept->document.entries) by_key_.emplace(entry.key, Place{kept, &entry});
}

std::vector<ImportedResult> ImportedCaches::find(const Digest& key) const {
  std::vector<ImportedResult> results;
  const std::lock_guard lock(failures_->mutex);
  const Failures& failures = *failures_;
  const auto [begin, end] = by_key_.equal_range(key);
  for (auto at = begin; at != end; ++at) {
    const auto& [cache, entry] = at->second;
    if (failures.caches.contains(cache.get()) ||
        failures.layers.contains({cache.get(), cache->document.diff_ids[entry->layer]}))
      continue;
    ImportedResult& result = results.emplace_back(
        ImportedResult{cache->document.diff_ids[entry->layer], entry->created, {}, cache});
    if (!cache->blobs.empty()) result.blob = cache->blobs[entry->layer];
  }
  return results;
}

void ImportedCaches::failed(const ImportedResult& result, const Error& error) const {
  const std::lock_guard lock(failures_->mutex);
  const bool silent = error.kind == ErrorKind::unavailable || error.kind == ErrorKind::timeout;
  if (silent) failures_->caches.insert(result.cache.get());
  failures_->layers.emplace(result.cache.get(), result.diff_id);
}

ImportedCaches import_caches(const BuildRequest& request, const image::ImageStore& images,
                             const std::function<void(std::string)>& warn, const std::stop_token& stop) {
  ImportedCaches caches;
  if (request.cache_from.empty()) return caches;
  Opened opened = open_sources(request, images, stop);
  for (std::size_t number = 0; number < opened.size() && !stop.stop_requested(); ++number) {
    const CacheSource& source = request.cache_from[number];
    Result<RemoteCache>& cache = *opened[number];
    if (!cache) {
      warn(fmt::format("the cache {} is not used: {}", source.description, cache.error().message));
      continue;
    }
    cache->description = source.description;
    caches.add(std::move(*cache));
  }
  return caches;
}

}  // namespace berth::build
