// SPDX-License-Identifier: Apache-2.0
// What an image runs on (image-spec, image-index.md, "platform").
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::oci {

struct Platform {
  std::string os;            // "linux"
  std::string architecture;  // Go's names: "amd64", "arm64"
  std::string variant;       // "v7"
  std::string os_version;
  std::vector<std::string> os_features;
  bool operator==(const Platform&) const = default;
};

Platform host_platform();

// "linux/arm64/v8", "arm64" (the host's os) or "linux" (the host's architecture), aliases such as "x86_64"
// understood; the result is normalised.
Result<Platform> parse_platform(std::string_view text);
Platform normalize(Platform platform);
std::string format_platform(const Platform& platform);  // "linux/arm/v7"

// Whether a machine of platform `host` can run what was made for `wanted` without emulation.
bool runs_on(const Platform& wanted, const Platform& host);

}  // namespace berth::oci
