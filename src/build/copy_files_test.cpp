// SPDX-License-Identifier: Apache-2.0
#include "build/copy_files.h"

#include "archive/compression.h"
#include "archive/pack.h"
#include "build/test_trees.h"

namespace berth::build {
namespace {

using testing::HasSubstr;

class CopyFilesTest : public testing::Test {
 protected:
  Result<void> copy(const std::string& written, const std::string& destination, CopyTarget target = {},
                    Tree tree = {}) {
    if (!tree.root) tree = from.tree();
    Fd root = to.open();
    target.root = root.get();
    target.destination = destination;
    std::vector<Source> sources = find_sources(tree, written).value();
    target.many = target.many || sources.size() > 1;
    for (const Source& source : sources)
      if (Result<void> copied = copy_source(tree, source, {}, target, {}); !copied) return copied;
    return {};
  }

  TestTree from, to;
};

TEST_F(CopyFilesTest, AFileGetsTheNameOfTheDestinationOrItsOwnInADirectory) {
  from.file("f", "1", 0640);
  to.directory("there");
  ASSERT_TRUE(copy("f", "/a/b/new"));
  ASSERT_TRUE(copy("f", "/c/"));
  ASSERT_TRUE(copy("f", "/there"));
  EXPECT_EQ(to.text("a/b/new"), "1");
  EXPECT_EQ(to.text("c/f"), "1");
  EXPECT_EQ(to.text("there/f"), "1");
  EXPECT_EQ(to.status("c/f").st_mode & 07777, 0640u);
  EXPECT_EQ(to.status("a/b").st_mode & 07777, 0755u);
}

TEST_F(CopyFilesTest, ADirectorysContentsAreMergedAndItsFilesReplace) {
  from.file("d/x", "new");
  from.file("d/e/y", "new");
  from.link("d/l", "x");
  from.directory("d/e", 0700);
  to.file("t/x", "old");
  to.file("t/kept", "old");
  to.directory("t/e", 0755);
  ASSERT_TRUE(copy("d", "/t"));
  EXPECT_EQ(to.text("t/x"), "new");
  EXPECT_EQ(to.text("t/kept"), "old");
  EXPECT_EQ(to.text("t/e/y"), "new");
  EXPECT_EQ(to.text("t/l"), "new");
  EXPECT_TRUE(S_ISLNK(to.status("t/l").st_mode));
  EXPECT_EQ(to.status("t/e").st_mode & 07777, 0700u);
}

TEST_F(CopyFilesTest, KindsAreNotExchanged) {
  from.file("f", "1");
  from.file("d/name", "1");
  from.file("e/name/x", "1");
  to.directory("t/name");
  to.file("u/name", "");
  Result<void> copied = copy("d", "/t");
  ASSERT_FALSE(copied);
  EXPECT_THAT(copied.error().message, HasSubstr("/t/name"));
  EXPECT_FALSE(copy("e", "/u"));
}

TEST_F(CopyFilesTest, OwnersAndModesAreTheOptionsOrElseRoots) {
  from.file("f", "1", 0600);
  ASSERT_EQ(chown((from.path() + "/f").c_str(), 5, 6), 0);
  ASSERT_TRUE(copy("f", "/plain"));
  EXPECT_EQ(to.status("plain").st_uid, 0u);
  CopyTarget target{};
  target.owner = archive::Owner{7, 8};
  target.mode = ModeChange::parse("04755").value();
  ASSERT_TRUE(copy("f", "/new/owned", target));
  EXPECT_EQ(to.status("new/owned").st_uid, 7u);
  EXPECT_EQ(to.status("new/owned").st_gid, 8u);
  EXPECT_EQ(to.status("new/owned").st_mode & 07777, 04755u);
  EXPECT_EQ(to.status("new").st_uid, 7u) << "directories that are made for it belong to the same";
  Tree stage = from.tree();
  stage.keeps_owners = true;
  ASSERT_TRUE(copy("f", "/kept", {}, std::move(stage)));
  EXPECT_EQ(to.status("kept").st_uid, 5u);
}

TEST_F(CopyFilesTest, TimesAndHardLinksAreKept) {
  from.file("d/a", "1");
  ASSERT_EQ(::link((from.path() + "/d/a").c_str(), (from.path() + "/d/b").c_str()), 0);
  const struct timespec old[2] = {{1000, 5}, {1000, 5}};
  utimensat(AT_FDCWD, (from.path() + "/d/a").c_str(), old, 0);
  ASSERT_TRUE(copy("d", "/t"));
  EXPECT_EQ(to.status("t/a").st_mtim.tv_sec, 1000);
  EXPECT_EQ(to.status("t/a").st_ino, to.status("t/b").st_ino);
}

// The attack: an image whose links would make COPY write to the host.
TEST_F(CopyFilesTest, LinksOfTheDestinationStayInside) {
  TestTree outside;
  from.file("f", "1");
  from.file("d/e/f", "1");
  to.link("out", outside.path());
  to.link("d", outside.path());
  ASSERT_TRUE(copy("f", "/out/f"));
  EXPECT_FALSE(outside.has("f"));
  EXPECT_TRUE(to.has(outside.path().substr(1) + "/f")) << "followed inside";
  to.link("merged/e", outside.path());
  EXPECT_FALSE(copy("d", "/merged")) << "a link is no directory";
  EXPECT_FALSE(outside.has("f"));
}

TEST_F(CopyFilesTest, AFileReplacesALinkAndNotWhatItPointsTo) {
  from.file("d/f", "new");
  to.file("target", "old");
  to.link("t/f", "/target");
  ASSERT_TRUE(copy("d", "/t"));
  EXPECT_EQ(to.text("target"), "old");
  EXPECT_EQ(to.text("t/f"), "new");
}

TEST_F(CopyFilesTest, DevicesComeOutOfStagesAndNotOutOfContexts) {
  ASSERT_EQ(mknod((from.path() + "/null").c_str(), S_IFCHR | 0666, 0x103), 0);
  EXPECT_FALSE(copy("null", "/dev/"));
  Tree stage = from.tree();
  stage.keeps_owners = true;
  ASSERT_TRUE(copy("null", "/dev/", {}, std::move(stage)));
  EXPECT_EQ(to.status("dev/null").st_rdev, 0x103u);
}

TEST_F(CopyFilesTest, ArchivesAreUnpackedAndOtherFilesAreNot) {
  from.file("in/q", "q");
  archive::StringSink packed;
  std::unique_ptr<archive::Sink> compressed = archive::compress(packed, archive::Compression::gzip).value();
  Fd tree = from.open();
  ASSERT_TRUE(archive::pack(tree.get(), "in", *compressed, {.prefix = "in"}));
  ASSERT_TRUE(compressed->finish());
  from.file("a.tar.gz", packed.take());
  from.file("text", "no archive");
  Fd root = to.open();
  CopyTarget target{.root = root.get(), .destination = "/t/", .owner = {}, .mode = {}};
  Fd file = open_file(from.path() + "/a.tar.gz", O_RDONLY).value();
  EXPECT_TRUE(unpack_archive(file.get(), target, {}).value());
  EXPECT_EQ(to.text("t/in/q"), "q");
  const CopyTarget again{.root = root.get(), .destination = "/u/", .owner = {}, .mode = {}};
  ASSERT_GT(lseek(file.get(), 0, SEEK_END), 0);  // where a download stands
  EXPECT_TRUE(unpack_archive(file.get(), again, {}).value());
  EXPECT_EQ(to.text("u/in/q"), "q");
  Fd text = open_file(from.path() + "/text", O_RDONLY).value();
  EXPECT_FALSE(unpack_archive(text.get(), target, {}).value());
  Fd empty = open_file(from.path() + "/text", O_RDWR | O_TRUNC).value();
  EXPECT_FALSE(unpack_archive(empty.get(), target, {}).value());
}

TEST_F(CopyFilesTest, AStopEndsIt) {
  from.file("d/x", "1");
  std::stop_source stop;
  stop.request_stop();
  Fd root = to.open();
  const CopyTarget target{.root = root.get(), .destination = "/t", .owner = {}, .mode = {}};
  const Result<void> copied = copy_source(from.tree(), {"d", true}, {}, target, stop.get_token());
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().kind, ErrorKind::cancelled);
}

}  // namespace
}  // namespace berth::build
