// SPDX-License-Identifier: Apache-2.0
#include "engine/volumes.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "base/text.h"
#include "engine/dead_server.h"
#include "engine/records.h"
#include "engine/validation.h"
#include "sys/mounts.h"

namespace berth::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;
using Names = std::vector<std::string>;

class VolumesTest : public testing::Test {
 protected:
  void SetUp() override {
    settings_.data_root = directory_.path();
    ASSERT_TRUE(make_directories(settings_.volumes_directory(), 0711));
    reopen();
  }
  void TearDown() override {
    for (const VolumeState& volume : volumes_->all())
      while (umount2(volume.mountpoint.c_str(), MNT_DETACH) == 0) {
      }
    volumes_.reset();
  }
  // As a new engine after the old one was killed.
  void reopen() {
    work_.reset();
    volumes_.reset();
    registry_.reset();
    database_.reset();
    std::vector<db::Migration> steps = migrations();
    for (db::Migration& step : volume_migrations()) steps.push_back(std::move(step));
    database_ = db::Database::open(directory_.path() + "/meta.db", steps).value();
    registry_.emplace(*database_, reserve_);
    ASSERT_TRUE(registry_->load());
    work_ = std::make_unique<WorkQueue>(2);
    volumes_ = std::make_unique<Volumes>(settings_, *database_, reserve_, *registry_, events_, *work_);
    volumes_->load();
  }
  std::string place(const std::string& name) { return settings_.volumes_directory() + "/" + name; }
  static MountPoint mount(const std::string& name, const std::string& destination = "/data") {
    return {.type = "volume", .name = name, .destination = destination, .driver = "local", .copy_up = true};
  }
  // A container on record.
  ContainerRecord container(const std::string& name, std::vector<MountPoint> mounts,
                            bool auto_remove = false) {
    ContainerRecord record;
    record.id = random_identifier();
    record.name = name;
    record.created = now();
    record.host_config.auto_remove = auto_remove;
    record.mounts = std::move(mounts);
    EXPECT_TRUE(volumes_->refer(record.id, record.mounts, auto_remove));
    EXPECT_TRUE(registry_->add(record, {}));
    return record;
  }
  void remove(const ContainerRecord& record, bool with_volumes) {
    volumes_->announce_removal(record, with_volumes);
    ASSERT_TRUE(registry_->remove(registry_->find_by_id(record.id)));
    volumes_->forget(record, with_volumes);
  }
  Result<void> use(const ContainerRecord& record) {
    return volumes_->use(record, [&] { return open_file(image_.path(), O_PATH | O_DIRECTORY); });
  }
  Names names() {
    Names list;
    for (const VolumeState& volume : volumes_->all()) list.push_back(volume.record.name);
    return list;
  }
  void run(const std::string& sql) {
    db::Transaction transaction = database_->begin(Durability::visible).value();
    ASSERT_TRUE(transaction.run_script(sql));
    ASSERT_TRUE(transaction.commit());
  }
  bool mounted(const std::string& name) { return sys::is_mount_point(place(name) + "/_data").value_or(false); }
  bool soon(const std::function<bool()>& holds) {
    for (int attempt = 0; attempt < 500 && !holds(); ++attempt)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    return holds();
  }
  std::string refusal(const NewVolume& wanted) {
    Result<VolumeState> made = volumes_->create(wanted);
    return made ? "" : made.error().message;
  }
  static void touch(const std::string& path) { ASSERT_TRUE(open_file(path, O_WRONLY | O_CREAT, 0644)); }

  const VolumeOptions memory_{{"type", "tmpfs"}, {"device", "tmpfs"}, {"o", "size=1m"}};
  TemporaryDirectory directory_ = TemporaryDirectory::create("volumes").value();
  TemporaryDirectory image_ = TemporaryDirectory::create("image").value();
  Settings settings_;
  DiskReserve reserve_{directory_.path() + "/reserve"};
  EventBus events_;
  std::unique_ptr<db::Database> database_;
  std::optional<Registry> registry_;
  std::unique_ptr<Volumes> volumes_;
  std::unique_ptr<WorkQueue> work_;
};

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

TEST_F(VolumesTest, AContainerThatBorrowedAVolumeDoesNotTakeItFromItsOwner) {
  ContainerRecord owner = container("owner", {mount("")}, true), other = container("other", owner.mounts);
  touch(owner.mounts[0].source + "/file");
  remove(other, true);
  EXPECT_EQ(volumes_->find(owner.mounts[0].name).value().record.made_for, owner.id);
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
