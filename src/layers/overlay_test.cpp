// SPDX-License-Identifier: Apache-2.0
#include "layers/overlay.h"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "archive/tar.h"
#include "archive/test_support.h"
#include "layers/changes.h"
#include "layers/copy.h"
#include "sys/rooted_path.h"

namespace berth::layers {
namespace {

using archive::StringSink;
using archive::StringSource;
using archive::test::TarBuilder;

// Two layers and a container on top, on a file system that overlay can have its upper on.
class Overlay : public testing::Test {
 protected:
  void SetUp() override {
    base_ = add(TarBuilder()
                    .directory("./", 0711)
                    .directory("etc")
                    .file("etc/passwd", "root")
                    .file("etc/hosts", "hosts")
                    .directory("dir")
                    .file("dir/a", "a")
                    .file("dir/b", "b")
                    .directory("dir/sub")
                    .file("dir/sub/c", "c")
                    .directory("opaque")
                    .file("opaque/below", "below")
                    .file("gone", "gone")
                    .link("link", "etc/passwd")
                    .take());
    top_ = add(TarBuilder()
                   .directory("./", 0751)
                   .file(".wh.gone", "")
                   .directory("opaque")
                   .file("opaque/.wh..wh..opq", "")
                   .file("opaque/above", "above")
                   .directory("dir")
                   .file("dir/b", "b2")
                   .take());
    Fd like = store_.open_tree(top_).value();
    ASSERT_TRUE(make_directories(temporary_.path() + "/c", 0700));
    upper_ = prepare_upper(temporary_.path() + "/c", like.get()).value();
    spec_.lower = {top_, base_};
    spec_.upper = upper_;
  }

  Digest add(const std::string& tar) {
    StringSource source(tar);
    AddOptions options;
    options.sync = false;
    return store_.add(source, options).value().diff_id;
  }
  Fd mount() {
    Result<Fd> mounted = mount_detached(store_, spec_);
    EXPECT_TRUE(mounted) << mounted.error().message;
    return mounted ? std::move(*mounted) : Fd();
  }
  Fd upper() { return open_file(upper_.upper, O_RDONLY | O_DIRECTORY).value(); }
  static std::string text(int root, const std::string& path) {
    return sys::read_file_in_root(root, path).value_or("(missing)");
  }
  static void write(int root, const std::string& path, std::string_view contents) {
    Fd file = open_at(root, path, O_WRONLY | O_CREAT | O_TRUNC, 0644).value();
    ASSERT_TRUE(write_all(file.get(), contents));
  }
  std::vector<std::string> diff() {
    Fd directory = upper();
    Result<std::vector<Change>> list = changes(store_, directory.get(), spec_);
    EXPECT_TRUE(list) << list.error().message;
    std::vector<std::string> lines;
    for (const Change& change : *list)
      lines.push_back(std::string(1, "CAD"[static_cast<int>(change.kind)]) + " " + change.path);
    return lines;
  }

  TemporaryDirectory temporary_ = TemporaryDirectory::create("overlay").value();
  LayerStore store_ = LayerStore::open(temporary_.path() + "/layers").value();
  Digest base_ = sha256_of("");
  Digest top_ = sha256_of("");
  Upper upper_;
  OverlaySpec spec_;
};

TEST_F(Overlay, ShowsTheLayersMerged) {
  Fd root = mount();
  EXPECT_EQ(text(root.get(), "etc/passwd"), "root");
  EXPECT_EQ(text(root.get(), "dir/b"), "b2");
  EXPECT_EQ(text(root.get(), "gone"), "(missing)");
  EXPECT_EQ(text(root.get(), "opaque/above"), "above");
  EXPECT_EQ(text(root.get(), "opaque/below"), "(missing)");
  struct stat status;
  ASSERT_EQ(fstat(root.get(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0751u) << "the root looks as the image's";
  write(root.get(), "etc/passwd", "changed");
  EXPECT_EQ(read_file(upper_.upper + "/etc/passwd").value(), "changed");
  EXPECT_EQ(read_file(store_.tree_path(base_) + "/etc/passwd").value(), "root");
  EXPECT_TRUE(store_.verify(base_));
}

TEST_F(Overlay, EveryWayToMountShowsTheSame) {
  std::vector<std::string> lower = {store_.tree_path(top_), store_.tree_path(base_)};
  for (bool with_upper : {true, false})
    for (MountCalls calls : {MountCalls::newest, MountCalls::lowerdir_string, MountCalls::old}) {
      OverlaySpec spec = spec_;
      if (!with_upper) spec.upper.reset();
      Result<Fd> root = mount_directories_with(lower, spec, calls);
      ASSERT_TRUE(root) << root.error().message;
      EXPECT_EQ(text(root->get(), "dir/b"), "b2");
      EXPECT_EQ(text(root->get(), "gone"), "(missing)");
      struct statvfs system;
      ASSERT_EQ(fstatvfs(root->get(), &system), 0);
      EXPECT_EQ((system.f_flag & ST_RDONLY) == 0, with_upper);
    }
  EXPECT_EQ(read_file("/proc/self/mountinfo").value().find("berth-overlay"), std::string::npos);
}

TEST_F(Overlay, ManyLayersFit) {
  std::vector<Digest> all;
  for (int i = 0; i < 125; ++i) all.push_back(add(TarBuilder().file("f", std::to_string(i)).take()));
  std::reverse(all.begin(), all.end());
  spec_.lower = all;
  EXPECT_EQ(text(mount().get(), "f"), "124");
  std::vector<std::string> lower;
  for (const Digest& digest : all) lower.push_back(store_.tree_path(digest));
  Result<Fd> old = mount_directories_with(lower, spec_, MountCalls::old);
  ASSERT_TRUE(old) << old.error().message;
  EXPECT_EQ(text(old->get(), "f"), "124");
}

TEST_F(Overlay, ReadOnlyAndWithoutAnUpper) {
  spec_.read_only = true;
  EXPECT_EQ(open_at(mount().get(), "new", O_WRONLY | O_CREAT, 0600).error().code, EROFS);
  spec_.upper.reset();
  EXPECT_EQ(open_at(mount().get(), "new", O_WRONLY | O_CREAT, 0600).error().code, EROFS);
  spec_.lower = {top_};  // alone, its whiteouts are still hidden
  Fd alone = mount();
  EXPECT_EQ(text(alone.get(), "dir/b"), "b2");
  EXPECT_FALSE(sys::exists_in_root(alone.get(), "gone", sys::FinalLink::keep));
}

TEST_F(Overlay, IsAttachedOnRequest) {
  const std::string place = temporary_.path() + "/mnt";
  ASSERT_TRUE(make_directories(place, 0755));
  Fd root = mount();
  ASSERT_TRUE(attach(root.get(), place));
  EXPECT_EQ(read_file(place + "/dir/b").value(), "b2");
  root.reset();
  EXPECT_EQ(umount2(place.c_str(), MNT_DETACH), 0);
}

// xattrs by which overlay would show another file: a container with enough rights can set them on its upper.
TEST_F(Overlay, RedirectsAreNotFollowed) {
  ASSERT_TRUE(make_directories(upper_.upper + "/fake", 0755));
  ASSERT_EQ(setxattr((upper_.upper + "/fake").c_str(), "trusted.overlay.redirect", "/etc", 4, 0), 0);
  Result<Fd> root = mount_detached(store_, spec_);
  if (root) {
    EXPECT_EQ(text(root->get(), "fake/passwd"), "(missing)");
  }
}

TEST_F(Overlay, ChangesAreThoseDockerShows) {
  Fd root = mount();
  const int at = root.get();
  EXPECT_TRUE(diff().empty());
  write(at, "etc/passwd", "changed");
  write(at, "etc/new", "new");
  ASSERT_EQ(mkdirat(at, "made", 0755), 0);
  write(at, "made/f", "f");
  ASSERT_EQ(unlinkat(at, "dir/a", 0), 0);
  ASSERT_EQ(unlinkat(at, "dir/sub/c", 0), 0);
  ASSERT_EQ(unlinkat(at, "dir/sub", AT_REMOVEDIR), 0);
  ASSERT_EQ(fchmodat(at, "opaque", 0700, 0), 0);
  Fd untouched = open_at(at, "etc/hosts", O_RDWR).value();  // copied up, but not changed
  EXPECT_EQ(diff(), (std::vector<std::string>{"C /dir", "D /dir/a", "D /dir/sub", "C /etc", "A /etc/new",
                                              "C /etc/passwd", "A /made", "A /made/f", "C /opaque"}));
  EXPECT_EQ(tree_size(upper().get()).value(), 7u + 3 + 1 + 5);
}

TEST_F(Overlay, ADirectoryMadeAnewHidesTheOldOnesContents) {
  Fd root = mount();
  const int at = root.get();
  for (const char* name : {"dir/a", "dir/b", "dir/sub/c"}) ASSERT_EQ(unlinkat(at, name, 0), 0);
  for (const char* name : {"dir/sub", "dir"}) ASSERT_EQ(unlinkat(at, name, AT_REMOVEDIR), 0);
  ASSERT_EQ(mkdirat(at, "dir", 0755), 0);
  write(at, "dir/b", "b3");
  write(at, "dir/d", "d");
  EXPECT_EQ(diff(), (std::vector<std::string>{"C /dir", "D /dir/a", "C /dir/b", "A /dir/d", "D /dir/sub"}));
  ASSERT_EQ(unlinkat(at, "etc/passwd", 0), 0);
  ASSERT_EQ(unlinkat(at, "etc/hosts", 0), 0);
  ASSERT_EQ(unlinkat(at, "etc", AT_REMOVEDIR), 0);
  write(at, "etc", "a file");
  EXPECT_EQ(diff(), (std::vector<std::string>{"C /dir", "D /dir/a", "C /dir/b", "A /dir/d", "D /dir/sub",
                                              "C /etc", "D /etc/hosts", "D /etc/passwd"}));
}

// What a container sees is what one sees that starts from its committed layer.
TEST_F(Overlay, ACommittedLayerKeepsDeletions) {
  Fd root = mount();
  const int at = root.get();
  ASSERT_EQ(unlinkat(at, "etc/hosts", 0), 0);
  for (const char* name : {"dir/a", "dir/b", "dir/sub/c"}) ASSERT_EQ(unlinkat(at, name, 0), 0);
  for (const char* name : {"dir/sub", "dir"}) ASSERT_EQ(unlinkat(at, name, AT_REMOVEDIR), 0);
  ASSERT_EQ(mkdirat(at, "dir", 0750), 0);
  write(at, "dir/new", "new");
  ASSERT_EQ(linkat(at, "dir/new", at, "hard", 0), 0);
  ASSERT_EQ(symlinkat("dir/new", at, "sym"), 0);
  ASSERT_EQ(mknodat(at, "null", S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(fchownat(at, "etc/passwd", 5, 6, 0), 0);
  write(at, ".wh.etc", "a name that would delete /etc");
  Fd directory = upper();
  AddOptions options;
  options.sync = false;
  Result<Layer> layer = store_.add_from_upper(directory.get(), options);
  ASSERT_TRUE(layer) << layer.error().message;
  EXPECT_EQ(store_.add_from_upper(directory.get(), options).value().diff_id, layer->diff_id);
  EXPECT_TRUE(store_.verify(layer->diff_id));
  ASSERT_EQ(unlinkat(at, ".wh.etc", 0), 0);
  OverlaySpec committed;
  committed.lower = {layer->diff_id, top_, base_};
  Fd other = mount_detached(store_, committed).value();
  auto describe = [](const Fd& mounted) {
    return archive::test::describe(fmt::format("/proc/self/fd/{}", mounted.get()));
  };
  EXPECT_EQ(describe(other), describe(root));
}

TEST_F(Overlay, ALayerHasNoTimeThatIsTooLateAndDescribesItsRootWhereThatIsAskedFor) {
  Fd root = mount();
  write(root.get(), "new", "1");
  ASSERT_EQ(fchmodat(root.get(), ".", 0711, 0), 0);
  const struct timespec old[2] = {{1000, 0}, {1000, 0}};
  write(root.get(), "old", "1");
  ASSERT_EQ(utimensat(root.get(), "old", old, 0), 0);
  Fd directory = upper();
  archive::StringSink packed;
  ASSERT_TRUE(pack_layer(directory.get(), packed,
                         {.latest = Timestamp{2'000'000'000'000}, .describe_root = true, .stop = {}}));
  archive::StringSource source(packed.text());
  archive::TarReader reader(source);
  archive::TarEntry entry;
  std::map<std::string, std::pair<std::uint32_t, std::int64_t>> found;
  while (reader.next(entry).value())
    found[entry.name] = {entry.mode, entry.mtime.nanoseconds / 1'000'000'000};
  EXPECT_EQ(found.at("./"), std::pair(0711u, std::int64_t{2000}));
  EXPECT_EQ(found.at("new").second, 2000);
  EXPECT_EQ(found.at("old").second, 1000);
}

TEST_F(Overlay, StatOfPathsIsAsDockerAnswers) {
  Fd root = mount();
  ASSERT_EQ(symlinkat("../../../etc", root.get(), "up"), 0);
  ASSERT_EQ(symlinkat("nowhere", root.get(), "broken"), 0);
  ASSERT_EQ(mkfifoat(root.get(), "fifo", 0644), 0);
  auto stat = [&](std::string_view path) { return stat_path(root.get(), path).value(); };
  EXPECT_EQ(stat("/").name, "/");
  EXPECT_EQ(stat("/.").name, ".");
  EXPECT_EQ(stat("dir/").name, "dir");
  EXPECT_EQ(stat("dir/../etc").name, "etc");
  EXPECT_EQ(stat("/etc").mode, 2147484141u);
  EXPECT_EQ(stat("/link").mode, 134218239u);
  EXPECT_EQ(stat("/link").link_target, "/etc/passwd");
  EXPECT_EQ(stat("/up").link_target, "/etc");
  EXPECT_EQ(stat("/up/").mode, 2147484141u) << "with a slash the link is followed";
  EXPECT_EQ(stat("/broken").link_target, "/nowhere");
  EXPECT_EQ(stat("/fifo").mode, 33554852u);
  EXPECT_EQ(stat_path(root.get(), "/nothing").error().kind, ErrorKind::not_found);
  EXPECT_EQ(stat_path(root.get(), "/broken/").error().kind, ErrorKind::not_found);
  EXPECT_FALSE(stat_path(root.get(), "/link/"));
}

TEST_F(Overlay, CopyOutNamesEntriesAsDockerDoes) {
  Fd root = mount();
  ASSERT_EQ(symlinkat("/dir", root.get(), "ldir"), 0);
  auto names = [&](std::string_view path) {
    StringSink sink;
    Result<void> done = archive_path(root.get(), path, sink);
    EXPECT_TRUE(done) << done.error().message;
    StringSource source(sink.text());
    archive::TarReader reader(source);
    std::vector<std::string> found;
    archive::TarEntry entry;
    while (reader.next(entry).value()) found.push_back(entry.name);
    return found;
  };
  EXPECT_EQ(names("/dir"), (std::vector<std::string>{"dir/", "dir/a", "dir/b", "dir/sub/", "dir/sub/c"}));
  EXPECT_EQ(names("/dir/."), (std::vector<std::string>{"./", "./a", "./b", "./sub/", "./sub/c"}));
  EXPECT_EQ(names("/ldir"), std::vector<std::string>{"ldir"});
  EXPECT_EQ(names("/ldir/").at(1), "ldir/a");
  EXPECT_EQ(names("dir/sub/c"), std::vector<std::string>{"c"});
  EXPECT_EQ(names("/").at(0), "/");
  EXPECT_EQ(names("/").at(1), "/dir/");
}

TEST_F(Overlay, CopyInStaysInTheContainer) {
  Fd root = mount();
  const std::string outside = temporary_.path() + "/outside";
  ASSERT_TRUE(make_directories(outside, 0755));
  ASSERT_EQ(symlinkat(outside.c_str(), root.get(), "trap"), 0);
  const std::string inside = temporary_.path() + "/inside";  // there in the container, not on the host
  ASSERT_TRUE(sys::make_directories_in_root(root.get(), inside));
  ASSERT_EQ(symlinkat(inside.c_str(), root.get(), "conf"), 0);
  auto put = [&](std::string_view path, std::string tar, ExtractOptions options = {}) {
    StringSource source(tar);
    return extract_to(root.get(), path, source, options);
  };
  const std::string file = TarBuilder().file("new", "new").take();
  EXPECT_TRUE(put("/conf", file));
  EXPECT_EQ(text(root.get(), inside + "/new"), "new");
  EXPECT_EQ(put("/trap", file).error().kind, ErrorKind::not_found);
  EXPECT_EQ(put("/nothing", file).error().kind, ErrorKind::not_found);
  EXPECT_EQ(put("/etc/passwd", file).error().message, "extraction point is not a directory");
  EXPECT_TRUE(put("/dir", TarBuilder().file("../../x", "x").link("l", outside).file("l/y", "y").take()) ||
              true);
  EXPECT_TRUE(list_directory(outside).value().empty());
  ExtractOptions kept;
  kept.no_overwrite_dir_non_dir = true;
  EXPECT_EQ(put("/etc", TarBuilder().directory("hosts").take(), kept).error().kind, ErrorKind::invalid);
  ExtractOptions owned;
  owned.chown_to = archive::Owner{42, 43};
  ASSERT_TRUE(put("/dir", file, owned));
  EXPECT_EQ(sys::stat_in_root(root.get(), "dir/new").value().st_uid, 42u);
}

}  // namespace
}  // namespace berth::layers
