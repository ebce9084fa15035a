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
#include "build/memory_room.h"
#include "build/parts_digest.h"
#include "build/tree.h"

namespace berth::build {

struct SelectionDigest {
  Digest contents;
  Amount amount;
};

// `files` remembers; without it every file is read: where inode numbers are handed out anew with each mount.
// A live tree may change at any time, and what is remembered may not be so any more: what is copied of it is
// digested as it is copied (copy_files.h), and only if both are the same is the result what its key says.
Result<SelectionDigest> digest_selection(const Tree& tree, std::span<const Source> sources,
                                         const dockerfile::IgnoreRules& excludes, FileDigests* files,
                                         const std::stop_token& stop);

// A source's part in it, item by item as a walk gives them.
class SourceDigest {
 public:
  SourceDigest(const Tree& tree, const Source& source);
  void add_file(const TreeItem& item, const Digest& file);  // file_digest()
  void add_link(const TreeItem& item, std::string_view target);
  void add_directory(const TreeItem& item, const Xattrs& xattrs);
  void add_special(const TreeItem& item);
  Digest finish() { return digest_.finish(); }

 private:
  void add_head(const TreeItem& item);
  const bool owners_;
  PartsDigest digest_;
};

// Of all sources, in order.
class SourceDigests {
 public:
  void add(const Digest& source) { digest_.add(source.text()); }
  Digest finish() { return digest_.finish(); }

 private:
  PartsDigest digest_;
};

}  // namespace berth::build
