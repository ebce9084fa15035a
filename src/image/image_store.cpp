// SPDX-License-Identifier: Apache-2.0
// Opening, looking up, naming, and the upkeep of layers. The larger operations have files of their own:
// listing, removal, import (and commit), load, save, check.
#include "image/image_store.h"

#include <fcntl.h>

#include "base/file.h"
#include "base/log.h"
#include "image/store_core.h"

namespace berth::image {
namespace {

// A download that was cut is worth keeping until its user has had a day to ask again.
constexpr std::chrono::hours kPartialLife(24);
constexpr std::string_view kKeepUnknownLayers = "keep-unknown-layers";

Result<void> empty_directory(const std::string& path) {
  TRY(make_directories(path, 0700));
  std::vector<std::string> names = TRY(list_directory(path));
  Fd directory = TRY(open_file(path, O_RDONLY | O_DIRECTORY));
  for (const std::string& name : names) TRY(remove_tree_at(directory.get(), name));
  return {};
}

// The sizes of the config's layers; all of them must be there.
Result<std::vector<LayerRecord>> layers_of_config(const layers::LayerStore& store,
                                                  const oci::ImageConfig& config) {
  std::vector<LayerRecord> records;
  for (const Digest& diff_id : config.diff_ids) {
    layers::Layer layer = TRY(store.get(diff_id));
    records.push_back({.diff_id = diff_id, .size = static_cast<std::int64_t>(layer.size)});
  }
  return records;
}

Result<void> complete_directories(layers::LayerStore& store, const std::vector<Digest>& diff_ids) {
  for (std::size_t count = 1; count < diff_ids.size(); ++count) {
    std::vector<Digest> lower(diff_ids.rend() - static_cast<std::ptrdiff_t>(count), diff_ids.rend());
    TRY(store.inherit_directories(diff_ids[count], lower));
  }
  return {};
}

Result<void> insert_transfers(db::Transaction& transaction, const Digest& id, const NewImage& image) {
  for (const ManifestRecord& manifest : image.manifests) TRY(insert_manifest(transaction, id, manifest));
  for (const BlobRecord& blob : image.blobs) {
    TRY(insert_blob(transaction, blob));
    TRY(insert_place(transaction, blob.digest, image.repository));
  }
  return {};
}

}  // namespace

// ---- Lease

Lease::Lease(std::unique_ptr<Held> held) : held_(std::move(held)) {}
Lease::Lease() noexcept = default;
Lease::Lease(Lease&& other) noexcept = default;
Lease& Lease::operator=(Lease&& other) noexcept {
  if (this != &other) {
    release();
    held_ = std::move(other.held_);
  }
  return *this;
}
Lease::~Lease() { release(); }

void Lease::release() noexcept {
  if (!held_) return;
  std::unique_ptr<Held> held = std::move(held_);
  ImageStore::Core& core = *held->core;
  std::lock_guard lock(core.mutex);
  bool orphaned = false;
  for (const Digest& diff_id : held->diff_ids) {
    auto entry = core.leased.find(diff_id);
    if (--entry->second == 0) core.leased.erase(entry);
    orphaned = orphaned || core.candidates.contains(diff_id);
  }
  if (orphaned) core.collect();
}

// ---- Core

void ImageStore::Core::emit(std::string action, const Digest& id, std::string name,
                            std::map<std::string, std::string> labels) const {
  if (!options.on_event) return;
  if (name.empty()) name = id.text();
  options.on_event(
      {.action = std::move(action), .id = id, .name = std::move(name), .labels = std::move(labels)});
}

Result<std::vector<StoredImage>> ImageStore::Core::store(const std::vector<NewImage>& images) {
  std::vector<std::pair<ImageRecord, std::vector<LayerRecord>>> records;
  for (const NewImage& image : images) {
    oci::ImageConfig config = TRY(oci::parse_image_config(image.config_bytes));
    std::vector<LayerRecord> layer_records = TRY(layers_of_config(layers(), config));
    TRY(complete_directories(layers(), config.diff_ids));
    ImageRecord record{.id = sha256_of(image.config_bytes),
                       .config_bytes = image.config_bytes,
                       .created = config.created,
                       .parent = image.parent};
    for (const LayerRecord& layer : layer_records) record.size += layer.size;
    records.emplace_back(std::move(record), std::move(layer_records));
  }
  std::vector<StoredImage> stored;
  db::Transaction transaction = TRY(database().begin(Durability::durable));
  for (std::size_t i = 0; i < images.size(); ++i) {
    const ImageRecord& record = records[i].first;
    TRY(insert_image(transaction, record, records[i].second));
    StoredImage& result = stored.emplace_back(StoredImage{.id = record.id, .moved = {}});
    for (const oci::Reference& name : images[i].names) {
      std::optional<Digest> before = TRY(set_name(transaction, name, record.id));
      if (before) result.moved.emplace_back(name.familiar(), *before);
    }
    TRY(insert_transfers(transaction, record.id, images[i]));
  }
  TRY(transaction.commit());
  return stored;
}

void ImageStore::Core::begin_adding() {
  std::lock_guard lock(mutex);
  ++adding;
}

void ImageStore::Core::end_adding(const std::vector<Digest>& added) {
  std::lock_guard lock(mutex);
  candidates.insert(added.begin(), added.end());
  if (--adding == 0) collect();
}

void ImageStore::Core::hold(const std::vector<Digest>& diff_ids) {
  for (const Digest& diff_id : diff_ids) ++leased[diff_id];
}

std::int64_t ImageStore::Core::collect() {
  if (adding > 0 || candidates.empty()) return 0;
  std::vector<Digest> garbage;
  {
    Result<db::Transaction> transaction = database().read();
    if (!transaction) return 0;  // they stay candidates
    for (auto candidate = candidates.begin(); candidate != candidates.end();) {
      Result<bool> used = layer_is_used(*transaction, *candidate);
      if (!used) return 0;
      if (!*used && !leased.contains(*candidate)) garbage.push_back(*candidate);
      candidate = *used ? candidates.erase(candidate) : std::next(candidate);
    }
  }
  std::int64_t freed = 0;
  for (const Digest& diff_id : garbage) {
    Result<layers::Layer> layer = layers().get(diff_id);
    Result<void> removed = layers().remove(diff_id);
    if (!removed) {
      log_warning("image", "layer {} stays for now: {}", diff_id.text(), removed.error().message);
      continue;
    }
    candidates.erase(diff_id);
    if (layer) freed += static_cast<std::int64_t>(layer->size);
  }
  return freed;
}

void ImageStore::Core::collect_blobs(bool everything) {
  if (!options.blobs) return;
  std::lock_guard lock(mutex);
  if (adding > 0) return;  // the next sweep has them
  auto collect_them = [&]() -> Result<void> {
    std::set<Digest> recorded, needed;
    {
      db::Transaction transaction = TRY(database().read());
      recorded = TRY(recorded_blobs(transaction));
      needed = TRY(needed_blobs(transaction));
    }
    std::vector<content::BlobInfo> all = TRY(options.blobs->list());
    const std::int64_t young = (now().nanoseconds - std::chrono::nanoseconds(kPartialLife).count());
    for (const content::BlobInfo& blob : all) {
      if (needed.contains(blob.digest)) continue;
      if (everything || recorded.contains(blob.digest) || blob.committed_at.nanoseconds < young)
        TRY(options.blobs->remove(blob.digest));
    }
    if (recorded.size() == needed.size()) return {};
    db::Transaction transaction = TRY(database().begin(Durability::visible));
    TRY(delete_stale_transfers(transaction));
    return transaction.commit();
  };
  if (Result<void> collected = collect_them(); !collected)
    log_warning("image", "blobs that nothing needs stay for now: {}", collected.error().message);
}

Result<bool> ImageStore::Core::keeps_unknown_layers() const {
  db::Transaction transaction = TRY(database().read());
  std::string value = TRY(read_setting(transaction, kKeepUnknownLayers));
  return value == "yes";
}

Result<void> ImageStore::Core::set_keep_unknown_layers(bool keep) const {
  if (TRY(keeps_unknown_layers()) == keep) return {};
  db::Transaction transaction = TRY(database().begin(Durability::durable));
  TRY(write_setting(transaction, kKeepUnknownLayers, keep ? "yes" : "no"));
  return transaction.commit();
}

Result<std::int64_t> ImageStore::Core::collect_unknown() {
  std::lock_guard lock(mutex);
  std::vector<layers::Layer> all = TRY(layers().list());
  for (const layers::Layer& layer : all) candidates.insert(layer.diff_id);
  return collect();
}

// ---- ImageStore

ImageStore::ImageStore(std::shared_ptr<Core> core) : core_(std::move(core)) {}
ImageStore::~ImageStore() = default;

Result<std::unique_ptr<ImageStore>> ImageStore::open(StoreOptions options) {
  TRY(empty_directory(options.staging));
  auto core = std::make_shared<Core>(std::move(options));
  if (!core->database().set_aside().empty()) TRY(core->set_keep_unknown_layers(true));
  return std::unique_ptr<ImageStore>(new ImageStore(std::move(core)));
}

Result<Digest> ImageStore::resolve_id(std::string_view text) const {
  db::Transaction transaction = TRY(core_->database().read());
  return find_id(transaction, text);
}

Result<Image> ImageStore::resolve(std::string_view text) const {
  db::Transaction transaction = TRY(core_->database().read());
  Digest id = TRY(find_id(transaction, text));
  return read_image(transaction, id);
}

Result<Image> ImageStore::get(const Digest& id) const {
  db::Transaction transaction = TRY(core_->database().read());
  return read_image(transaction, id);
}

Result<LeasedImage> ImageStore::acquire(std::string_view text) {
  std::lock_guard lock(core_->mutex);
  Image image = TRY(resolve(text));
  core_->hold(image.diff_ids);
  auto held = std::make_unique<Lease::Held>(Lease::Held{core_, image.diff_ids});
  return LeasedImage{std::move(image), Lease(std::move(held))};
}

Lease ImageStore::lease(const std::vector<Digest>& diff_ids) {
  std::lock_guard lock(core_->mutex);
  core_->hold(diff_ids);
  return Lease(std::make_unique<Lease::Held>(Lease::Held{core_, diff_ids}));
}

Result<void> ImageStore::tag(std::string_view source, const oci::Reference& name) {
  if (name.digest()) return fail(ErrorKind::invalid, "refusing to create a tag with a digest reference");
  oci::Reference tagged = name.with_default_tag();
  db::Transaction transaction = TRY(core_->database().begin(Durability::durable));
  Digest id = TRY(find_id(transaction, source));
  TRY(set_name(transaction, tagged, id));
  TRY(transaction.commit());
  core_->emit("tag", id, tagged.familiar());
  return {};
}

Result<Digest> ImageStore::create(const CreateRequest& request) {
  for (const oci::Reference& name : request.names)
    if (name.name_only())
      return fail(ErrorKind::invalid, "the name {} has neither tag nor digest", name.familiar());
  std::vector<StoredImage> stored = TRY(core_->store(
      {{.config_bytes = request.config_bytes, .parent = request.parent, .names = request.names}}));
  for (const oci::Reference& name : request.names)
    if (name.tag()) core_->emit("tag", stored[0].id, name.familiar());
  return stored[0].id;
}

ImageStore::Adding::Adding(ImageStore& store) : store_(store) { store_.core_->begin_adding(); }
ImageStore::Adding::~Adding() { store_.core_->end_adding(added_); }

Result<std::int64_t> ImageStore::sweep() {
  if (TRY(core_->keeps_unknown_layers())) {
    log_warning("image",
                "layers without an image are kept, since the database was replaced; prune removes them");
    return 0;
  }
  Result<std::int64_t> freed = core_->collect_unknown();
  if (core_->options.blobs) {
    if (Result<std::size_t> swept = core_->options.blobs->sweep_ingests(kPartialLife); !swept)
      log_warning("image", "old partial downloads stay: {}", swept.error().message);
    core_->collect_blobs();
  }
  return freed;
}

}  // namespace berth::image
