// SPDX-License-Identifier: Apache-2.0
#include "cli/output/pending_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct PendingFileTest : testing::Test {
  TemporaryDirectory directory = TemporaryDirectory::create("pending").value();
  std::string path = directory.path() + "/file";

  std::vector<std::string> names() const { return list_directory(directory.path()).value(); }
};

TEST_F(PendingFileTest, ItAppearsOnceItIsComplete) {
  PendingFile file = PendingFile::create(path, 0600).value();
  ASSERT_TRUE(write_all(file.get(), "new"));
  EXPECT_FALSE(exists(path));
  ASSERT_TRUE(file.finish());
  EXPECT_EQ(read_file(path).value(), "new");
  EXPECT_THAT(names(), ElementsAre("file"));
}

TEST_F(PendingFileTest, NothingIsLeftOfOneThatWasNotFinished) {
  ASSERT_TRUE(write_file_atomically(AT_FDCWD, path, "old", 0600, Durability::visible));
  { ASSERT_TRUE(write_all(PendingFile::create(path, 0600).value().get(), "half")); }
  EXPECT_EQ(read_file(path).value(), "old");
  EXPECT_THAT(names(), ElementsAre("file"));
}

TEST_F(PendingFileTest, TwoAtOnceDoNotMeet) {
  PendingFile one = PendingFile::create(path, 0600).value(), two = PendingFile::create(path, 0600).value();
  ASSERT_TRUE(write_all(one.get(), "one and"));
  ASSERT_TRUE(write_all(two.get(), "two"));
  ASSERT_TRUE(one.finish());
  EXPECT_EQ(read_file(path).value(), "one and");
  ASSERT_TRUE(two.finish());
  EXPECT_EQ(read_file(path).value(), "two");
  EXPECT_THAT(names(), ElementsAre("file"));
}

TEST_F(PendingFileTest, LinksInItsPlaceAreReplacedAndNotFollowed) {
  const std::string victim = directory.path() + "/victim";
  ASSERT_TRUE(write_file_atomically(AT_FDCWD, victim, "safe", 0600, Durability::visible));
  for (const std::string& name : {path, path + ".part"}) ASSERT_EQ(symlink("victim", name.c_str()), 0);
  PendingFile file = PendingFile::create(path, 0600).value();
  ASSERT_TRUE(write_all(file.get(), "new"));
  ASSERT_TRUE(file.finish());
  EXPECT_EQ(read_file(victim).value(), "safe");
  EXPECT_EQ(read_file(path).value(), "new");
}

TEST_F(PendingFileTest, WhereItCannotBeIsAnError) {
  EXPECT_EQ(PendingFile::create(directory.path() + "/none/file", 0600).error().code, ENOENT);
  ASSERT_TRUE(make_directories(path + "/full", 0700));
  PendingFile file = PendingFile::create(path, 0600).value();
  EXPECT_FALSE(file.finish());
}

}  // namespace
}  // namespace berth::cli
