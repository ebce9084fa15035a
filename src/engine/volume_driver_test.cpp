// SPDX-License-Identifier: Apache-2.0
#include "engine/volume_driver.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "base/file.h"
#include "engine/dead_server.h"
#include "engine/shared_mounts.h"

namespace berth::engine {
namespace {

using testing::HasSubstr;

std::string checked(const VolumeOptions& options) {
  Result<void> result = check_volume_options(options);
  return result ? "" : result.error().message;
}

Result<std::string> no_names(const std::string& name) {
  return fail(ErrorKind::unavailable, "nobody knows {}", name);
}

TEST(VolumeOptionsCheck, TakesWhatTheDriverKnows) {
  EXPECT_EQ(checked({}), "");
  EXPECT_EQ(checked({{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=2m,uid=5"}}), "");
  EXPECT_EQ(checked({{"type", "none"}, {"device", "/srv"}, {"o", "bind,ro"}}), "");
  EXPECT_EQ(checked({{"type", "nfs"}, {"device", ":/x"}, {"o", "addr=10.0.0.5"}}), "");
}

TEST(VolumeOptionsCheck, NamesWhatIsWrong) {
  EXPECT_THAT(checked({{"colour", "red"}, {"type", "tmpfs"}, {"device", "x"}}),
              HasSubstr("invalid option: \"colour\""));
  EXPECT_THAT(checked({{"type", "tmpfs"}}), HasSubstr("missing required option: \"device\""));
  EXPECT_THAT(checked({{"device", "tmpfs"}}), HasSubstr("missing required option: \"type\""));
  EXPECT_THAT(checked({{"size", "5m"}}), HasSubstr("quotas"));
  EXPECT_THAT(checked({{"type", "none"}, {"device", "relative"}, {"o", "bind"}}), HasSubstr("absolute"));
  EXPECT_THAT(checked({{"type", "none"}, {"device", std::string("/a\0b", 4)}, {"o", "bind"}}),
              HasSubstr("NUL"));
}

TEST(VolumeMountPlan, AServersNameBecomesItsAddress) {
  auto resolve = [](const std::string& name) -> Result<std::string> { return "10.9.8.7 for " + name; };
  Result<VolumeMount> mount =
      plan_volume_mount({{"type", "nfs"}, {"device", ":/x"}, {"o", "addr=store,ro,vers=4"}}, resolve);
  ASSERT_TRUE(mount);
  ASSERT_EQ(mount->options.parameters.size(), 2u);
  EXPECT_EQ(mount->options.parameters[0].value, "10.9.8.7 for store");
  EXPECT_EQ(mount->options.parameters[1].value, "4");
  EXPECT_EQ(mount->options.set, static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY));
}

TEST(VolumeMountPlan, AnAddressIsNotAskedFor) {
  for (const char* address : {"10.0.0.5", "fd00::5"})
    EXPECT_TRUE(plan_volume_mount({{"type", "nfs"}, {"device", ":/x"}, {"o", std::string("addr=") + address}},
                                  no_names));
  EXPECT_FALSE(plan_volume_mount({{"type", "nfs"}, {"device", ":/x"}, {"o", "addr=store"}}, no_names));
}

class VolumeMounts : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    ASSERT_EQ(mkdir(place_.c_str(), 0755), 0);
  }
  void TearDown() override {
    while (umount2(place_.c_str(), MNT_DETACH) == 0) {
    }
  }
  TemporaryDirectory directory_ = TemporaryDirectory::create("driver").value();
  std::string place_ = directory_.path() + "/_data";
};

TEST_F(VolumeMounts, MemoryHasTheSizeThatWasAskedFor) {
  EXPECT_FALSE(sys::is_mount_point(place_).value());
  Result<void> mounted =
      mount_volume({{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=2m,mode=700,noexec"}}, place_);
  ASSERT_TRUE(mounted) << mounted.error().message;
  EXPECT_TRUE(sys::is_mount_point(place_).value());
  struct statfs status;
  ASSERT_EQ(statfs(place_.c_str(), &status), 0);
  EXPECT_EQ(status.f_blocks * static_cast<std::uint64_t>(status.f_bsize), 2u << 20);
  EXPECT_NE(status.f_flags & ST_NOEXEC, 0);
  ASSERT_TRUE(unmount_volume(place_));
  EXPECT_FALSE(sys::is_mount_point(place_).value());
}

TEST_F(VolumeMounts, ADirectoryOfTheHostIsSeenAndCanBeReadOnly) {
  const std::string source = directory_.path() + "/source";
  ASSERT_EQ(mkdir(source.c_str(), 0755), 0);
  ASSERT_TRUE(open_file(source + "/file", O_WRONLY | O_CREAT, 0644));
  ASSERT_TRUE(mount_volume({{"type", "none"}, {"device", source}, {"o", "bind,ro"}}, place_));
  EXPECT_TRUE(exists(place_ + "/file"));
  EXPECT_FALSE(open_file(place_ + "/new", O_WRONLY | O_CREAT, 0644));
  EXPECT_TRUE(open_file(source + "/new", O_WRONLY | O_CREAT, 0644)) << "only the volume is read-only";
}

TEST_F(VolumeMounts, ReadOnlyHoldsForTheFileSystemToo) {
  ASSERT_TRUE(mount_volume({{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "ro"}}, place_));
  const std::string table = read_file("/proc/self/mountinfo").value();
  const std::size_t line = table.find(" " + place_ + " ");
  ASSERT_NE(line, std::string::npos);
  EXPECT_THAT(table.substr(line, table.find('\n', line) - line), HasSubstr(" - tmpfs tmpfs ro"));
}

TEST_F(VolumeMounts, TheHostsMountsBelowADeviceOutliveTheVolume) {
  const std::string source = directory_.path() + "/source";
  ASSERT_TRUE(make_directories(source, 0755));
  among_shared_mounts([&] {
    ASSERT_EQ(mount("host", source.c_str(), "tmpfs", 0, nullptr), 0);
    for (const char* name : {"/early", "/late"}) ASSERT_EQ(mkdir((source + name).c_str(), 0755), 0);
    ASSERT_EQ(mount("host", (source + "/early").c_str(), "tmpfs", 0, nullptr), 0);
    for (const char* how : {"rbind", "bind", "rbind,rshared"}) {
      ASSERT_TRUE(mount_volume({{"type", "none"}, {"device", source}, {"o", how}}, place_));
      ASSERT_EQ(mount("host", (source + "/late").c_str(), "tmpfs", 0, nullptr), 0);
      EXPECT_TRUE(sys::is_mount_point(place_ + "/late").value())
          << how << ": what the host mounts later is seen";
      ASSERT_TRUE(unmount_volume(place_));
      EXPECT_TRUE(sys::is_mount_point(source + "/early").value()) << how;
      EXPECT_TRUE(sys::is_mount_point(source + "/late").value()) << how;
      (void)umount2((source + "/late").c_str(), MNT_DETACH);
    }
  });
}

TEST_F(VolumeMounts, AServerThatDoesNotAnswerIsNotAskedWhetherItIsMounted) {
  std::unique_ptr<DeadServer> server = DeadServer::mounted_on(place_);
  if (!server) GTEST_SKIP() << "no /dev/fuse";
  std::future<bool> answer =
      std::async(std::launch::async, [&] { return sys::is_mount_point(place_).value_or(false); });
  if (answer.wait_for(kServersPatience) != std::future_status::ready) {
    server->hang_up();
    FAIL() << "it waits for the server";
  }
  EXPECT_TRUE(answer.get());
}

TEST_F(VolumeMounts, WhatCannotBeMountedIsSaidAndLeavesNothing) {
  auto words = [&](const VolumeOptions& options) {
    Result<void> mounted = mount_volume(options, place_);
    return mounted ? "" : mounted.error().message;
  };
  EXPECT_THAT(words({{"type", "nosuchfs"}, {"device", "x"}}), HasSubstr("nosuchfs"));
  EXPECT_THAT(words({{"type", "tmpfs"}, {"device", "x"}, {"o", "shape=round"}}), HasSubstr("shape"));
  EXPECT_THAT(words({{"type", "none"}, {"device", "/no/such/place"}, {"o", "bind"}}),
              HasSubstr("/no/such/place"));
  EXPECT_FALSE(sys::is_mount_point(place_).value());
}

TEST_F(VolumeMounts, ALinkInTheDirectorysPlaceIsNotFollowed) {
  const std::string link = directory_.path() + "/link", other = directory_.path() + "/other";
  ASSERT_EQ(mkdir(other.c_str(), 0755), 0);
  ASSERT_EQ(symlink(other.c_str(), link.c_str()), 0);
  EXPECT_FALSE(mount_volume({{"type", "tmpfs"}, {"device", "tmpfs"}}, link));
  EXPECT_FALSE(sys::is_mount_point(other).value());
}

}  // namespace
}  // namespace berth::engine
