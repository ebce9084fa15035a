// SPDX-License-Identifier: Apache-2.0
// The digest of what COPY takes: types, modes, names, contents, link targets and extended attributes, but no
// times. Two selections with one digest make the same layer but for its times.
#pragma once
#include <span>
#include <stop_token>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "build/file_digests.h"
#include "build/tree.h"

namespace berth::build {

// `files` remembers; without it every file is read: where inode numbers are handed out anew with each mount.
Result<Digest> digest_selection(const Tree& tree, std::span<const Source> sources,
                                const dockerfile::IgnoreRules& excludes, FileDigests* files,
                                const std::stop_token& stop);

// A digest over parts that cannot run into each other: each goes in with its length, and a list with its
// number of parts. Whoever could make two different inputs look alike would have another's build take his
// layer.
class PartsDigest {
 public:
  PartsDigest& add(std::string_view part);
  PartsDigest& add_number(std::uint64_t number);
  PartsDigest& add_list(std::span<const std::string> parts);  // with their number
  Digest finish() { return digest_.finish(); }

 private:
  Sha256 digest_;
};

}  // namespace berth::build
