// SPDX-License-Identifier: Apache-2.0
#include "content/blob_store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/file.h"

namespace berth::content {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class BlobStoreTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = TemporaryDirectory::create("berth-content").value();
    open();
  }
  void open() {
    store_.reset();
    store_ = BlobStore::open(path()).value();
  }
  std::string path() const { return directory_->path() + "/blobs"; }
  std::string file_of(const Digest& digest) const { return path() + "/sha256/" + digest.hex(); }
  std::vector<std::string> partial() const { return list_directory(path() + "/ingest").value(); }
  void age_ingest(const std::string& key, long seconds) const {
    timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    ASSERT_EQ(utimensat(AT_FDCWD, (path() + "/ingest/" + key + ".part").c_str(), times, 0), 0);
  }

  std::optional<TemporaryDirectory> directory_;
  std::unique_ptr<BlobStore> store_;
};

const Digest kHello = sha256_of("hello world");

TEST_F(BlobStoreTest, ABlobIsWrittenVerifiedAndRead) {
  Ingest ingest = store_->begin_ingest("one").value();
  EXPECT_EQ(ingest.offset(), 0);
  ASSERT_TRUE(ingest.write("hello "));
  EXPECT_FALSE(store_->has(kHello));
  ASSERT_TRUE(ingest.write("world"));
  EXPECT_EQ(ingest.offset(), 11);
  ASSERT_TRUE(ingest.commit(kHello, 11));
  EXPECT_EQ(store_->size(kHello).value(), 11);
  EXPECT_EQ(store_->read(kHello, 100).value(), "hello world");
  EXPECT_TRUE(store_->verify(kHello));
  EXPECT_THAT(partial(), IsEmpty());
  struct stat info;
  ASSERT_EQ(stat(file_of(kHello).c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
  ASSERT_EQ(store_->list().value().size(), 1u);
  EXPECT_EQ(store_->list().value()[0].digest, kHello);
}

TEST_F(BlobStoreTest, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(store_->size(kHello).error().kind, ErrorKind::not_found);
  EXPECT_EQ(store_->open_blob(kHello).error().kind, ErrorKind::not_found);
  EXPECT_EQ(store_->verify(kHello).error().kind, ErrorKind::not_found);
  EXPECT_EQ(store_->resume_ingest("none").error().kind, ErrorKind::not_found);
  EXPECT_TRUE(store_->begin_ingest("none"));  // the failed try holds no key
  EXPECT_TRUE(store_->remove(kHello).value());
}

TEST_F(BlobStoreTest, AWrongDigestOrSizeLeavesNothing) {
  for (bool wrong_size : {false, true}) {
    Ingest ingest = store_->begin_ingest("liar").value();
    ASSERT_TRUE(ingest.write("hello"));
    Result<Pin> pin = wrong_size ? ingest.commit(sha256_of("hello"), 6) : ingest.commit(kHello);
    ASSERT_FALSE(pin);
    EXPECT_EQ(pin.error().kind, ErrorKind::corrupt);
    EXPECT_THAT(partial(), IsEmpty());
    EXPECT_FALSE(store_->has(kHello));
    EXPECT_FALSE(store_->has(sha256_of("hello")));
    EXPECT_FALSE(ingest.write("more"));
  }
}

TEST_F(BlobStoreTest, APartialIngestSurvivesItsProcess) {
  {
    Ingest ingest = store_->begin_ingest("layer").value();
    ASSERT_TRUE(ingest.write("hello "));
  }
  open();
  Ingest ingest = store_->resume_ingest("layer").value();
  EXPECT_EQ(ingest.offset(), 6);
  ASSERT_TRUE(ingest.write("world"));
  ASSERT_TRUE(ingest.commit(kHello));
  EXPECT_EQ(store_->read(kHello, 100).value(), "hello world");
}

TEST_F(BlobStoreTest, AResumedIngestOfDamagedBytesIsFoundOut) {
  { ASSERT_TRUE(store_->begin_ingest("layer").value().write("hello ")); }
  std::ofstream(path() + "/ingest/layer.part") << "jello ";
  Ingest ingest = store_->begin_ingest("layer").value();
  ASSERT_TRUE(ingest.write("world"));
  EXPECT_EQ(ingest.commit(kHello).error().kind, ErrorKind::corrupt);
}

TEST_F(BlobStoreTest, TruncationStartsOverOrGoesBack) {
  Ingest ingest = store_->begin_ingest("layer").value();
  ASSERT_TRUE(ingest.write("rubbish"));
  ASSERT_TRUE(ingest.truncate(0));
  ASSERT_TRUE(ingest.write("hello there"));
  ASSERT_TRUE(ingest.truncate(6));
  EXPECT_FALSE(ingest.truncate(7));
  EXPECT_EQ(ingest.digest().value(), sha256_of("hello "));
  ASSERT_TRUE(ingest.write("world"));
  EXPECT_TRUE(ingest.commit(kHello));
}

TEST_F(BlobStoreTest, OneIngestAKeyAtATime) {
  std::optional<Ingest> first = store_->begin_ingest("key").value();
  EXPECT_EQ(store_->begin_ingest("key").error().kind, ErrorKind::conflict);
  first.reset();
  EXPECT_TRUE(store_->begin_ingest("key"));
}

TEST_F(BlobStoreTest, KeysCannotLeaveTheDirectory) {
  for (const char* key : {"", "a/b", "..\n", "a b", "\xc3\xa4", "../x"})
    EXPECT_EQ(store_->begin_ingest(key).error().kind, ErrorKind::invalid) << key;
  EXPECT_FALSE(store_->begin_ingest(std::string(129, 'a')));
  for (const char* key : {".", "..", "-", "A.b_c-9"}) EXPECT_TRUE(store_->begin_ingest(key)) << key;
  EXPECT_TRUE(store_->begin_ingest(std::string(128, 'a')));
}

TEST_F(BlobStoreTest, AbandonRemovesAndSweepTakesOnlyTheOld) {
  ASSERT_TRUE(store_->begin_ingest("gone").value().abandon());
  EXPECT_THAT(partial(), IsEmpty());
  { ASSERT_TRUE(store_->begin_ingest("old").value().write("x")); }
  { ASSERT_TRUE(store_->begin_ingest("young").value().write("x")); }
  Ingest held = store_->begin_ingest("held").value();
  age_ingest("old", 7200);
  age_ingest("held", 7200);
  EXPECT_EQ(store_->sweep_ingests(std::chrono::hours(1)).value(), 1u);
  EXPECT_THAT(partial(), ElementsAre("held.part", "young.part"));
}

TEST_F(BlobStoreTest, ACallerWhoHashedPaysOnce) {
  Ingest ingest = store_->begin_ingest("k", Hashing::by_caller).value();
  ASSERT_TRUE(ingest.write("hello world"));
  EXPECT_EQ(ingest.commit_verified(kHello).value().digest(), kHello);
  EXPECT_TRUE(store_->verify(kHello));
}

TEST_F(BlobStoreTest, DocumentsArePutOnce) {
  EXPECT_EQ(store_->put("{}").value().digest(), sha256_of("{}"));
  EXPECT_TRUE(store_->put("{}"));
  EXPECT_TRUE(store_->put(""));
  EXPECT_EQ(store_->read(sha256_of("{}"), 2).value(), "{}");
  EXPECT_FALSE(store_->read(sha256_of("{}"), 1));
  EXPECT_THAT(partial(), IsEmpty());
}

TEST_F(BlobStoreTest, DamageIsFoundSetAsideAndHealed) {
  ASSERT_TRUE(store_->put("hello world"));
  std::ofstream(file_of(kHello)) << "hello worlx";
  EXPECT_EQ(store_->verify(kHello).error().kind, ErrorKind::corrupt);
  ASSERT_TRUE(store_->set_aside(kHello));
  EXPECT_FALSE(store_->has(kHello));
  EXPECT_EQ(list_directory(path() + "/damaged").value().size(), 1u);
  EXPECT_TRUE(store_->set_aside(kHello));
  ASSERT_TRUE(store_->put("hello world"));
  std::ofstream(file_of(kHello)) << "broken";
  Ingest ingest = store_->begin_ingest("again").value();
  ASSERT_TRUE(ingest.write("hello world"));
  ASSERT_TRUE(ingest.commit(kHello));
  EXPECT_TRUE(store_->verify(kHello));
}

TEST_F(BlobStoreTest, PinnedBlobsStay) {
  std::optional<Pin> pin = store_->put("hello world").value();
  EXPECT_FALSE(store_->remove(kHello).value());
  std::optional<Pin> second = store_->pin_if_present(kHello);
  ASSERT_TRUE(second);
  pin.reset();
  EXPECT_FALSE(store_->remove(kHello).value());
  second.reset();
  EXPECT_FALSE(store_->remove_unless(kHello, [] { return Result<bool>(true); }).value());
  EXPECT_TRUE(store_->has(kHello));
  EXPECT_TRUE(store_->remove(kHello).value());
  EXPECT_FALSE(store_->has(kHello));
  EXPECT_FALSE(store_->pin_if_present(kHello));
  EXPECT_TRUE(store_->remove(kHello).value());  // the failed pin left nothing
}

// A collector and a referrer meet again and again: a recorded reference always has its blob.
TEST_F(BlobStoreTest, ReferencesAndGarbageDoNotRace) {
  std::atomic<bool> referred{false}, done{false};
  std::thread collector([&] {
    while (!done) (void)store_->remove_unless(kHello, [&] { return Result<bool>(referred.load()); });
  });
  int dangling = 0, seen = 0;
  // The collector may be faster for a long time: until both have happened often enough.
  for (int round = 0; round < 300 || (seen < 10 && round < 100'000); ++round) {
    ASSERT_TRUE(store_->put("hello world"));
    if (std::optional<Pin> pin = store_->pin_if_present(kHello)) {
      ++seen;
      referred = true;
    }
    if (referred && !store_->has(kHello)) ++dangling;
    referred = false;
  }
  done = true;
  collector.join();
  EXPECT_EQ(dangling, 0);
  EXPECT_GT(seen, 0);
}

TEST_F(BlobStoreTest, OneProcessOwnsTheDirectory) {
  Result<std::unique_ptr<BlobStore>> second = BlobStore::open(path(), std::chrono::milliseconds(50));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::conflict);
  EXPECT_THAT(second.error().message, HasSubstr(path()));
  store_.reset();
  EXPECT_TRUE(BlobStore::open(path(), std::chrono::milliseconds(50)));
}

TEST_F(BlobStoreTest, WhatPutLeftIsSweptAndPartialsAreKept) {
  std::ofstream(path() + "/ingest/7.put") << "half";
  std::ofstream(path() + "/ingest/layer.part") << "half";
  open();
  EXPECT_THAT(partial(), ElementsAre("layer.part"));
}

// A limit on the size of files fails as a full disk does, in the middle of a write.
TEST_F(BlobStoreTest, AFullDiskIsAnErrorAndNothingAppears) {
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 1000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string bytes(5000, 'x');
  Ingest ingest = store_->begin_ingest("big").value();
  Result<void> written = ingest.write(bytes);
  Result<Pin> put = store_->put(bytes);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_FALSE(written);
  EXPECT_FALSE(put);
  EXPECT_EQ(ingest.offset(), 1000);
  EXPECT_THAT(partial(), ElementsAre("big.part"));
  // With room again it goes on where it stopped.
  ASSERT_TRUE(ingest.write(std::string_view(bytes).substr(1000)));
  EXPECT_TRUE(ingest.commit(sha256_of(bytes)));
}

// A process that is killed at a random moment while it commits blob after blob.
TEST_F(BlobStoreTest, KilledWritersLeaveWholeBlobsOrPartials) {
  store_.reset();
  for (int round = 0; round < 20; ++round) {
    pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto store = BlobStore::open(path());
      for (int i = 0; store && i < 1000; ++i) {
        std::string bytes(20000, static_cast<char>('a' + i % 26));
        bytes += std::to_string(round * 1000 + i);
        auto ingest = (*store)->begin_ingest("k" + std::to_string(i));
        if (!ingest || !ingest->truncate(0) || !ingest->write(bytes) || !ingest->commit(sha256_of(bytes)))
          _exit(1);
        if (!(*store)->put(bytes + "p")) _exit(1);
      }
      _exit(0);
    }
    usleep(static_cast<useconds_t>(3000 + round * 2500));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << status;
    auto store = BlobStore::open(path());
    ASSERT_TRUE(store) << store.error().message;
    const std::vector<BlobInfo> blobs = (*store)->list().value();
    for (const BlobInfo& blob : blobs) EXPECT_TRUE((*store)->verify(blob.digest));
    for (const std::string& name : partial()) EXPECT_TRUE(name.ends_with(".part")) << name;
  }
}

}  // namespace
}  // namespace berth::content
