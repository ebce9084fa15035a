// SPDX-License-Identifier: Apache-2.0
// A git repository as a build context or ADD names it. Pure: what is not a plain name of a repository on
// another machine is refused here, before any program sees it.
//
//   https://host/path.git#ref:subdirectory     also http://; the path ends in ".git"
//   git://host/path#...   ssh://user@host/path#...   user@host:path#...
//   https://host/path.git?ref=...&subdir=...   instead of the fragment; also tag, branch, checksum (commit),
//                                              keep-git-dir, submodules
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::dockerfile {

struct GitReference {
  std::string url;           // without query, fragment, and what http has in front of an "@"
  std::string origin;        // of http and https: "https://host:port/"; else empty
  std::string user;          // of http and https: "name:password"; never shown, never an argument
  std::string ref;           // a branch, a tag, a full name or a commit; empty is the repository's HEAD
  std::string subdirectory;  // clean, without slashes at the ends; empty is the whole
  std::string checksum;      // hexadecimal digits that the commit begins with; empty for any
  std::optional<bool> keep_git_directory;
  bool submodules = true;
};

// Whether it is meant as one, well written or not.
bool is_git_reference(std::string_view text);
Result<GitReference> parse_git_reference(std::string_view text);

bool is_git_commit(std::string_view ref) noexcept;  // a whole id, SHA-1's or SHA-256's
Result<void> check_git_checksum(std::string_view checksum);

// The address of a submodule, as .gitmodules has it, in the repository `parent`. One that is relative stays
// on the parent's host.
Result<GitReference> submodule_reference(const GitReference& parent, std::string_view address);

}  // namespace berth::dockerfile
