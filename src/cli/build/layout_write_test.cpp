// SPDX-License-Identifier: Apache-2.0
#include "cli/build/layout_write.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/file.h"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using Files = std::vector<std::pair<std::string, std::string>>;

std::string name_of(std::string_view bytes) { return sha256_of(bytes).hex(); }
std::pair<std::string, std::string> blob(const std::string& bytes) {
  return {"blobs/sha256/" + name_of(bytes), bytes};
}

std::string tar_of(const Files& files) {
  archive::StringSink out;
  archive::TarWriter writer(out);
  for (const auto& [name, bytes] : files) {
    archive::TarEntry entry;
    entry.name = name;
    entry.mode = 0644;
    entry.size = bytes.size();
    EXPECT_TRUE(writer.add(entry) && writer.write(bytes));
  }
  EXPECT_TRUE(writer.finish());
  return out.take();
}

struct LayoutWriteTest : testing::Test {
  TemporaryDirectory directory = TemporaryDirectory::create("layout").value();
  std::string root = directory.path() + "/made/here";

  Result<void> write_tar(std::string_view tar) const {
    LayoutWriter writer = TRY(LayoutWriter::open(root));
    archive::StringSource source(tar);
    return writer.write(source);
  }
  Result<void> write(Files files, const std::string& index) const {
    files.emplace_back("oci-layout", "{}");
    files.emplace_back("index.json", index);
    return write_tar(tar_of(files));
  }
  std::vector<std::string> blobs() const { return list_directory(root + "/blobs/sha256").value(); }
  std::string path_of(const std::string& bytes) const { return root + "/" + blob(bytes).first; }
  std::string index() const { return read_file(root + "/index.json").value_or(""); }
};

TEST_F(LayoutWriteTest, TheNewLayoutReplacesTheOlderOne) {
  ASSERT_TRUE(write({blob("one"), blob("both")}, "older"));
  EXPECT_THAT(list_directory(root).value(), ElementsAre("blobs", "index.json", "oci-layout"));
  ASSERT_TRUE(write({blob("two"), blob("both")}, "newer"));
  EXPECT_THAT(blobs(), UnorderedElementsAre(name_of("two"), name_of("both")));
  EXPECT_EQ(read_file(path_of("two")).value(), "two");
  EXPECT_EQ(index(), "newer");
}

TEST_F(LayoutWriteTest, ABlobThatIsThereIsNotWrittenAgain) {
  ASSERT_TRUE(write({blob("one"), blob("two")}, "older"));
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(path_of("one").c_str(), &before), 0);
  ASSERT_EQ(truncate(path_of("two").c_str(), 1), 0);
  ASSERT_TRUE(write({blob("one"), blob("two")}, "newer"));
  ASSERT_EQ(stat(path_of("one").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(read_file(path_of("two")).value(), "two") << "half of one is";
}

TEST_F(LayoutWriteTest, OneThatIsCutLeavesTheOlderLayoutWhole) {
  ASSERT_TRUE(write({blob("one")}, "older"));
  const std::string tar = tar_of({blob("one"), blob(std::string(100'000, 'x')), {"index.json", "newer"}});
  for (const std::size_t size : {std::size_t{700}, std::size_t{5000}, tar.size() - 1500}) {
    EXPECT_FALSE(write_tar(std::string_view(tar).substr(0, size))) << size;
    EXPECT_EQ(index(), "older");
    EXPECT_EQ(read_file(path_of("one")).value(), "one");
    for (const std::string& name : blobs())
      EXPECT_EQ(name, name_of(read_file(root + "/blobs/sha256/" + name).value())) << size;
  }
}

TEST_F(LayoutWriteTest, WhatIsNotOfALayoutIsRefusedAndWhatIsNotOursStays) {
  ASSERT_TRUE(write({}, "older"));
  ASSERT_TRUE(write_file_atomically(AT_FDCWD, root + "/blobs/sha256/README", "x", 0600, Durability::visible));
  for (const std::string& name :
       {std::string("../escaped"), std::string("/escaped"), std::string("blobs/sha256/../../../escaped"),
        "blobs/sha256/" + std::string(63, 'a'), "blobs/sha256/" + std::string(64, 'A')})
    EXPECT_FALSE(write({{name, "x"}}, "newer")) << name;
  EXPECT_EQ(index(), "older");
  EXPECT_FALSE(write_tar(tar_of({blob("one")}))) << "without an index";
  EXPECT_THAT(list_directory(directory.path() + "/made").value(), ElementsAre("here"));
  ASSERT_TRUE(write({}, "newer"));
  EXPECT_THAT(blobs(), ElementsAre("README"));
}

TEST_F(LayoutWriteTest, LinksInTheDirectoryAreNotFollowed) {
  const std::string victim = directory.path() + "/victim";
  ASSERT_TRUE(make_directories(victim + "/sha256", 0700));
  ASSERT_TRUE(make_directories(root, 0700));
  ASSERT_EQ(symlink(victim.c_str(), (root + "/blobs").c_str()), 0);
  EXPECT_FALSE(write({blob("one")}, "newer"));
  EXPECT_THAT(list_directory(victim + "/sha256").value(), IsEmpty());
  ASSERT_EQ(unlink((root + "/blobs").c_str()), 0);
  ASSERT_TRUE(make_directories(root + "/blobs/sha256", 0700));
  ASSERT_TRUE(write_file_atomically(AT_FDCWD, victim + "/file", "old", 0600, Durability::visible));
  ASSERT_EQ(symlink((victim + "/file").c_str(), path_of("one").c_str()), 0);
  ASSERT_EQ(symlink((victim + "/file").c_str(), (root + "/index.json").c_str()), 0);
  ASSERT_TRUE(write({blob("one")}, "newer"));
  EXPECT_EQ(read_file(victim + "/file").value(), "old");
  EXPECT_EQ(read_file(path_of("one")).value(), "one");
}

}  // namespace
}  // namespace berth::cli
