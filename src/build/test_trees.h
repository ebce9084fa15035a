// SPDX-License-Identifier: Apache-2.0
// For this room's tests: trees on the disk.
#pragma once
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/file.h"
#include "build/tree.h"

namespace berth::build {

class TestTree {
 public:
  TestTree() : directory_(TemporaryDirectory::create("build-tree").value()) {}

  const std::string& path() const { return directory_.path(); }
  void file(const std::string& name, const std::string& text, mode_t mode = 0644) {
    make_parent(name);
    std::ofstream(path() + "/" + name) << text;
    EXPECT_EQ(chmod((path() + "/" + name).c_str(), mode), 0);
  }
  void directory(const std::string& name, mode_t mode = 0755) {
    EXPECT_TRUE(make_directories(path() + "/" + name, 0755));
    EXPECT_EQ(chmod((path() + "/" + name).c_str(), mode), 0);
  }
  void link(const std::string& name, const std::string& target) {
    make_parent(name);
    EXPECT_EQ(symlink(target.c_str(), (path() + "/" + name).c_str()), 0);
  }
  std::string text(const std::string& name) const {
    return read_file(path() + "/" + name).value_or("(missing)");
  }
  struct stat status(const std::string& name) const {
    struct stat status {};
    EXPECT_EQ(lstat((path() + "/" + name).c_str(), &status), 0) << name;
    return status;
  }
  bool has(const std::string& name) const {
    struct stat status;
    return lstat((path() + "/" + name).c_str(), &status) == 0;
  }
  Fd open() const { return open_file(path(), O_RDONLY | O_DIRECTORY).value(); }
  Tree tree(const std::string& ignore = "") const {
    Tree tree;
    tree.root = open();
    tree.ignore = dockerfile::IgnoreRules::parse(ignore).value();
    return tree;
  }

 private:
  void make_parent(const std::string& name) {
    if (const std::size_t slash = name.rfind('/'); slash != std::string::npos) {
      EXPECT_TRUE(make_directories(path() + "/" + name.substr(0, slash), 0755));
    }
  }
  TemporaryDirectory directory_;
};

}  // namespace berth::build
