// SPDX-License-Identifier: Apache-2.0
#include "sys/act_as.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/file.h"

namespace berth::sys {
namespace {

constexpr uid_t kSomebody = 61234;
constexpr gid_t kTheirs = 61235, kShared = 61236;

class ActingAs : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "needs root";
    Result<TemporaryDirectory> made = TemporaryDirectory::create("act");
    ASSERT_TRUE(made);
    directory_.emplace(std::move(*made));
    chmod(directory_->path().c_str(), 0755);
    put("root", 0, 0, 0600);
    put("theirs", kSomebody, kTheirs, 0400);
    put("group", 0, kTheirs, 0640);
    put("shared", 0, kShared, 0640);
    put("everybody", 0, 0, 0644);
  }
  void put(const std::string& name, uid_t user, gid_t group, mode_t mode) {
    const std::string path = directory_->path() + "/" + name;
    Result<Fd> file = open_file(path, O_WRONLY | O_CREAT, 0600);
    ASSERT_TRUE(file && write_all(file->get(), name));
    ASSERT_EQ(chown(path.c_str(), user, group), 0);
    ASSERT_EQ(chmod(path.c_str(), mode), 0);
  }
  std::string readable() const {
    std::string all;
    for (const char* name : {"root", "theirs", "group", "shared", "everybody"})
      if (open_file(directory_->path() + "/" + name, O_RDONLY)) all += std::string(name) + " ";
    return all;
  }
  std::optional<TemporaryDirectory> directory_;
};

TEST_F(ActingAs, OpensWhatThatUserMayOpen) {
  const UserIdentity somebody{.uid = kSomebody, .gid = kTheirs, .groups = {}};
  const UserIdentity with_group{.uid = kSomebody, .gid = kTheirs, .groups = {kShared}};
  {
    const ActAs acting(&somebody);
    EXPECT_EQ(readable(), "theirs group everybody ");
  }
  {
    const ActAs acting(&with_group);
    EXPECT_EQ(readable(), "theirs group shared everybody ");
  }
  EXPECT_EQ(readable(), "root theirs group shared everybody ");
}

TEST_F(ActingAs, NestsAndKnowsRoot) {
  const UserIdentity somebody{.uid = kSomebody, .gid = kTheirs, .groups = {}};
  const UserIdentity root;
  {
    const ActAs acting(&somebody);
    {
      const ActAs again(&root);
      EXPECT_EQ(readable(), "root theirs group shared everybody ");
    }
    EXPECT_EQ(readable(), "theirs group everybody ");
  }
  const ActAs nobody(nullptr);
  EXPECT_EQ(readable(), "root theirs group shared everybody ");
}

TEST_F(ActingAs, HasNoCapabilityAndTakesThemBack) {
  auto effective = [] {
    const std::string status = read_file("/proc/thread-self/status").value();
    return status.substr(status.find("CapEff:"), 24);
  };
  const std::string before = effective();
  {
    const UserIdentity somebody{.uid = kSomebody, .gid = kTheirs, .groups = {}};
    const ActAs acting(&somebody);
    EXPECT_EQ(effective(), "CapEff:\t0000000000000000");
    const UserIdentity root;
    const ActAs again(&root);
    EXPECT_EQ(effective(), before);
  }
  EXPECT_EQ(effective(), before);
}

TEST_F(ActingAs, LeavesOtherThreadsAlone) {
  const UserIdentity somebody{.uid = kSomebody, .gid = kTheirs, .groups = {kShared}};
  const ActAs acting(&somebody);
  std::string other;
  std::thread([&] {
    const UserIdentity root;
    const ActAs back(&root);
    other = readable();
  }).join();
  EXPECT_EQ(other, "root theirs group shared everybody ");
  EXPECT_EQ(readable(), "theirs group shared everybody ");
}

}  // namespace
}  // namespace berth::sys
