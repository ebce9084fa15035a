// SPDX-License-Identifier: Apache-2.0
// For tests of this room and those above it: archives as an attacker would write them, and trees compared.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "archive/stream.h"
#include "archive/tar.h"
#include "archive/tree_walk.h"
#include "archive/xattr.h"
#include "base/digest.h"
#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"

namespace berth::archive::test {

// A source that gives little at a time, so that every boundary is somewhere in the middle.
class DripSource final : public Source {
 public:
  DripSource(std::string_view text, std::size_t step) : text_(text), step_(step) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    const std::size_t size = std::min({buffer.size(), text_.size(), step_});
    std::memcpy(buffer.data(), text_.data(), size);
    text_.remove_prefix(size);
    return size;
  }

 private:
  std::string_view text_;
  std::size_t step_;
};

// Builds an archive entry by entry.
class TarBuilder {
 public:
  TarBuilder& add(TarEntry entry, std::string_view contents = {}) {
    entry.size = entry.type == TarType::regular ? contents.size() : 0;
    EXPECT_TRUE(writer_.add(entry));
    EXPECT_TRUE(writer_.write(contents));
    return *this;
  }
  TarBuilder& file(std::string name, std::string_view contents, std::uint32_t mode = 0644) {
    TarEntry entry;
    entry.name = std::move(name);
    entry.mode = mode;
    return add(std::move(entry), contents);
  }
  TarBuilder& directory(std::string name, std::uint32_t mode = 0755) {
    TarEntry entry;
    entry.type = TarType::directory;
    entry.name = std::move(name);
    entry.mode = mode;
    return add(std::move(entry));
  }
  TarBuilder& link(std::string name, std::string target) {
    TarEntry entry;
    entry.type = TarType::symbolic_link;
    entry.name = std::move(name);
    entry.link_target = std::move(target);
    entry.mode = 0777;
    return add(std::move(entry));
  }
  TarBuilder& hard_link(std::string name, std::string target) {
    TarEntry entry;
    entry.type = TarType::hard_link;
    entry.name = std::move(name);
    entry.link_target = std::move(target);
    return add(std::move(entry));
  }
  TarBuilder& device(std::string name, std::uint32_t major, std::uint32_t minor) {
    TarEntry entry;
    entry.type = TarType::character_device;
    entry.name = std::move(name);
    entry.device_major = major;
    entry.device_minor = minor;
    entry.mode = 0666;
    return add(std::move(entry));
  }
  std::string take() {
    EXPECT_TRUE(writer_.finish());
    return sink_.take();
  }

 private:
  StringSink sink_;
  TarWriter writer_{sink_};
};

// Everything about a tree that an archive keeps, one line a file. Hard links are told by the first name.
inline std::map<std::string, std::string> describe(const std::string& path, bool times = true) {
  std::map<std::string, std::string> lines;
  std::map<ino_t, std::string> linked;
  Fd root = open_file(path, O_RDONLY | O_DIRECTORY).value();
  Result<void> walked = walk_tree(root.get(), [&](const WalkItem& item) -> Result<Descend> {
    const struct stat& status = item.status;
    std::string line = fmt::format("{:o} {}:{}", status.st_mode, status.st_uid, status.st_gid);
    if (times) line += fmt::format(" @{}", status.st_mtim.tv_sec);
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) line += fmt::format(" dev {}", status.st_rdev);
    if (S_ISLNK(status.st_mode)) {
      char target[4096];
      const ssize_t size = readlinkat(item.directory, item.name.c_str(), target, sizeof target);
      line += " -> " + std::string(target, static_cast<std::size_t>(size));
    }
    if (S_ISREG(status.st_mode)) {
      const std::string text = TRY(read_file_at(item.directory, item.name, 1u << 30));
      line += fmt::format(" {} {}", text.size(), sha256_of(text).short_hex());
    }
    if (!S_ISLNK(status.st_mode)) {
      const auto xattrs = TRY(read_xattrs(item.directory, item.name));
      for (const auto& [name, value] : xattrs) line += fmt::format(" {}={}", name, value);
    }
    if (!S_ISDIR(status.st_mode) && status.st_nlink > 1)
      line += " = " + linked.try_emplace(status.st_ino, item.path).first->second;
    lines.emplace(item.path, std::move(line));
    return Descend::yes;
  });
  EXPECT_TRUE(walked) << walked.error().message;
  return lines;
}

inline void write(const std::string& path, std::string_view text, mode_t mode = 0644) {
  Result<Fd> file = open_file(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ASSERT_TRUE(file) << file.error().message;
  ASSERT_EQ(fchmod(file->get(), mode), 0);
  ASSERT_TRUE(write_all(file->get(), text));
}

inline void run(const std::vector<std::string>& arguments) {
  Result<Output> output = run_program(arguments);
  ASSERT_TRUE(output) << output.error().message;
  ASSERT_EQ(output->exit_code, 0) << arguments.front() << ": " << output->standard_error;
}

}  // namespace berth::archive::test
