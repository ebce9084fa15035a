// SPDX-License-Identifier: Apache-2.0
// The digest of what COPY takes: types, modes, names, contents, link targets and extended attributes, but no
// times. Two selections with one digest make the same layer but for its times.
#pragma once
#include <optional>
#include <span>
#include <stop_token>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "build/file_digests.h"
#include "build/memory_room.h"
#include "build/parts_digest.h"
#include "build/tree.h"

namespace berth::build {

struct SelectionDigest {
  Digest contents;
  Amount amount;
  std::optional<Digest> standing;  // of a live tree: which files these were, and when they were last changed
};

// `files` remembers; without it every file is read: where inode numbers are handed out anew with each mount.
Result<SelectionDigest> digest_selection(const Tree& tree, std::span<const Source> sources,
                                         const dockerfile::IgnoreRules& excludes, FileDigests* files,
                                         const std::stop_token& stop);

// What stood there has to stand there still: `before` is the selection's SelectionDigest::standing. If not,
// or if a source is gone, the error is `cancelled`: look and copy again. For trees that are live; others
// stand.
Result<void> check_standing(const Tree& tree, std::span<const Source> sources,
                            const dockerfile::IgnoreRules& excludes, const std::optional<Digest>& before);

}  // namespace berth::build
