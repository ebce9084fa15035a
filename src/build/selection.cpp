// SPDX-License-Identifier: Apache-2.0
#include "build/selection.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "archive/xattr.h"

namespace berth::build {
namespace {

std::string_view last_component(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

Result<std::string> link_target(const TreeItem& item) {
  char target[4096];
  const ssize_t size = readlinkat(item.directory, item.name.c_str(), target, sizeof target);
  if (size < 0) return fail_errno(errno, "read the link {}", item.name);
  return std::string(target, static_cast<std::size_t>(size));
}

Result<void> add_item(PartsDigest& digest, const TreeItem& item, const Tree& tree, FileDigests* files,
                      const std::stop_token& stop) {
  // Of a directory that is a source its contents alone are copied, under attributes of their own.
  if (item.path.empty() && S_ISDIR(item.status.st_mode)) return {};
  const ReadingTree reading(tree);
  digest.add(item.path).add_number(item.status.st_mode);
  if (tree.keeps_owners) digest.add_number(item.status.st_uid).add_number(item.status.st_gid);
  if (S_ISLNK(item.status.st_mode)) {
    const std::string target = TRY(link_target(item));
    digest.add(target);
    return {};
  }
  if (S_ISREG(item.status.st_mode)) {
    const uid_t reader = tree.reader ? tree.reader->uid : 0;
    const Digest content = TRY(files ? files->of(item.directory, item.name, item.status, reader, stop)
                                     : digest_file(item.directory, item.name, nullptr, stop));
    digest.add(content.text());
    return {};
  }
  if (!S_ISDIR(item.status.st_mode)) {
    digest.add_number(item.status.st_rdev);
    return {};
  }
  const auto xattrs = TRY(archive::read_xattrs(item.directory, item.name));
  digest.add_number(xattrs.size());
  for (const auto& [name, value] : xattrs) digest.add(name).add(value);
  return {};
}

// Whoever writes to a file, renames it or puts another in its place changes one of these, and no user can set
// the time of the last change.
void add_standing(PartsDigest& standing, const TreeItem& item) {
  const struct stat& status = item.status;
  standing.add(item.path).add_number(status.st_dev).add_number(status.st_ino).add_number(status.st_mode);
  standing.add_number(static_cast<std::uint64_t>(status.st_size));
  for (const struct timespec& time : {status.st_mtim, status.st_ctim})
    standing.add_number(static_cast<std::uint64_t>(time.tv_sec))
        .add_number(static_cast<std::uint64_t>(time.tv_nsec));
}

}  // namespace

Result<SelectionDigest> digest_selection(const Tree& tree, std::span<const Source> sources,
                                         const dockerfile::IgnoreRules& excludes, FileDigests* files,
                                         const std::stop_token& stop) {
  PartsDigest all, standing;
  Amount amount;
  for (const Source& source : sources) {
    PartsDigest one;
    // A directory's contents are taken, a file with its name.
    one.add(source.is_directory ? "directory" : "file")
        .add(source.is_directory ? "" : last_component(source.path));
    auto add = [&](const TreeItem& item) {
      amount.add(S_ISREG(item.status.st_mode) ? static_cast<std::uint64_t>(item.status.st_size) : 0);
      if (tree.live) add_standing(standing, item);
      return add_item(one, item, tree, files, stop);
    };
    TRY(walk_source(tree, source, excludes, add));
    all.add(one.finish().text());
  }
  SelectionDigest digest{all.finish(), amount, std::nullopt};
  if (tree.live) digest.standing = standing.finish();
  return digest;
}

Result<void> check_standing(const Tree& tree, std::span<const Source> sources,
                            const dockerfile::IgnoreRules& excludes, const std::optional<Digest>& before) {
  if (!tree.live) return {};
  PartsDigest standing;
  auto add = [&](const TreeItem& item) -> Result<void> {
    add_standing(standing, item);
    return {};
  };
  for (const Source& source : sources) {
    const Result<void> walked = walk_source(tree, source, excludes, add);
    if (!walked && walked.error().kind != ErrorKind::not_found) return walked;
  }
  if (standing.finish() == before) return {};
  return fail(ErrorKind::cancelled, "the build context has changed while it was copied");
}

}  // namespace berth::build
