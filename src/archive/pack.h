// SPDX-License-Identifier: Apache-2.0
// A tree as a tar: names sorted bytewise in each directory, hard links found by (device, inode), sockets left
// out, nothing followed. Equal trees give equal bytes. A regular file that shrinks while it is read is padded
// with zeros, one that grows is cut: the header went out before.
#pragma once
#include <sys/stat.h>

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/error.h"

namespace berth::archive {

struct PackItem {
  int directory;            // that holds it
  const std::string& name;  // in that directory; "." for the start of the walk when it is a root
  std::string_view path;    // below the start of the walk; empty for the start itself
  const struct stat& status;
};

struct PackOptions {
  // The name of the start in the archive: "data" gives "data/", "data/file"; empty gives "file" and no entry
  // for the start itself; "." gives "./" and "./file", "/" gives "/" and "/file".
  std::string prefix;
  bool xattrs = true;            // user.* and security.capability
  bool subsecond_times = false;  // pax records for the fractions
  bool one_file_system = false;  // a directory on another device is left out with what is in it
  // May change the entry (its owner, its name, ...) before it is written; false leaves it out, and with a
  // directory everything in it.
  std::function<Result<bool>(const PackItem&, TarEntry&)> filter;
  // Called when an entry is written, contents and all: may write others behind it.
  std::function<Result<void>(const PackItem&, TarWriter&)> after;
  std::stop_token stop;
};

// The file or directory at `path` below `root` (the last component is not followed). Writes the trailer but
// does not finish the sink.
Result<void> pack(int root, std::string_view path, Sink& sink, const PackOptions& options = {});

// The same without a trailer, into a writer that goes on with other trees.
Result<void> pack_into(TarWriter& writer, int root, std::string_view path, const PackOptions& options = {});

// What tar keeps of a file: type, mode, owner, size, times, device. The name and link target are the
// caller's.
Result<TarEntry> entry_of(const struct stat& status);

}  // namespace berth::archive
