// SPDX-License-Identifier: Apache-2.0
// `docker load`: which images an archive holds, and what they are made of. Two layouts are read: Docker's
// (manifest.json) and OCI's (image-layout.md: index.json); an archive with both is read as Docker's.
#include <algorithm>
#include <set>

#include "archive/stream.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "image/image_store.h"
#include "image/platform_choice.h"
#include "image/staging.h"
#include "image/store_core.h"
#include "oci/manifest.h"

namespace berth::image {
namespace {

constexpr std::size_t kImages = 1000;   // of one archive
constexpr std::size_t kNames = 10'000;  // of all its images
constexpr int kIndexDepth = 4;
constexpr std::string_view kFullName = "io.containerd.image.name";
constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";

struct LayerSource {
  std::string name;            // of the entry
  std::optional<Digest> blob;  // what its bytes must be
};

// One image of the archive, before its layers were looked at.
struct Found {
  std::string config_bytes;
  std::vector<LayerSource> layers;
  std::vector<oci::Reference> names;
};

std::string blob_name(const Digest& digest) { return "blobs/sha256/" + digest.hex(); }

// "blobs/sha256/<hex>", "<hex>.json": what such a name promises.
std::optional<Digest> digest_in_name(std::string_view name) {
  std::string_view last = name.substr(name.rfind('/') + 1);
  if (last.ends_with(".json")) last.remove_suffix(5);
  Result<Digest> digest = Digest::parse("sha256:" + std::string(last));
  return digest ? std::optional(*digest) : std::nullopt;
}

Result<oci::Reference> parse_loaded_name(std::string_view text) {
  oci::Reference name =
      TRY_AS(fmt::format("the name \"{}\" in the archive", text.substr(0, 200)), oci::Reference::parse(text));
  if (!name.tag() || name.digest())
    return fail(ErrorKind::invalid, "invalid tag \"{}\" in the archive", text.substr(0, 200));
  return name;
}

// ---- manifest.json

Result<Found> read_docker_image(const Staging& staging, const std::string& config_name,
                                const std::vector<std::string>& layers,
                                const std::vector<std::string>& tags) {
  Found found;
  found.config_bytes = TRY(staging.document(config_name, oci::kDocumentLimit));
  if (std::optional<Digest> promised = digest_in_name(config_name))
    TRY(staging.verify(config_name, *promised));
  for (const std::string& layer : layers) {
    bool blob = layer.starts_with("blobs/sha256/");
    found.layers.push_back({.name = layer, .blob = blob ? digest_in_name(layer) : std::nullopt});
  }
  for (const std::string& tag : tags) {
    oci::Reference name = TRY(parse_loaded_name(tag));
    found.names.push_back(std::move(name));
  }
  return found;
}

Result<std::vector<Found>> read_docker_archive(const Staging& staging) {
  std::string text = TRY(staging.document("manifest.json", oci::kDocumentLimit));
  json::value document = TRY(parse_json(text, "manifest.json"));
  if (!document.is_array()) return fail(ErrorKind::invalid, "manifest.json is not a list");
  if (document.get_array().size() > kImages)
    return fail(ErrorKind::invalid, "manifest.json lists more than {} images", kImages);
  std::vector<Found> images;
  for (const json::value& item : document.get_array()) {
    ObjectReader in(item, "manifest.json");
    std::string config;
    std::vector<std::string> tags, layers;
    in.read("Config", config);
    in.read("RepoTags", tags);
    in.read("Layers", layers);
    TRY(in.finish());
    Found found = TRY(read_docker_image(staging, config, layers, tags));
    images.push_back(std::move(found));
  }
  return images;
}

// ---- index.json

// The name that an index gives to one of its entries. A ref.name alone may be only a tag ("1.0"): then nobody
// knows the repository, and the image is loaded without a name.
std::optional<oci::Reference> name_of(const oci::Descriptor& descriptor) {
  for (std::string_view key : {kFullName, kRefName}) {
    auto annotation = descriptor.annotations.find(std::string(key));
    if (annotation == descriptor.annotations.end()) continue;
    const std::string& text = annotation->second;
    if (key == kRefName && text.find_first_of(":/") == std::string::npos) continue;
    Result<oci::Reference> name = oci::Reference::parse_with_default_tag(text);
    if (name && name->tag() && !name->digest()) return *name;
  }
  return std::nullopt;
}

Result<std::string> read_blob(const Staging& staging, const oci::Descriptor& descriptor) {
  std::string name = blob_name(descriptor.digest);
  TRY(staging.verify(name, descriptor.digest, descriptor.size));
  return staging.document(name, oci::kDocumentLimit);
}

class LayoutReader {
 public:
  LayoutReader(const Staging& staging, oci::Platform wanted)
      : staging_(staging), wanted_(std::move(wanted)) {}

  Result<std::vector<Found>> read() {
    std::string text = TRY(staging_.document("index.json", oci::kDocumentLimit));
    oci::Index index = TRY(oci::parse_index(text));
    // Entries with one name are the platforms of one image.
    std::map<std::string, std::vector<const oci::Descriptor*>> groups;
    for (const oci::Descriptor& descriptor : index.manifests) {
      if (is_attestation(descriptor)) continue;
      std::optional<oci::Reference> name = name_of(descriptor);
      groups[name ? name->text() : descriptor.digest.text()].push_back(&descriptor);
    }
    for (const auto& [key, group] : groups) TRY(read_group(group));
    return std::move(images_);
  }

 private:
  Result<void> read_group(const std::vector<const oci::Descriptor*>& group) {
    const oci::Descriptor* descriptor = group.size() == 1 ? group.front() : choose_platform(group, wanted_);
    if (!descriptor)
      return fail(ErrorKind::not_found, "the archive has no image for {}", oci::format_platform(wanted_));
    std::vector<oci::Reference> names;
    if (std::optional<oci::Reference> name = name_of(*descriptor)) names.push_back(std::move(*name));
    return read_descriptor(*descriptor, names, 0);
  }

  Result<void> read_descriptor(const oci::Descriptor& descriptor, const std::vector<oci::Reference>& names,
                               int depth) {
    if (depth > kIndexDepth) return fail(ErrorKind::invalid, "the archive's indexes are nested too deeply");
    std::string text = TRY(read_blob(staging_, descriptor));
    std::variant<oci::Manifest, oci::Index> document = TRY(oci::parse_manifest_or_index(text));
    if (auto* manifest = std::get_if<oci::Manifest>(&document))
      return add_image(descriptor.digest, *manifest, names);
    std::vector<const oci::Descriptor*> candidates;
    for (const oci::Descriptor& inner : std::get<oci::Index>(document).manifests)
      if (!is_attestation(inner)) candidates.push_back(&inner);
    const oci::Descriptor* chosen = choose_platform(candidates, wanted_);
    if (!chosen)
      return fail(ErrorKind::not_found, "the archive has no image for {}", oci::format_platform(wanted_));
    return read_descriptor(*chosen, names, depth + 1);
  }

  Result<void> add_image(const Digest& digest, const oci::Manifest& manifest,
                         const std::vector<oci::Reference>& names) {
    auto [known, is_new] = by_manifest_.try_emplace(digest, images_.size());
    if (!is_new) {
      std::ranges::copy(names, std::back_inserter(images_[known->second].names));
      return {};
    }
    if (images_.size() >= kImages)
      return fail(ErrorKind::invalid, "index.json lists more than {} images", kImages);
    if (!oci::is_config(manifest.config.media_type))
      return fail(ErrorKind::unsupported, "{} in the archive is not an image but {}", digest.text(),
                  manifest.config.media_type.substr(0, 200));
    Found found{.names = names};
    found.config_bytes = TRY(read_blob(staging_, manifest.config));
    for (const oci::Descriptor& layer : manifest.layers) {
      if (!oci::is_layer(layer.media_type))
        return fail(ErrorKind::unsupported, "a layer of type {} is not supported",
                    layer.media_type.substr(0, 200));
      TRY(staging_.verify(blob_name(layer.digest), layer.digest, layer.size));
      found.layers.push_back({.name = blob_name(layer.digest), .blob = layer.digest});
    }
    images_.push_back(std::move(found));
    return {};
  }

  const Staging& staging_;
  oci::Platform wanted_;
  std::vector<Found> images_;
  std::map<Digest, std::size_t> by_manifest_;
};

// ---- both

Result<std::vector<Found>> find_images(const Staging& staging, const LoadRequest& request) {
  if (staging.has("manifest.json")) return read_docker_archive(staging);
  if (staging.has("index.json")) {
    LayoutReader reader(staging, request.platform ? oci::normalize(*request.platform) : oci::host_platform());
    return reader.read();
  }
  if (staging.has("repositories"))
    return fail(
        ErrorKind::unsupported,
        "the archive was written by Docker 1.9 or older, which is not supported; load it with Docker 1.10 to "
        "27 and save it again");
  return fail(ErrorKind::invalid, "the archive holds no image: it has neither manifest.json nor index.json");
}

Result<NewImage> check_image(Staging& staging, Found found) {
  oci::ImageConfig config = TRY(oci::parse_image_config(found.config_bytes));
  if (!config.platform.os.empty() && config.platform.os != "linux")
    return fail(ErrorKind::unsupported, "cannot load an image for {} on linux",
                config.platform.os.substr(0, 100));
  if (config.diff_ids.size() != found.layers.size())
    return fail(ErrorKind::corrupt, "the archive lists {} layers for an image whose config has {}",
                found.layers.size(), config.diff_ids.size());
  for (std::size_t i = 0; i < found.layers.size(); ++i)
    TRY(staging.layer(found.layers[i].name, config.diff_ids[i], found.layers[i].blob));
  return NewImage{.config_bytes = std::move(found.config_bytes), .names = std::move(found.names)};
}

Result<void> check_number_of_names(const std::vector<Found>& images) {
  std::size_t names = 0;
  for (const Found& found : images) names += found.names.size();
  if (names > kNames)
    return fail(ErrorKind::invalid, "the archive has {} names; the limit is {}", names, kNames);
  return {};
}

}  // namespace

Result<std::vector<Loaded>> ImageStore::load(archive::Source& tar, const LoadRequest& request) {
  TemporaryDirectory directory = TRY(TemporaryDirectory::create("load", core_->options.staging));
  Adding adding(*this);
  Staging staging(directory.path(), core_->layers(), adding, request);
  TRY_AS("load", staging.read(tar));
  std::vector<Found> found = TRY_AS("load", find_images(staging, request));
  TRY_AS("load", check_number_of_names(found));
  std::vector<NewImage> images;
  for (Found& one : found) {
    NewImage image = TRY_AS("load", check_image(staging, std::move(one)));
    images.push_back(std::move(image));
  }
  std::vector<StoredImage> stored = TRY_AS("load", core_->store(images));
  std::vector<Loaded> loaded;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    Loaded& result = loaded.emplace_back(Loaded{.id = stored[i].id, .moved = std::move(stored[i].moved)});
    for (const oci::Reference& name : images[i].names) result.names.push_back(name.familiar());
    core_->emit("load", result.id);
  }
  return loaded;
}

}  // namespace berth::image
