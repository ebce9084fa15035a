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

// A walk's visitor that reads what it is shown.
class SelectionReader {
 public:
  SelectionReader(const Tree& tree, FileDigests* files, const std::stop_token& stop)
      : tree_(tree), files_(files), stop_(stop), reader_(mark_of(tree.reader)) {}

  Result<void> add(SourceDigest& digest, const TreeItem& item) const {
    const ReadingTree reading(tree_);
    switch (item.status.st_mode & S_IFMT) {
      case S_IFREG:
        digest.add_file(item, TRY(file(item)));
        return {};
      case S_IFLNK:
        digest.add_link(item, TRY(link_target(item)));
        return {};
      case S_IFDIR:
        digest.add_directory(item, TRY(archive::read_xattrs(item.directory, item.name)));
        return {};
      default:
        digest.add_special(item);
        return {};
    }
  }

 private:
  Result<Digest> file(const TreeItem& item) const {
    if (files_) return files_->of(item.directory, item.name, item.status, reader_, stop_);
    return digest_file(item.directory, item.name, nullptr, stop_);
  }

  const Tree& tree_;
  FileDigests* const files_;
  const std::stop_token& stop_;
  const ReaderMark reader_;
};

Result<void> check_amount(const Tree& tree, const Amount& amount) {
  if (!tree.live || (amount.bytes <= kLargestContext && amount.items <= kMostContextEntries)) return {};
  return fail(
      ErrorKind::exhausted,
      "what is copied of the build context has more than {} bytes or {} files: leave something out by "
      ".dockerignore",
      kLargestContext, kMostContextEntries);
}

}  // namespace

// A directory's contents are taken, a file with its name.
SourceDigest::SourceDigest(const Tree& tree, const Source& source) : owners_(tree.keeps_owners) {
  digest_.add(source.is_directory ? "directory" : "file")
      .add(source.is_directory ? "" : last_component(source.path));
}

void SourceDigest::add_head(const TreeItem& item) {
  digest_.add(item.path).add_number(item.status.st_mode);
  if (owners_) digest_.add_number(item.status.st_uid).add_number(item.status.st_gid);
}

void SourceDigest::add_file(const TreeItem& item, const Digest& file) {
  add_head(item);
  digest_.add(file.text());
}

void SourceDigest::add_link(const TreeItem& item, std::string_view target) {
  add_head(item);
  digest_.add(target);
}

// Of a directory that is a source itself nothing is taken but what is in it: it gets attributes of its own.
void SourceDigest::add_directory(const TreeItem& item, const Xattrs& xattrs) {
  if (item.path.empty()) return;
  add_head(item);
  digest_.add_number(xattrs.size());
  for (const auto& [name, value] : xattrs) digest_.add(name).add(value);
}

void SourceDigest::add_special(const TreeItem& item) {
  add_head(item);
  digest_.add_number(item.status.st_rdev);
}

Result<SelectionDigest> digest_selection(const Tree& tree, std::span<const Source> sources,
                                         const dockerfile::IgnoreRules& excludes, FileDigests* files,
                                         const std::stop_token& stop) {
  const SelectionReader reader(tree, files, stop);
  SourceDigests all;
  Amount amount;
  for (const Source& source : sources) {
    SourceDigest one(tree, source);
    auto add = [&](const TreeItem& item) -> Result<void> {
      amount.add(S_ISREG(item.status.st_mode) ? static_cast<std::uint64_t>(item.status.st_size) : 0);
      TRY(check_amount(tree, amount));
      return reader.add(one, item);
    };
    TRY(walk_source(tree, source, excludes, add));
    all.add(one.finish());
  }
  return SelectionDigest{all.finish(), amount};
}

}  // namespace berth::build
