// SPDX-License-Identifier: Apache-2.0
#include "cli/build/description_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/file.h"

namespace berth::cli {
namespace {

struct DescriptionFileTest : testing::Test {
  TemporaryDirectory directory = TemporaryDirectory::create("description").value();
  std::string path = directory.path() + "/file";

  static mode_t kind(const std::string& of) {
    struct stat info {};
    return lstat(of.c_str(), &info) == 0 ? info.st_mode & S_IFMT : 0;
  }
  void write(const std::string& to, const std::string& text) const {
    ASSERT_TRUE(write_all(open_file(to, O_WRONLY | O_CREAT, 0644).value().get(), text));
  }
};

TEST_F(DescriptionFileTest, AnOlderFileIsForgottenAndANewOneWritten) {
  write(path, "older");
  ASSERT_TRUE(check_description_file("--iidfile", path));
  EXPECT_EQ(read_file(path).value(), "older") << "a check changes nothing";
  forget_description(path);
  EXPECT_EQ(kind(path), 0u);
  ASSERT_TRUE(write_description(path, "newer"));
  EXPECT_EQ(read_file(path).value(), "newer");
}

TEST_F(DescriptionFileTest, ALinkStaysAndIsWrittenThrough) {
  const std::string target = directory.path() + "/target";
  write(target, "older and longer");
  ASSERT_EQ(symlink("target", path.c_str()), 0);
  forget_description(path);
  ASSERT_TRUE(write_description(path, "newer"));
  EXPECT_EQ(kind(path), static_cast<mode_t>(S_IFLNK));
  EXPECT_EQ(read_file(target).value(), "newer");
}

TEST_F(DescriptionFileTest, APipeStaysAndIsWrittenTo) {
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const Fd reader = open_file(path, O_RDONLY | O_NONBLOCK).value();
  ASSERT_TRUE(check_description_file("--iidfile", path));
  forget_description(path);
  ASSERT_TRUE(write_description(path, "id"));
  EXPECT_EQ(kind(path), static_cast<mode_t>(S_IFIFO));
  char text[8] = {};
  EXPECT_EQ(read(reader.get(), text, sizeof text), 2);
}

TEST_F(DescriptionFileTest, WhatCannotBeWrittenIsToldByTheOptionsName) {
  const Result<void> missing = check_description_file("--iidfile", directory.path() + "/no/file");
  ASSERT_FALSE(missing);
  EXPECT_TRUE(missing.error().message.starts_with("--iidfile: cannot write to "));
  EXPECT_FALSE(check_description_file("--iidfile", directory.path()));
  EXPECT_TRUE(check_description_file("--iidfile", ""));
}

}  // namespace
}  // namespace berth::cli
