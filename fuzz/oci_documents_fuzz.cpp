// SPDX-License-Identifier: Apache-2.0
// Manifests, indexes and image configs: what parses is written and read again with the same result.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "oci/image_config.h"
#include "oci/manifest.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::oci;
  std::string_view text(reinterpret_cast<const char*>(data), size);

  if (berth::Result<Manifest> manifest = parse_manifest(text)) {
    std::string written = format_manifest(*manifest);
    berth::Result<Manifest> again = parse_manifest(written);
    require(again && format_manifest(*again) == written);
    require(!parse_index(text));
  }
  if (berth::Result<Index> index = parse_index(text)) {
    std::string written = format_index(*index);
    berth::Result<Index> again = parse_index(written);
    require(again && format_index(*again) == written);
  }
  if (berth::Result<ImageConfig> config = parse_image_config(text)) {
    std::string written = format_image_config(*config);
    berth::Result<ImageConfig> again = parse_image_config(written);
    require(again && format_image_config(*again) == written);
  }
  return 0;
}
