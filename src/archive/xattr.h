// SPDX-License-Identifier: Apache-2.0
// Extended attributes that travel in archives.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace berth::archive {

// user.* and security.capability. Everything else stays behind in both directions: trusted.overlay.* and its
// twin user.overlay.* would let an image rewrite the layers below it, security.ima and .selinux are the
// host's.
bool travels(std::string_view xattr) noexcept;

// Those of `name` in `directory` that travel, sorted by name; a link is not followed.
Result<std::vector<std::pair<std::string, std::string>>> read_xattrs(int directory, const std::string& name);
Result<std::vector<std::pair<std::string, std::string>>> read_xattrs(int file);

// Sets those that travel on an open file or directory; what its file system cannot hold is left out.
Result<void> write_xattrs(int file, const std::vector<std::pair<std::string, std::string>>& xattrs);

}  // namespace berth::archive
