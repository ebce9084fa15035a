// SPDX-License-Identifier: Apache-2.0
// What builds have made: layers by the digest of all that went into them. Records are in the database, layers
// in the LayerStore, where a lease keeps each while it has a record. It survives a kill at any moment: a
// record is written after its layer is durable, and one without its layer is dropped at the start.
//
// Bounded by one budget of bytes, cache mounts included (cache_mounts.h): what was not used for longest goes
// first, what builds are using stays. Thread-safe.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "db/database.h"
#include "image/image_store.h"
#include "layers/layer_store.h"

namespace berth::build {

std::vector<db::Migration> migrations();

struct CachedResult {
  Digest key;      // of what went in
  Digest diff_id;  // the layer that came out
  Timestamp created;
  Timestamp last_used;
  std::int64_t uses = 0;
  std::int64_t size = 0;    // bytes of the layer
  std::string description;  // "RUN make"
};

class ResultCache {
 public:
  ResultCache(db::Database& database, image::ImageStore& images, layers::LayerStore& layers)
      : database_(database), images_(images), layers_(layers) {}

  // From the database, before the image store is swept.
  Result<void> load();

  // A hit counts as a use.
  std::optional<CachedResult> find(const Digest& key);
  Result<void> add(CachedResult result);
  // If the same is there already, that is a use of it; returns whether it was not.
  Result<bool> keep(CachedResult result);
  // Uses since the last time, in one transaction. What is lost of it by a crash is of no consequence.
  Result<void> save_uses();

  std::vector<CachedResult> list() const;  // used last comes first
  Result<void> remove(const Digest& key);

 private:
  struct Entry {
    CachedResult result;
    image::Lease lease;
    bool used = false;  // since it was saved
  };

  db::Database& database_;
  image::ImageStore& images_;
  layers::LayerStore& layers_;
  mutable std::mutex mutex_;
  std::map<Digest, Entry> entries_;
};

}  // namespace berth::build
