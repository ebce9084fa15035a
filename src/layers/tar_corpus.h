// SPDX-License-Identifier: Apache-2.0
// For tar_corpus_test.cpp: archives byte by byte as an attacker writes them, and trees told as text.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archive/tree_walk.h"
#include "archive/xattr.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/text.h"

namespace berth::layers::corpus {

enum class Kind {
  regular,
  with_xattrs,  // a regular file with attributes of every namespace, and a time with nanoseconds
  contiguous,
  long_name,  // a regular file whose name is in a header of its own ('L')
  gnu_sparse,
  pax_sparse,
  hard_link,
  link_inside,
  link_absolute,  // outside, but for the root
  link_above,     // outside by ".."
  directory,
  fifo,
  device,  // 1:3
  whiteout,
  opaque,
  global_header,  // a comment for all entries that follow
};
inline constexpr std::array<const char*, 16> kKindNames = {
    "regular",   "with_xattrs", "contiguous",    "long_name",    "gnu_sparse", "pax_sparse",
    "hard_link", "link_inside", "link_absolute", "link_above",   "directory",  "fifo",
    "device",    "whiteout",    "opaque",        "global_header"};

inline bool is_file(Kind kind) { return kind <= Kind::pax_sparse; }
inline bool is_symbolic(Kind kind) {
  return kind == Kind::link_inside || kind == Kind::link_absolute || kind == Kind::link_above;
}
inline bool is_sparse(Kind kind) { return kind == Kind::gnu_sparse || kind == Kind::pax_sparse; }
inline bool is_whiteout(Kind kind) { return kind == Kind::whiteout || kind == Kind::opaque; }

struct Entry {
  Kind kind = Kind::regular;
  std::string name;    // of what it is about: that of a whiteout is made of it
  std::string target;  // of links
  int number = 0;      // gives mode, owner, time and contents, so that entries differ
};

inline std::uint32_t mode_of(const Entry& entry) { return entry.number == 0 ? 0640 : 04751; }
inline std::uint32_t uid_of(const Entry& entry) { return 1000 + static_cast<std::uint32_t>(entry.number); }
inline std::int64_t mtime_of(const Entry& entry) { return 1'000'000'000 + entry.number * 1000; }
inline constexpr std::size_t kSparseHole = 100'000;
inline std::string contents_of(const Entry& entry) {
  std::string text = fmt::format("contents of entry {}", entry.number);
  return is_sparse(entry.kind) ? std::string(kSparseHole, '\0') + text : text;
}
// Revision 2 of the kernel's vfs_cap_data: CAP_NET_RAW permitted, and effective.
inline const std::string kCapability("\1\0\0\2\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);

// --- bytes ---

inline std::string padded(std::string_view contents) {
  std::string text(contents);
  text.resize((text.size() + 511) / 512 * 512);
  return text;
}

inline void put(std::string& block, std::size_t offset, std::string_view text) {
  block.replace(offset, text.size(), text);
}

inline void set_checksum(std::string& block) {
  put(block, 148, "        ");
  std::uint32_t sum = 0;
  for (unsigned char byte : block.substr(0, 512)) sum += byte;
  put(block, 148, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
}

inline std::string header(const Entry& entry, std::string_view name, char type, std::uint64_t size,
                          bool gnu = false) {
  std::string block(512, '\0');
  put(block, 0, name.substr(0, 100));
  put(block, 100, fmt::format("{:07o}", mode_of(entry)));
  put(block, 108, fmt::format("{:07o}", uid_of(entry)));
  put(block, 116, fmt::format("{:07o}", uid_of(entry) + 1000));
  put(block, 124, fmt::format("{:011o}", size));
  put(block, 136, fmt::format("{:011o}", mtime_of(entry)));
  block[156] = type;
  put(block, 157, std::string_view(entry.target).substr(0, 100));
  put(block, 257, gnu ? std::string_view("ustar  \0", 8) : std::string_view("ustar\00000", 8));
  put(block, 329, "0000001");
  put(block, 337, "0000003");
  set_checksum(block);
  return block;
}

using Records = std::vector<std::pair<std::string, std::string>>;

inline std::string pax(const Records& records, char type = 'x') {
  std::string text;
  for (const auto& [key, value] : records) {
    const std::size_t rest = key.size() + value.size() + 3;
    std::size_t size = rest + 1;
    while (rest + std::to_string(size).size() != size) size = rest + std::to_string(size).size();
    text += fmt::format("{} {}={}\n", size, key, value);
  }
  return header({}, "pax", type, text.size()) + padded(text);
}

inline std::string gnu_long(std::string_view text, char type) {
  return header({}, "././@LongLink", type, text.size() + 1, true) + padded(std::string(text) + '\0');
}

inline std::string written_name(const Entry& entry) {
  if (entry.kind == Kind::opaque) return entry.name + "/.wh..wh..opq";
  if (entry.kind != Kind::whiteout) return entry.name;
  const std::size_t end = entry.name.find_last_not_of('/') + 1;
  const std::size_t slash = entry.name.find_last_of('/', end - 1);
  const std::size_t start = slash == std::string::npos ? 0 : slash + 1;
  return entry.name.substr(0, start) + ".wh." + entry.name.substr(start);
}

inline std::string encode_gnu_sparse(const Entry& entry, const std::string& name) {
  const std::string text = contents_of(entry).substr(kSparseHole);
  std::string block = header(entry, name, 'S', text.size(), true);
  put(block, 386, fmt::format("{:011o}", kSparseHole));
  put(block, 398, fmt::format("{:011o}", text.size()));
  put(block, 483, fmt::format("{:011o}", kSparseHole + text.size()));
  set_checksum(block);
  const std::string before = name.size() > 100 ? gnu_long(name, 'L') : std::string();
  return before + block + padded(text);
}

inline std::string encode_pax_sparse(const Entry& entry, const std::string& name) {
  const std::string text = contents_of(entry).substr(kSparseHole);
  const std::string map = padded(fmt::format("1\n{}\n{}\n", kSparseHole, text.size()));
  return pax({{"GNU.sparse.major", "1"},
              {"GNU.sparse.minor", "0"},
              {"GNU.sparse.name", name},
              {"GNU.sparse.realsize", std::to_string(kSparseHole + text.size())}}) +
         header(entry, "GNUSparseFile.0/x", '0', map.size() + text.size()) + map + padded(text);
}

inline char flag_of(Kind kind) {
  switch (kind) {
    case Kind::contiguous:
      return '7';
    case Kind::hard_link:
      return '1';
    case Kind::link_inside:
    case Kind::link_absolute:
    case Kind::link_above:
      return '2';
    case Kind::device:
      return '3';
    case Kind::directory:
      return '5';
    case Kind::fifo:
      return '6';
    default:
      return '0';
  }
}

inline std::string encode(const Entry& entry) {
  const std::string name = written_name(entry);
  if (entry.kind == Kind::global_header) return pax({{"comment", "of no consequence"}}, 'g');
  if (entry.kind == Kind::gnu_sparse) return encode_gnu_sparse(entry, name);
  if (entry.kind == Kind::pax_sparse) return encode_pax_sparse(entry, name);
  std::string before;
  Records records;
  if (entry.kind == Kind::with_xattrs)
    records = {{"mtime", fmt::format("{}.123456789", mtime_of(entry))},
               {"SCHILY.xattr.user.a", "1"},
               {"SCHILY.xattr.security.capability", kCapability},
               {"SCHILY.xattr.user.overlay.opaque", "y"},
               {"SCHILY.xattr.trusted.overlay.metacopy", ""},
               {"SCHILY.xattr.trusted.overlay.redirect", "/etc"},
               {"SCHILY.xattr.trusted.x", "2"}};
  if (entry.kind == Kind::long_name) {
    before = gnu_long(name, 'L');
  } else if (name.size() > 100) {
    records.emplace_back("path", name);
  }
  if (entry.target.size() > 100) records.emplace_back("linkpath", entry.target);
  if (!records.empty()) before += pax(records);
  const std::string text = is_file(entry.kind) ? contents_of(entry) : std::string();
  return before + header(entry, name, flag_of(entry.kind), text.size()) + padded(text);
}

// --- trees ---

using Tree = std::map<std::string, std::string>;  // path -> everything that an archive says about it

inline constexpr std::int64_t kNow = 1'600'000'000;  // times after it are those of the test's run

inline std::string told(mode_t mode, std::uint32_t uid, std::uint32_t gid, std::int64_t seconds,
                        long nanoseconds) {
  const std::string time = seconds > kNow ? "now" : fmt::format("{}.{:09}", seconds, nanoseconds);
  return fmt::format("{:o} {}:{} @{}", mode, uid, gid, time);
}
inline std::string told_contents(std::string_view text) {
  return fmt::format(" {} {}", text.size(), text.substr(std::min(text.size(), text.find_first_not_of('\0'))));
}

// Attributes that no archive may set, but that overlayfs or the host would read.
inline std::string foreign_attributes(const std::string& path) {
  std::array<char, 4096> names;
  const ssize_t size = llistxattr(path.c_str(), names.data(), names.size());
  std::string text;
  for (std::string_view rest(names.data(), size > 0 ? static_cast<std::size_t>(size) : 0); !rest.empty();) {
    const std::string name(rest.substr(0, rest.find('\0')));
    rest.remove_prefix(name.size() + 1);
    if (!archive::travels(name)) text += " " + name;
  }
  return text;
}

// What is there; `foreign`: with attributes that do not come out of an archive.
inline Tree describe(const std::string& directory, bool foreign) {
  Tree tree;
  std::map<ino_t, std::string> linked;
  Fd root = open_file(directory, O_RDONLY | O_DIRECTORY).value();
  auto visit = [&](const archive::WalkItem& item) -> Result<archive::Descend> {
    const struct stat& status = item.status;
    const std::string path = fmt::format("{}/{}", directory, item.path);
    std::string line =
        told(status.st_mode, status.st_uid, status.st_gid, status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    if (S_ISCHR(status.st_mode)) line += fmt::format(" dev {}", status.st_rdev);
    if (S_ISLNK(status.st_mode)) {
      std::array<char, 4096> target;
      const ssize_t size = readlink(path.c_str(), target.data(), target.size());
      line += " -> " + std::string(target.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    }
    if (S_ISREG(status.st_mode)) line += told_contents(TRY(read_file(path, 1u << 20)));
    if (!S_ISLNK(status.st_mode))
      for (const auto& [name, value] : TRY(archive::read_xattrs(item.directory, item.name)))
        line += fmt::format(" {}={}", name, name == "security.capability" ? "cap" : value);
    if (foreign) line += foreign_attributes(path);
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1)
      line += fmt::format(" = {} ({})", linked.try_emplace(status.st_ino, item.path).first->second,
                          status.st_nlink);
    tree.emplace(item.path, std::move(line));
    return archive::Descend::yes;
  };
  Result<void> walked = archive::walk_tree(root.get(), visit);
  if (!walked) tree.emplace("", walked.error().message);
  return tree;
}

}  // namespace berth::layers::corpus
