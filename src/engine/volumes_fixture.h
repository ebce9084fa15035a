// SPDX-License-Identifier: Apache-2.0
// For tests: volumes below a temporary directory, with containers on record, and new engines at will.
#pragma once
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
#include "engine/volumes.h"

namespace berth::engine {

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
  bool mounted(const std::string& name) {
    return sys::is_mount_point(place(name) + "/_data").value_or(false);
  }
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

}  // namespace berth::engine
