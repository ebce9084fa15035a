// SPDX-License-Identifier: Apache-2.0
#include "db/database.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <thread>

#include "base/file.h"

namespace berth::db {
namespace {

const std::vector<Migration> kSteps = {
    {"pets", 1, "CREATE TABLE pets(name TEXT PRIMARY KEY, age INTEGER, weight REAL, picture BLOB)"},
    {"owners", 1, "CREATE TABLE owners(name TEXT PRIMARY KEY, pet TEXT NOT NULL REFERENCES pets(name))"},
};

class DatabaseTest : public testing::Test {
 protected:
  std::unique_ptr<Database> open(const std::vector<Migration>& steps = kSteps) {
    Result<std::unique_ptr<Database>> database = Database::open(path_, steps);
    EXPECT_TRUE(database) << database.error().message;
    return database ? std::move(*database) : nullptr;
  }
  static Result<std::int64_t> count(Database& database) {
    Transaction transaction = TRY(database.read());
    Statement select = TRY(transaction.prepare("SELECT count(*) FROM pets"));
    TRY(select.step());
    return select.integer(0);
  }
  static Result<void> add(Database& database, std::string_view name,
                          Durability durability = Durability::durable) {
    Transaction transaction = TRY(database.begin(durability));
    TRY(transaction.run("INSERT INTO pets(name) VALUES(?)", name));
    return transaction.commit();
  }

  Result<void> overwrite(std::string_view bytes) {
    Fd file = TRY(open_file(path_, O_WRONLY | O_CREAT | O_TRUNC, 0600));
    return write_all(file.get(), bytes);
  }

  TemporaryDirectory directory_ = *TemporaryDirectory::create("db-test");
  std::string path_ = directory_.path() + "/meta.db";
};

TEST_F(DatabaseTest, StoresEveryTypeOfValueAndGivesItBack) {
  auto database = open();
  std::string bytes("\0\xff\0x", 4);
  {
    Transaction transaction = *database->begin(Durability::durable);
    ASSERT_TRUE(
        transaction.run("INSERT INTO pets VALUES(?, ?, ?, ?)", "Rex", 7, 12.5, Statement::Blob{bytes}));
    ASSERT_TRUE(transaction.run("INSERT INTO pets VALUES(?, ?, ?, ?)", std::string("Mia"), std::nullopt,
                                std::optional<double>(), std::optional<std::string>("")));
    ASSERT_TRUE(transaction.commit());
  }
  Transaction transaction = *database->read();
  Statement select = *transaction.prepare("SELECT name, age, weight, picture FROM pets ORDER BY name DESC");
  ASSERT_TRUE(*select.step());
  EXPECT_EQ(select.text(0), "Rex");
  EXPECT_EQ(select.integer(1), 7);
  EXPECT_EQ(select.real(2), 12.5);
  EXPECT_EQ(select.blob(3), bytes);
  ASSERT_TRUE(*select.step());
  EXPECT_TRUE(select.is_null(1));
  EXPECT_EQ(select.optional_text(2), std::nullopt);
  EXPECT_EQ(select.optional_text(3), "") << "an empty text is not NULL";
  EXPECT_EQ(select.digest(0).error().kind, ErrorKind::corrupt);
  EXPECT_FALSE(*select.step());
}

TEST_F(DatabaseTest, RollsBackUnlessCommitted) {
  auto database = open();
  {
    Transaction transaction = *database->begin(Durability::durable);
    ASSERT_TRUE(transaction.run("INSERT INTO pets(name) VALUES('Rex')"));
  }
  EXPECT_EQ(*count(*database), 0);
}

TEST_F(DatabaseTest, KeepsForeignKeys) {
  auto database = open();
  Transaction transaction = *database->begin(Durability::durable);
  Result<std::int64_t> inserted = transaction.run("INSERT INTO owners VALUES('Ann', 'nobody')");
  ASSERT_FALSE(inserted);
  EXPECT_EQ(inserted.error().kind, ErrorKind::conflict);
}

TEST_F(DatabaseTest, RefusesToWaitForItself) {
  auto database = open();
  Transaction first = *database->begin(Durability::visible);
  EXPECT_EQ(database->read().error().kind, ErrorKind::conflict);
  ASSERT_TRUE(first.commit());
  EXPECT_TRUE(database->read()) << "a committed transaction is out of the way";
}

TEST_F(DatabaseTest, RefusesToWriteWhileReading) {
  auto database = open();
  Transaction transaction = *database->read();
  EXPECT_EQ(transaction.run("INSERT INTO pets(name) VALUES('Rex')").error().kind, ErrorKind::invalid);
  EXPECT_EQ(transaction.prepare("SELECT 1; DROP TABLE pets").error().kind, ErrorKind::invalid);
}

TEST_F(DatabaseTest, RefusesAWrongNumberOfValues) {
  auto database = open();
  Transaction transaction = *database->begin(Durability::visible);
  EXPECT_EQ(transaction.run("INSERT INTO pets(name, age) VALUES(?, ?)", "Rex").error().kind,
            ErrorKind::invalid);
}

TEST_F(DatabaseTest, IsReadableByItsOwnerAlone) {
  auto database = open();
  ASSERT_TRUE(add(*database, "Rex"));
  for (const char* suffix : {"", "-wal"}) {
    struct stat status;
    ASSERT_EQ(::stat((path_ + suffix).c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777, 0600u) << suffix;
  }
}

TEST_F(DatabaseTest, ThreadsShareIt) {
  auto database = open();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) {
        EXPECT_TRUE(add(*database, fmt::format("{}-{}", t, i), Durability::visible));
        EXPECT_TRUE(count(*database));
      }
    });
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(*count(*database), 200);
}

TEST_F(DatabaseTest, WhatWasCommittedSurvivesKill) {
  pid_t child = fork();
  if (child == 0) {
    Result<std::unique_ptr<Database>> database = Database::open(path_, kSteps);
    bool stored = database && add(**database, "durable") && add(**database, "visible", Durability::visible);
    Transaction open_one = *(*database)->begin(Durability::durable);
    stored = stored && open_one.run("INSERT INTO pets(name) VALUES('lost')");
    if (stored) ::kill(getpid(), SIGKILL);
    _exit(1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));
  auto database = open();
  EXPECT_EQ(*count(*database), 2);
  EXPECT_TRUE(database->set_aside().empty());
}

TEST_F(DatabaseTest, AFileThatIsNoDatabaseIsSetAside) {
  ASSERT_TRUE(overwrite(std::string(8192, 'x')));
  auto database = open();
  ASSERT_TRUE(database);
  EXPECT_TRUE(add(*database, "Rex"));
  ASSERT_FALSE(database->set_aside().empty());
  EXPECT_EQ(*read_file(database->set_aside()), std::string(8192, 'x'));
}

TEST_F(DatabaseTest, ADamagedFileIsSetAside) {
  {
    auto database = open();
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(add(*database, fmt::format("{:0100}", i), Durability::visible));
  }
  std::string bytes = *read_file(path_);
  ASSERT_GT(bytes.size(), 20'000u);
  for (std::size_t page = 4096; page + 4096 <= bytes.size(); page += 4096)
    bytes.replace(page, 100, 100, '\xa5');
  ASSERT_TRUE(overwrite(bytes));
  auto database = open();
  ASSERT_TRUE(database);
  EXPECT_FALSE(database->set_aside().empty());
  EXPECT_EQ(*count(*database), 0);
  EXPECT_EQ(*database->check(), "");
}

TEST_F(DatabaseTest, AnUnreadablePathIsAnErrorAndNotSetAside) {
  ASSERT_EQ(::mkdir(path_.c_str(), 0700), 0);
  EXPECT_FALSE(Database::open(path_, kSteps));
  EXPECT_TRUE(exists(path_));
}

TEST_F(DatabaseTest, AppliesOnlyTheStepsThatAreNew) {
  {
    auto database = open();
    ASSERT_TRUE(add(*database, "Rex"));
  }
  std::vector<Migration> steps = kSteps;
  steps.push_back({"pets", 2, "ALTER TABLE pets ADD COLUMN colour TEXT DEFAULT 'grey'"});
  auto database = open(steps);
  Transaction transaction = *database->read();
  Statement select = *transaction.prepare("SELECT colour FROM pets");
  ASSERT_TRUE(*select.step());
  EXPECT_EQ(select.text(0), "grey");
}

TEST_F(DatabaseTest, AFailedStepChangesNothing) {
  { auto database = open(); }
  std::vector<Migration> steps = kSteps;
  steps.push_back({"pets", 2, "CREATE TABLE toys(name TEXT); CREATE TABLE nonsense("});
  Result<std::unique_ptr<Database>> failed = Database::open(path_, steps);
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().message.find("step 2 of pets"), std::string::npos) << failed.error().message;
  auto database = open();
  Transaction transaction = *database->read();
  EXPECT_FALSE(transaction.prepare("SELECT * FROM toys"));
}

TEST_F(DatabaseTest, RefusesADatabaseOfANewerVersionUnlessItsStepsAreAdditive) {
  std::vector<Migration> newer = kSteps;
  newer.push_back({"pets", 2, "CREATE TABLE toys(name TEXT)", true});
  { ASSERT_TRUE(open(newer)); }
  { ASSERT_TRUE(open(kSteps)); }
  newer.push_back({"pets", 3, "ALTER TABLE pets DROP COLUMN weight", false});
  { ASSERT_TRUE(open(newer)); }
  Result<std::unique_ptr<Database>> refused = Database::open(path_, kSteps);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind, ErrorKind::unsupported);
  EXPECT_NE(refused.error().message.find("newer version"), std::string::npos);
  EXPECT_TRUE(open(newer)) << "the refused file was left alone";
}

TEST_F(DatabaseTest, RefusesStepsOutOfOrder) {
  std::vector<Migration> steps = {{"pets", 2, "SELECT 1"}};
  EXPECT_EQ(Database::open(path_, steps).error().kind, ErrorKind::invalid);
}

// Counts what reaches the disk through a SQLite layer of its own, below the connection.
class SyncCounter {
 public:
  SyncCounter() {
    real_ = sqlite3_vfs_find(nullptr);
    vfs_ = *real_;
    vfs_.zName = "counting";
    vfs_.pAppData = this;
    vfs_.xOpen = &SyncCounter::open;
    sqlite3_vfs_register(&vfs_, 1);
  }
  ~SyncCounter() {
    sqlite3_vfs_unregister(&vfs_);
    sqlite3_vfs_register(real_, 1);
  }
  int syncs = 0;

 private:
  static int open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
    SyncCounter* self = static_cast<SyncCounter*>(vfs->pAppData);
    int code = self->real_->xOpen(self->real_, name, file, flags, out);
    if (code != SQLITE_OK || !file->pMethods) return code;
    // Each kind of file (database, log) has a method table of its own; their xSync is the same.
    auto [copy, is_new] = self->methods_.try_emplace(file->pMethods, *file->pMethods);
    if (is_new) {
      self->real_sync_ = file->pMethods->xSync;
      current_ = self;
      copy->second.xSync = [](sqlite3_file* target, int sync_flags) {
        ++current_->syncs;
        return current_->real_sync_(target, sync_flags);
      };
    }
    file->pMethods = &copy->second;
    return code;
  }
  static inline SyncCounter* current_ = nullptr;
  sqlite3_vfs* real_;
  sqlite3_vfs vfs_;
  std::map<const sqlite3_io_methods*, sqlite3_io_methods> methods_;
  int (*real_sync_)(sqlite3_file*, int) = nullptr;
};

// A small file system of its own.
struct SmallDisk {
  explicit SmallDisk(std::string where) : path(std::move(where)) {
    mkdir(path.c_str(), 0700);
    mounted = mount("tmpfs", path.c_str(), "tmpfs", MS_NODEV, "size=8m") == 0;
  }
  ~SmallDisk() {
    if (mounted) umount2(path.c_str(), MNT_DETACH);
  }
  void fill() const {
    Fd file = open_file(path + "/filler", O_WRONLY | O_CREAT | O_APPEND, 0600).value();
    while (write_all(file.get(), std::string(4096, 'x'))) continue;
  }
  std::string path;
  bool mounted = false;
};

TEST_F(DatabaseTest, WritesALittleOnAFullDisk) {
  SmallDisk disk(directory_.path() + "/disk");
  ASSERT_TRUE(disk.mounted) << "needs root";
  path_ = disk.path + "/meta.db";
  std::unique_ptr<Database> database = open();
  ASSERT_TRUE(add(*database, "first"));
  disk.fill();
  for (int i = 0; i < 10; ++i) {
    Result<void> added = add(*database, "pet " + std::to_string(i));
    ASSERT_TRUE(added) << i << ": " << added.error().message;
  }
  EXPECT_EQ(count(*database).value(), 11);
  database.reset();
  EXPECT_EQ(count(*open()).value(), 11);
}

TEST_F(DatabaseTest, DurableCommitsSyncAndVisibleOnesDoNot) {
  SyncCounter counter;
  auto database = open();
  ASSERT_TRUE(add(*database, "warm"));
  counter.syncs = 0;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(add(*database, fmt::format("v{}", i), Durability::visible));
  EXPECT_EQ(counter.syncs, 0);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(add(*database, fmt::format("d{}", i), Durability::durable));
  EXPECT_EQ(counter.syncs, 3);
}

}  // namespace
}  // namespace berth::db
