// SPDX-License-Identifier: Apache-2.0
// Files in and out of a container's file system: what /containers/{id}/archive does (HEAD, GET, PUT), all by
// descriptors below `root`, which is a mount of the container's file system (its running one through
// /proc/<pid>/root, or one made by mount_detached). Nothing runs inside the container, no link leaves it.
#pragma once
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include "archive/stream.h"
#include "archive/unpack.h"
#include "base/clock.h"
#include "base/error.h"

namespace berth::layers {

struct PathStat {
  std::string name;        // the last component, "/" for the root
  std::uint64_t size = 0;  // bytes
  std::uint32_t mode = 0;  // Go's os.FileMode bits: permissions, and the type in the high bits
  Timestamp mtime;
  std::string link_target;  // of a link: where it leads in the end, absolute in the container
};

// The path itself, a link not followed unless it ends in "/" or "/.".
Result<PathStat> stat_path(int root, std::string_view path);

// A tar of the file or directory at `path`. A directory's entries are named "<last component>/..."; with "/."
// at the end of the path they are "./...". Finishes nothing.
Result<void> archive_path(int root, std::string_view path, archive::Sink& sink, std::stop_token stop = {});

struct ExtractOptions {
  bool no_overwrite_dir_non_dir = false;   // a directory shall not replace a file, nor the reverse
  std::optional<archive::Owner> chown_to;  // copyUIDGID: the container's user
  std::stop_token stop;
};

// A plain tar into the directory at `path`, links in the path followed inside the root. Not found when it is
// missing; invalid when it is not a directory.
Result<void> extract_to(int root, std::string_view path, archive::Source& tar, const ExtractOptions& options);

// Go's os.FileMode for a status.
std::uint32_t go_file_mode(std::uint32_t st_mode) noexcept;

}  // namespace berth::layers
