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

}  // namespace

Result<std::vector<Finding>> ImageStore::check(bool read_layers) const {
  std::vector<Finding> findings;
  std::string database = TRY(core_->database().check());
  for (std::string_view line : split(database, '\n'))
    if (!line.empty()) findings.push_back({.kind = Finding::Kind::database, .text = std::string(line)});

  std::vector<Checked> images = TRY(images_to_check(core_->database()));
  std::map<Digest, std::string> faults;  // of layers read so far; empty: sound
  std::set<Digest> used;
  for (const Checked& image : images) {
    if (std::optional<std::string> fault = fault_of_config(image))
      findings.push_back({Finding::Kind::damaged_config, image.name, std::nullopt,
                          fmt::format("image {} is damaged: {}", image.name, *fault)});
    for (const LayerRecord& layer : image.layers) {
      used.insert(layer.diff_id);
      if (!core_->layers().has(layer.diff_id)) {
        findings.push_back({Finding::Kind::missing_layer, image.name, layer.diff_id,
                            fmt::format("image {} lacks its layer {}", image.name, layer.diff_id.text())});
        continue;
      }
      auto [fault, is_new] = faults.try_emplace(layer.diff_id);
      if (is_new && read_layers) {
        Result<void> sound = core_->layers().verify(layer.diff_id);
        if (!sound) fault->second = sound.error().message;
      }
      if (!fault->second.empty())
        findings.push_back({Finding::Kind::damaged_layer, image.name, layer.diff_id,
                            fmt::format("layer {} of image {} is damaged: {}", layer.diff_id.text(),
                                        image.name, fault->second)});
    }
  }

  std::vector<layers::Layer> all = TRY(core_->layers().list());
  std::lock_guard lock(core_->mutex);
  for (const layers::Layer& layer : all)
    if (!used.contains(layer.diff_id) && !core_->leased.contains(layer.diff_id))
      findings.push_back({Finding::Kind::unused_layer, "", layer.diff_id,
                          fmt::format("no image and no container uses layer {} ({} bytes)",
                                      layer.diff_id.text(), layer.size)});
  return findings;
}

}  // namespace berth::image
