// SPDX-License-Identifier: Apache-2.0
#include "image/records.h"

#include <algorithm>

#include "image/image_store.h"

namespace berth::image {
namespace {

constexpr const char* kFirstSchema = R"(
CREATE TABLE images(
  id TEXT NOT NULL PRIMARY KEY,
  config BLOB NOT NULL,
  created INTEGER NOT NULL,
  last_tagged INTEGER NOT NULL DEFAULT 0,
  size INTEGER NOT NULL,
  parent TEXT
);
CREATE INDEX images_by_parent ON images(parent) WHERE parent IS NOT NULL;
CREATE TABLE image_layers(
  image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
  position INTEGER NOT NULL,
  diff_id TEXT NOT NULL,
  size INTEGER NOT NULL,
  PRIMARY KEY(image, position)
) WITHOUT ROWID;
CREATE INDEX image_layers_by_diff_id ON image_layers(diff_id);
CREATE TABLE image_names(
  name TEXT NOT NULL PRIMARY KEY,
  repository TEXT NOT NULL,
  image TEXT NOT NULL REFERENCES images(id)
) WITHOUT ROWID;
CREATE INDEX image_names_by_image ON image_names(image);
CREATE INDEX image_names_by_repository ON image_names(repository);
CREATE TABLE image_settings(name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
)";

// What registries know of our images. Blobs are in content/; a row of layer_blobs also stands for one that is
// not kept here: then it says under which digest registries know the layer.
constexpr const char* kTransferSchema = R"(
CREATE TABLE image_manifests(
  image TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
  digest TEXT NOT NULL,
  media_type TEXT NOT NULL,
  PRIMARY KEY(image, digest)
) WITHOUT ROWID;
CREATE TABLE layer_blobs(
  diff_id TEXT NOT NULL,
  digest TEXT NOT NULL,
  size INTEGER NOT NULL,
  media_type TEXT NOT NULL,
  PRIMARY KEY(diff_id, digest)
) WITHOUT ROWID;
CREATE INDEX layer_blobs_by_digest ON layer_blobs(digest);
CREATE TABLE blob_places(
  digest TEXT NOT NULL,
  repository TEXT NOT NULL,
  PRIMARY KEY(digest, repository)
) WITHOUT ROWID;
)";

constexpr std::string_view kImageColumns =
    "SELECT id, config, created, last_tagged, size, parent FROM images";

Result<ImageRecord> read_record(const db::Statement& row) {
  Digest id = TRY(row.digest(0));
  ImageRecord record{.id = std::move(id),
                     .config_bytes = row.blob(1),
                     .created = {row.integer(2)},
                     .last_tagged = {row.integer(3)},
                     .size = row.integer(4)};
  if (!row.is_null(5)) record.parent = TRY(row.digest(5));
  return record;
}

Result<std::vector<oci::Reference>> read_names(db::Statement& select) {
  std::vector<oci::Reference> names;
  while (TRY(select.step())) {
    oci::Reference name = TRY_AS("a name on record", oci::Reference::parse(select.text(0)));
    names.push_back(std::move(name));
  }
  return names;
}

bool is_hex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::optional<Digest>> find_by_prefix(db::Transaction& transaction, std::string_view text) {
  std::string_view prefix = text;
  if (prefix.starts_with("sha256:")) prefix.remove_prefix(7);
  if (!is_hex(prefix) || prefix.size() > 64) return std::nullopt;
  std::string low = "sha256:" + std::string(prefix);
  db::Statement select = TRY(transaction.prepare("SELECT id FROM images WHERE id >= ? AND id < ? LIMIT 2"));
  TRY(select.bind(low, low + "g"));  // "g" follows every hex digit
  if (!TRY(select.step())) return std::nullopt;
  Digest id = TRY(select.digest(0));
  if (TRY(select.step()))
    return fail(ErrorKind::invalid, "multiple images have ids that begin with {}; give more digits", text);
  return id;
}

}  // namespace

std::vector<db::Migration> migrations() {
  return {{.room = "image", .version = 1, .sql = kFirstSchema},
          {.room = "image", .version = 2, .sql = kTransferSchema}};
}

std::unexpected<Error> no_such_image(std::string_view text) {
  return fail(ErrorKind::not_found, "No such image: {}", text);
}

Result<std::optional<ImageRecord>> find_image(db::Transaction& transaction, const Digest& id) {
  db::Statement select = TRY(transaction.prepare(std::string(kImageColumns) + " WHERE id = ?"));
  TRY(select.bind(id));
  if (!TRY(select.step())) return std::nullopt;
  ImageRecord record = TRY(read_record(select));
  return record;
}

Result<std::vector<ImageRecord>> all_images(db::Transaction& transaction) {
  db::Statement select = TRY(transaction.prepare(std::string(kImageColumns) + " ORDER BY created DESC, id"));
  std::vector<ImageRecord> records;
  while (TRY(select.step())) {
    ImageRecord record = TRY(read_record(select));
    records.push_back(std::move(record));
  }
  return records;
}

Result<std::vector<oci::Reference>> names_of(db::Transaction& transaction, const Digest& id) {
  db::Statement select =
      TRY(transaction.prepare("SELECT name FROM image_names WHERE image = ? ORDER BY name"));
  TRY(select.bind(id));
  return read_names(select);
}

Result<std::vector<oci::Reference>> tags_in_repository(db::Transaction& transaction,
                                                       const std::string& repository) {
  db::Statement select =
      TRY(transaction.prepare("SELECT name FROM image_names WHERE repository = ? ORDER BY name"));
  TRY(select.bind(repository));
  std::vector<oci::Reference> names = TRY(read_names(select));
  std::erase_if(names, [](const oci::Reference& name) { return !name.tag(); });
  return names;
}

Result<std::optional<Digest>> image_of_name(db::Transaction& transaction, const oci::Reference& name) {
  // With both a tag and a digest the digest decides.
  std::string text = name.digest() ? name.with_digest(*name.digest()).text() : name.text();
  db::Statement select = TRY(transaction.prepare("SELECT image FROM image_names WHERE name = ?"));
  TRY(select.bind(text));
  if (!TRY(select.step())) return std::nullopt;
  Digest id = TRY(select.digest(0));
  return id;
}

Result<std::vector<LayerRecord>> layers_of(db::Transaction& transaction, const Digest& id) {
  db::Statement select =
      TRY(transaction.prepare("SELECT diff_id, size FROM image_layers WHERE image = ? ORDER BY position"));
  TRY(select.bind(id));
  std::vector<LayerRecord> layers;
  while (TRY(select.step())) {
    Digest diff_id = TRY(select.digest(0));
    layers.push_back({.diff_id = std::move(diff_id), .size = select.integer(1)});
  }
  return layers;
}

Result<bool> layer_is_used(db::Transaction& transaction, const Digest& diff_id) {
  db::Statement select = TRY(transaction.prepare("SELECT 1 FROM image_layers WHERE diff_id = ? LIMIT 1"));
  TRY(select.bind(diff_id));
  return select.step();
}

Result<bool> has_children(db::Transaction& transaction, const Digest& id) {
  db::Statement select = TRY(transaction.prepare("SELECT 1 FROM images WHERE parent = ? LIMIT 1"));
  TRY(select.bind(id));
  return select.step();
}

Result<Digest> find_id(db::Transaction& transaction, std::string_view text) {
  bool whole_id = is_hex(text) && text.size() == 64;
  Result<Digest> digest = Digest::parse(whole_id ? "sha256:" + std::string(text) : std::string(text));
  if (digest) {
    if (TRY(find_image(transaction, *digest))) return *digest;
    return no_such_image(digest->text());
  }
  oci::Reference name = TRY(oci::Reference::parse_with_default_tag(text));
  std::optional<Digest> id = TRY(image_of_name(transaction, name));
  if (!id) id = TRY(find_by_prefix(transaction, text));
  if (!id) return no_such_image(name.familiar());
  return *id;
}

Result<Image> read_image(db::Transaction& transaction, const Digest& id) {
  std::optional<ImageRecord> record = TRY(find_image(transaction, id));
  if (!record) return no_such_image(id.text());
  oci::ImageConfig config = TRY_AS("image " + id.text(), oci::parse_image_config(record->config_bytes));
  std::vector<oci::Reference> names = TRY(names_of(transaction, id));
  Image image{.id = id, .config_bytes = std::move(record->config_bytes)};
  for (const oci::Reference& name : names)
    (name.digest() ? image.digests : image.tags).push_back(name.familiar());
  std::ranges::sort(image.tags);
  std::ranges::sort(image.digests);
  image.diff_ids = config.diff_ids;
  image.created = config.created;
  image.author = config.author;
  image.comment = config.comment;
  if (image.comment.empty() && !config.history.empty()) image.comment = config.history.back().comment;
  image.last_tagged = record->last_tagged;
  image.size = record->size;
  image.parent = std::move(record->parent);
  image.config = std::move(config);
  return image;
}

Result<void> insert_image(db::Transaction& transaction, const ImageRecord& record,
                          const std::vector<LayerRecord>& layers) {
  std::int64_t inserted = TRY(transaction.run(
      "INSERT INTO images(id, config, created, last_tagged, size, parent) VALUES(?, ?, ?, ?, ?, ?) "
      "ON CONFLICT(id) DO NOTHING",
      record.id, db::Statement::Blob{record.config_bytes}, record.created.nanoseconds,
      record.last_tagged.nanoseconds, record.size, record.parent));
  if (inserted == 0) return {};
  std::int64_t position = 0;
  for (const LayerRecord& layer : layers)
    TRY(transaction.run("INSERT INTO image_layers(image, position, diff_id, size) VALUES(?, ?, ?, ?)",
                        record.id, position++, layer.diff_id, layer.size));
  return {};
}

Result<std::optional<Digest>> set_name(db::Transaction& transaction, const oci::Reference& name,
                                       const Digest& id) {
  std::optional<Digest> before = TRY(image_of_name(transaction, name));
  if (before == id) return std::nullopt;
  TRY(
      transaction.run("INSERT INTO image_names(name, repository, image) VALUES(?, ?, ?) "
                      "ON CONFLICT(name) DO UPDATE SET image = excluded.image",
                      name.text(), name.repository(), id));
  TRY(transaction.run("UPDATE images SET last_tagged = ? WHERE id = ?", now().nanoseconds, id));
  return before;
}

Result<void> remove_name(db::Transaction& transaction, const oci::Reference& name) {
  TRY(transaction.run("DELETE FROM image_names WHERE name = ?", name.text()));
  return {};
}

Result<void> delete_image(db::Transaction& transaction, const Digest& id) {
  TRY(transaction.run("DELETE FROM images WHERE id = ?", id));
  return {};
}

Result<std::string> read_setting(db::Transaction& transaction, std::string_view name) {
  db::Statement select = TRY(transaction.prepare("SELECT value FROM image_settings WHERE name = ?"));
  TRY(select.bind(name));
  if (!TRY(select.step())) return std::string();
  return select.text(0);
}

Result<void> write_setting(db::Transaction& transaction, std::string_view name, std::string_view value) {
  TRY(
      transaction.run("INSERT INTO image_settings(name, value) VALUES(?, ?) "
                      "ON CONFLICT(name) DO UPDATE SET value = excluded.value",
                      name, value));
  return {};
}

}  // namespace berth::image
