// SPDX-License-Identifier: Apache-2.0
#include "registryd/manifest_facts.h"

#include <algorithm>

#include "base/json.h"
#include "registryd/names.h"

namespace berth::registryd {
namespace {

// Layers that clients fetch from elsewhere, and registries need not have (image-spec, layer.md,
// "Non-Distributable Layers"; Docker's foreign layers).
bool is_foreign(std::string_view media_type) {
  return media_type.starts_with("application/vnd.oci.image.layer.nondistributable.") ||
         media_type == "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
}

void add_child(std::vector<Child>& children, const Digest& digest, bool is_manifest) {
  children.push_back({digest, is_manifest});
}

void drop_repetitions(std::vector<Child>& children) {
  std::ranges::sort(children, {},
                    [](const Child& child) { return std::pair(child.digest, child.is_manifest); });
  auto again = std::ranges::unique(children, {}, &Child::digest);
  children.erase(again.begin(), again.end());
}

}  // namespace

Result<ManifestFacts> read_manifest_facts(std::string_view bytes, std::string_view declared) {
  if (declared.starts_with("application/vnd.docker.distribution.manifest.v1+"))
    return fail(ErrorKind::unsupported,
                "Docker's manifests of schema 1 are not supported; push with a newer client");
  std::variant<oci::Manifest, oci::Index> document = TRY(oci::parse_manifest_or_index(bytes));
  json::value value = TRY(parse_json(bytes, "the manifest"));
  ObjectReader in(value, "the manifest");
  ManifestFacts facts;
  std::string subject;
  in.read("artifactType", facts.artifact_type);
  in.read_object("subject", [&](ObjectReader& inner) {
    inner.read("digest", subject);
    if (!Digest::parse(subject)) inner.refuse("digest", "a sha256 digest");
  });
  if (const json::value* annotations = in.find("annotations"))
    facts.annotations = json::serialize(*annotations);
  TRY(in.finish());
  if (!subject.empty()) facts.subject = TRY(Digest::parse(subject));

  std::string fallback;
  if (const auto* manifest = std::get_if<oci::Manifest>(&document)) {
    facts.media_type = manifest->media_type;
    fallback = oci::media_type::kManifest;
    if (facts.artifact_type.empty()) facts.artifact_type = manifest->config.media_type;
    add_child(facts.children, manifest->config.digest, false);
    for (const oci::Descriptor& layer : manifest->layers)
      if (!is_foreign(layer.media_type)) add_child(facts.children, layer.digest, false);
  } else {
    const auto& index = std::get<oci::Index>(document);
    facts.media_type = index.media_type;
    fallback = oci::media_type::kIndex;
    // Anything but a manifest that an index lists is a blob: registries need not understand it.
    for (const oci::Descriptor& entry : index.manifests)
      add_child(facts.children, entry.digest,
                oci::is_manifest(entry.media_type) || oci::is_index(entry.media_type));
  }
  drop_repetitions(facts.children);

  if (!declared.empty() && !facts.media_type.empty() && declared != facts.media_type)
    return fail(ErrorKind::invalid, "the manifest was sent as {} and says of itself that it is {}", declared,
                facts.media_type);
  if (facts.media_type.empty()) facts.media_type = declared.empty() ? fallback : declared;
  const bool is_index = std::holds_alternative<oci::Index>(document);
  if (is_index ? !oci::is_index(facts.media_type) : !oci::is_manifest(facts.media_type))
    return fail(ErrorKind::invalid, "{} is not a type of manifest that this document can be",
                facts.media_type.substr(0, 128));
  return facts;
}

}  // namespace berth::registryd
