// SPDX-License-Identifier: Apache-2.0
#include "layers/layer_store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <thread>

#include "archive/compression.h"
#include "archive/test_support.h"
#include "layers/erofs_mount.h"
#include "layers/overlay.h"

namespace berth::layers {
namespace {

using archive::StringSink;
using archive::StringSource;
using archive::TarEntry;
using archive::TarType;
using archive::test::TarBuilder;

struct Kind {
  Driver driver = Driver::overlay;
  MountPlace place = MountPlace::nowhere;
  const char* name = "";
};

// What every driver must do, wherever it mounts.
class LayerStoreTest : public testing::TestWithParam<Kind> {
 protected:
  void SetUp() override {
    if (GetParam().driver != Driver::erofs) return;
    if (Result<void> works = probe_erofs(temporary_.path()); !works) GTEST_SKIP() << works.error().message;
  }
  void TearDown() override {
    const std::string table = read_file("/proc/self/mountinfo").value();
    if (table.find(directory()) != std::string::npos) open().detach_mounts();
  }

  std::string directory() const { return temporary_.path() + "/layers"; }
  LayerStore open() { return LayerStore::open(directory(), GetParam().driver, GetParam().place).value(); }
  bool attaches() const { return GetParam().place == MountPlace::attached; }
  std::string file_of(const Digest& diff_id, const std::string& name) const {
    return directory() + "/" + diff_id.hex() + "/" + name;
  }
  static Result<Layer> add(LayerStore& store, std::string_view tar, AddOptions options = {}) {
    options.sync = false;
    StringSource source(tar);
    return store.add(source, options);
  }
  static Result<std::string> tar_of(const LayerStore& store, const Digest& diff_id) {
    std::unique_ptr<archive::Source> source = TRY(store.open_tar(diff_id));
    StringSink sink;
    TRY(archive::copy_stream(*source, sink));
    return sink.take();
  }
  std::vector<std::string> staged() { return list_directory(directory() + "/.staging").value(); }

  TemporaryDirectory temporary_ = TemporaryDirectory::create("layers").value();
};

TEST_P(LayerStoreTest, ALayerIsNamedByItsTarAndGivesItBack) {
  LayerStore store = open();
  const std::string tar = TarBuilder()
                              .directory("d")
                              .file("d/f", "contents")
                              .hard_link("l", "d/f")
                              .file("d/.wh.gone", "")
                              .take() +
                          std::string(8192, '\0');  // padded to a tape record, as tar does
  Layer layer = add(store, tar).value();
  EXPECT_EQ(layer.diff_id, sha256_of(tar));
  EXPECT_EQ(layer.size, 8u);
  EXPECT_EQ(layer.tar_size, tar.size());
  EXPECT_EQ(tar_of(store, layer.diff_id).value(), tar);
  EXPECT_TRUE(store.verify(layer.diff_id));
  EXPECT_EQ(layer.driver, GetParam().driver);
  EXPECT_EQ(read_file(store.lower_directory(layer.diff_id).value().path + "/d/f").value(), "contents");
  EXPECT_EQ(read_file_at(store.open_tree(layer.diff_id).value().get(), "d/f").value(), "contents");
  EXPECT_TRUE(staged().empty());
  LayerStore later = open();
  EXPECT_EQ(later.get(layer.diff_id).value().size, 8u);
  EXPECT_EQ(later.list().value().size(), 1u);
  ASSERT_TRUE(later.remove(layer.diff_id));
  EXPECT_TRUE(later.remove(layer.diff_id));
  EXPECT_EQ(later.get(layer.diff_id).error().kind, ErrorKind::not_found);
  EXPECT_TRUE(later.list().value().empty());
  EXPECT_TRUE(staged().empty());
}

TEST_P(LayerStoreTest, ArchivesOfOthersComeBackBitByBit) {
  LayerStore store = open();
  const std::string tree = temporary_.path() + "/tree";
  ASSERT_TRUE(make_directories(tree + "/sub", 0755));
  for (int i = 0; i < 40; ++i)
    archive::test::write(fmt::format("{}/sub/f{}", tree, i),
                         std::string(static_cast<std::size_t>(i) * 333, 'a'));
  archive::test::write(tree + "/" + std::string(180, 'n'), "long");
  Fd sparse = open_file(tree + "/sparse", O_WRONLY | O_CREAT, 0644).value();
  ASSERT_EQ(ftruncate(sparse.get(), 1'000'000), 0);
  ASSERT_EQ(pwrite(sparse.get(), "x", 1, 500'000), 1);
  for (const char* format : {"gnu", "posix"})
    for (const char* holes : {"--sparse", "--numeric-owner"}) {
      const std::string path = temporary_.path() + "/t.tar";
      archive::test::run({"tar", holes, std::string("--format=") + format, "-C", tree, "-cf", path, "."});
      const std::string tar = read_file(path).value();
      Result<Layer> layer = add(store, tar);
      ASSERT_TRUE(layer) << layer.error().message;
      EXPECT_EQ(layer->diff_id, sha256_of(tar));
      Result<std::string> back = tar_of(store, layer->diff_id);
      ASSERT_TRUE(back) << back.error().message;
      EXPECT_EQ(*back, tar);
    }
}

// Contents that later entries replace are in the tar, so they must come back too.
TEST_P(LayerStoreTest, ReplacedEntriesComeBack) {
  LayerStore store = open();
  for (const std::string& tar : {
           TarBuilder().file("f", "first").file("f", "second").file("f", "third").take(),
           TarBuilder()
               .file("d/f", "in")
               .directory("d/e")
               .file("d/e/g", "deep")
               .file("d", "now a file")
               .take(),
           TarBuilder()
               .directory("b")
               .directory("c")
               .link("a", "b")
               .file("a/f", "in b")
               .link("a", "c")
               .file("a/f", "in c")
               .take(),
           TarBuilder().file("f", "first").hard_link("h", "f").file("f", "second").file("h", "third").take(),
           TarBuilder().file("f", "x").link("f", "y").file("f", "z").take(),
           TarBuilder().file(".wh.f", "a whiteout with contents").file("f", "x").take(),
       }) {
    Result<Layer> layer = add(store, tar);
    ASSERT_TRUE(layer) << layer.error().message;
    Result<std::string> back = tar_of(store, layer->diff_id);
    ASSERT_TRUE(back) << back.error().message;
    EXPECT_EQ(*back, tar);
  }
}

TEST_P(LayerStoreTest, EmptyLayers) {
  LayerStore store = open();
  for (const std::string& tar :
       {std::string(), std::string(1024, '\0'), TarBuilder().directory("./", 0700).take()}) {
    Result<Layer> layer = add(store, tar);
    ASSERT_TRUE(layer) << layer.error().message;
    EXPECT_EQ(tar_of(store, layer->diff_id).value(), tar);
  }
}

TEST_P(LayerStoreTest, AnotherDigestThanPromisedLeavesNothing) {
  LayerStore store = open();
  AddOptions options;
  options.expected = sha256_of("something else");
  Result<Layer> layer = add(store, TarBuilder().file("f", "x").take(), options);
  ASSERT_FALSE(layer);
  EXPECT_EQ(layer.error().kind, ErrorKind::corrupt);
  EXPECT_TRUE(staged().empty());
  EXPECT_TRUE(store.list().value().empty());
}

TEST_P(LayerStoreTest, HostileAndBrokenTarsLeaveNothing) {
  LayerStore store = open();
  std::string whole = TarBuilder().file("f", std::string(100'000, 'x')).take();
  EXPECT_FALSE(add(store, std::string_view(whole).substr(0, 50'000)));
  EXPECT_FALSE(add(store, TarBuilder().hard_link("a", "/etc/passwd").take()));
  AddOptions small;
  small.max_bytes = 99'999;
  EXPECT_EQ(add(store, whole, small).error().kind, ErrorKind::exhausted);
  std::stop_source stopped;
  stopped.request_stop();
  AddOptions cancelled;
  cancelled.stop = stopped.get_token();
  EXPECT_EQ(add(store, whole, cancelled).error().kind, ErrorKind::cancelled);
  EXPECT_TRUE(staged().empty());
  EXPECT_TRUE(store.list().value().empty());
}

// A byte anywhere in whatever the layer has on disk.
TEST_P(LayerStoreTest, DamageIsFound) {
  LayerStore store = open();
  TarEntry described;
  described.name = "g";
  described.xattrs = {{"user.note", "value"}};
  const std::string tar = TarBuilder().file("d/f", "original").add(described, "other").take();
  const Digest diff_id = add(store, tar).value().diff_id;
  const std::vector<std::string> files = GetParam().driver == Driver::overlay
                                             ? std::vector<std::string>{"fs/d/f", "fs/g"}
                                             : std::vector<std::string>{"tar", "index.erofs"};
  for (const std::string& name : files) {
    const std::string path = file_of(diff_id, name);
    const std::string sound = read_file(path).value();
    for (std::size_t at = 0; at < sound.size(); at += sound.size() / 97 + 1) {
      std::string damaged = sound;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x20);
      archive::test::write(path, damaged);
      Result<void> verified = store.verify(diff_id);
      ASSERT_FALSE(verified) << name << " byte " << at;
      EXPECT_EQ(verified.error().kind, ErrorKind::corrupt) << verified.error().message;
    }
    archive::test::write(path, std::string_view(sound).substr(0, sound.size() - 1));
    EXPECT_FALSE(store.verify(diff_id)) << name;
    archive::test::write(path, sound);
    ASSERT_TRUE(store.verify(diff_id)) << name;
  }
  archive::test::write(file_of(diff_id, "record"), "{");
  EXPECT_FALSE(store.get(diff_id));
  EXPECT_TRUE(store.list().value().empty());
  // Adding it again puts a good one in its place.
  ASSERT_TRUE(add(store, tar));
  EXPECT_TRUE(store.verify(diff_id));
}

TEST_P(LayerStoreTest, TheSameLayerFromManyThreads) {
  LayerStore store = open();
  const std::string tar = TarBuilder().file("f", std::string(300'000, 'x')).file("d/g", "y").take();
  std::vector<std::jthread> threads;
  std::atomic<int> added = 0;
  for (int i = 0; i < 6; ++i)
    threads.emplace_back([&] {
      if (add(store, tar)) ++added;
    });
  threads.clear();
  EXPECT_EQ(added, 6);
  EXPECT_EQ(store.list().value().size(), 1u);
  EXPECT_TRUE(store.verify(sha256_of(tar)));
  EXPECT_TRUE(staged().empty());
}

TEST_P(LayerStoreTest, KilledInTheMiddleOfAddingLeavesNothingAfterTheNextStart) {
  open();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    LayerStore store = open();
    const std::string tar = TarBuilder().file("a/b/f", std::string(100'000, 'x')).take();
    std::size_t given = 0;
    archive::FunctionSource half([&](std::span<char> buffer) -> Result<std::size_t> {
      if (given > 60'000) {
        usleep(100'000);  // what was given is being written
        [[maybe_unused]] ssize_t put = write(ready[1], "x", 1);
        for (;;) pause();
      }
      const std::size_t size = std::min<std::size_t>(buffer.size(), 10'000);
      std::memcpy(buffer.data(), tar.data() + given, size);
      given += size;
      return size;
    });
    AddOptions options;
    (void)store.add(half, options);
    _exit(1);
  }
  char byte;
  ASSERT_EQ(read(ready[0], &byte, 1), 1);
  ASSERT_EQ(kill(child, SIGKILL), 0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  close(ready[0]);
  close(ready[1]);
  EXPECT_EQ(staged().size(), 1u) << "the test has to catch it in the middle";
  LayerStore store = open();
  EXPECT_TRUE(staged().empty());
  EXPECT_TRUE(store.list().value().empty());
}

TEST_P(LayerStoreTest, AFullDiskIsACleanErrorAndRemovalStillWorks) {
  ASSERT_TRUE(make_directories(directory(), 0700));
  ASSERT_EQ(mount("tmpfs", directory().c_str(), "tmpfs", 0, "size=2m"), 0);
  {
    LayerStore store = open();
    Layer small = add(store, TarBuilder().file("f", std::string(500'000, 'x')).take()).value();
    Result<Layer> big = add(store, TarBuilder().file("g", std::string(5'000'000, 'y')).take());
    EXPECT_FALSE(big);
    if (!big) {
      EXPECT_EQ(big.error().kind, ErrorKind::exhausted) << big.error().message;
    }
    EXPECT_TRUE(staged().empty());
    EXPECT_TRUE(store.verify(small.diff_id));
    EXPECT_TRUE(store.remove(small.diff_id));
  }
  EXPECT_EQ(umount(directory().c_str()), 0);
}

TEST_P(LayerStoreTest, UndescribedDirectoriesLookAsInTheLayersBelow) {
  LayerStore store = open();
  TarEntry tmp;
  tmp.type = TarType::directory;
  tmp.name = "tmp/";
  tmp.mode = 01777;
  tmp.uid = 9;
  tmp.mtime = Timestamp{1'000'000'000'000'000'000};
  Digest base =
      add(store, TarBuilder().directory("./", 0711).add(tmp).directory("x/y", 0700).take()).value().diff_id;
  Digest hides = add(store, TarBuilder().file(".wh.x", "").file("tmp/z", "").take()).value().diff_id;
  Digest top =
      add(store, TarBuilder().file("tmp/f", "").file("x/y/f", "").directory("described", 0750).take())
          .value()
          .diff_id;
  ASSERT_TRUE(store.inherit_directories(base, {}));
  ASSERT_TRUE(store.inherit_directories(hides, std::vector{base}));
  ASSERT_TRUE(store.inherit_directories(top, std::vector{hides, base}));
  const LowerDirectory lower = store.lower_directory(top).value();
  const auto tree = archive::test::describe(lower.path);
  EXPECT_TRUE(tree.at("tmp").starts_with("41777 9:0 @1000000000")) << tree.at("tmp");
  EXPECT_TRUE(tree.at("x/y").starts_with("40755 ")) << "hidden by the whiteout: " << tree.at("x/y");
  EXPECT_TRUE(tree.at("described").starts_with("40750 "));
  struct stat root;
  ASSERT_EQ(stat(lower.path.c_str(), &root), 0);
  EXPECT_EQ(root.st_mode & 07777, 0711u);
  EXPECT_TRUE(store.verify(top));
  ASSERT_TRUE(store.inherit_directories(top, std::vector{hides, base})) << "again is harmless";
  EXPECT_EQ(archive::test::describe(store.lower_directory(top).value().path), tree);
  EXPECT_TRUE(store.verify(top));
}

// Two images of one layer that are made at once.
TEST_P(LayerStoreTest, DirectoriesAreInheritedBySeveralAtOnce) {
  LayerStore store = open();
  const Digest base =
      add(store, TarBuilder().directory("./", 0711).directory("x", 0700).take()).value().diff_id;
  const Digest top = add(store, TarBuilder().file("x/f", "").take()).value().diff_id;
  std::vector<std::jthread> threads;
  for (int count = 0; count < 8; ++count)
    threads.emplace_back([&] {
      const Result<void> inherited = store.inherit_directories(top, std::vector{base});
      EXPECT_TRUE(inherited) << inherited.error().message;
    });
  threads.clear();
  EXPECT_TRUE(archive::test::describe(store.lower_directory(top).value().path).at("x").starts_with("40700 "));
}

TEST_P(LayerStoreTest, ProgressAndCompressionPassThrough) {
  LayerStore store = open();
  const std::string tar = TarBuilder().file("f", std::string(2'000'000, 'x')).take();
  StringSink packed;
  std::unique_ptr<archive::Sink> gzip = archive::compress(packed, archive::Compression::gzip).value();
  ASSERT_TRUE(gzip->write(tar));
  ASSERT_TRUE(gzip->finish());
  StringSource source(packed.text());
  std::unique_ptr<archive::Source> plain = archive::decompress(source).value();
  std::uint64_t seen = 0;
  AddOptions options;
  options.progress = [&](std::uint64_t bytes) { seen = bytes; };
  EXPECT_EQ(store.add(*plain, options).value().diff_id, sha256_of(tar));  // synced, this one
  EXPECT_EQ(seen, tar.size());
}

// A layer says by itself what it is: a store's setting is for layers to come.
TEST_P(LayerStoreTest, LayersOfBothKindsLieSideBySide) {
  const Driver other = GetParam().driver == Driver::erofs ? Driver::overlay : Driver::erofs;
  if (Result<void> works = probe_erofs(temporary_.path()); !works) GTEST_SKIP() << works.error().message;
  const std::string low = TarBuilder().directory("d", 0711).file("d/low", "1").file("gone", "x").take();
  const std::string high = TarBuilder().file("d/high", "2").file(".wh.gone", "").take();
  Digest below = [&] {
    LayerStore store = LayerStore::open(directory(), other).value();
    return add(store, low).value().diff_id;
  }();
  LayerStore store = open();
  EXPECT_EQ(store.get(below).value().driver, other);
  EXPECT_EQ(add(store, low).value().driver, other) << "it is here already";
  const Digest above = add(store, high).value().diff_id;
  ASSERT_TRUE(store.inherit_directories(above, std::vector{below}));
  OverlaySpec spec;
  spec.lower = {above, below};
  Fd merged = mount_detached(store, spec).value();
  EXPECT_EQ(read_file_at(merged.get(), "d/low").value(), "1");
  EXPECT_EQ(read_file_at(merged.get(), "d/high").value(), "2");
  EXPECT_NE(faccessat(merged.get(), "gone", F_OK, 0), 0);
  struct stat status;
  ASSERT_EQ(fstatat(merged.get(), "d", &status, 0), 0);
  EXPECT_EQ(status.st_mode & 07777, 0711u);
  for (const Digest& digest : {above, below}) {
    EXPECT_TRUE(store.verify(digest));
    EXPECT_TRUE(store.remove(digest));
  }
  EXPECT_EQ(read_file_at(merged.get(), "d/low").value(), "1") << "what is mounted goes on";
}

// A hundred layers under one overlay, of which the machine's table of mounts never knows where that can be.
TEST_P(LayerStoreTest, ManyLayersFitAndShowNowhere) {
  LayerStore store = open();
  const std::string table = read_file("/proc/self/mountinfo").value();
  OverlaySpec spec;
  for (int i = 0; i < 100; ++i)
    spec.lower.insert(spec.lower.begin(), add(store, TarBuilder()
                                                         .file(fmt::format("d/f{}", i), std::to_string(i))
                                                         .file("top", std::to_string(i))
                                                         .take())
                                              .value()
                                              .diff_id);
  spec.upper = prepare_upper(temporary_.path(), store.open_tree(spec.lower.front()).value().get()).value();
  Fd merged = mount_detached(store, spec).value();
  EXPECT_EQ(read_file_at(merged.get(), "top").value(), "99");
  EXPECT_EQ(read_file_at(merged.get(), "d/f0").value(), "0");
  if (attaches()) store.detach_mounts();
  EXPECT_EQ(read_file("/proc/self/mountinfo").value(), table);
  EXPECT_EQ(read_file_at(merged.get(), "d/f99").value(), "99") << "what is mounted goes on";
  struct stat one, other;
  ASSERT_EQ(fstat(store.open_tree(spec.lower.front()).value().get(), &one), 0);
  ASSERT_EQ(fstat(store.open_tree(spec.lower.front()).value().get(), &other), 0);
  EXPECT_EQ(one.st_dev, other.st_dev) << "users of a layer share its pages";
}

// Keepers start their containers again by those paths while no engine runs, and the next one shares them.
TEST_P(LayerStoreTest, AttachedMountsOutliveTheEngineAndGoWithTheirLayer) {
  if (!attaches()) return;
  const std::string table = read_file("/proc/self/mountinfo").value();
  std::string path;
  Digest layer = [&] {
    LayerStore store = open();
    const Digest added = add(store, TarBuilder().file("f", "1").take()).value().diff_id;
    path = store.lower_directory(added).value().path;
    return added;
  }();
  EXPECT_EQ(read_file(path + "/f").value(), "1");
  struct stat before, after;
  ASSERT_EQ(stat(path.c_str(), &before), 0);
  LayerStore store = open();
  EXPECT_EQ(store.lower_directory(layer).value().path, path);
  ASSERT_EQ(stat(path.c_str(), &after), 0);
  EXPECT_EQ(before.st_dev, after.st_dev) << "mounted once more";
  ASSERT_EQ(umount2(path.c_str(), MNT_DETACH), 0);
  EXPECT_EQ(store.lower_directory(layer).value().path, path);
  EXPECT_EQ(read_file(path + "/f").value(), "1") << "somebody took it off by hand";
  ASSERT_TRUE(store.remove(layer));
  EXPECT_NE(access(path.c_str(), F_OK), 0);
  EXPECT_EQ(read_file("/proc/self/mountinfo").value(), table);
}

INSTANTIATE_TEST_SUITE_P(Drivers, LayerStoreTest,
                         testing::Values(Kind{Driver::overlay, MountPlace::nowhere, "overlay"},
                                         Kind{Driver::erofs, MountPlace::nowhere, "erofs"},
                                         Kind{Driver::erofs, MountPlace::attached, "erofs_attached"}),
                         [](const auto& tested) { return std::string(tested.param.name); });

}  // namespace
}  // namespace berth::layers
