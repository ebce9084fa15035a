// SPDX-License-Identifier: Apache-2.0
// What COPY and ADD do to a file system: a stage's, as an overlay mount whose upper directory becomes the
// layer. All by descriptors below its root. Follows the Dockerfile reference, "COPY" and "ADD".
//
//   a directory's contents are copied, not the directory; directories are merged, files replaced
//   a destination that ends in "/", or is a directory, takes files under their names
//   a directory never takes the place of a file, nor the reverse: that is an error
#pragma once
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "archive/unpack.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "build/mode.h"
#include "build/tree.h"

namespace berth::build {

struct CopyTarget {
  int root;                 // the file system's
  std::string destination;  // absolute; whether it ends in "/" matters
  std::optional<archive::Owner>
      owner;                       // --chown; missing: root's, or as they are in a tree that keeps owners
  std::optional<ModeChange> mode;  // --chmod
  bool many = false;               // there is more than one source: the destination is a directory
};

class SourceDigest;

// Copies one source. Hard links within it stay links. `copied` is told what was copied, byte by byte. Of a
// live tree that changes meanwhile the error is `cancelled`, as far as it is noticed.
Result<void> copy_source(const Tree& tree, const Source& source, const dockerfile::IgnoreRules& excludes,
                         const CopyTarget& target, const std::stop_token& stop,
                         SourceDigest* copied = nullptr);

// A new file: a heredoc, or what was downloaded.
struct NewFile {
  std::string name;  // where the destination is a directory
  std::uint32_t mode = 0644;
  Timestamp modified;
};
Result<void> copy_text(const NewFile& file, std::string_view content, const CopyTarget& target);
Result<void> copy_file(const NewFile& file, int content, const CopyTarget& target);

// Whether the bytes are a tar, after inflating.
bool is_archive(int file);

// The bytes of an open file, from its beginning, to another; their digest. One that has more than its size
// says is ErrorKind::cancelled.
Result<Digest> copy_digested(int from, int to, const std::string& name, const std::stop_token& stop);

// ADD of an archive: unpacked into the destination. False when the file is none; nothing has happened then.
Result<bool> unpack_archive(int file, const CopyTarget& target, const std::stop_token& stop);

}  // namespace berth::build
