// SPDX-License-Identifier: Apache-2.0
#include "sys/cgroup.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/text.h"
#include "oci/runtime_spec.h"
#include "sys/cgroup_limits.h"
#include "sys/device_rules.h"

namespace berth::sys {
namespace {

using ::testing::ElementsAre;

CgroupLayout v1() {
  CgroupLayout layout;
  for (const char* name : {"memory", "cpu", "cpuset", "pids", "blkio", "hugetlb"})
    layout.hierarchies.push_back({std::string("/cg/") + name, {name}, name, false});
  return layout;
}

CgroupLayout v2() { return {{{"/cg", {"memory", "cpu", "cpuset", "pids", "io", "hugetlb"}, "", true}}}; }

std::vector<std::string> written(const oci::Resources& resources, const CgroupLayout& layout) {
  Result<std::vector<CgroupWrite>> writes = cgroup_writes(resources, layout);
  if (!writes) return {"error: " + writes.error().message};
  std::vector<std::string> out;
  for (const CgroupWrite& one : *writes) out.push_back(one.controller + " " + one.file + "=" + one.value);
  return out;
}

oci::Resources everything() {
  oci::Resources out;
  out.memory = oci::MemoryResources{.limit = 1000, .reservation = 500, .swap = 1500, .swappiness = 10};
  out.cpu = oci::CpuResources{.shares = 1024, .quota = 50000, .period = 100000, .cpus = "0-1", .mems = "0"};
  out.pids_limit = 7;
  out.block_io.emplace().weight = 500;
  out.block_io->read_bps = {{8, 0, 1048576}};
  out.hugepage_limits = {{"2MB", 4096}};
  return out;
}

TEST(CgroupLimits, AreWrittenInTheWordsOfV1) {
  EXPECT_THAT(written(everything(), v1()),
              ElementsAre("memory memory.limit_in_bytes=1000", "memory memory.memsw.limit_in_bytes=1500",
                          "memory memory.soft_limit_in_bytes=500", "memory memory.swappiness=10",
                          "cpu cpu.shares=1024", "cpu cpu.cfs_period_us=100000", "cpu cpu.cfs_quota_us=50000",
                          "cpuset cpuset.cpus=0-1", "cpuset cpuset.mems=0", "pids pids.max=7",
                          "blkio blkio.bfq.weight=500", "blkio blkio.throttle.read_bps_device=8:0 1048576",
                          "hugetlb hugetlb.2MB.limit_in_bytes=4096"));
}

TEST(CgroupLimits, AreWrittenInTheWordsOfV2) {
  EXPECT_THAT(written(everything(), v2()),
              ElementsAre("memory memory.swap.max=500", "memory memory.max=1000", "memory memory.low=500",
                          "cpu cpu.weight=39", "cpu cpu.max=50000 100000", "cpuset cpuset.cpus=0-1",
                          "cpuset cpuset.mems=0", "pids pids.max=7", "io io.weight=default 4950",
                          "io io.max=8:0 rbps=1048576", "hugetlb hugetlb.2MB.max=4096"));
}

TEST(CgroupLimits, UnlimitedIsWrittenAsEachVersionSaysIt) {
  oci::Resources open;
  open.memory = oci::MemoryResources{.limit = -1, .swap = -1};
  open.cpu.emplace().quota = -1;
  open.pids_limit = -1;
  EXPECT_THAT(written(open, v1()),
              ElementsAre("memory memory.limit_in_bytes=-1", "memory memory.memsw.limit_in_bytes=-1",
                          "cpu cpu.cfs_quota_us=-1", "pids pids.max=max"));
  EXPECT_THAT(written(open, v2()), ElementsAre("memory memory.swap.max=max", "memory memory.max=max",
                                               "cpu cpu.max=max", "pids pids.max=max"));
}

TEST(CgroupLimits, WeightsKeepTheirEnds) {
  EXPECT_EQ(cpu_weight_of_shares(2), 1u);
  EXPECT_EQ(cpu_weight_of_shares(262144), 10000u);
  EXPECT_EQ(cpu_weight_of_shares(0), 1u);
  EXPECT_EQ(io_weight_of_block_weight(10), 1u);
  EXPECT_EQ(io_weight_of_block_weight(1000), 10000u);
}

TEST(CgroupLimits, ThatCannotBeMetAreRefused) {
  auto refusal = [](const oci::Resources& resources, const CgroupLayout& layout) {
    Result<std::vector<CgroupWrite>> writes = cgroup_writes(resources, layout);
    return writes ? std::string() : writes.error().message;
  };
  oci::Resources pids;
  pids.pids_limit = 5;
  EXPECT_NE(refusal(pids, {{{"/cg/memory", {"memory"}, "memory", false}}}).find("pids"), std::string::npos);
  oci::Resources swap;
  swap.memory = oci::MemoryResources{.limit = 1000, .swap = 500};
  EXPECT_NE(refusal(swap, v2()), "");
  oci::Resources unified;
  unified.unified = {{"memory.high", "1"}};
  EXPECT_EQ(refusal(unified, v2()), "");
  EXPECT_NE(refusal(unified, v1()), "");
  for (const char* bad : {"../memory.high", "memory/high", "memory", ".x", "a.b/../../c.d"}) {
    unified.unified = {{bad, "1"}};
    EXPECT_NE(refusal(unified, v2()), "") << bad;
  }
  oci::Resources pages;
  pages.hugepage_limits = {{"../x", 1}};
  EXPECT_NE(refusal(pages, v2()), "");
}

TEST(Cgroup, PathsAreChecked) {
  for (const char* bad : {"", "/", "a", "/..", "/a/../b", "/./a", "/a/..", "//", "/a\nb"})
    EXPECT_FALSE(Cgroup::at(bad, v2())) << bad;
  EXPECT_EQ(Cgroup::at("/a//b/", v2())->path(), "/a/b");
}

class RealCgroup : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<Cgroup> made = Cgroup::at("/berth-sys-test/" + random_identifier().substr(0, 12));
    ASSERT_TRUE(made) << made.error().message;
    group_.emplace(std::move(*made));
  }
  void TearDown() override {
    if (member_ > 0) {
      kill(member_, SIGKILL);
      waitpid(member_, nullptr, 0);
    }
    EXPECT_TRUE(group_->remove());
    EXPECT_FALSE(group_->exists());
    (void)Cgroup::at("/berth-sys-test")->remove();
  }
  void start_member() {
    member_ = fork();
    if (member_ == 0)
      for (;;) pause();
  }
  std::optional<Cgroup> group_;
  pid_t member_ = -1;
};

TEST_F(RealCgroup, HoldsItsMembersAndTheirFigures) {
  oci::Resources resources;
  resources.pids_limit = 3;
  resources.memory.emplace().limit = 32 << 20;
  std::vector<std::string> warnings;
  Result<void> made = group_->create(resources, &warnings);
  ASSERT_TRUE(made) << made.error().message;
  start_member();
  ASSERT_TRUE(group_->add(member_));
  EXPECT_THAT(*group_->members(), ElementsAre(member_));
  Result<CgroupStatistics> figures = group_->statistics();
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->pids.current, 1u);
  EXPECT_EQ(figures->pids.limit, 3u);
  EXPECT_EQ(figures->memory.limit, 32u << 20);
  ASSERT_TRUE(group_->freeze());
  EXPECT_TRUE(*group_->frozen());
  ASSERT_TRUE(group_->thaw());
  ASSERT_TRUE(group_->kill());
  int status = 0;
  ASSERT_EQ(waitpid(member_, &status, 0), member_);
  member_ = -1;
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_FALSE(group_->create(oci::Resources{.pids_limit = 5, .unified = {{"no.such", "1"}}}));
}

TEST_F(RealCgroup, RemovalWaitsForMembersThatAreJustExiting) {
  ASSERT_TRUE(group_->create({}));
  start_member();
  ASSERT_TRUE(group_->add(member_));
  ASSERT_TRUE(group_->kill());
  EXPECT_TRUE(group_->remove());
}

TEST_F(RealCgroup, ABpfFilterDecidesAboutDevices) {
  ASSERT_TRUE(group_->create({}));
  Result<Fd> directory = group_->open_unified();
  if (!directory || !*directory) GTEST_SKIP() << "no cgroup v2 tree here";
  oci::DeviceRule rule{false, "a", {}, {}, "rwm"};
  std::vector<DevicePermission> permissions = *effective_device_permissions({rule});
  std::erase_if(permissions,
                [](const DevicePermission& one) { return one.major == 1 && one.minor == 7; });  // not full
  Result<void> attached = attach_device_filter(directory->get(), permissions);
  ASSERT_TRUE(attached) << attached.error().message;
  ASSERT_TRUE(attach_device_filter(directory->get(), permissions)) << "a second one takes its place";
  auto try_open = [&](const char* path, int flags) {
    pid_t child = fork();
    if (child == 0) {
      if (!group_->add(0)) _exit(200);
      _exit(open(path, flags) >= 0 ? 0 : errno);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
  };
  EXPECT_EQ(try_open("/dev/null", O_RDWR), 0);
  EXPECT_EQ(try_open("/dev/zero", O_RDONLY), 0);
  EXPECT_EQ(try_open("/dev/full", O_RDONLY), EPERM);
  EXPECT_EQ(try_open("/dev/kmsg", O_RDONLY), EPERM);
  permissions.push_back({true, 'c', 1, 7, true, false, false});
  ASSERT_TRUE(attach_device_filter(directory->get(), permissions));
  EXPECT_EQ(try_open("/dev/full", O_RDONLY), 0);
  EXPECT_EQ(try_open("/dev/full", O_RDWR), EPERM);
}

TEST(DeviceRules, EverythingAllowedIsOneRule) {
  EXPECT_EQ(effective_device_permissions({{true, "a", {}, {}, "rwm"}})->size(), 1u);
  EXPECT_EQ(effective_device_permissions({{false, "", {}, {}, ""}, {true, "", {}, {}, ""}})->size(), 1u);
  EXPECT_GT(effective_device_permissions({})->size(), 5u);
  EXPECT_FALSE(effective_device_permissions({{true, "x", {}, {}, ""}}));
  EXPECT_FALSE(effective_device_permissions({{true, "c", 1, 3, "rx"}}));
  EXPECT_EQ(to_v1_rule({true, 'c', 1, -1, true, true, false}), "c 1:* rw");
  EXPECT_EQ(to_v1_rule({false, 'a', -1, -1, true, true, true}), "a");
}

}  // namespace
}  // namespace berth::sys
