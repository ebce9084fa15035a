// SPDX-License-Identifier: Apache-2.0
// `docker save`: one tar that is a docker-archive (manifest.json, repositories) and an OCI image layout
// (oci-layout, index.json, blobs/). The same images give the same bytes: entries are sorted, times are zero.
#include <algorithm>
#include <map>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/json.h"
#include "image/image_store.h"
#include "image/store_core.h"
#include "oci/manifest.h"

namespace berth::image {
namespace {

struct Saved {
  Digest id;
  std::string config_bytes;
  std::string config_type = std::string(oci::media_type::kConfig);
  std::vector<Digest> diff_ids;
  Lease lease = {};                        // empty: somebody else protects the layers
  std::vector<oci::Reference> names = {};  // under which it is saved; sorted
  std::vector<layers::Layer> layers = {};  // base first
  std::optional<Digest> manifest = {};
  std::size_t manifest_size = 0;
};

std::string blob_name(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

// A blob is text that was made here, or a layer.
struct Blob {
  std::string text;
  std::optional<layers::Layer> layer;
};

void add_name(Saved& saved, const oci::Reference& name) {
  auto at = std::ranges::lower_bound(saved.names, name);
  if (at == saved.names.end() || *at != name) saved.names.insert(at, name);
}

// Which images and names a client means by `names`, in the order in which it named them.
class Choice {
 public:
  explicit Choice(ImageStore& store) : store_(store) {}

  Result<void> add(const std::string& text) {
    Result<oci::Reference> parsed = oci::Reference::parse(text);
    if (parsed && parsed->name_only() && TRY(add_repository(*parsed))) return {};
    LeasedImage leased = TRY(store_.acquire(text));
    const bool by_id = leased.image.id.text().starts_with(text) || leased.image.id.hex().starts_with(text);
    Saved& saved = slot(std::move(leased));
    if (!by_id && parsed && parsed->tag() && !parsed->digest()) add_name(saved, *parsed);
    return {};
  }

  std::vector<Saved> take() && { return std::move(chosen_); }

 private:
  Saved& slot(LeasedImage leased) {
    auto known = std::ranges::find(chosen_, leased.image.id, [](const Saved& saved) { return saved.id; });
    if (known != chosen_.end()) return *known;
    Image& image = leased.image;
    return chosen_.emplace_back(Saved{.id = image.id,
                                      .config_bytes = std::move(image.config_bytes),
                                      .diff_ids = std::move(image.diff_ids),
                                      .lease = std::move(leased.lease)});
  }

  // A name without a tag stands for every tag of the repository; false if there is none.
  Result<bool> add_repository(const oci::Reference& repository) {
    std::vector<oci::Reference> tags = TRY(store_.tags_of_repository(repository));
    for (const oci::Reference& tag : tags) {
      LeasedImage leased = TRY(store_.acquire(tag.familiar()));
      add_name(slot(std::move(leased)), tag);
    }
    return !tags.empty();
  }

  ImageStore& store_;
  std::vector<Saved> chosen_;
};

class Writer {
 public:
  Writer(archive::Sink& out, layers::LayerStore& layers, std::stop_token stop)
      : tar_(out), layers_(layers), stop_(std::move(stop)) {}

  Result<void> add_directory(std::string name) {
    return tar_.add({.type = archive::TarType::directory, .name = std::move(name), .mode = 0755});
  }

  Result<void> add_text(std::string name, std::string_view text) {
    TRY(tar_.add({.name = std::move(name), .mode = 0644, .size = text.size()}));
    return tar_.write(text);
  }

  Result<void> add_layer(std::string name, const layers::Layer& layer) {
    TRY(tar_.add({.name = std::move(name), .mode = 0644, .size = layer.tar_size}));
    std::unique_ptr<archive::Source> tar = TRY(layers_.open_tar(layer.diff_id));
    archive::FunctionSink into([&](std::string_view data) -> Result<void> {
      if (stop_.stop_requested()) return fail(ErrorKind::cancelled, "the save was cancelled");
      return tar_.write(data);
    });
    std::uint64_t written = TRY(archive::copy_stream(*tar, into, layer.tar_size));
    if (written != layer.tar_size)
      return fail(ErrorKind::corrupt, "layer {} has {} bytes, not {}", layer.diff_id.text(), written,
                  layer.tar_size);
    return {};
  }

  Result<void> finish() { return tar_.finish(); }

 private:
  archive::TarWriter tar_;
  layers::LayerStore& layers_;
  std::stop_token stop_;
};

oci::Descriptor layer_descriptor(const layers::Layer& layer) {
  return {.media_type = std::string(oci::media_type::kLayer),
          .digest = layer.diff_id,
          .size = static_cast<std::int64_t>(layer.tar_size)};
}

std::string manifest_of(const Saved& saved) {
  oci::Manifest manifest{.media_type = std::string(oci::media_type::kManifest),
                         .config = {.media_type = saved.config_type,
                                    .digest = saved.id,
                                    .size = static_cast<std::int64_t>(saved.config_bytes.size())}};
  for (const layers::Layer& layer : saved.layers) manifest.layers.push_back(layer_descriptor(layer));
  return oci::format_manifest(manifest);
}

std::string index_of(const std::vector<Saved>& images) {
  oci::Index index{.media_type = std::string(oci::media_type::kIndex)};
  for (const Saved& saved : images) {
    oci::Descriptor descriptor{.media_type = std::string(oci::media_type::kManifest),
                               .digest = *saved.manifest,
                               .size = static_cast<std::int64_t>(saved.manifest_size)};
    if (saved.names.empty()) index.manifests.push_back(descriptor);
    for (const oci::Reference& name : saved.names) {
      descriptor.annotations = {{"io.containerd.image.name", name.text()},
                                {"org.opencontainers.image.ref.name", *name.tag()}};
      index.manifests.push_back(descriptor);
    }
  }
  return oci::format_index(index);
}

std::string docker_manifest_of(const std::vector<Saved>& images) {
  json::array list;
  for (const Saved& saved : images) {
    json::array tags, layers;
    for (const oci::Reference& name : saved.names) tags.push_back(json::string(name.familiar()));
    json::object sources;
    for (const layers::Layer& layer : saved.layers) {
      layers.push_back(json::string(blob_name(layer.diff_id)));
      sources[layer.diff_id.text()] = {
          {"mediaType", oci::media_type::kLayer}, {"size", layer.tar_size}, {"digest", layer.diff_id.text()}};
    }
    json::object entry{{"Config", blob_name(saved.id)}};
    entry["RepoTags"] = saved.names.empty() ? json::value(nullptr) : json::value(std::move(tags));
    entry["Layers"] = std::move(layers);
    entry["LayerSources"] = std::move(sources);
    list.push_back(std::move(entry));
  }
  return json::serialize(list);
}

std::string repositories_of(const std::vector<Saved>& images) {
  std::map<std::string, std::map<std::string, std::string>> repositories;
  for (const Saved& saved : images)
    for (const oci::Reference& name : saved.names)
      repositories[name.familiar_repository()][*name.tag()] =
          saved.layers.empty() ? saved.id.hex() : saved.layers.back().diff_id.hex();
  json::object object;
  for (const auto& [repository, tags] : repositories) object[repository] = to_json(tags);
  return json::serialize(object);
}

// The blobs by digest; fills in each image's manifest.
std::map<Digest, Blob> collect_blobs(std::vector<Saved>& images) {
  std::map<Digest, Blob> blobs;
  for (Saved& saved : images) {
    std::string manifest = manifest_of(saved);
    saved.manifest = sha256_of(manifest);
    saved.manifest_size = manifest.size();
    blobs[*saved.manifest] = {.text = std::move(manifest)};
    blobs[saved.id] = {.text = saved.config_bytes};
    for (const layers::Layer& layer : saved.layers) blobs[layer.diff_id] = {.layer = layer};
  }
  return blobs;
}

Result<void> look_up_layers(std::vector<Saved>& images, const layers::LayerStore& layers) {
  for (Saved& saved : images)
    for (const Digest& diff_id : saved.diff_ids) {
      layers::Layer layer = TRY_AS("save " + saved.id.text(), layers.get(diff_id));
      saved.layers.push_back(std::move(layer));
    }
  return {};
}

Result<void> write_archive(std::vector<Saved>& images, ArchiveForm form, layers::LayerStore& layers,
                           archive::Sink& out, std::stop_token stop) {
  const std::map<Digest, Blob> blobs = collect_blobs(images);
  Writer writer(out, layers, std::move(stop));
  TRY(writer.add_directory("blobs/"));
  TRY(writer.add_directory("blobs/sha256/"));
  for (const auto& [digest, blob] : blobs) {
    if (blob.layer) {
      TRY(writer.add_layer(blob_name(digest), *blob.layer));
    } else {
      TRY(writer.add_text(blob_name(digest), blob.text));
    }
  }
  TRY(writer.add_text("index.json", index_of(images)));
  const bool docker = form == ArchiveForm::docker_and_oci;
  if (docker) TRY(writer.add_text("manifest.json", docker_manifest_of(images)));
  TRY(writer.add_text("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  if (docker) TRY(writer.add_text("repositories", repositories_of(images)));
  TRY(writer.finish());
  return out.finish();
}

}  // namespace

Result<std::vector<oci::Reference>> ImageStore::tags_of_repository(const oci::Reference& name) const {
  db::Transaction transaction = TRY(core_->database().read());
  return tags_in_repository(transaction, name.repository());
}

Result<void> ImageStore::save(std::span<const std::string> names, archive::Sink& out, std::stop_token stop) {
  // Everything that can be refused is refused before the first byte goes out.
  if (names.empty()) return fail(ErrorKind::invalid, "no image to save was named");
  Choice choice(*this);
  for (const std::string& name : names) TRY(choice.add(name));
  std::vector<Saved> images = std::move(choice).take();
  TRY(look_up_layers(images, core_->layers()));
  TRY(write_archive(images, ArchiveForm::docker_and_oci, core_->layers(), out, std::move(stop)));
  for (const Saved& saved : images) core_->emit("save", saved.id);
  return {};
}

Result<Digest> ImageStore::save(const UnrecordedImage& image, ArchiveForm form, archive::Sink& out,
                                const std::function<void(const Digest&)>& on_manifest, std::stop_token stop) {
  std::vector<Saved> images;
  images.push_back({.id = sha256_of(image.config_bytes),
                    .config_bytes = image.config_bytes,
                    .config_type = image.config_type,
                    .diff_ids = image.diff_ids});
  for (const oci::Reference& name : image.names) add_name(images.front(), name);
  TRY(look_up_layers(images, core_->layers()));
  const Digest manifest = sha256_of(manifest_of(images.front()));
  if (on_manifest) on_manifest(manifest);
  TRY(write_archive(images, form, core_->layers(), out, std::move(stop)));
  return manifest;
}

}  // namespace berth::image
