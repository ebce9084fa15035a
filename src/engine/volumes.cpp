// SPDX-License-Identifier: Apache-2.0
#include "engine/volumes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "archive/pack.h"
#include "archive/stream.h"
#include "archive/unpack.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

bool is_made_up(const std::string& name) {
  return name.size() == 64 && name.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

Result<void> Volumes::provide(std::vector<MountPoint>& mounts) const {
  for (MountPoint& mount : mounts) {
    if (mount.type != "volume") continue;
    if (mount.name.empty()) mount.name = random_identifier();
    const std::string directory = settings_.volumes_directory() + "/" + mount.name;
    const std::string data = directory + "/_data";
    if (!exists(data)) {
      TRY(make_directories(directory, 0701));
      TRY(make_directories(data, 0755));
    }
    mount.source = data;
    if (mount.subpath.empty()) continue;
    // The volume's content is a container's work: the path is looked up inside it and then named by its real
    // place.
    Fd root = TRY(open_file(data, O_PATH | O_DIRECTORY));
    std::string below =
        TRY_AS("volume subpath " + mount.subpath, sys::resolve_in_root(root.get(), mount.subpath));
    TRY(sys::stat_in_root(root.get(), below));
    mount.source = data + below;
  }
  return {};
}

Result<void> Volumes::copy_up(const MountPoint& mount, int root) const {
  Result<std::vector<std::string>> content = list_directory(mount.source);
  if (!content || !content->empty()) return {};
  Result<struct stat> origin = sys::stat_in_root(root, mount.destination);
  if (!origin || !S_ISDIR(origin->st_mode)) return {};
  std::string below = TRY(sys::resolve_in_root(root, mount.destination));
  archive::ProducedSource tar([&](archive::Sink& sink) -> Result<void> {
    archive::PackOptions options;
    options.prefix = ".";
    TRY(archive::pack(root, below, sink, options));
    return sink.finish();
  });
  Fd target = TRY(open_file(mount.source, O_RDONLY | O_DIRECTORY));
  TRY_AS("fill volume " + mount.name, archive::unpack(tar, target.get()));
  return {};
}

void Volumes::remove_anonymous(const std::vector<MountPoint>& mounts) const {
  for (const MountPoint& mount : mounts) {
    if (mount.type != "volume" || !is_made_up(mount.name)) continue;
    if (Result<void> removed = remove_tree(settings_.volumes_directory() + "/" + mount.name); !removed)
      log_warning("engine", "remove volume {}: {}", mount.name, removed.error().message);
  }
}

}  // namespace berth::engine
