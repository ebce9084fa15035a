// SPDX-License-Identifier: Apache-2.0
// Which of an index's images is wanted (image-spec, image-index.md).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "oci/manifest.h"
#include "oci/platform.h"

namespace berth::image {

// Provenance and the like, which BuildKit files between the images.
bool is_attestation(const oci::Descriptor& descriptor);

// The one of several that fits best: the very platform first, then one that runs on it; null when none does.
const oci::Descriptor* choose_platform(const std::vector<const oci::Descriptor*>& candidates,
                                       const oci::Platform& wanted);

inline constexpr int kIndexDepth = 3;  // indexes in indexes

// The one of an index's that is wanted; not_found says what there is instead. `name` is the index's.
Result<oci::Descriptor> choose_manifest(const oci::Index& index, const oci::Platform& wanted,
                                        std::string_view name);
// Whether what was fetched for it is what the index says.
Result<void> check_chosen(const oci::Descriptor& chosen, std::size_t size, std::string_view name);

// "linux/amd64, linux/arm64": what there is instead.
std::string list_platforms(const std::vector<const oci::Descriptor*>& candidates);

}  // namespace berth::image
