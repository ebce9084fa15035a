// SPDX-License-Identifier: Apache-2.0
#include "build/selection.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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

Result<void> add_item(PartsDigest& digest, const TreeItem& item, bool owners, FileDigests* files,
                      const std::stop_token& stop) {
  digest.add(item.path).add_number(item.status.st_mode);
  if (owners) digest.add_number(item.status.st_uid).add_number(item.status.st_gid);
  if (S_ISLNK(item.status.st_mode)) {
    const std::string target = TRY(link_target(item));
    digest.add(target);
    return {};
  }
  if (S_ISREG(item.status.st_mode)) {
    const Digest content = TRY(files ? files->of(item.directory, item.name, item.status, stop)
                                     : digest_file(item.directory, item.name, nullptr, stop));
    digest.add(content.text());
  } else if (!S_ISDIR(item.status.st_mode)) {
    digest.add_number(item.status.st_rdev);
    return {};
  }
  const auto xattrs = TRY(archive::read_xattrs(item.directory, item.name));
  digest.add_number(xattrs.size());
  for (const auto& [name, value] : xattrs) digest.add(name).add(value);
  return {};
}

}  // namespace

PartsDigest& PartsDigest::add(std::string_view part) {
  add_number(part.size());
  digest_.update(part);
  return *this;
}

PartsDigest& PartsDigest::add_number(std::uint64_t number) {
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  digest_.update({bytes, sizeof bytes});
  return *this;
}

PartsDigest& PartsDigest::add_list(std::span<const std::string> parts) {
  add_number(parts.size());
  for (const std::string& part : parts) add(part);
  return *this;
}

Result<Digest> digest_selection(const Tree& tree, std::span<const Source> sources,
                                const dockerfile::IgnoreRules& excludes, FileDigests* files,
                                const std::stop_token& stop) {
  PartsDigest all;
  for (const Source& source : sources) {
    PartsDigest one;
    // A directory's contents are taken, a file with its name.
    one.add(source.is_directory ? "directory" : "file")
        .add(source.is_directory ? "" : last_component(source.path));
    auto add = [&](const TreeItem& item) { return add_item(one, item, tree.keeps_owners, files, stop); };
    TRY(walk_source(tree, source, excludes, add));
    all.add(one.finish().text());
  }
  return all.finish();
}

}  // namespace berth::build
