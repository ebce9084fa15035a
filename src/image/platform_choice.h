// SPDX-License-Identifier: Apache-2.0
// Which of an index's images is wanted (image-spec, image-index.md).
#pragma once
#include <string>
#include <vector>

#include "oci/manifest.h"
#include "oci/platform.h"

namespace berth::image {

// Provenance and the like, which BuildKit files between the images.
bool is_attestation(const oci::Descriptor& descriptor);

// The one of several that fits best: the very platform first, then one that runs on it; null when none does.
const oci::Descriptor* choose_platform(const std::vector<const oci::Descriptor*>& candidates,
                                       const oci::Platform& wanted);

// "linux/amd64, linux/arm64": what there is instead.
std::string list_platforms(const std::vector<const oci::Descriptor*>& candidates);

}  // namespace berth::image
