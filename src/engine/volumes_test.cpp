// SPDX-License-Identifier: Apache-2.0
#include "engine/volumes_fixture.h"

namespace berth::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST_F(VolumesTest, WhatExistsIsTheSameAnswerAndOtherOptionsAreAConflict) {
  Result<VolumeState> first = volumes_->create({.name = "data", .labels = {{"a", "b"}}});
  ASSERT_TRUE(first) << first.error().message;
  Result<VolumeState> second = volumes_->create({.name = "data"});
  ASSERT_TRUE(second);
  EXPECT_EQ(second->record.created, first->record.created);
  EXPECT_EQ(second->record.labels, first->record.labels);
  Result<VolumeState> other = volumes_->create({.name = "data", .options = memory_});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().kind, ErrorKind::conflict);
  ASSERT_TRUE(volumes_->create({.name = "memory", .options = memory_}));
  Result<VolumeState> same = volumes_->create({.name = "memory", .labels = {{"c", "d"}}});
  ASSERT_TRUE(same) << same.error().message;
  EXPECT_EQ(same->record.options, memory_);
  EXPECT_TRUE(same->record.labels.empty());
}

TEST_F(VolumesTest, ANameIsNoPath) {
  for (const char* name : {"..", ".removed", "../x", "a/b", "-rf", "x", "a b", "/etc"})
    EXPECT_THAT(refusal({.name = name}), HasSubstr("invalid characters")) << name;
  EXPECT_EQ(list_directory(settings_.volumes_directory()).value(), Names{".removed"});
}

TEST_F(VolumesTest, AnotherDriverIsRefusedByName) {
  EXPECT_THAT(refusal({.name = "data", .driver = "nfs"}), HasSubstr("\"nfs\" is not installed"));
}

TEST_F(VolumesTest, OneThatAContainerRefersToStaysAndTheErrorNamesTheContainer) {
  ContainerRecord web = container("web", {mount("data")});
  Result<void> removed = volumes_->remove("data");
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().kind, ErrorKind::conflict);
  EXPECT_THAT(removed.error().message, HasSubstr("volume is in use - [" + web.id + "] (container web)"));
  reopen();
  EXPECT_FALSE(volumes_->remove("data")) << "also for an engine that did not make it";
  remove(web, false);
  EXPECT_TRUE(volumes_->remove("data"));
  EXPECT_FALSE(exists(place("data")));
  Result<void> again = volumes_->remove("data");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().kind, ErrorKind::not_found);
}

TEST_F(VolumesTest, AnonymousOnesGoWithTheirContainerWhenAskedToAndNamedOnesStay) {
  ContainerRecord kept = container("kept", {mount("", "/a"), mount("data", "/b")});
  remove(kept, false);
  EXPECT_EQ(names().size(), 2u);
  ContainerRecord gone = container("gone", {mount("", "/a"), mount("data", "/b")});
  EXPECT_EQ(names().size(), 3u);
  remove(gone, true);
  EXPECT_EQ(names(), (Names{std::min(kept.mounts[0].name, std::string("data")),
                            std::max(kept.mounts[0].name, std::string("data"))}));
}

TEST_F(VolumesTest, AnAnonymousOneThatOthersShareGoesWithTheLastOfThem) {
  ContainerRecord first = container("first", {mount("")});
  ContainerRecord second = container("second", first.mounts);
  remove(first, true);
  reopen();
  EXPECT_EQ(names(), Names{first.mounts[0].name});
  remove(second, true);
  EXPECT_EQ(names(), Names{});
}

TEST_F(VolumesTest, AContainerThatBorrowedAVolumeDoesNotTakeItFromItsOwner) {
  ContainerRecord owner = container("owner", {mount("")}, true), other = container("other", owner.mounts);
  touch(owner.mounts[0].source + "/file");
  remove(other, true);
  EXPECT_EQ(volumes_->find(owner.mounts[0].name).value().record.made_for, owner.id);
}

TEST_F(VolumesTest, WhatIsMountedComesOffBeforeARemovalWhateverIsKnownOfIt) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ASSERT_TRUE(volumes_->create({.name = "memory", .options = memory_}));
  ContainerRecord web = container("web", {mount("memory")});
  ASSERT_TRUE(use(web));
  remove(web, false);
  ASSERT_TRUE(soon([&] { return !mounted("memory"); }));
  for (bool marked : {false, true}) {
    ASSERT_TRUE(volumes_->create({.name = "memory"}));
    ASSERT_TRUE(mount_volume(memory_, place("memory") + "/_data"));
    if (marked) {
      VolumeRecord record{.name = "memory", .created = now(), .removing = true};
      ASSERT_TRUE(save_volume(*database_, record, Durability::visible));
      reopen();
    } else {
      run("UPDATE volumes SET record = 'rubbish'");
      reopen();
      ASSERT_TRUE(volumes_->remove("memory"));
    }
    EXPECT_EQ(names(), Names{});
    EXPECT_TRUE(soon([&] { return list_directory(place(".removed")).value().empty(); })) << marked;
  }
}

TEST_F(VolumesTest, ARemovalThatFailsIsTakenBack) {
  ASSERT_TRUE(volumes_->create({.name = "data"}));
  touch(place("data") + "/_data/file");
  ASSERT_EQ(rmdir(place(".removed").c_str()), 0);
  touch(place(".removed"));
  EXPECT_FALSE(volumes_->remove("data"));
  EXPECT_FALSE(load_volumes(*database_).value().records.at(0).removing);
  // Also at a start.
  VolumeRecord record = volumes_->find("data").value().record;
  record.removing = true;
  ASSERT_TRUE(save_volume(*database_, record, Durability::visible));
  reopen();
  EXPECT_EQ(names(), Names{"data"});
  EXPECT_FALSE(load_volumes(*database_).value().records.at(0).removing);
  ASSERT_EQ(unlink(place(".removed").c_str()), 0);
  reopen();
  EXPECT_TRUE(exists(place("data") + "/_data/file"));
}

TEST_F(VolumesTest, PruningTakesWhatIsWantedUnusedAndHere) {
  ASSERT_TRUE(volumes_->create({}));
  ASSERT_TRUE(volumes_->create({.name = "named"}));
  ASSERT_TRUE(volumes_->create({.name = "elsewhere", .options = memory_}));
  ContainerRecord web = container("web", {mount("used")});
  EXPECT_EQ(volumes_->prune([](const VolumeState& volume) { return volume.anonymous(); }).size(), 1u);
  EXPECT_EQ(names(), (Names{"elsewhere", "named", "used"}));
  std::vector<VolumeDeletion> deleted = volumes_->prune([](const VolumeState&) { return true; });
  ASSERT_EQ(deleted.size(), 1u);
  EXPECT_EQ(deleted[0].name, "named");
}

TEST_F(VolumesTest, ALinkInItsPlaceIsNotFollowedByARemoval) {
  TemporaryDirectory outside = TemporaryDirectory::create("outside").value();
  touch(outside.path() + "/precious");
  ASSERT_TRUE(volumes_->create({.name = "data"}));
  ASSERT_EQ(symlink(outside.path().c_str(), (place("data") + "/_data/link").c_str()), 0);
  EXPECT_TRUE(volumes_->size_of(volumes_->find("data").value()));
  ASSERT_TRUE(volumes_->remove("data"));
  EXPECT_TRUE(soon([&] { return list_directory(place(".removed")).value().empty(); }));
  EXPECT_TRUE(exists(outside.path() + "/precious"));
}

TEST_F(VolumesTest, EventsTellItsLife) {
  ContainerRecord web = container("web", {mount("data")});
  ASSERT_TRUE(use(web));
  volumes_->release(web);
  remove(web, true);
  ASSERT_TRUE(volumes_->remove("data"));
  Names actions;
  for (const Event& event : events_.since({}, now())) {
    EXPECT_EQ(event.type, "volume");
    EXPECT_EQ(event.actor, "data");
    EXPECT_EQ(event.attributes.at("driver"), "local");
    actions.push_back(event.action);
  }
  EXPECT_THAT(actions, ElementsAre("create", "mount", "unmount", "destroy"));
}

}  // namespace
}  // namespace berth::engine
