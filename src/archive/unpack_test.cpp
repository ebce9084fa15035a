// SPDX-License-Identifier: Apache-2.0
#include "archive/unpack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "archive/pack.h"
#include "archive/test_support.h"

namespace berth::archive {
namespace {

using test::TarBuilder;
using testing::HasSubstr;

// <temporary>/root is unpacked into; <temporary>/outside must stay as it is.
class Unpack : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(make_directories(path(), 0755));
    ASSERT_TRUE(make_directories(outside(), 0755));
    test::write(outside() + "/victim", "untouched", 0600);
    root_ = open_file(path(), O_RDONLY | O_DIRECTORY).value();
    before_ = test::describe(outside());
  }
  void TearDown() override {
    EXPECT_EQ(test::describe(outside()), before_) << "something outside the root was changed";
    EXPECT_EQ(list_directory(temporary_.path()).value(), (std::vector<std::string>{"outside", "root"}));
  }

  std::string path(std::string_view below = "") const {
    return temporary_.path() + "/root" + std::string(below);
  }
  std::string outside() const { return temporary_.path() + "/outside"; }
  Result<UnpackReport> unpack_text(std::string_view tar, const UnpackOptions& options = {}) {
    StringSource source(tar);
    return unpack(source, root_.get(), options);
  }
  UnpackOptions layer() {
    UnpackOptions options;
    options.whiteouts = Whiteouts::overlay;
    return options;
  }
  struct stat status(std::string_view below) {
    struct stat status = {};
    EXPECT_EQ(lstat(path(below).c_str(), &status), 0) << below;
    return status;
  }
  std::string text(std::string_view below) { return read_file(path(below)).value_or("(missing)"); }

  TemporaryDirectory temporary_ = TemporaryDirectory::create("unpack").value();
  Fd root_;
  std::map<std::string, std::string> before_;
};

TEST_F(Unpack, EveryTypeOwnerModeAndTime) {
  TarEntry file;
  file.name = "dir/suid";
  file.mode = 04755;
  file.uid = 12;
  file.gid = 34;
  file.mtime = Timestamp{1'234'567'890'000'000'000};
  file.xattrs = {{"user.note", "kept"},
                 {"security.capability", std::string("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20)}};
  TarEntry directory;
  directory.type = TarType::directory;
  directory.name = "dir/";
  directory.mode = 02775;
  directory.mtime = Timestamp{1'000'000'000'000'000'000};
  TarEntry link;
  link.type = TarType::symbolic_link;
  link.name = "dir/link";
  link.link_target = "suid";
  link.uid = 5;
  link.mtime = Timestamp{1'100'000'000'000'000'000};
  TarEntry fifo;
  fifo.type = TarType::fifo;
  fifo.name = "fifo";
  fifo.mode = 0620;
  std::string tar = TarBuilder()
                        .add(directory)
                        .add(file, "contents")
                        .add(link)
                        .hard_link("dir/hard", "dir/suid")
                        .hard_link("symhard", "dir/link")
                        .device("null", 1, 3)
                        .add(fifo)
                        .take();
  Result<UnpackReport> report = unpack_text(tar);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->entries, 7u);
  EXPECT_EQ(report->bytes, 8u);
  EXPECT_EQ(text("/dir/hard"), "contents");
  EXPECT_EQ(status("/dir/suid").st_mode & 07777, 04755u);
  EXPECT_EQ(status("/dir/suid").st_uid, 12u);
  EXPECT_EQ(status("/dir/suid").st_gid, 34u);
  EXPECT_EQ(status("/dir/suid").st_mtim.tv_sec, 1'234'567'890);
  EXPECT_EQ(status("/dir/suid").st_nlink, 2u);
  char value[32];
  EXPECT_EQ(getxattr(path("/dir/suid").c_str(), "user.note", value, sizeof value), 4);
  EXPECT_EQ(getxattr(path("/dir/suid").c_str(), "security.capability", value, sizeof value), 20);
  EXPECT_EQ(status("/dir").st_mode & 07777, 02775u);
  EXPECT_EQ(status("/dir").st_mtim.tv_sec, 1'000'000'000) << "set after everything inside";
  EXPECT_EQ(status("/dir/link").st_uid, 5u);
  EXPECT_EQ(status("/dir/link").st_mtim.tv_sec, 1'100'000'000);
  EXPECT_TRUE(S_ISLNK(status("/symhard").st_mode));
  EXPECT_EQ(status("/null").st_rdev, makedev(1, 3));
  EXPECT_EQ(status("/null").st_mode & 07777, 0666u);
  EXPECT_TRUE(S_ISFIFO(status("/fifo").st_mode));
  EXPECT_EQ(status("/fifo").st_mode & 07777, 0620u);
}

// --- attacks ---

TEST_F(Unpack, NamesWithDotsAndSlashesStayInside) {
  ASSERT_TRUE(unpack_text(TarBuilder()
                              .file("../outside/victim", "evil")
                              .file("../../../../../../../../.." + outside() + "/victim", "evil")
                              .file("/absolute", "inside")
                              .file("a/../../b", "inside")
                              .take()));
  EXPECT_EQ(text("/outside/victim"), "evil");
  EXPECT_EQ(text("/absolute"), "inside");
  EXPECT_EQ(text("/b"), "inside");
}

TEST_F(Unpack, LinksOnTheWayStayInside) {
  ASSERT_TRUE(unpack_text(TarBuilder()
                              .link("absolute", outside())
                              .file("absolute/victim", "evil")
                              .link("relative", "../outside")
                              .file("relative/victim", "evil")
                              .link("a", ".")
                              .link("a/up", "../outside")
                              .file("a/up/victim", "evil")
                              .directory("up/victim.d")
                              .take()));
}

TEST_F(Unpack, TheLastComponentIsReplacedNotFollowed) {
  const std::string victim = outside() + "/victim";
  ASSERT_TRUE(unpack_text(TarBuilder().link("f", victim).file("f", "evil", 0777).take()));
  EXPECT_EQ(text("/f"), "evil");
  EXPECT_TRUE(S_ISREG(status("/f").st_mode));
  ASSERT_TRUE(unpack_text(TarBuilder().link("d", outside()).directory("d", 0777).file("d/x", "evil").take()));
  EXPECT_EQ(text("/d/x"), "evil");
  ASSERT_TRUE(unpack_text(TarBuilder().link("n", victim).device("n", 1, 3).take()));
  ASSERT_TRUE(unpack_text(TarBuilder().link("l", victim).link("l", "elsewhere").take()));
}

TEST_F(Unpack, HardLinksDoNotReachOutside) {
  EXPECT_FALSE(unpack_text(TarBuilder().hard_link("stolen", "../outside/victim").take()));
  EXPECT_FALSE(unpack_text(TarBuilder().hard_link("stolen", outside() + "/victim").take()));
  EXPECT_FALSE(unpack_text(TarBuilder().link("way", outside()).hard_link("stolen", "way/victim").take()));
  // A link as the target is linked itself; writing to it later replaces it.
  ASSERT_TRUE(unpack_text(
      TarBuilder().link("out", outside() + "/victim").hard_link("same", "out").file("same", "evil").take()));
  EXPECT_FALSE(unpack_text(TarBuilder().directory("d").hard_link("loop", "d").take()));
  EXPECT_FALSE(unpack_text(TarBuilder().hard_link("root", "/").take()));
}

TEST_F(Unpack, AHardLinkToItselfKeepsTheFile) {
  ASSERT_TRUE(unpack_text(TarBuilder().file("f", "kept").hard_link("./f", "f").hard_link("g", "f").take()));
  ASSERT_TRUE(unpack_text(TarBuilder().hard_link("g", "f").take()));
  EXPECT_EQ(text("/f"), "kept");
  EXPECT_EQ(text("/g"), "kept");
}

TEST_F(Unpack, WhiteoutsThroughLinksDoNotReachOutside) {
  for (Whiteouts whiteouts : {Whiteouts::overlay, Whiteouts::apply}) {
    UnpackOptions options;
    options.whiteouts = whiteouts;
    Result<UnpackReport> done = unpack_text(TarBuilder()
                                                .link("way", outside())
                                                .link("up", "../outside")
                                                .file("way/.wh.victim", "")
                                                .file("up/.wh.victim", "")
                                                .file("way/.wh..wh..opq", "")
                                                .file("../outside/.wh.victim", "")
                                                .take(),
                                            options);
    EXPECT_TRUE(done) << done.error().message;
    for (const char* name : {".wh.", ".wh..", ".wh...", "a/.wh..", "a/.wh..."}) {
      Result<UnpackReport> refused = unpack_text(TarBuilder().directory("a").file(name, "").take(), options);
      ASSERT_FALSE(refused) << name;
      EXPECT_EQ(refused.error().kind, ErrorKind::corrupt);
    }
  }
}

TEST_F(Unpack, XattrsOfTheHostAreNotTaken) {
  TarEntry entry;
  entry.type = TarType::directory;
  entry.name = "d";
  entry.mode = 0755;
  for (const char* name : {"trusted.overlay.opaque", "trusted.overlay.redirect", "user.overlay.opaque",
                           "security.selinux", "trusted.x", "system.posix_acl_access"})
    entry.xattrs.emplace_back(name, "y");
  entry.xattrs.emplace_back("user.fine", "y");
  ASSERT_TRUE(unpack_text(TarBuilder().add(entry).take(), layer()));
  char names[1024];
  const ssize_t size = listxattr(path("/d").c_str(), names, sizeof names);
  EXPECT_EQ(std::string(names, static_cast<std::size_t>(size)), std::string("user.fine\0", 10));
}

TEST_F(Unpack, TooMuchIsRefused) {
  UnpackOptions options;
  options.max_bytes = 1000;
  EXPECT_EQ(unpack_text(TarBuilder().file("a", std::string(600, 'a')).file("b", std::string(600, 'b')).take(),
                        options)
                .error()
                .kind,
            ErrorKind::exhausted);
  options = {};
  options.max_entries = 2;
  EXPECT_EQ(unpack_text(TarBuilder().file("a", "").file("b", "").file("c", "").take(), options).error().kind,
            ErrorKind::exhausted);
  EXPECT_FALSE(unpack_text(TarBuilder().file(std::string(5000, 'x'), "").take()));
  EXPECT_FALSE(unpack_text(TarBuilder().file(std::string(300, 'x'), "").take()));
  std::string deep;
  for (int i = 0; i < 30'000; ++i) deep += "d/";
  EXPECT_FALSE(unpack_text(TarBuilder().file(deep + "f", "").take())) << "no recursion that deep";
}

TEST_F(Unpack, DevicesOnlyWhereAllowed) {
  UnpackOptions options;
  options.devices = false;
  EXPECT_EQ(unpack_text(TarBuilder().device("disk", 8, 0).take(), options).error().kind, ErrorKind::denied);
  EXPECT_TRUE(list_directory(path()).value().empty());
}

// --- replacing ---

TEST_F(Unpack, OneTypeReplacesAnother) {
  ASSERT_TRUE(
      unpack_text(TarBuilder().directory("x").file("x/deep/f", "1").file("y", "2").link("z", "y").take()));
  ASSERT_TRUE(
      unpack_text(TarBuilder().file("x", "file").directory("y").file("y/f", "3").directory("z").take()));
  EXPECT_EQ(text("/x"), "file");
  EXPECT_EQ(text("/y/f"), "3");
  EXPECT_TRUE(S_ISDIR(status("/z").st_mode));
  ASSERT_TRUE(unpack_text(TarBuilder().directory("y", 0700).file("y/g", "4").take()));
  EXPECT_EQ(text("/y/f"), "3") << "a directory that is there is kept";
  EXPECT_EQ(status("/y").st_mode & 07777, 0700u);
}

TEST_F(Unpack, AFileWithSeveralNamesIsReplacedUnderOneOnly) {
  ASSERT_TRUE(unpack_text(TarBuilder().file("a", "old").hard_link("b", "a").file("a", "new").take()));
  EXPECT_EQ(text("/a"), "new");
  EXPECT_EQ(text("/b"), "old");
}

TEST_F(Unpack, AReplacedDirectoryIsForgotten) {
  ASSERT_TRUE(unpack_text(TarBuilder()
                              .directory("d")
                              .file("d/one", "1")
                              .directory("e")
                              .file("d/two", "2")
                              .link("d", "e")
                              .file("d/three", "3")
                              .take()));
  EXPECT_EQ(text("/e/three"), "3");
  EXPECT_EQ(list_directory(path("/e")).value(), std::vector<std::string>{"three"});
}

TEST_F(Unpack, KeepsTheKindOnRequest) {
  UnpackOptions options;
  options.keep_directory_kind = true;
  ASSERT_TRUE(unpack_text(TarBuilder().directory("d").file("f", "").take()));
  EXPECT_THAT(unpack_text(TarBuilder().file("d", "").take(), options).error().message,
              HasSubstr("cannot overwrite directory \"d\" with non-directory"));
  EXPECT_THAT(unpack_text(TarBuilder().directory("f").take(), options).error().message,
              HasSubstr("cannot overwrite non-directory \"f\" with directory"));
  EXPECT_TRUE(unpack_text(TarBuilder().file("f", "new").directory("d").take(), options));
}

// The links of these tests lead into the test's own directories: should the defence ever break, nothing of
// the machine is written.
TEST_F(Unpack, BelowABaseLinksStillMeanTheRoot) {
  ASSERT_TRUE(unpack_text(
      TarBuilder().directory("home/me").directory(outside()).link("home/me/conf", outside()).take()));
  UnpackOptions options;
  options.base = "/home/me";
  options.chown_to = Owner{77, 88};
  ASSERT_TRUE(unpack_text(TarBuilder().file("conf/hosts", "1").file("new/f", "2").file("../../x", "3").take(),
                          options));
  EXPECT_EQ(text(outside() + "/hosts"), "1");
  EXPECT_EQ(text("/home/me/new/f"), "2");
  EXPECT_EQ(text("/home/me/x"), "3");
  EXPECT_EQ(status("/home/me/new").st_uid, 77u);
  EXPECT_EQ(status("/home/me/new/f").st_gid, 88u);
}

TEST_F(Unpack, AFilterRenamesAndLeavesOut) {
  UnpackOptions options;
  options.filter = [](TarEntry& entry) -> Result<bool> {
    if (entry.name == "secret") return false;
    entry.name = "renamed-" + entry.name;
    return true;
  };
  ASSERT_TRUE(unpack_text(TarBuilder().file("secret", "x").file("f", "y").take(), options));
  EXPECT_EQ(list_directory(path()).value(), std::vector<std::string>{"renamed-f"});
}

// --- whiteouts ---

bool opaque(const std::string& directory) {
  char value;
  return getxattr(directory.c_str(), "trusted.overlay.opaque", &value, 1) == 1 && value == 'y';
}

TEST_F(Unpack, WhiteoutsBecomeOverlays) {
  ASSERT_TRUE(unpack_text(TarBuilder()
                              .file("d/.wh.gone", "")
                              .directory("o")
                              .file("o/.wh..wh..opq", "")
                              .file("o/f", "")
                              .file(".wh..wh.plnk", "")
                              .take(),
                          layer()));
  EXPECT_TRUE(S_ISCHR(status("/d/gone").st_mode));
  EXPECT_EQ(status("/d/gone").st_rdev, 0u);
  EXPECT_TRUE(opaque(path("/o")));
  EXPECT_FALSE(opaque(path("/d")));
  EXPECT_EQ(list_directory(path()).value(), (std::vector<std::string>{"d", "o"}));
}

TEST_F(Unpack, AWhiteoutBesideItsReplacementLeavesTheReplacement) {
  ASSERT_TRUE(unpack_text(TarBuilder()
                              .file(".wh.a", "")
                              .file("a", "new")
                              .file("b", "new")
                              .file(".wh.b", "")
                              .file(".wh.c", "")
                              .directory("c")
                              .directory("d")
                              .file(".wh.d", "")
                              .file(".wh.e", "")
                              .file("e/f", "new")
                              .take(),
                          layer()));
  EXPECT_EQ(text("/a"), "new");
  EXPECT_EQ(text("/b"), "new");
  for (const char* name : {"/c", "/d", "/e"}) EXPECT_TRUE(opaque(path(name))) << name;
  EXPECT_EQ(text("/e/f"), "new");
}

TEST_F(Unpack, AppliedWhiteoutsRemoveOnlyWhatWasThereBefore) {
  UnpackOptions options;
  options.whiteouts = Whiteouts::apply;
  ASSERT_TRUE(unpack_text(TarBuilder()
                              .file("gone", "1")
                              .file("kept", "1")
                              .file("o/old", "1")
                              .file("o/sub/old", "1")
                              .file("p/old", "1")
                              .take(),
                          options));
  ASSERT_TRUE(unpack_text(TarBuilder()
                              .file("o/sub/new", "2")
                              .file("o/.wh..wh..opq", "")
                              .file("o/late", "2")
                              .file("p/new", "2")
                              .file(".wh.p", "")
                              .file(".wh.gone", "")
                              .file("kept", "2")
                              .file(".wh.kept", "")
                              .take(),
                          options));
  const auto tree = test::describe(path());
  std::vector<std::string> names;
  for (const auto& [name, line] : tree) names.push_back(name);
  EXPECT_EQ(names, (std::vector<std::string>{"kept", "o", "o/late", "o/sub", "o/sub/new", "p", "p/new"}));
  EXPECT_EQ(text("/kept"), "2");
}

// --- there and back ---

TEST_F(Unpack, WhatIsPackedComesBack) {
  const std::string tree = path("/tree");
  ASSERT_TRUE(make_directories(tree + "/a/b", 0755));
  test::write(tree + "/a/f", std::string(300'000, 'f'), 04711);
  test::write(tree + "/a/empty", "", 0);
  test::write(tree + "/" + std::string(200, 'n'), "long", 0640);
  ASSERT_EQ(link((tree + "/a/f").c_str(), (tree + "/z").c_str()), 0);
  ASSERT_EQ(symlink("a/f", (tree + "/sym").c_str()), 0);
  ASSERT_EQ(mkfifo((tree + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(mknod((tree + "/null").c_str(), S_IFCHR | 0644, makedev(1, 3)), 0);
  ASSERT_EQ(chown((tree + "/a/b").c_str(), 4'000'000, 3), 0);
  ASSERT_EQ(setxattr((tree + "/a").c_str(), "user.x", "1", 1, 0), 0);
  ASSERT_EQ(setxattr((tree + "/a/f").c_str(), "trusted.secret", "1", 1, 0), 0);
  StringSink first;
  ASSERT_TRUE(pack(root_.get(), "tree", first));
  StringSink again;
  ASSERT_TRUE(pack(root_.get(), "tree", again));
  EXPECT_EQ(first.text(), again.text());
  const auto original = test::describe(tree);
  ASSERT_TRUE(remove_tree(tree));
  UnpackOptions options;
  ASSERT_TRUE(make_directories(tree, 0755));
  options.base = "tree";
  Result<UnpackReport> report = unpack_text(first.text(), options);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(test::describe(tree), original);
  // And GNU tar agrees with what we wrote.
  ASSERT_TRUE(remove_tree(tree));
  ASSERT_TRUE(make_directories(tree, 0755));
  test::write(path("/t.tar"), first.text());
  test::run({"tar", "-C", tree, "--xattrs", "--numeric-owner", "-xpf", path("/t.tar")});
  EXPECT_EQ(test::describe(tree), original);
}

TEST_F(Unpack, WhatGnuTarWritesIsUnpackedAsGnuTarDoes) {
  const std::string tree = temporary_.path() + "/root/tree";
  ASSERT_TRUE(make_directories(tree + "/usr/bin", 0755));
  for (int i = 0; i < 50; ++i)
    test::write(fmt::format("{}/usr/bin/p{}", tree, i), std::string(static_cast<std::size_t>(i) * 777, 'p'),
                0755);
  ASSERT_EQ(symlink("usr/bin", (tree + "/bin").c_str()), 0);
  Fd sparse = open_file(tree + "/sparse", O_WRONLY | O_CREAT, 0644).value();
  ASSERT_EQ(pwrite(sparse.get(), "x", 1, 5'000'000), 1);
  ASSERT_EQ(ftruncate(sparse.get(), 9'000'000), 0);
  for (const char* format : {"gnu", "posix"}) {
    test::run({"tar", "-S", std::string("--format=") + format, "-C", tree, "-cf", path("/t.tar"), "."});
    const std::string tar = read_file(path("/t.tar")).value();
    ASSERT_TRUE(make_directories(path("/copy"), 0755));
    UnpackOptions options;
    options.base = "copy";
    Result<UnpackReport> report = unpack_text(tar, options);
    ASSERT_TRUE(report) << report.error().message;
    EXPECT_EQ(test::describe(path("/copy")), test::describe(tree));
    EXPECT_LT(status("/copy/sparse").st_blocks * 512, 100'000) << "holes stay holes";
    ASSERT_TRUE(remove_tree(path("/copy")));
  }
}

TEST_F(Unpack, PackingNamesAndLeavesOut) {
  ASSERT_TRUE(unpack_text(TarBuilder().file("d/one", "1").file("d/skip/two", "2").link("l", "d").take()));
  auto names = [&](std::string_view at, PackOptions options) {
    StringSink sink;
    Result<void> packed = pack(root_.get(), at, sink, options);
    EXPECT_TRUE(packed) << packed.error().message;
    StringSource source(sink.text());
    TarReader reader(source);
    std::vector<std::string> found;
    TarEntry entry;
    while (reader.next(entry).value()) found.push_back(entry.name);
    return found;
  };
  PackOptions options;
  EXPECT_EQ(names("d", options), (std::vector<std::string>{"one", "skip/", "skip/two"}));
  options.prefix = ".";
  EXPECT_EQ(names("d", options), (std::vector<std::string>{"./", "./one", "./skip/", "./skip/two"}));
  options.prefix = "/";
  EXPECT_EQ(names("d", options), (std::vector<std::string>{"/", "/one", "/skip/", "/skip/two"}));
  options.prefix = "name";
  EXPECT_EQ(names("l", options), std::vector<std::string>{"name"}) << "the link, not what it leads to";
  options.filter = [](const PackItem& item, TarEntry&) -> Result<bool> { return item.name != "skip"; };
  EXPECT_EQ(names("d", options), (std::vector<std::string>{"name/", "name/one"}));
}

// 600 levels: more than the walk keeps open.
TEST_F(Unpack, DeepTreesArePackedWithFewDescriptors) {
  std::string deep;
  for (int i = 0; i < 600; ++i) deep += "d/";
  ASSERT_TRUE(unpack_text(TarBuilder().file(deep + "f", "bottom").take()));
  StringSink sink;
  Result<void> packed = pack(root_.get(), "/", sink);
  ASSERT_TRUE(packed) << packed.error().message;
  ASSERT_TRUE(make_directories(path("/copy"), 0755));
  UnpackOptions options;
  options.base = "copy";
  ASSERT_TRUE(unpack_text(sink.text(), options));
  EXPECT_EQ(text("/copy/" + deep + "f"), "bottom");
}

TEST_F(Unpack, AFullDiskIsACleanError) {
  ASSERT_EQ(mount("tmpfs", path().c_str(), "tmpfs", 0, "size=1m"), 0);
  {
    Fd full = open_file(path(), O_RDONLY | O_DIRECTORY).value();
    const std::string tar = TarBuilder().file("big", std::string(3'000'000, 'x')).take();
    StringSource source(tar);
    Result<UnpackReport> report = unpack(source, full.get(), {});
    EXPECT_EQ(report ? ErrorKind::not_modified : report.error().kind, ErrorKind::exhausted);
  }
  EXPECT_EQ(umount(path().c_str()), 0);
}

}  // namespace
}  // namespace berth::archive
