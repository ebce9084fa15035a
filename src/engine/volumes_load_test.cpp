// SPDX-License-Identifier: Apache-2.0
#include "engine/volumes_fixture.h"

namespace berth::engine {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

TEST_F(VolumesTest, RecordsOutliveTheEngine) {
  VolumeState made =
      volumes_->create({.name = "memory", .options = memory_, .labels = {{"a", "b"}, {"c", ""}}}).value();
  reopen();
  VolumeState found = volumes_->find("memory").value();
  EXPECT_EQ(found.record.created, made.record.created);
  EXPECT_EQ(found.record.labels, made.record.labels);
  EXPECT_EQ(found.record.options, memory_);
}

TEST_F(VolumesTest, ADirectoryWithoutARecordIsAdoptedWithWhatIsInIt) {
  ASSERT_TRUE(make_directories(place("old") + "/_data", 0755));
  touch(place("old") + "/_data/file");
  touch(place("no-directory"));
  ASSERT_EQ(symlink("/etc", place("link").c_str()), 0);
  reopen();
  EXPECT_EQ(names(), Names{"old"});
  EXPECT_TRUE(exists(place("old") + "/_data/file"));
  reopen();
  EXPECT_EQ(names(), Names{"old"});
}

TEST_F(VolumesTest, ARecordWithoutADirectoryIsGivenOne) {  // killed between the two
  ASSERT_TRUE(save_volume(*database_, {.name = "data", .created = now()}, Durability::visible));
  reopen();
  EXPECT_EQ(names(), Names{"data"});
  EXPECT_TRUE(exists(place("data") + "/_data"));
}

TEST_F(VolumesTest, ARemovalThatWasCutShortIsFinished) {
  VolumeRecord record = volumes_->create({.name = "data"}).value().record;
  touch(place("data") + "/_data/file");
  record.removing = true;
  ASSERT_TRUE(save_volume(*database_, record, Durability::visible));
  reopen();
  EXPECT_EQ(names(), Names{});
  EXPECT_FALSE(exists(place("data")));
  EXPECT_TRUE(soon([&] { return list_directory(place(".removed")).value().empty(); }));
  reopen();
  EXPECT_EQ(names(), Names{});
}

TEST_F(VolumesTest, AVolumeOfAContainerThatNeverCameToBeGoes) {
  std::vector<MountPoint> mounts{mount("")};
  ASSERT_TRUE(volumes_->refer(random_identifier(), mounts, false));
  EXPECT_EQ(names().size(), 1u);
  reopen();
  EXPECT_EQ(names(), Names{});
}

TEST_F(VolumesTest, AnAnonymousOneWithContentOutlivesItsContainerUnlessThatWasToTakeItAlong) {
  ContainerRecord kept = container("kept", {mount("")}), gone = container("gone", {mount("")}),
                  short_lived = container("short", {mount("")}, true),
                  kept_after_all = container("kept-after-all", {mount("")}, true);
  for (const ContainerRecord* record : {&kept, &gone, &short_lived, &kept_after_all})
    touch(record->mounts[0].source + "/file");
  volumes_->announce_removal(gone, true);
  volumes_->announce_removal(kept_after_all, false);
  // Killed just after the containers' records went.
  for (const ContainerRecord* record : {&kept, &gone, &short_lived, &kept_after_all})
    ASSERT_TRUE(registry_->remove(registry_->find_by_id(record->id)));
  reopen();
  EXPECT_THAT(names(), UnorderedElementsAre(kept.mounts[0].name, kept_after_all.mounts[0].name));
}

TEST_F(VolumesTest, AnAnonymousOneThatWasKeptIsNobodysAnyMore) {
  ContainerRecord removed = container("removed", {mount("")}, true);
  touch(removed.mounts[0].source + "/file");
  ASSERT_TRUE(registry_->remove(registry_->find_by_id(removed.id)));
  volumes_->forget(removed, false);
  reopen();
  EXPECT_EQ(names(), Names{removed.mounts[0].name});
}

TEST_F(VolumesTest, AnAnonymousOneThatAnotherContainerHasIsNobodysAfterAKill) {
  ContainerRecord first = container("first", {mount("")}, true), second = container("second", first.mounts);
  touch(first.mounts[0].source + "/file");
  ASSERT_TRUE(registry_->remove(registry_->find_by_id(first.id)));
  reopen();
  EXPECT_EQ(volumes_->find(first.mounts[0].name).value().record.made_for, "");
  remove(second, false);
  reopen();
  EXPECT_EQ(names(), Names{first.mounts[0].name}) << "its last user went without it";
}

TEST_F(VolumesTest, WhatAContainerRefersToComesBackWithTheContainer) {
  ContainerRecord web = container("web", {mount("data")});
  ASSERT_TRUE(delete_volume(*database_, "data", Durability::visible));
  ASSERT_TRUE(remove_tree(place("data")));
  reopen();
  EXPECT_EQ(names(), Names{"data"});
  EXPECT_FALSE(volumes_->remove("data"));
  EXPECT_TRUE(use(web));
}

TEST_F(VolumesTest, ADamagedRecordDoesNotTakeTheContentAlong) {
  ASSERT_TRUE(volumes_->create({.name = "data"}));
  touch(place("data") + "/_data/file");
  run("UPDATE volumes SET record = 'rubbish'");
  reopen();
  EXPECT_EQ(names(), Names{"data"});
  EXPECT_TRUE(exists(place("data") + "/_data/file"));
}

TEST_F(VolumesTest, ADamagedRecordIsLeftToWhoeverCanReadIt) {
  ASSERT_TRUE(volumes_->create({.name = "data"}));
  ContainerRecord web = container("web", {mount("data"), mount("lost")});
  ASSERT_TRUE(remove_tree(place("lost")));
  run("UPDATE volumes SET record = 'rubbish'");
  reopen();
  EXPECT_EQ(names(), (Names{"data", "lost"}));
  EXPECT_EQ(load_volumes(*database_).value().damaged.size(), 2u) << "its options may be in there";
  EXPECT_TRUE(use(web));
}

TEST_F(VolumesTest, ATableThatCannotBeReadIsNotWrittenTo) {
  ASSERT_TRUE(volumes_->create({.name = "data", .options = memory_}));
  // Reading it fails, writing to it would not.
  run("ALTER TABLE volumes RENAME TO hidden;"
      "CREATE VIEW volumes AS SELECT name, abs(-9223372036854775807 - 1) AS record FROM hidden;"
      "CREATE TRIGGER written INSTEAD OF INSERT ON volumes BEGIN"
      "  INSERT OR REPLACE INTO hidden(name, record) VALUES(new.name, new.record);"
      "END");
  reopen();
  EXPECT_EQ(names(), Names{"data"});
  run("DROP VIEW volumes; ALTER TABLE hidden RENAME TO volumes");
  reopen();
  EXPECT_EQ(volumes_->find("data").value().record.options, memory_);
}

TEST_F(VolumesTest, ARemovalThatCouldNotBeTakenBackSparesWhatAContainerHas) {
  ContainerRecord web = container("web", {mount("data")});
  touch(place("data") + "/_data/file");
  VolumeRecord record = volumes_->find("data").value().record;
  record.removing = true;
  ASSERT_TRUE(save_volume(*database_, record, Durability::visible));
  reopen();
  EXPECT_TRUE(exists(place("data") + "/_data/file"));
  remove(web, false);
  reopen();
  EXPECT_EQ(names(), Names{"data"});
}

TEST_F(VolumesTest, WhereAContainersVolumesAreIsSaidAnewAtEachStart) {
  ContainerRecord web = container("web", {mount("data")});
  ContainerPointer recorded = registry_->find_by_id(web.id);
  recorded->record.mounts[0].source = "/of/an/earlier/version";
  ASSERT_TRUE(registry_->save(recorded, Durability::visible));
  reopen();
  EXPECT_EQ(registry_->find_by_id(web.id)->record.mounts[0].source, place("data") + "/_data");
}

TEST_F(VolumesTest, MountsOfAKilledEngineAreFoundAgain) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ASSERT_TRUE(volumes_->create({.name = "runs", .options = memory_}));
  ASSERT_TRUE(volumes_->create({.name = "ended", .options = memory_}));
  ContainerRecord runs = container("runs", {mount("runs")}), ended = container("ended", {mount("ended")});
  ASSERT_TRUE(use(runs) && use(ended));
  touch(place("runs") + "/_data/file");
  reopen();
  volumes_->found_using(runs);
  volumes_->unmount_unused();
  EXPECT_TRUE(exists(place("runs") + "/_data/file"));
  EXPECT_FALSE(mounted("ended"));
  volumes_->release(runs);
  EXPECT_TRUE(soon([&] { return !mounted("runs"); }));
}

TEST_F(VolumesTest, AServerThatDoesNotAnswerHoldsUpNeitherTheStartOfAnEngineNorARemoval) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ContainerRecord web = container("web", {mount("remote"), mount("", "/b")});
  VolumeRecord remote = volumes_->find("remote").value().record;
  remote.options = memory_;
  ASSERT_TRUE(save_volume(*database_, remote, Durability::visible));
  std::unique_ptr<DeadServer> server = DeadServer::mounted_on(place("remote") + "/_data");
  std::unique_ptr<DeadServer> other = DeadServer::mounted_on(web.mounts[1].source);
  if (!server || !other) GTEST_SKIP() << "no /dev/fuse";
  MountPoint bare = mount("remote");
  bare.copy_up = false;
  std::future<void> done = std::async(std::launch::async, [&] {
    reopen();
    volumes_->found_using(web);
    volumes_->unmount_unused();
    ContainerRecord another = container("another", {bare});
    EXPECT_TRUE(use(another));
    volumes_->release(another);
    remove(another, true);
    remove(web, true);
    EXPECT_TRUE(volumes_->remove("remote"));
  });
  const bool in_time = done.wait_for(kServersPatience) == std::future_status::ready;
  server->hang_up();
  other->hang_up();
  done.wait();
  EXPECT_TRUE(in_time) << "something waits for the server";
}

TEST_F(VolumesTest, WhatIsMountedOnADirectoryWithoutARecordIsTakenOff) {
  if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
  ASSERT_TRUE(make_directories(place("left") + "/_data", 0755));
  touch(place("left") + "/_data/file");
  for (int time = 0; time < 2; ++time) ASSERT_TRUE(mount_volume(memory_, place("left") + "/_data"));
  reopen();
  EXPECT_THAT(names(), ElementsAre("left"));
  EXPECT_FALSE(mounted("left"));
  EXPECT_TRUE(exists(place("left") + "/_data/file"));
}

}  // namespace
}  // namespace berth::engine
