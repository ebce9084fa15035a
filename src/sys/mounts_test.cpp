// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::sys {
namespace {

std::string host_mounts() { return *read_file("/proc/self/mountinfo"); }

TEST(MountOptions, AreSortedByWhoIsTold) {
  Result<MountOptions> options = parse_mount_options(
      {"rbind", "nosuid", "ro", "rnodev", "rw", "rslave", "size=64m", "newinstance", "noatime"});
  ASSERT_TRUE(options);
  EXPECT_TRUE(options->bind && options->recursive);
  EXPECT_EQ(options->set, static_cast<std::uint64_t>(MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME));
  EXPECT_EQ(options->clear, static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY | MOUNT_ATTR__ATIME));
  EXPECT_EQ(options->recursive_set, static_cast<std::uint64_t>(MOUNT_ATTR_NODEV));
  EXPECT_EQ(options->propagation, static_cast<unsigned long>(MS_SLAVE));
  EXPECT_TRUE(options->propagation_recursive);
  ASSERT_EQ(options->parameters.size(), 2u);
  EXPECT_EQ(options->parameters[0].value, "64m");
  EXPECT_TRUE(options->parameters[1].flag);
  EXPECT_FALSE(parse_mount_options({std::string("a\0b", 3)}));
  EXPECT_FALSE(propagation_flag("rpublic"));
}

class OverlayTest : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_.emplace(std::move(*TemporaryDirectory::create("berth-overlay-test")));
    for (const char* name : {"upper", "work"}) make(name);
    for (int i = 0; i < 40; ++i) {
      std::string layer =
          "layer-with-a-name-that-is-long-enough-to-fill-a-page-of-options-" + std::to_string(i);
      make(layer);
      lower_.push_back(path(layer));
      ASSERT_TRUE(open_file(path(layer) + "/f" + std::to_string(i), O_WRONLY | O_CREAT, 0644));
      Result<Fd> both = open_file(path(layer) + "/same", O_WRONLY | O_CREAT, 0644);
      ASSERT_TRUE(both && write_all(both->get(), std::to_string(i)));
    }
  }
  std::string path(const std::string& name) { return directory_->path() + "/" + name; }
  void make(const std::string& name) { ASSERT_EQ(mkdir(path(name).c_str(), 0755), 0); }

  void expect_all_layers(const Fd& mounted) {
    EXPECT_EQ(*read_file_at(mounted.get(), "same"), "0");  // of the topmost
    for (int i = 0; i < 40; ++i)
      EXPECT_EQ(faccessat(mounted.get(), ("f" + std::to_string(i)).c_str(), F_OK, 0), 0) << i;
    Fd made(openat(mounted.get(), "new", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    EXPECT_TRUE(made);
    EXPECT_TRUE(exists(path("upper/new")));
  }
  std::optional<TemporaryDirectory> directory_;
  std::vector<std::string> lower_;
};

TEST_F(OverlayTest, IsAttachedNowhere) {
  std::string before = host_mounts();
  Result<Fd> mounted = mount_overlay(lower_, path("upper"), path("work"), true);
  ASSERT_TRUE(mounted) << mounted.error().message;
  EXPECT_EQ(host_mounts(), before);
  expect_all_layers(*mounted);
}

TEST_F(OverlayTest, OfKernelsBefore65IsTheSame) {
  std::string before = host_mounts();
  Result<Fd> mounted = mount_overlay_before_6_5(lower_, path("upper"), path("work"), false);
  ASSERT_TRUE(mounted) << mounted.error().message;
  EXPECT_EQ(host_mounts(), before);
  expect_all_layers(*mounted);
  lower_.push_back("/no/such");
  Result<Fd> refused = mount_overlay_before_6_5(lower_, "", "", false);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("/no/such"), std::string::npos);
}

TEST_F(OverlayTest, SaysWhichDirectoryIsWrong) {
  lower_.push_back("/no/such");
  Result<Fd> refused = mount_overlay(lower_, "", "", false);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("/no/such"), std::string::npos) << refused.error().message;
  EXPECT_FALSE(mount_overlay({}, "", "", false));
  EXPECT_FALSE(mount_overlay({"relative"}, "", "", false));
}

}  // namespace
}  // namespace berth::sys
