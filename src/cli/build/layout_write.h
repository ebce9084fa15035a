// SPDX-License-Identifier: Apache-2.0
// An OCI layout (image-layout.md) that is written onto an older one, as --cache-to of a directory is again
// and again. Whatever moment it ends at, the directory is a layout: the older one or the new one. Blobs have
// their bytes before their names, the index comes last, and what it does not name goes then.
#pragma once
#include <optional>
#include <set>
#include <string>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/error.h"
#include "base/fd.h"

namespace berth::cli {

class LayoutWriter {
 public:
  // Makes the directory if need be. Waits for another writer.
  static Result<LayoutWriter> open(const std::string& directory);
  // All of it: a tar with the files of a layout and no others, each blob under its right name.
  Result<void> write(archive::Source& tar);

 private:
  LayoutWriter(Fd root, Fd blobs) : root_(std::move(root)), blobs_(std::move(blobs)) {}
  Result<void> take(archive::TarReader& reader, const archive::TarEntry& entry);
  Result<void> take_blob(archive::TarReader& reader, const archive::TarEntry& entry, std::string name);
  Result<void> finish();
  Result<void> remove_others();

  Fd root_;   // locked
  Fd blobs_;  // blobs/sha256
  std::set<std::string> kept_;
  std::optional<std::string> layout_, index_;
};

}  // namespace berth::cli
