// SPDX-License-Identifier: Apache-2.0
#include "image/transfer_records.h"

namespace berth::image {
namespace {

Result<std::vector<BlobRecord>> read_blobs(db::Statement& select) {
  std::vector<BlobRecord> blobs;
  while (TRY(select.step())) {
    Digest diff_id = TRY(select.digest(0));
    Digest digest = TRY(select.digest(1));
    blobs.push_back({std::move(diff_id), std::move(digest), select.integer(2), select.text(3)});
  }
  return blobs;
}

Result<std::set<Digest>> read_digests(db::Statement& select) {
  std::set<Digest> digests;
  while (TRY(select.step())) {
    Digest digest = TRY(select.digest(0));
    digests.insert(std::move(digest));
  }
  return digests;
}

}  // namespace

Result<void> insert_manifest(db::Transaction& transaction, const Digest& image,
                             const ManifestRecord& manifest) {
  TRY(
      transaction.run("INSERT INTO image_manifests(image, digest, media_type) VALUES(?, ?, ?) "
                      "ON CONFLICT(image, digest) DO NOTHING",
                      image, manifest.digest, manifest.media_type));
  return {};
}

Result<std::vector<ManifestRecord>> manifests_of(db::Transaction& transaction, const Digest& image) {
  db::Statement select = TRY(
      transaction.prepare("SELECT digest, media_type FROM image_manifests WHERE image = ? ORDER BY digest"));
  TRY(select.bind(image));
  std::vector<ManifestRecord> manifests;
  while (TRY(select.step())) {
    Digest digest = TRY(select.digest(0));
    manifests.push_back({std::move(digest), select.text(1)});
  }
  return manifests;
}

Result<void> insert_blob(db::Transaction& transaction, const BlobRecord& blob) {
  TRY(
      transaction.run("INSERT INTO layer_blobs(diff_id, digest, size, media_type) VALUES(?, ?, ?, ?) "
                      "ON CONFLICT(diff_id, digest) DO UPDATE SET media_type = excluded.media_type",
                      blob.diff_id, blob.digest, blob.size, blob.media_type));
  return {};
}

Result<std::vector<BlobRecord>> blobs_of_layer(db::Transaction& transaction, const Digest& diff_id) {
  db::Statement select = TRY(transaction.prepare(
      "SELECT diff_id, digest, size, media_type FROM layer_blobs WHERE diff_id = ? ORDER BY digest"));
  TRY(select.bind(diff_id));
  return read_blobs(select);
}

Result<std::vector<BlobRecord>> blobs_of_image(db::Transaction& transaction, const Digest& image) {
  db::Statement select = TRY(transaction.prepare(
      "SELECT b.diff_id, b.digest, b.size, b.media_type FROM layer_blobs b "
      "JOIN image_layers l ON l.diff_id = b.diff_id WHERE l.image = ? ORDER BY b.digest"));
  TRY(select.bind(image));
  return read_blobs(select);
}

Result<void> insert_place(db::Transaction& transaction, const Digest& digest, const std::string& repository) {
  TRY(transaction.run("INSERT INTO blob_places(digest, repository) VALUES(?, ?) ON CONFLICT DO NOTHING",
                      digest, repository));
  return {};
}

Result<std::vector<std::string>> places_of(db::Transaction& transaction, const Digest& digest) {
  db::Statement select =
      TRY(transaction.prepare("SELECT repository FROM blob_places WHERE digest = ? ORDER BY repository"));
  TRY(select.bind(digest));
  std::vector<std::string> places;
  while (TRY(select.step())) places.push_back(select.text(0));
  return places;
}

Result<std::set<Digest>> needed_blobs(db::Transaction& transaction) {
  db::Statement select =
      TRY(transaction.prepare("SELECT digest FROM image_manifests UNION "
                              "SELECT digest FROM layer_blobs b WHERE EXISTS "
                              "(SELECT 1 FROM image_layers l WHERE l.diff_id = b.diff_id)"));
  return read_digests(select);
}

Result<std::set<Digest>> recorded_blobs(db::Transaction& transaction) {
  db::Statement select =
      TRY(transaction.prepare("SELECT digest FROM image_manifests UNION SELECT digest FROM layer_blobs"));
  return read_digests(select);
}

Result<void> delete_stale_transfers(db::Transaction& transaction) {
  TRY(transaction.run("DELETE FROM layer_blobs WHERE diff_id NOT IN (SELECT diff_id FROM image_layers)"));
  TRY(transaction.run("DELETE FROM blob_places WHERE digest NOT IN (SELECT digest FROM layer_blobs)"));
  return {};
}

}  // namespace berth::image
