// SPDX-License-Identifier: Apache-2.0
// Records against what is on the disk, for `system check`.
#include <map>
#include <set>

#include "base/text.h"
#include "image/image_store.h"
#include "image/store_core.h"

namespace berth::image {
namespace {

struct Checked {
  ImageRecord record;
  std::string name;
  std::vector<LayerRecord> layers;
};

Result<std::vector<Checked>> images_to_check(db::Database& database) {
  db::Transaction transaction = TRY(database.read());
  std::vector<ImageRecord> records = TRY(all_images(transaction));
  std::vector<Checked> images;
  for (ImageRecord& record : records) {
    std::vector<oci::Reference> names = TRY(names_of(transaction, record.id));
    std::vector<LayerRecord> layers = TRY(layers_of(transaction, record.id));
    std::string name = names.empty() ? record.id.text() : names.front().familiar();
    images.push_back({std::move(record), std::move(name), std::move(layers)});
  }
  return images;
}

std::optional<std::string> fault_of_config(const Checked& image) {
  if (sha256_of(image.record.config_bytes) != image.record.id)
    return "the config does not match the image's id";
  Result<oci::ImageConfig> config = oci::parse_image_config(image.record.config_bytes);
  if (!config) return config.error().message;
  std::vector<Digest> diff_ids;
  for (const LayerRecord& layer : image.layers) diff_ids.push_back(layer.diff_id);
  if (diff_ids != config->diff_ids) return "the layers on record are not those of the config";
  return std::nullopt;
}

// One check of a store, part by part.
class Checker {
 public:
  Checker(ImageStore::Core& core, const ImageStore::CheckOptions& options) : core_(core), options_(options) {}

  Result<std::vector<Finding>> run() {
    TRY(check_database());
    std::vector<Checked> images = TRY(images_to_check(core_.database()));
    for (const Checked& image : images) TRY(check_image(image));
    TRY(check_blobs());
    TRY(find_unused());
    return std::move(findings_);
  }

 private:
  Result<void> check_database() {
    std::string database = TRY(core_.database().check());
    for (std::string_view line : split(database, '\n'))
      if (!line.empty()) findings_.push_back({.kind = Finding::Kind::database, .text = std::string(line)});
    return {};
  }

  Result<void> check_image(const Checked& image) {
    if (std::optional<std::string> fault = fault_of_config(image))
      findings_.push_back({Finding::Kind::damaged_config, image.name, std::nullopt,
                           fmt::format("image {} is damaged: {}", image.name, *fault)});
    for (const LayerRecord& layer : image.layers) TRY(check_layer(image, layer.diff_id));
    return {};
  }

  Result<void> check_layer(const Checked& image, const Digest& diff_id) {
    used_.insert(diff_id);
    auto [fault, is_new] = faults_.try_emplace(diff_id);
    if (fault->second.empty() && !core_.layers().has(diff_id)) {
      const bool fetchable = TRY(can_be_fetched(diff_id));
      findings_.push_back({Finding::Kind::missing_layer, image.name, diff_id,
                           fmt::format("image {} lacks its layer {}{}", image.name, diff_id.text(),
                                       fetchable ? "; pull the image to have it again" : "")});
      return {};
    }
    if (is_new && options_.read_contents) {
      Result<void> sound = core_.layers().verify(diff_id);
      if (!sound) {
        const std::string outcome = TRY(set_aside_layer(diff_id));
        fault->second = sound.error().message + outcome;
      }
    }
    if (!fault->second.empty())
      findings_.push_back(
          {Finding::Kind::damaged_layer, image.name, diff_id,
           fmt::format("layer {} of image {} is damaged: {}", diff_id.text(), image.name, fault->second)});
    return {};
  }

  Result<bool> can_be_fetched(const Digest& diff_id) {
    db::Transaction transaction = TRY(core_.database().read());
    std::vector<BlobRecord> blobs = TRY(blobs_of_layer(transaction, diff_id));
    for (const BlobRecord& blob : blobs) {
      std::vector<std::string> places = TRY(places_of(transaction, blob.digest));
      if (!places.empty()) return true;
    }
    return false;
  }

  // What became of it, as the end of a sentence.
  Result<std::string> set_aside_layer(const Digest& diff_id) {
    if (!TRY(can_be_fetched(diff_id))) return std::string("; no registry is known to have it");
    if (!options_.set_aside) return std::string("; it can be set aside and pulled again");
    std::lock_guard lock(core_.mutex);
    if (core_.leased.contains(diff_id)) return std::string("; a container uses it: remove that first");
    TRY(core_.layers().remove(diff_id));
    return std::string("; it was removed: pull the image to have it again");
  }

  Result<void> check_blobs() {
    content::BlobStore* blobs = core_.options.blobs;
    if (!blobs) return {};
    std::vector<content::BlobInfo> all = TRY(blobs->list());
    for (const content::BlobInfo& blob : all) {
      if (!options_.read_contents) continue;
      Result<void> sound = blobs->verify(blob.digest);
      if (sound) continue;
      if (sound.error().kind == ErrorKind::not_found) continue;  // collected meanwhile
      std::string text = fmt::format("blob {} is damaged: {}", blob.digest.text(), sound.error().message);
      if (options_.set_aside) {
        TRY(blobs->set_aside(blob.digest));
        text += "; it was set aside";
      }
      findings_.push_back({Finding::Kind::damaged_blob, "", blob.digest, std::move(text)});
    }
    return {};
  }

  Result<void> find_unused() {
    std::vector<layers::Layer> all = TRY(core_.layers().list());
    std::lock_guard lock(core_.mutex);
    if (core_.adding > 0) return {};  // their images are on their way
    for (const layers::Layer& layer : all)
      if (!used_.contains(layer.diff_id) && !core_.leased.contains(layer.diff_id))
        findings_.push_back({Finding::Kind::unused_layer, "", layer.diff_id,
                             fmt::format("no image and no container uses layer {} ({} bytes)",
                                         layer.diff_id.text(), layer.size)});
    return {};
  }

  ImageStore::Core& core_;
  const ImageStore::CheckOptions& options_;
  std::vector<Finding> findings_;
  std::map<Digest, std::string> faults_;  // of layers read so far; empty: sound
  std::set<Digest> used_;
};

}  // namespace

Result<std::vector<Finding>> ImageStore::check(const CheckOptions& options) const {
  Checker checker(*core_, options);
  return checker.run();
}

}  // namespace berth::image
