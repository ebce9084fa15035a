// SPDX-License-Identifier: Apache-2.0
// The one unpacker. It writes the entries of a tar below a root directory and nowhere else: names are cleaned
// ("..", absolute: confined), links on the way are followed inside the root (sys/rooted_path.h), the last
// component is never followed, and every operation names its target by (directory descriptor, name).
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/error.h"

namespace berth::archive {

// What becomes of names that begin with ".wh." (OCI image-spec, layer.md, "Whiteouts").
enum class Whiteouts {
  plain,    // ordinary files: docker cp, ADD of an archive
  overlay,  // what overlayfs understands: a 0:0 character device; trusted.overlay.opaque on the directory
  apply,    // removed from the tree itself: flattening layers into one directory
};

struct Owner {
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};

// Follows an unpacking: what was written where, and what had to go for it.
class UnpackObserver {
 public:
  virtual ~UnpackObserver() = default;
  // A regular file with contents was written (not yet at its end) as `status`; `path` is the cleaned name.
  virtual Result<void> wrote(const std::string& path, const struct stat& status) = 0;
  // Called at the end, sorted: a directory is there that no entry describes; empty stands for the base.
  virtual Result<void> implied_directory(const std::string& path) = 0;
  // `name` in `directory` is in the way. Takes it out of the way: by removing it, or otherwise.
  virtual Result<void> displace(int directory, const std::string& name, const struct stat& status) = 0;
};

struct UnpackOptions {
  std::string base;  // a directory below the root that entry names are relative to; must exist
  Whiteouts whiteouts = Whiteouts::plain;
  bool devices = true;                   // false: device nodes are an error (denied)
  bool keep_owner = true;                // false: everything belongs to the caller
  std::optional<Owner> chown_to;         // everything belongs to this owner instead
  bool xattrs = true;                    // user.* and security.capability; others are dropped in any case
  bool set_root_attributes = true;       // an entry for the base itself ("./") sets its mode, owner and times
  bool keep_directory_kind = false;      // replacing a directory by another type or the reverse is an error
  std::uint64_t max_bytes = UINT64_MAX;  // of all contents; more is an error (exhausted)
  std::uint64_t max_entries = UINT64_MAX;  // more is an error (exhausted)
  // May change the entry (its name, owner, ...) before it is used; false leaves it out.
  std::function<Result<bool>(TarEntry&)> filter;
  UnpackObserver* observer = nullptr;
  TarObserver* tar_observer = nullptr;
  std::stop_token stop;  // checked for each entry and each chunk: cancelled
};

struct UnpackReport {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // contents of regular files
};

// `source` is a plain tar (decompress() first); it is read to its end. Nothing is synced. On an error what
// was written so far stays: unpack into a staging directory where that matters.
Result<UnpackReport> unpack(Source& source, int root, const UnpackOptions& options = {});

}  // namespace berth::archive
