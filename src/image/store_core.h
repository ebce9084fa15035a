// SPDX-License-Identifier: Apache-2.0
// The inside of an ImageStore, shared with the leases that it gave out.
//
// Locks: `mutex` guards what is in memory and the collection of layers; it is taken before the database's.
// Neither is held while a client's callback runs.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "base/digest.h"
#include "content/blob_store.h"
#include "db/database.h"
#include "image/image_store.h"
#include "image/records.h"
#include "image/transfer_records.h"
#include "image/transfer_support.h"
#include "layers/layer_store.h"

namespace berth::image {

struct NewImage {
  std::string config_bytes;
  std::optional<Digest> parent;
  std::vector<oci::Reference> names;
  // Of one that was pulled: where from, and as what.
  std::vector<ManifestRecord> manifests = {};
  std::vector<BlobRecord> blobs = {};
  std::string repository = {};
};
struct StoredImage {
  Digest id;
  std::vector<std::pair<std::string, Digest>> moved;  // names that another image had
};

struct ImageStore::Core {
  explicit Core(StoreOptions given) : options(std::move(given)) {}

  db::Database& database() const { return *options.database; }
  layers::LayerStore& layers() const { return *options.layers; }
  Result<content::BlobStore*> blobs() const {
    if (options.blobs) return options.blobs;
    return fail(ErrorKind::unsupported, "this store of images has no place for what registries send");
  }
  void emit(std::string action, const Digest& id, std::string name = {},
            std::map<std::string, std::string> labels = {}) const;

  // Checks the configs, completes the layers and records all images in one durable transaction.
  Result<std::vector<StoredImage>> store(const std::vector<NewImage>& images);

  void begin_adding();
  void end_adding(const std::vector<Digest>& added);

  // Whether layers that no image has are kept by sweep(): after a damaged database was set aside, the layers
  // on the disk are not garbage only because the new, empty one does not name them.
  Result<bool> keeps_unknown_layers() const;
  Result<void> set_keep_unknown_layers(bool keep) const;
  // Every layer of the store that nothing needs. Returns the bytes freed.
  Result<std::int64_t> collect_unknown();

  // Blobs that no image needs any more. Those that never had an image are of pulls that did not come to their
  // end: the next attempt finds them here, for a day, unless `everything` is to go. Not while something is
  // being added: its records are still to come.
  void collect_blobs(bool everything = false);

  // With `mutex` held:
  void hold(const std::vector<Digest>& diff_ids);
  // Removes those of `candidates` that nothing needs, unless a layer is being added right now: its image is
  // not on record yet. Then it happens when that is over. Returns the bytes freed.
  std::int64_t collect();

  const StoreOptions options;
  Busy downloads;  // layers that are being fetched, by diffID
  std::mutex mutex;
  std::map<Digest, int> leased;  // diffID -> leases
  int adding = 0;                // operations between their first layer and their record
  std::set<Digest> candidates;   // layers that lost a user and may be garbage
};

struct Lease::Held {
  std::shared_ptr<ImageStore::Core> core;
  std::vector<Digest> diff_ids;
};

}  // namespace berth::image
