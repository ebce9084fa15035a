// SPDX-License-Identifier: Apache-2.0
// The files of containers that do not run, that begin to, and that have just ended.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "archive/test_support.h"
#include "base/text.h"
#include "engine/container_files.h"
#include "engine/test_support.h"
#include "sys/mounts.h"
#include "sys/rooted_path.h"

namespace berth::engine {
namespace {

using namespace std::chrono_literals;
using test::all_migrations;
using test::kMoment;
using testing::HasSubstr;

class StoppedFiles : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    container_ = add("web", false);
  }

  static Settings settings_below(const std::string& directory) {
    Settings settings;
    settings.data_root = directory;
    for (const std::string& path :
         {settings.removed_directory(), settings.volumes_directory(), settings.layers_directory()})
      EXPECT_TRUE(make_directories(path, 0700));
    return settings;
  }
  Digest layer() {
    const std::string bytes = archive::test::TarBuilder()
                                  .directory("./")
                                  .directory("srv")
                                  .file("srv/file", "of the image")
                                  .file("srv/other", "of the image")
                                  .take();
    archive::StringSource tar(bytes);
    layers::AddOptions options;
    options.sync = false;
    return layers_.add(tar, options).value().diff_id;
  }
  ContainerPointer add(const std::string& name, bool auto_remove) {
    EXPECT_TRUE(roots_.prepare_mount_points());
    ContainerRecord record;
    record.id = random_identifier();
    record.name = name;
    record.created = now();
    record.host_config.auto_remove = auto_remove;
    record.diff_ids = {layer()};
    record.mounts = {{.type = "volume", .name = name + "-data", .destination = "/data", .driver = "local"}};
    EXPECT_TRUE(make_directories(settings_.container_directory(record.id), 0700));
    EXPECT_TRUE(roots_.prepare(record));
    EXPECT_TRUE(volumes_.refer(record.id, record.mounts, auto_remove));
    return registry_.add(record, {}).value();
  }
  Result<FilesPointer> open(FilesFor purpose) { return open(container_, purpose); }
  Result<FilesPointer> open(const ContainerPointer& container, FilesFor purpose) {
    return open_container_files(settings_, roots_, registry_, volumes_, container, purpose);
  }
  // What the keeper does.
  Result<Fd> start(const ContainerPointer& container) {
    const ContainerRecord& record = container->record;
    TRY(roots_.allow_another_mount(record));
    RootFileSystems::Lower lower = TRY(roots_.lower_of(record));
    return sys::mount_overlay(lower.directories, roots_.upper_path(record), roots_.work_path(record),
                              record.host_config.auto_remove);
  }
  static std::string read(int root, const std::string& path) {
    return sys::read_file_in_root(root, path).value_or("(missing)");
  }
  static void write(int root, const std::string& path, std::string_view text) {
    Result<Fd> file = sys::open_in_root(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(file) << path << ": " << file.error().message;
    ASSERT_TRUE(write_all(file->get(), text));
  }
  static void change(const ContainerPointer& container, keeper::Phase phase, int pid = 0) {
    std::lock_guard lock(container->mutex);
    container->state.phase = phase;
    container->state.pid = pid;
    container->changed.notify_all();
  }

  TemporaryDirectory directory_ = TemporaryDirectory::create("stopped").value();
  Settings settings_ = settings_below(directory_.path());
  DiskReserve reserve_{directory_.path() + "/reserve"};
  EventBus events_;
  WorkQueue work_{2};
  std::unique_ptr<db::Database> database_ =
      db::Database::open(directory_.path() + "/meta.db", all_migrations()).value();
  Registry registry_{*database_, reserve_};
  layers::LayerStore layers_ = layers::LayerStore::open(settings_.layers_directory()).value();
  RootFileSystems roots_{settings_, layers_};
  Volumes volumes_{settings_, *database_, reserve_, registry_, events_, work_};
  ContainerPointer container_;
};

TEST_F(StoppedFiles, OfOneThatRemovesItselfAreMountedAsOftenAsTheyAreNeeded) {
  ContainerPointer container = add("short-lived", true);
  EXPECT_EQ(read((*open(container, FilesFor::reading))->get(), "/srv/file"), "of the image");
  write(open(container, FilesFor::writing).value()->get(), "/srv/copied", "in");
  for (int run = 0; run < 3; ++run) {
    Result<Fd> root = start(container);
    ASSERT_TRUE(root) << "run " << run << ": " << root.error().message;
    EXPECT_EQ(read(root->get(), "/srv/copied"), "in");
    if (run > 0) {
      EXPECT_EQ(read(root->get(), "/srv/written"), "by run " + std::to_string(run - 1));
    }
    write(root->get(), "/srv/written", "by run " + std::to_string(run));
    root->reset();
    EXPECT_EQ(read(open(container, FilesFor::reading).value()->get(), "/srv/written"),
              "by run " + std::to_string(run));
    write(open(container, FilesFor::writing).value()->get(), "/srv/copied", "in");
  }
}

// To the engine it does not run yet. A second mount of its directories empties the work directory of the
// first, and then nothing can be changed inside any more.
TEST_F(StoppedFiles, AreReadWithoutTouchingThoseOfOneThatHasJustStarted) {
  Fd root = start(container_).value();
  write(root.get(), "/srv/file", "of the container");
  {
    FilesPointer files = open(FilesFor::reading).value();
    EXPECT_EQ(read(files->get(), "/srv/file"), "of the container");
    write(files->get(), "/srv/new", "for nobody");
  }
  EXPECT_EQ(read(root.get(), "/srv/new"), "(missing)");
  write(root.get(), "/srv/new", "by the container");
  EXPECT_EQ(fchmodat(root.get(), "srv/other", 0600, 0), 0) << strerror(errno);
  EXPECT_EQ(unlinkat(root.get(), "srv/file", 0), 0) << strerror(errno);
  EXPECT_TRUE(list_directory(settings_.removed_directory()).value().empty()) << "what was written for nobody";
}

TEST_F(StoppedFiles, AreWrittenOnlyWhenNoStartIsUnderWay) {
  std::unique_lock operation(container_->operation);
  std::future<Result<FilesPointer>> files =
      std::async(std::launch::async, [&] { return open(FilesFor::writing); });
  EXPECT_EQ(files.wait_for(kMoment), std::future_status::timeout);
  change(container_, keeper::Phase::running, getpid());
  operation.unlock();
  Result<FilesPointer> opened = files.get();
  ASSERT_TRUE(opened) << opened.error().message;
  struct stat root, seen;
  ASSERT_EQ(stat("/", &root), 0);
  ASSERT_EQ(fstat((*opened)->get(), &seen), 0);
  EXPECT_EQ(seen.st_ino, root.st_ino);
  EXPECT_EQ(seen.st_dev, root.st_dev);
}

TEST_F(StoppedFiles, AreNotWrittenWhileTheRestartPolicyMayStartIt) {
  change(container_, keeper::Phase::restarting);
  Result<FilesPointer> files = open(FilesFor::writing);
  ASSERT_FALSE(files);
  EXPECT_EQ(files.error().kind, ErrorKind::conflict);
  EXPECT_THAT(files.error().message, HasSubstr("is restarting"));
  EXPECT_EQ(read(open(FilesFor::reading).value()->get(), "/srv/file"), "of the image");
}

TEST_F(StoppedFiles, AreSharedByThoseWhoWriteAndAStartWaitsForThem) {
  FilesPointer one = open(FilesFor::writing).value();
  FilesPointer other = open(FilesFor::writing).value();
  write(one->get(), "/srv/new", "by one");
  EXPECT_EQ(read(other->get(), "/srv/new"), "by one");
  write(other->get(), "/srv/other", "by another");
  one.reset();
  Result<std::unique_lock<std::mutex>> refused = container_->lock_for_start(kMoment);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::conflict);
  EXPECT_THAT(refused.error().message, HasSubstr("while files are copied into it"));

  std::future<bool> start = std::async(
      std::launch::async, [&] { return container_->lock_for_start(std::chrono::minutes(1)).has_value(); });
  EXPECT_EQ(start.wait_for(kMoment), std::future_status::timeout);
  EXPECT_TRUE(container_->operation.try_lock()) << "a removal has to go ahead";
  container_->operation.unlock();
  other.reset();
  EXPECT_TRUE(start.get());
}

TEST_F(StoppedFiles, AStartWaitsForAClientThatIsAnnouncedButNotForEver) {
  std::optional<AnnouncedClient> client;
  client.emplace(container_);
  std::future<bool> start = std::async(
      std::launch::async, [&] { return container_->lock_for_start(std::chrono::minutes(1)).has_value(); });
  EXPECT_EQ(start.wait_for(kMoment), std::future_status::timeout);
  client.reset();
  EXPECT_TRUE(start.get());

  client.emplace(container_);
  EXPECT_TRUE(container_->lock_for_start(kMoment)) << "a client that does not come";
  FilesPointer written = open(FilesFor::writing).value();
  EXPECT_FALSE(container_->lock_for_start(kMoment)) << "who writes is in the way all the same";
}

TEST_F(StoppedFiles, AreNobodysToWriteOnceItIsRemoved) {
  container_->removing = true;
  EXPECT_EQ(open(FilesFor::writing).error().kind, ErrorKind::not_found);
  container_->removing = false;
}

// Its process is gone, and the engine has not been told yet.
TEST_F(StoppedFiles, OfOneThatHasJustEndedAreThoseWithItsMounts) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  for (FilesFor purpose : {FilesFor::reading, FilesFor::writing}) {
    change(container_, keeper::Phase::running, child);
    std::thread told([&] {
      std::this_thread::sleep_for(kMoment);
      change(container_, keeper::Phase::exited);
    });
    Result<FilesPointer> files = open(purpose);
    told.join();
    ASSERT_TRUE(files) << files.error().message;
    if (purpose == FilesFor::writing) write((*files)->get(), "/data/file", "kept");
    files->reset();
  }
  const std::string place = volumes_.find("web-data").value().mountpoint;
  EXPECT_EQ(read_file(place + "/file").value_or("(missing)"), "kept");
}

TEST_F(StoppedFiles, HaveTheFilesOverEtcFromTheLastRun) {
  EXPECT_EQ(read(open(FilesFor::reading).value()->get(), "/etc/hosts"), "") << "as a place to mount it";
  const std::string directory = settings_.container_directory(container_->record.id);
  for (const char* name : {"hosts", "hostname", "resolv.conf"}) {
    Fd file = open_file(directory + "/" + name, O_WRONLY | O_CREAT, 0644).value();
    ASSERT_TRUE(write_all(file.get(), name));
  }
  {
    FilesPointer files = open(FilesFor::reading).value();
    for (const char* name : {"hosts", "hostname", "resolv.conf"})
      EXPECT_EQ(read(files->get(), std::string("/etc/") + name), name);
  }
  write(open(FilesFor::writing).value()->get(), "/etc/hosts", "written");
  EXPECT_EQ(read_file(directory + "/hosts").value(), "written");
  EXPECT_FALSE(exists(roots_.upper_path(container_->record) + "/etc/hosts"));

  // Another's, when it is that one's network; and the user's own where there is one.
  ContainerPointer guest = add("guest", false);
  guest->record.host_config.network_mode = "container:web";
  EXPECT_EQ(read(open(guest, FilesFor::reading).value()->get(), "/etc/hosts"), "written");
  guest->record.mounts.push_back(
      {.type = "bind", .source = directory + "/hostname", .destination = "/etc/hosts"});
  EXPECT_EQ(read(open(guest, FilesFor::reading).value()->get(), "/etc/hosts"), "hostname");
}

}  // namespace
}  // namespace berth::engine
