// SPDX-License-Identifier: Apache-2.0
#include "engine/volumes_fixture.h"

namespace berth::engine {
namespace {

using testing::HasSubstr;

TEST_F(VolumesTest, AnUnmountThatComesLateIsNotForTheNextVolumeOfTheName) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ASSERT_TRUE(volumes_->create({.name = "memory", .options = memory_}));
  ContainerRecord one = container("one", {mount("memory")});
  ASSERT_TRUE(use(one));
  std::promise<void> go_on;
  std::shared_future<void> gate = go_on.get_future().share();
  for (int thread = 0; thread < 2; ++thread) work_->add([gate] { gate.wait(); });
  volumes_->release(one);
  remove(one, false);
  ASSERT_TRUE(volumes_->remove("memory"));
  ASSERT_TRUE(volumes_->create({.name = "memory", .options = memory_}));
  ContainerRecord two = container("two", {mount("memory")});
  ASSERT_TRUE(use(two));
  go_on.set_value();
  ASSERT_TRUE(soon([&] { return list_directory(place(".removed")).value().empty(); })) << "all work is done";
  EXPECT_TRUE(mounted("memory"));
}

TEST_F(VolumesTest, ARefusedMountLeavesNothingBehind) {
  ASSERT_TRUE(volumes_->create({.name = "data", .options = memory_}));
  MountPoint other = mount("data", "/b");
  other.volume_options = {{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=9m"}};
  std::vector<MountPoint> mounts{mount("", "/a"), other};
  Result<void> referred = volumes_->refer(random_identifier(), mounts, false);
  ASSERT_FALSE(referred);
  EXPECT_EQ(referred.error().kind, ErrorKind::conflict);
  EXPECT_EQ(names(), Names{"data"});
  EXPECT_TRUE(volumes_->remove("data"));
}

TEST_F(VolumesTest, ALentVolumeThatIsGoneIsAnErrorAndNotAnEmptyVolume) {
  MountPoint gone = mount("gone");
  gone.lent = true;
  std::vector<MountPoint> mounts{gone};
  Result<void> referred = volumes_->refer(random_identifier(), mounts, false);
  ASSERT_FALSE(referred);
  EXPECT_THAT(referred.error().message, HasSubstr("volume gone"));
  EXPECT_EQ(names(), Names{});
}

TEST_F(VolumesTest, OptionsAreMountedWithTheFirstUserAndUnmountedWithTheLast) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ASSERT_TRUE(volumes_->create({.name = "memory", .options = memory_}));
  ContainerRecord one = container("one", {mount("memory")}), two = container("two", {mount("memory")});
  EXPECT_FALSE(mounted("memory"));
  Result<void> used = use(one);
  ASSERT_TRUE(used) << used.error().message;
  EXPECT_TRUE(mounted("memory"));
  touch(place("memory") + "/_data/shared");
  ASSERT_TRUE(use(two));
  EXPECT_TRUE(exists(place("memory") + "/_data/shared")) << "not mounted a second time";
  volumes_->release(one);
  volumes_->release(one);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(mounted("memory"));
  volumes_->release(two);
  EXPECT_TRUE(soon([&] { return !mounted("memory"); }));
}

TEST_F(VolumesTest, WhatAContainerWroteAfterAFillingThatWasCutShortStays) {
  if (geteuid() != 0) GTEST_SKIP() << "owners need root";
  ASSERT_TRUE(make_directories(image_.path() + "/data", 0755));
  touch(image_.path() + "/data/image");
  MountPoint bare = mount("data"), part = mount("data");
  bare.copy_up = false;
  part.subpath = ".";
  ContainerRecord fills = container("fills", {mount("data")});
  for (const MountPoint& without : {bare, part}) {
    touch(place("data") + "/filling");
    touch(place("data") + "/_data/half");
    ContainerRecord writer = container(without.copy_up ? "part" : "bare", {without});
    ASSERT_TRUE(use(writer));
    EXPECT_FALSE(exists(place("data") + "/_data/half"));
    touch(place("data") + "/_data/real");
    volumes_->release(writer);
    ASSERT_TRUE(use(fills));
    EXPECT_TRUE(exists(place("data") + "/_data/real"));
    volumes_->release(fills);
    ASSERT_EQ(unlink((place("data") + "/_data/real").c_str()), 0);
  }
}

TEST_F(VolumesTest, WhatIsElsewhereIsNeverEmptied) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  TemporaryDirectory elsewhere = TemporaryDirectory::create("elsewhere").value();
  touch(elsewhere.path() + "/precious");
  ASSERT_TRUE(volumes_->create(
      {.name = "bound", .options = {{"type", "none"}, {"device", elsewhere.path()}, {"o", "bind"}}}));
  touch(place("bound") + "/filling");
  ContainerRecord web = container("web", {mount("bound")});
  ASSERT_TRUE(use(web));
  EXPECT_TRUE(exists(elsewhere.path() + "/precious"));
  EXPECT_FALSE(exists(place("bound") + "/filling"));
}

TEST_F(VolumesTest, ContainersThatOnlyWaitForAVolumeDoNotKeepHalfAFilling) {
  if (geteuid() != 0) GTEST_SKIP() << "owners need root";
  ContainerRecord first = container("first", {mount("data")}), second = container("second", {mount("data")}),
                  third = container("third", {mount("data")});
  std::promise<void> asked, go_on;
  std::thread fails([&] {
    EXPECT_FALSE(volumes_->use(first, [&]() -> Result<Fd> {
      asked.set_value();
      go_on.get_future().wait();
      return fail(ErrorKind::system, "no root");
    }));
  });
  asked.get_future().wait();
  touch(place("data") + "/filling");
  touch(place("data") + "/_data/half");
  std::thread waits([&] { EXPECT_TRUE(use(second)); }), waits_too([&] { EXPECT_TRUE(use(third)); });
  std::this_thread::sleep_for(
      std::chrono::milliseconds(100));  // until both wait; nothing fails if they do not
  go_on.set_value();
  for (std::thread* thread : {&fails, &waits, &waits_too}) thread->join();
  EXPECT_FALSE(exists(place("data") + "/_data/half"));
}

TEST_F(VolumesTest, WhatCannotBeMountedIsUsedByNobody) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ASSERT_TRUE(volumes_->create(
      {.name = "nowhere", .options = {{"type", "none"}, {"device", "/no/such"}, {"o", "bind"}}}));
  ContainerRecord web = container("web", {mount("data"), mount("nowhere", "/b")});
  Result<void> used = use(web);
  ASSERT_FALSE(used);
  EXPECT_THAT(used.error().message, HasSubstr("failed to mount local volume nowhere"));
  remove(web, false);
  EXPECT_TRUE(volumes_->remove("nowhere"));
}

TEST_F(VolumesTest, ASubpathIsThereAndInside) {
  MountPoint part = mount("data");
  part.subpath = "part";
  ContainerRecord web = container("web", {part});
  auto words = [&] {
    Result<void> used = use(web);
    return used ? "" : used.error().message;
  };
  EXPECT_THAT(words(), HasSubstr("has nothing at its subpath \"part\""));
  ASSERT_EQ(symlink("/etc", (place("data") + "/_data/part").c_str()), 0);
  EXPECT_THAT(words(), HasSubstr("leads out of volume data"));
  ASSERT_EQ(unlink((place("data") + "/_data/part").c_str()), 0);
  touch(place("data") + "/_data/part");
  EXPECT_EQ(words(), "");
}

// `cp` uses volumes of a container that may be removed meanwhile, volumes and all.
TEST_F(VolumesTest, OneThatIsRemovedWhileSomebodyWaitsForItIsNotMadeAnew) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(volumes_->create({.name = "memory", .options = memory_}));
    auto use_as = [&](const std::string& id, const std::function<Result<Fd>()>& open_root) {
      ContainerRecord reader;
      reader.id = id;
      reader.mounts = {mount("memory")};
      Result<void> used = volumes_->use(reader, open_root, Told::nobody);
      if (used) volumes_->release(reader, Told::nobody);
      return used;
    };
    auto image = [&] { return open_file(image_.path(), O_PATH | O_DIRECTORY); };
    std::promise<void> in_the_middle, go_on;
    std::thread first([&] {
      EXPECT_TRUE(use_as("first", [&] {
        in_the_middle.set_value();
        go_on.get_future().wait();
        return image();
      }));
    });
    in_the_middle.get_future().wait();
    std::thread removal([&] { EXPECT_TRUE(volumes_->remove("memory")); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    std::thread second([&] {
      if (Result<void> used = use_as("second", image); !used) {
        EXPECT_EQ(used.error().message, "volume memory does not exist any more");
      }
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    go_on.set_value();
    first.join();
    removal.join();
    second.join();
    EXPECT_FALSE(mounted("memory"));
    while (mounted("memory")) umount2((place("memory") + "/_data").c_str(), MNT_DETACH);
    ASSERT_FALSE(exists(place("memory"))) << "in round " << round;
  }
}

}  // namespace
}  // namespace berth::engine
