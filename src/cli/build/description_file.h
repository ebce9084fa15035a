// SPDX-License-Identifier: Apache-2.0
// --metadata-file and --iidfile: a small file that says what was built. A regular file is replaced in one
// step; a link, a pipe or a device is somebody's own arrangement, and written to where it is.
#pragma once
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::cli {

// Whether it can be written, without touching anything. "" is for no file, here as below.
Result<void> check_description_file(std::string_view option, const std::string& path);

// Before the build: one that fails leaves no description of an older one.
void forget_description(const std::string& path);

Result<void> write_description(const std::string& path, std::string_view text);

}  // namespace berth::cli
