// SPDX-License-Identifier: Apache-2.0
#include "engine/volume_content.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>

#include "archive/pack.h"
#include "archive/stream.h"
#include "archive/tree_walk.h"
#include "archive/unpack.h"
#include "base/log.h"
#include "sys/remove_deep_tree.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

constexpr const char* kFilling = "/filling";

Result<void> empty_directory(const std::string& path) {
  Fd directory = TRY(open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  std::vector<std::string> names = TRY(archive::names_in(directory.get()));
  Result<void> first;
  for (const std::string& name : names)
    if (Result<void> removed = sys::remove_deep_tree(directory.get(), name); !removed && first)
      first = std::move(removed);
  return first;
}

// A power cut must neither lose the mark of half a filling, which would pass for a volume's content, nor
// bring one back, which would pass the content for half a filling.
Result<void> sync_marks(const VolumePlace& place, Durability durability) {
  if (durability != Durability::durable) return {};
  Fd directory = TRY(open_file(place.directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return sync_directory(directory.get());
}

Result<void> make_mark(const VolumePlace& place, Durability durability) {
  TRY(open_file(place.directory + kFilling, O_WRONLY | O_CREAT | O_NOFOLLOW, 0600));
  return sync_marks(place, durability);
}

Result<void> remove_mark(const VolumePlace& place, Durability durability) {
  const std::string mark = place.directory + kFilling;
  if (unlink(mark.c_str()) != 0) return fail_errno(errno, "remove {}", mark);
  return sync_marks(place, durability);
}

Result<void> copy_tree(int root, const std::string& path, int target) {
  archive::ProducedSource tar([&](archive::Sink& sink) -> Result<void> {
    archive::PackOptions options;
    options.prefix = ".";
    TRY(archive::pack(root, path, sink, options));
    return sink.finish();
  });
  TRY(archive::unpack(tar, target));
  return {};
}

}  // namespace

Result<bool> is_empty_directory(const std::string& path) {
  Fd directory = TRY(open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  std::unique_ptr<DIR, int (*)(DIR*)> stream(fdopendir(directory.get()), closedir);
  if (!stream) return fail_errno(errno, "list {}", path);
  directory.release();
  while (const dirent* entry = readdir(stream.get()))
    if (std::string_view(entry->d_name) != "." && std::string_view(entry->d_name) != "..") return false;
  return true;
}

Result<void> settle_filling(const VolumePlace& place, HalfFilled half_filled, Durability durability) {
  if (!exists(place.directory + kFilling)) return {};
  if (half_filled == HalfFilled::removed) TRY(empty_directory(place.data()));
  return remove_mark(place, durability);
}

Result<void> fill_volume(const VolumePlace& place, const std::string& destination,
                         const std::function<Result<Fd>()>& open_root, HalfFilled half_filled,
                         Durability durability) {
  TRY(settle_filling(place, half_filled, durability));
  if (!TRY(is_empty_directory(place.data()))) return {};
  Fd root = TRY(open_root());
  Result<struct stat> origin = sys::stat_in_root(root.get(), destination);
  if (!origin || !S_ISDIR(origin->st_mode)) return {};
  const std::string from = TRY(sys::resolve_in_root(root.get(), destination));
  Fd target = TRY(open_file(place.data(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  TRY(make_mark(place, durability));
  Result<void> copied = copy_tree(root.get(), from, target.get());
  if (copied && durability == Durability::durable && syncfs(target.get()) != 0)
    copied = fail_errno(errno, "sync the volume");
  if (!copied && half_filled == HalfFilled::removed)
    if (Result<void> emptied = empty_directory(place.data()); !emptied)
      log_warning("engine", "empty {}: {}", place.data(), emptied.error().message);
  TRY(remove_mark(place, durability));
  return copied;
}

Result<std::uint64_t> size_on_disk(const std::string& directory) {
  Fd start = TRY(open_file(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat top;
  if (fstat(start.get(), &top) != 0) return fail_errno(errno, "stat {}", directory);
  std::uint64_t blocks = 0;
  std::set<ino_t> counted;  // files with several names
  TRY(archive::walk_tree(start.get(), [&](const archive::WalkItem& item) -> Result<archive::Descend> {
    const struct stat& status = item.status;
    if (status.st_dev != top.st_dev) return archive::Descend::no;
    if (S_ISDIR(status.st_mode) || status.st_nlink < 2 || counted.insert(status.st_ino).second)
      blocks += static_cast<std::uint64_t>(status.st_blocks);
    return archive::Descend::yes;
  }));
  return blocks * 512;
}

}  // namespace berth::engine
