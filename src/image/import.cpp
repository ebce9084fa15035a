// SPDX-License-Identifier: Apache-2.0
// New images from something that is no image yet: a file system as a tar, and a container's changes.
#include "archive/compression.h"
#include "archive/stream.h"
#include "base/text.h"
#include "dockerfile/config_changes.h"
#include "image/image_store.h"
#include "image/store_core.h"

namespace berth::image {
namespace {

// A tar has at least its two closing blocks: what is smaller has no entry.
constexpr std::uint64_t kEmptyTar = 1024;

Result<void> check_name(const std::optional<oci::Reference>& name) {
  if (name && name->digest())
    return fail(ErrorKind::invalid, "refusing to create a tag with a digest reference");
  return {};
}

// Fails where the input has no bytes at all: an upload that broke before it began is not an empty image.
class NotEmptySource final : public archive::Source {
 public:
  explicit NotEmptySource(archive::Source& inner) : inner_(inner) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    std::size_t count = TRY(inner_.read(buffer));
    if (count == 0 && !any_) return fail(ErrorKind::invalid, "the archive is empty");
    any_ = true;
    return count;
  }

 private:
  archive::Source& inner_;
  bool any_ = false;
};

Result<Digest> store_named(ImageStore::Core& core, const oci::ImageConfig& config,
                           const std::optional<Digest>& parent, const std::optional<oci::Reference>& name) {
  NewImage image{.config_bytes = oci::format_image_config(config), .parent = parent};
  if (name) image.names.push_back(name->with_default_tag());
  std::vector<StoredImage> stored = TRY(core.store({image}));
  if (name) core.emit("tag", stored[0].id, image.names[0].familiar());
  return stored[0].id;
}

// What the new image goes on from: the container's image, as far as it is still known.
Result<oci::ImageConfig> parent_config(db::Database& database, const CommitRequest& request,
                                       std::optional<Digest>& parent) {
  if (request.parent) {
    db::Transaction transaction = TRY(database.read());
    std::optional<ImageRecord> record = TRY(find_image(transaction, *request.parent));
    if (record) {
      parent = request.parent;
      return oci::parse_image_config(record->config_bytes);
    }
  }
  oci::ImageConfig config;
  config.platform = oci::host_platform();
  config.diff_ids = request.parent_diff_ids;
  // The history has a line for each layer, or none has a size.
  for (std::size_t i = 0; i < config.diff_ids.size(); ++i)
    config.history.push_back({.comment = "a layer of an image that was removed"});
  return config;
}

}  // namespace

Result<Digest> ImageStore::import(archive::Source& tar, const ImportRequest& request) {
  TRY(check_name(request.name));
  oci::ImageConfig config;
  TRY(dockerfile::apply_changes(config.config, request.changes));
  config.platform = request.platform ? oci::normalize(*request.platform) : oci::host_platform();
  config.comment = request.message;

  Adding adding(*this);
  NotEmptySource input(tar);
  std::unique_ptr<archive::Source> plain = TRY(archive::decompress(input));
  archive::ReadAhead ahead(*plain);
  layers::AddOptions options{.stop = request.stop};
  if (request.on_progress)
    options.progress = [&](std::uint64_t bytes) {
      request.on_progress({.current = static_cast<std::int64_t>(bytes)});
    };
  layers::Layer layer = TRY_AS("import", core_->layers().add(ahead, options));
  adding.added(layer.diff_id);

  config.created = now();
  config.diff_ids = {layer.diff_id};
  config.history = {{.created = config.created, .comment = request.message}};
  Digest id = TRY(store_named(*core_, config, std::nullopt, request.name));
  core_->emit("import", id);
  return id;
}

Result<Digest> ImageStore::commit(const CommitRequest& request) {
  TRY(check_name(request.name));
  Adding adding(*this);
  std::optional<Digest> parent;
  oci::ImageConfig config = TRY(parent_config(core_->database(), request, parent));
  config.config = request.config;
  TRY(dockerfile::apply_changes(config.config, request.changes));

  layers::Layer layer =
      TRY_AS("commit", core_->layers().add_from_upper(request.upper, {.stop = request.stop}));
  adding.added(layer.diff_id);
  bool empty = layer.tar_size <= kEmptyTar;
  if (!empty) config.diff_ids.push_back(layer.diff_id);

  config.created = now();
  config.author = request.author;
  config.comment = request.message;
  std::string created_by = request.created_by;
  if (created_by.empty() && request.config.cmd) created_by = join(*request.config.cmd, " ");
  config.history.push_back({.created = config.created,
                            .created_by = created_by,
                            .author = request.author,
                            .comment = request.message,
                            .empty_layer = empty});
  return store_named(*core_, config, parent, request.name);
}

}  // namespace berth::image
