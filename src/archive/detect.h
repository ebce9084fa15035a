// SPDX-License-Identifier: Apache-2.0
// What bytes of unknown origin are, by their beginning. Compression has its own: archive/compression.h.
#pragma once
#include <string_view>

namespace berth::archive {

// Whether a tar begins like this: kTarBlock bytes of it at least, with a header whose sum is right. A tar
// without any entry is zeros, and not recognised.
bool begins_tar(std::string_view head) noexcept;

}  // namespace berth::archive
