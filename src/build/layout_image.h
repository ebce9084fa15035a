// SPDX-License-Identifier: Apache-2.0
// An image that a build takes from an OCI layout in a directory of its client's: for this build alone, no
// image of the engine comes of it. Only for this room's sources.
#pragma once
#include <string>

#include "base/error.h"
#include "build/request.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/platform.h"

namespace berth::build {

struct LayoutImage {
  oci::ImageConfig config;              // with the layers' diffIDs
  std::vector<oci::Descriptor> layers;  // of these, as they lie there
};

// The one that tag or digest say, for that platform. All that it is made of, except for the layers, has been
// read and verified.
Result<LayoutImage> read_layout_image(const NamedContext::Layout& layout, const oci::Platform& wanted);

}  // namespace berth::build
