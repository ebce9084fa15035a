// SPDX-License-Identifier: Apache-2.0
// The rows of this room: images, the layers they are made of, and their names. Free functions over an open
// transaction; whoever calls them decides what belongs together.
//
//   images        id, the config's bytes, what lists need of it (created, size), parent
//   image_layers  image, position, diffID, size: base first
//   image_names   the full name ("docker.io/library/bb:latest", "...@sha256:...") -> image
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "db/database.h"
#include "image/image.h"
#include "oci/reference.h"

namespace berth::image {

struct ImageRecord {
  Digest id;
  std::string config_bytes;
  Timestamp created;
  Timestamp last_tagged;
  std::int64_t size = 0;
  std::optional<Digest> parent;
};

struct LayerRecord {
  Digest diff_id;
  std::int64_t size = 0;
};

Result<std::optional<ImageRecord>> find_image(db::Transaction& transaction, const Digest& id);
Result<std::vector<ImageRecord>> all_images(db::Transaction& transaction);
Result<std::vector<oci::Reference>> names_of(db::Transaction& transaction, const Digest& id);  // sorted
Result<std::vector<oci::Reference>> tags_in_repository(db::Transaction& transaction,
                                                       const std::string& repository);
Result<std::optional<Digest>> image_of_name(db::Transaction& transaction, const oci::Reference& name);
Result<std::vector<LayerRecord>> layers_of(db::Transaction& transaction, const Digest& id);  // base first
Result<bool> layer_is_used(db::Transaction& transaction, const Digest& diff_id);
Result<bool> has_children(db::Transaction& transaction, const Digest& id);

// What a client means by `text`: see ImageStore::resolve.
Result<Digest> find_id(db::Transaction& transaction, std::string_view text);
// The whole of it.
Result<Image> read_image(db::Transaction& transaction, const Digest& id);

// Does nothing if the image is there already.
Result<void> insert_image(db::Transaction& transaction, const ImageRecord& record,
                          const std::vector<LayerRecord>& layers);
// Gives the name to this image; the result is another image that had it before.
Result<std::optional<Digest>> set_name(db::Transaction& transaction, const oci::Reference& name,
                                       const Digest& id);
Result<void> remove_name(db::Transaction& transaction, const oci::Reference& name);
Result<void> delete_image(db::Transaction& transaction, const Digest& id);  // its names must be gone

// Small facts about the whole store.
Result<std::string> read_setting(db::Transaction& transaction, std::string_view name);
Result<void> write_setting(db::Transaction& transaction, std::string_view name, std::string_view value);

std::unexpected<Error> no_such_image(std::string_view text);

}  // namespace berth::image
