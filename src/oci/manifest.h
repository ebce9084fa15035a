// SPDX-License-Identifier: Apache-2.0
// Descriptors, manifests and indexes: image-spec 1.1 (descriptor.md, manifest.md, image-index.md) and
// Docker's image manifest version 2, schema 2. Plain structs; parse_* check what they read.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "oci/platform.h"

namespace berth::oci {

inline constexpr std::size_t kDocumentLimit = 4u << 20;  // bytes of a manifest, an index or a config

namespace media_type {
inline constexpr std::string_view kManifest = "application/vnd.oci.image.manifest.v1+json";
inline constexpr std::string_view kIndex = "application/vnd.oci.image.index.v1+json";
inline constexpr std::string_view kConfig = "application/vnd.oci.image.config.v1+json";
inline constexpr std::string_view kLayer = "application/vnd.oci.image.layer.v1.tar";
inline constexpr std::string_view kLayerGzip = "application/vnd.oci.image.layer.v1.tar+gzip";
inline constexpr std::string_view kLayerZstd = "application/vnd.oci.image.layer.v1.tar+zstd";
inline constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
inline constexpr std::string_view kDockerIndex = "application/vnd.docker.distribution.manifest.list.v2+json";
inline constexpr std::string_view kDockerConfig = "application/vnd.docker.container.image.v1+json";
inline constexpr std::string_view kDockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
inline constexpr std::string_view kDockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
}  // namespace media_type

bool is_manifest(std::string_view type) noexcept;  // of either family
bool is_index(std::string_view type) noexcept;
bool is_config(std::string_view type) noexcept;
bool is_layer(std::string_view type) noexcept;

struct Descriptor {
  std::string media_type;
  Digest digest;
  std::int64_t size = 0;  // bytes, never negative
  std::map<std::string, std::string> annotations = {};
  std::optional<Platform> platform = {};
};

struct Manifest {
  std::string media_type;  // may be empty in what was read: OCI makes it optional
  std::string artifact_type;
  Descriptor config;
  std::vector<Descriptor> layers;  // base first
  std::map<std::string, std::string> annotations;
};

struct Index {
  std::string media_type;
  std::vector<Descriptor> manifests;
  std::map<std::string, std::string> annotations;
};

// One document that is both (it has `layers` and `manifests`) is refused: two readers would see two images
// (CVE-2021-41190). So are schema 1, wrong media types, and more than kDocumentLimit bytes.
Result<Manifest> parse_manifest(std::string_view text);
Result<Index> parse_index(std::string_view text);
// Either, told apart by mediaType and, where that is missing, by the array that is there.
Result<std::variant<Manifest, Index>> parse_manifest_or_index(std::string_view text);

std::string format_manifest(const Manifest& manifest);  // one line; the same struct gives the same bytes
std::string format_index(const Index& index);

}  // namespace berth::oci
