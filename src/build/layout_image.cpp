// SPDX-License-Identifier: Apache-2.0
#include "build/layout_image.h"

#include <algorithm>
#include <set>

#include "base/text.h"
#include "build/layout_directory.h"
#include "image/platform_choice.h"
#include "oci/reference.h"

namespace berth::build {
namespace {

constexpr std::size_t kMostLayers = 500;  // overlayfs takes no more
constexpr std::size_t kShownTags = 20;
constexpr std::string_view kDefaultTag = "latest";
constexpr std::string_view kRefName = "org.opencontainers.image.ref.name";
constexpr std::string_view kFullName = "io.containerd.image.name";

using Entries = std::vector<const oci::Descriptor*>;

// "1.0", or that of a whole name: writers do either. "" for none.
std::string tag_of(const oci::Descriptor& entry) {
  for (const std::string_view key : {kRefName, kFullName}) {
    const auto annotation = entry.annotations.find(std::string(key));
    if (annotation == entry.annotations.end() || annotation->second.empty()) continue;
    const std::string& text = annotation->second;
    if (text.find_first_of(":/") == std::string::npos) return text;
    if (const Result<oci::Reference> name = oci::Reference::parse(text); name && name->tag())
      return *name->tag();
  }
  return "";
}

std::string known_tags(const Entries& entries) {
  std::set<std::string> tags;
  for (const oci::Descriptor* entry : entries)
    if (std::string tag = tag_of(*entry); !tag.empty()) tags.insert(tag.substr(0, 128));
  std::vector<std::string> shown(tags.begin(), std::next(tags.begin(), std::min(tags.size(), kShownTags)));
  if (tags.size() > kShownTags) shown.emplace_back("...");
  return shown.empty() ? "none" : join(shown, ", ");
}

// Entries with one tag are the platforms of one image.
Entries with_tag(const Entries& entries, std::string_view tag) {
  Entries found;
  std::ranges::copy_if(entries, std::back_inserter(found),
                       [&](const oci::Descriptor* entry) { return tag_of(*entry) == tag; });
  return found;
}

// Of what index.json lists. Without a tag: "latest", or all if they are one image.
Result<Entries> wanted_entries(const Entries& entries, const std::string& tag) {
  if (entries.empty()) return fail(ErrorKind::not_found, "its index.json lists no image");
  const std::string_view looked_for = tag.empty() ? kDefaultTag : std::string_view(tag);
  if (Entries found = with_tag(entries, looked_for); !found.empty()) return found;
  const std::string first = tag_of(*entries.front());
  const bool one = std::ranges::all_of(entries, [&](const oci::Descriptor* entry) {
    return tag_of(*entry) == first && (entries.size() == 1 || entry->platform);
  });
  // With a tag only where the layout knows no tags.
  if (one && (tag.empty() || first.empty())) return entries;
  if (tag.empty())
    return fail(ErrorKind::not_found,
                "it has several images and none with the tag latest: name a tag or a digest (it has the tags "
                "{})",
                known_tags(entries));
  return fail(ErrorKind::not_found, "it has no image with the tag {} (it has the tags {})", tag,
              known_tags(entries));
}

Result<std::string> read_top(const NamedContext::Layout& layout, const oci::Platform& wanted) {
  if (layout.digest) return read_layout_document(*layout.directory, *layout.digest);
  const oci::Index index = TRY(read_layout_index(*layout.directory));
  Entries images;
  for (const oci::Descriptor& entry : index.manifests)
    if (!image::is_attestation(entry)) images.push_back(&entry);
  const Entries entries = TRY(wanted_entries(images, layout.tag));
  const oci::Descriptor* chosen =
      entries.size() == 1 ? entries.front() : image::choose_platform(entries, wanted);
  if (!chosen)
    return fail(ErrorKind::not_found, "it has no image for {}, but for {}", oci::format_platform(wanted),
                image::list_platforms(entries));
  return read_layout_document(*layout.directory, *chosen);
}

Result<void> check(const oci::Manifest& manifest, const oci::ImageConfig& config,
                   const oci::Platform& wanted) {
  if (config.diff_ids.size() != manifest.layers.size())
    return fail(ErrorKind::corrupt, "its manifest lists {} layers, its config {}", manifest.layers.size(),
                config.diff_ids.size());
  if (!config.platform.os.empty() && !oci::runs_on(config.platform, wanted))
    return fail(ErrorKind::not_found, "it has no image for {}, but for {}", oci::format_platform(wanted),
                oci::format_platform(config.platform).substr(0, 100));
  return {};
}

}  // namespace

Result<LayoutImage> read_layout_image(const NamedContext::Layout& layout, const oci::Platform& wanted) {
  std::string top = TRY(read_top(layout, wanted));
  auto read = [&](const oci::Descriptor& descriptor) {
    return read_layout_document(*layout.directory, descriptor);
  };
  oci::Manifest manifest = TRY(read_manifest(std::move(top), read, wanted, "the layout"));
  if (!oci::is_config(manifest.config.media_type))
    return fail(ErrorKind::unsupported, "it is not an image but {}",
                manifest.config.media_type.substr(0, 200));
  if (manifest.layers.size() > kMostLayers)
    return fail(ErrorKind::invalid, "it has {} layers; the limit is {}", manifest.layers.size(), kMostLayers);
  const std::string bytes = TRY(read(manifest.config));
  LayoutImage image{.config = TRY_AS("its config", oci::parse_image_config(bytes)), .layers = {}};
  TRY(check(manifest, image.config, wanted));
  image.layers = std::move(manifest.layers);
  return image;
}

}  // namespace berth::build
