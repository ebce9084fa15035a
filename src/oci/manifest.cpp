// SPDX-License-Identifier: Apache-2.0
#include "oci/manifest.h"

#include <algorithm>

#include "oci/config_json.h"

namespace berth::oci {
namespace {

constexpr std::size_t kManifestLayers = 500;
constexpr std::size_t kIndexEntries = 10'000;

Result<json::value> parse_document(std::string_view text, std::string_view what) {
  if (text.size() > kDocumentLimit)
    return fail(ErrorKind::invalid, "{} has {} bytes; the limit is {}", what, text.size(), kDocumentLimit);
  json::value document = TRY(parse_json(text, what));
  if (!document.is_object()) return fail(ErrorKind::invalid, "{} is not a JSON object", what);
  const json::object& object = document.get_object();
  if (object.contains("layers") && object.contains("manifests"))
    return fail(ErrorKind::invalid, "{} has both layers and manifests", what);
  std::int64_t version = 2;
  ObjectReader in(document, what);
  in.read("schemaVersion", version);
  TRY(in.finish());
  if (version != 2 || object.contains("fsLayers"))
    return fail(ErrorKind::unsupported, "{} is of schema version {}; only version 2 is supported", what,
                version);
  return document;
}

void read_platform(ObjectReader& in, std::optional<Platform>& platform) {
  in.read_object("platform", [&](ObjectReader& inner) {
    Platform read;
    inner.read("os", read.os);
    inner.read("architecture", read.architecture);
    inner.read("variant", read.variant);
    inner.read("os.version", read.os_version);
    inner.read("os.features", read.os_features);
    platform = std::move(read);
  });
}

std::optional<Descriptor> read_descriptor(ObjectReader& in) {
  std::string media_type, digest;
  std::int64_t size = -1;
  in.read("mediaType", media_type);
  in.read("digest", digest);
  in.read("size", size);
  if (size < 0) in.refuse("size", "a number of bytes");
  Result<Digest> parsed = Digest::parse(digest);
  if (!parsed) {
    in.refuse("digest", "a sha256 digest");
    return std::nullopt;
  }
  Descriptor descriptor{.media_type = std::move(media_type), .digest = std::move(*parsed), .size = size};
  in.read("annotations", descriptor.annotations);
  read_platform(in, descriptor.platform);
  return descriptor;
}

void read_descriptors(ObjectReader& in, std::string_view name, std::size_t limit,
                      std::vector<Descriptor>& out) {
  in.read_objects(name, [&](ObjectReader& inner) {
    if (out.size() >= limit) return in.refuse(name, fmt::format("a list of at most {} entries", limit));
    if (std::optional<Descriptor> descriptor = read_descriptor(inner)) out.push_back(std::move(*descriptor));
  });
}

Result<Manifest> manifest_of(const json::value& document) {
  ObjectReader in(document, "the manifest");
  std::string type;
  in.read("mediaType", type);
  if (!type.empty() && !is_manifest(type)) in.refuse("mediaType", "that of a manifest");
  std::optional<Descriptor> config;
  in.read_object("config", [&](ObjectReader& inner) { config = read_descriptor(inner); });
  if (!in.find("config")) in.refuse("config", "there");
  if (!in.find("layers")) in.refuse("layers", "there");
  std::vector<Descriptor> layers;
  read_descriptors(in, "layers", kManifestLayers, layers);
  std::string artifact;
  in.read("artifactType", artifact);
  std::map<std::string, std::string> annotations;
  in.read("annotations", annotations);
  TRY(in.finish());
  return Manifest{.media_type = std::move(type),
                  .artifact_type = std::move(artifact),
                  .config = std::move(*config),
                  .layers = std::move(layers),
                  .annotations = std::move(annotations)};
}

Result<Index> index_of(const json::value& document) {
  ObjectReader in(document, "the index");
  Index index;
  in.read("mediaType", index.media_type);
  if (!index.media_type.empty() && !is_index(index.media_type)) in.refuse("mediaType", "that of an index");
  if (!in.find("manifests")) in.refuse("manifests", "there");
  read_descriptors(in, "manifests", kIndexEntries, index.manifests);
  in.read("annotations", index.annotations);
  TRY(in.finish());
  return index;
}

json::object descriptor_to_json(const Descriptor& descriptor) {
  json::object object;
  object["mediaType"] = descriptor.media_type;
  object["digest"] = descriptor.digest.text();
  object["size"] = descriptor.size;
  if (!descriptor.annotations.empty()) object["annotations"] = to_json(descriptor.annotations);
  if (descriptor.platform) object["platform"] = to_json(*descriptor.platform);
  return object;
}

json::array descriptors_to_json(const std::vector<Descriptor>& descriptors) {
  json::array array;
  for (const Descriptor& descriptor : descriptors) array.push_back(descriptor_to_json(descriptor));
  return array;
}

}  // namespace

bool is_manifest(std::string_view type) noexcept {
  return type == media_type::kManifest || type == media_type::kDockerManifest;
}
bool is_index(std::string_view type) noexcept {
  return type == media_type::kIndex || type == media_type::kDockerIndex;
}
bool is_config(std::string_view type) noexcept {
  return type == media_type::kConfig || type == media_type::kDockerConfig;
}
bool is_layer(std::string_view type) noexcept {
  return type == media_type::kLayer || type == media_type::kLayerGzip || type == media_type::kLayerZstd ||
         type == media_type::kDockerLayer || type == media_type::kDockerLayerGzip;
}

Result<Manifest> parse_manifest(std::string_view text) {
  json::value document = TRY(parse_document(text, "the manifest"));
  return manifest_of(document);
}

Result<Index> parse_index(std::string_view text) {
  json::value document = TRY(parse_document(text, "the index"));
  return index_of(document);
}

Result<std::variant<Manifest, Index>> parse_manifest_or_index(std::string_view text) {
  json::value document = TRY(parse_document(text, "the manifest"));
  ObjectReader in(document, "the manifest");
  std::string type;
  in.read("mediaType", type);
  TRY(in.finish());
  if (is_index(type) || (type.empty() && in.find("manifests"))) {
    Index index = TRY(index_of(document));
    return index;
  }
  Manifest manifest = TRY(manifest_of(document));
  return manifest;
}

std::string format_manifest(const Manifest& manifest) {
  json::object object;
  object["schemaVersion"] = 2;
  if (!manifest.media_type.empty()) object["mediaType"] = manifest.media_type;
  if (!manifest.artifact_type.empty()) object["artifactType"] = manifest.artifact_type;
  object["config"] = descriptor_to_json(manifest.config);
  object["layers"] = descriptors_to_json(manifest.layers);
  if (!manifest.annotations.empty()) object["annotations"] = to_json(manifest.annotations);
  return json::serialize(object);
}

std::string format_index(const Index& index) {
  json::object object;
  object["schemaVersion"] = 2;
  if (!index.media_type.empty()) object["mediaType"] = index.media_type;
  object["manifests"] = descriptors_to_json(index.manifests);
  if (!index.annotations.empty()) object["annotations"] = to_json(index.annotations);
  return json::serialize(object);
}

}  // namespace berth::oci
