// SPDX-License-Identifier: Apache-2.0
// The rows about registries: manifests that images came with, the blobs that layers travel as, and where
// these are known to be. Free functions over an open transaction, as in records.h.
//
//   image_manifests  image, digest, media type: the bytes are blobs
//   layer_blobs      diffID, digest, size, media type
//   blob_places      digest, repository ("docker.io/library/busybox")
#pragma once
#include <set>
#include <string>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "db/database.h"

namespace berth::image {

struct ManifestRecord {
  Digest digest;
  std::string media_type;
};

struct BlobRecord {
  Digest diff_id;
  Digest digest;
  std::int64_t size = 0;
  std::string media_type;
};

Result<void> insert_manifest(db::Transaction& transaction, const Digest& image,
                             const ManifestRecord& manifest);
Result<std::vector<ManifestRecord>> manifests_of(db::Transaction& transaction, const Digest& image);

Result<void> insert_blob(db::Transaction& transaction, const BlobRecord& blob);
Result<std::vector<BlobRecord>> blobs_of_layer(db::Transaction& transaction, const Digest& diff_id);
Result<std::vector<BlobRecord>> blobs_of_image(db::Transaction& transaction, const Digest& image);

Result<void> insert_place(db::Transaction& transaction, const Digest& digest, const std::string& repository);
Result<std::vector<std::string>> places_of(db::Transaction& transaction, const Digest& digest);

// Every digest that an image still needs: manifests, and the blobs of layers in use.
Result<std::set<Digest>> needed_blobs(db::Transaction& transaction);
// Every digest that is on record, of images that are gone as well.
Result<std::set<Digest>> recorded_blobs(db::Transaction& transaction);
// Rows about layers and blobs that no image has any more.
Result<void> delete_stale_transfers(db::Transaction& transaction);

}  // namespace berth::image
