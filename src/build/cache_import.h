// SPDX-License-Identifier: Apache-2.0
// What --cache-from names, for one build: the documents are read at its beginning, layers only when a key is
// hit. A cache is as trustworthy as the one who named it thinks, and so its results are for this build alone
// (decision 22). What it says about bytes is verified. Thread-safe once it is read.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "archive/stream.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "build/cache_document.h"
#include "build/request.h"
#include "image/image_store.h"

namespace berth::build {

// Reads a blob's bytes from wherever the cache is.
using ReadBlob =
    std::function<Result<void>(const oci::Descriptor& blob, archive::Sink& sink, const std::stop_token&)>;

// A cache whose document is read.
struct RemoteCache {
  CacheDocument document;
  std::vector<oci::Descriptor> blobs;  // of document.diff_ids; empty: the layers are here or nowhere
  ReadBlob read;
  std::string description;
};

struct ImportedResult {
  Digest diff_id;
  Timestamp created;
  std::optional<oci::Descriptor> blob;
  std::shared_ptr<const RemoteCache> cache;
};

class ImportedCaches {
 public:
  void add(RemoteCache cache);
  // In the order in which the caches were named, without those that have failed in this build.
  std::vector<ImportedResult> find(const Digest& key) const;
  // It is not tried again: it costs a download, or a bomb's worth of disk, each time. Of a cache that does
  // not answer nothing is.
  void failed(const ImportedResult& result, const Error& error) const;

 private:
  struct Place {
    std::shared_ptr<const RemoteCache> cache;
    const CacheEntry* entry;
  };
  struct Failures {
    std::mutex mutex;
    std::set<std::pair<const RemoteCache*, Digest>> layers;
    std::set<const RemoteCache*> caches;
  };
  std::multimap<Digest, Place> by_key_;
  std::shared_ptr<Failures> failures_ = std::make_shared<Failures>();
};

// All that the request names; one that cannot be had, or not soon, is a warning.
ImportedCaches import_caches(const BuildRequest& request, const image::ImageStore& images,
                             const std::function<void(std::string)>& warn, const std::stop_token& stop);

Result<RemoteCache> open_cache_directory(std::shared_ptr<const Tree> directory);

// Of config.json's, by its own names for registries.
registry::Credentials credentials_for(const BuildRequest& request, const oci::Reference& name);

}  // namespace berth::build
