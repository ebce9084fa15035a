// SPDX-License-Identifier: Apache-2.0
#include "image/platform_choice.h"

#include <set>

#include "base/text.h"

namespace berth::image {

bool is_attestation(const oci::Descriptor& descriptor) {
  return descriptor.annotations.contains("vnd.docker.reference.type") ||
         (descriptor.platform && descriptor.platform->os == "unknown");
}

const oci::Descriptor* choose_platform(const std::vector<const oci::Descriptor*>& candidates,
                                       const oci::Platform& wanted) {
  for (const oci::Descriptor* candidate : candidates)
    if (candidate->platform) {
      oci::Platform platform = oci::normalize(*candidate->platform);
      if (platform.os == wanted.os && platform.architecture == wanted.architecture &&
          platform.variant == wanted.variant)
        return candidate;
    }
  for (const oci::Descriptor* candidate : candidates)
    if (!candidate->platform || oci::runs_on(*candidate->platform, wanted)) return candidate;
  return nullptr;
}

Result<oci::Descriptor> choose_manifest(const oci::Index& index, const oci::Platform& wanted,
                                        std::string_view name) {
  std::vector<const oci::Descriptor*> candidates;
  for (const oci::Descriptor& entry : index.manifests)
    if (!is_attestation(entry)) candidates.push_back(&entry);
  if (const oci::Descriptor* chosen = choose_platform(candidates, wanted)) return *chosen;
  return fail(ErrorKind::not_found,
              "no matching manifest for {} in the manifest list entries of {}: it has {}",
              oci::format_platform(wanted), name, list_platforms(candidates));
}

Result<void> check_chosen(const oci::Descriptor& chosen, std::size_t size, std::string_view name) {
  if (static_cast<std::int64_t>(size) == chosen.size) return {};
  return fail(ErrorKind::corrupt, "the index of {} says that manifest {} has {} bytes, but it has {}", name,
              chosen.digest.text(), chosen.size, size);
}

std::string list_platforms(const std::vector<const oci::Descriptor*>& candidates) {
  constexpr std::size_t kShown = 20;
  std::set<std::string> names;
  for (const oci::Descriptor* candidate : candidates)
    if (candidate->platform) names.insert(oci::format_platform(*candidate->platform));
  std::vector<std::string> shown;
  for (const std::string& name : names)
    if (shown.size() < kShown) shown.push_back(name.substr(0, 60));
  if (names.size() > kShown) shown.push_back("...");
  return shown.empty() ? "none" : join(shown, ", ");
}

}  // namespace berth::image
