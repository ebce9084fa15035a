// SPDX-License-Identifier: Apache-2.0
// Whatever a tar says, layers of both drivers look the same, and what one refuses the other refuses: the
// overlay driver's trees are what archive::unpack makes, the erofs driver's are what the kernel shows of an
// image that was made without unpacking anything.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <random>

#include "archive/test_support.h"
#include "layers/erofs_mount.h"
#include "layers/layer_store.h"

namespace berth::layers {
namespace {

using archive::StringSource;
using archive::TarEntry;
using archive::TarType;
using archive::test::TarBuilder;

// One line a file, with everything that a layer has. `exact`: times too, which implied directories have not
// in common, and counts of links, which a tree raises where it keeps what was replaced.
std::map<std::string, std::string> describe(int tree, bool exact) {
  std::map<std::string, std::string> lines;
  std::map<ino_t, std::string> linked;
  auto line_of = [&](int directory, const std::string& name, std::string_view path,
                     const struct stat& status) {
    std::string line = fmt::format("{:o} {}:{}", status.st_mode, status.st_uid, status.st_gid);
    if (exact) line += fmt::format(" @{}.{:09}", status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode))
      line += fmt::format(" dev {}:{}", major(status.st_rdev), minor(status.st_rdev));
    if (S_ISLNK(status.st_mode)) {
      char target[4097];
      const ssize_t size = readlinkat(directory, name.c_str(), target, sizeof target);
      line +=
          fmt::format(" -> {} {}", size, sha256_of({target, size > 0 ? std::size_t(size) : 0}).short_hex());
    }
    if (S_ISREG(status.st_mode)) {
      Result<std::string> text = read_file_at(directory, name, 1u << 28);
      line += text ? fmt::format(" {} {}", text->size(), sha256_of(*text).short_hex()) : text.error().message;
    }
    const std::string full = fmt::format("/proc/self/fd/{}/{}", directory, name);
    char names[65536];
    const ssize_t size = llistxattr(full.c_str(), names, sizeof names);
    std::map<std::string, std::string> xattrs;
    for (const char* at = names; at < names + size; at += std::strlen(at) + 1) {
      char value[65536];
      const ssize_t length = lgetxattr(full.c_str(), at, value, sizeof value);
      xattrs[at] = length < 0 ? "?" : sha256_of({value, static_cast<std::size_t>(length)}).short_hex();
    }
    for (const auto& [key, value] : xattrs)
      if (!key.starts_with("security.selinux")) line += " " + key + "=" + value;
    if (!S_ISDIR(status.st_mode) && !linked.try_emplace(status.st_ino, path).second)
      line += " = " + linked.try_emplace(status.st_ino, path).first->second;
    if (!S_ISDIR(status.st_mode) && exact) line += fmt::format(" x{}", status.st_nlink);
    lines.emplace(path, std::move(line));
  };
  Fd start = open_at(tree, ".", O_RDONLY | O_DIRECTORY).value();
  struct stat root;
  EXPECT_EQ(fstat(start.get(), &root), 0);
  line_of(start.get(), ".", "", root);
  Result<void> walked =
      archive::walk_tree(start.get(), [&](const archive::WalkItem& item) -> Result<archive::Descend> {
        line_of(item.directory, item.name, item.path, item.status);
        return archive::Descend::yes;
      });
  EXPECT_TRUE(walked) << walked.error().message;
  return lines;
}

class DriverEqualityTest : public testing::Test {
 protected:
  void SetUp() override {
    if (Result<void> works = probe_erofs(temporary_.path()); !works) GTEST_SKIP() << works.error().message;
    trees_.emplace(LayerStore::open(temporary_.path() + "/trees", Driver::overlay).value());
    images_.emplace(LayerStore::open(temporary_.path() + "/images", Driver::erofs).value());
  }

  // The tree that both show, or nothing when both refuse.
  std::map<std::string, std::string> compare(std::string_view tar, const std::string& name) {
    AddOptions options;
    options.sync = false;
    StringSource one(tar), other(tar);
    Result<Layer> tree = trees_->add(one, options);
    Result<Layer> image = images_->add(other, options);
    EXPECT_EQ(tree.has_value(), image.has_value())
        << name << ": " << (tree ? image.error().message : tree.error().message);
    if (!tree && !image) {
      EXPECT_EQ(tree.error().kind, image.error().kind)
          << name << ": " << tree.error().message << " / " << image.error().message;
    }
    std::map<std::string, std::string> seen;
    if (tree && image) {
      EXPECT_EQ(tree->size, image->size);
      EXPECT_EQ(tree->tar_size, image->tar_size);
      seen = describe(trees_->open_tree(tree->diff_id).value().get(), false);
      EXPECT_EQ(describe(images_->open_tree(image->diff_id).value().get(), false), seen) << name;
      const std::vector<std::string> images_implied = implied("images", tree->diff_id);
      for (const std::string& path : implied("trees", tree->diff_id)) {
        // The tree's list names some by way of links, and some that are gone again.
        auto found = seen.find(path);
        if (found == seen.end() || !found->second.starts_with("4")) continue;
        EXPECT_TRUE(std::ranges::count(images_implied, path)) << name << ": " << path;
      }
      Result<void> verified = images_->verify(image->diff_id);
      EXPECT_TRUE(verified) << name << ": " << verified.error().message;
    }
    return seen;
  }

  std::vector<std::string> implied(const char* store, const Digest& diff_id) const {
    const std::string text =
        read_file(fmt::format("{}/{}/{}/implied", temporary_.path(), store, diff_id.hex())).value_or("");
    std::vector<std::string> paths;
    for (std::string_view rest = text; !rest.empty(); rest.remove_prefix(rest.find('\0') + 1))
      paths.emplace_back(rest.substr(0, rest.find('\0')));
    return paths;
  }

  TemporaryDirectory temporary_ = TemporaryDirectory::create("equality").value();
  std::optional<LayerStore> trees_;
  std::optional<LayerStore> images_;
};

// Every ordered pair of entry types over names that attack.
TEST_F(DriverEqualityTest, EveryPairOfEntriesUnderEveryName) {
  struct Kind {
    const char* name;
    TarType type;
    const char* target;
  };
  const Kind kinds[] = {{"file", TarType::regular, ""},
                        {"dir", TarType::directory, ""},
                        {"link-out", TarType::symbolic_link, "../../../../etc"},
                        {"link-abs", TarType::symbolic_link, "/t"},
                        {"link-self", TarType::symbolic_link, "a"},
                        {"link-dangling", TarType::symbolic_link, "b/c/../d"},
                        {"hard", TarType::hard_link, "t/f"},
                        {"hard-out", TarType::hard_link, "../../etc/passwd"},
                        {"hard-up", TarType::hard_link, "/t/../t/g"},
                        {"char", TarType::character_device, ""},
                        {"fifo", TarType::fifo, ""}};
  const char* names[] = {"a",
                         "a/x",
                         "a/x/y",
                         "/a",
                         "../a",
                         "a/../a/x",
                         "./a/./x",
                         ".wh.a",
                         "a/.wh.x",
                         "a/.wh..wh..opq",
                         "b",
                         "b/c",
                         ".wh.",
                         ".wh...",
                         ".wh..wh.aufs",
                         "./",
                         "a/b/.wh..wh..opq"};
  for (const Kind& first : kinds)
    for (const Kind& second : kinds)
      for (const char* name : names) {
        auto entry = [](const Kind& kind, const char* at) {
          TarEntry made;
          made.type = kind.type;
          made.name = at;
          made.link_target = kind.target;
          made.mode = 04751;
          made.uid = 12;
          made.gid = 70'000;
          made.device_major = kind.type == TarType::character_device ? 1 : 0;
          made.device_minor = kind.type == TarType::character_device ? 3 : 0;
          return made;
        };
        auto text = [](const Kind& kind) { return kind.type == TarType::regular ? kind.name : ""; };
        const std::string tar = TarBuilder()
                                    .file("t/f", "target")
                                    .file("t/g", "")
                                    .add(entry(first, "a"), text(first))
                                    .add(entry(second, name), text(second))
                                    .file("a/last", "last")
                                    .take();
        compare(tar, fmt::format("{} a, {} {}", first.name, second.name, name));
        if (HasFailure()) return;
      }
}

TEST_F(DriverEqualityTest, LongNamesDeepTreesAndLinks) {
  const std::string name255(255, 'n');
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  const std::string too_long = [] {
    std::string path;
    while (path.size() < 4100) path += "component/";
    return path + "f";
  }();
  auto chain = [](int links) {
    TarBuilder builder;
    for (int i = 0; i < links; ++i)
      builder.link(fmt::format("l{}", i), i == 0 ? "end" : fmt::format("l{}", i - 1));
    return builder.directory("end").file(fmt::format("l{}/f", links - 1), "x").take();
  };
  const std::pair<const char*, std::string> corpus[] = {
      {"a name of 255", TarBuilder().file(name255, "x").directory("d/" + name255).take()},
      {"a name of 256", TarBuilder().file(name255 + "n", "x").take()},
      {"a directory of 256", TarBuilder().file(name255 + "n/f", "x").take()},
      {"a whiteout of 252", TarBuilder().file(".wh." + std::string(252, 'w'), "").take()},
      {"a whiteout of 256", TarBuilder().file(".wh." + std::string(256, 'w'), "").take()},
      {"deep", TarBuilder().file(deep + "f", "x").link(deep + "l", "../../f").take()},
      {"a path too long", TarBuilder().file(too_long, "x").take()},
      {"a link of 400", TarBuilder().link("l", std::string(400, 't')).take()},
      {"a link of 500", TarBuilder().link("l", std::string(500, 't')).take()},
      {"a link of 4095", TarBuilder().link("l", std::string(4095, 't')).take()},
      {"a link of 4096", TarBuilder().link("l", std::string(4096, 't')).take()},
      {"through 40 links", chain(40)},
      {"through 41 links", chain(41)},
      {"links in a circle", TarBuilder().link("a", "b").link("b", "a").file("a/f", "").take()},
      {"behind a dangling link", TarBuilder().link("a", "x/y/z").file("a/f", "").link("a/g", "h").take()},
      {"a dangling link up and out", TarBuilder().link("a", "../../../x").file("a/f", "").take()},
      {"a link to a file", TarBuilder().file("f", "").link("a", "f").file("a/g", "").take()},
      {"a link to itself through a directory",
       TarBuilder().directory("d").link("d/up", "..").file("d/up/d/up/d/f", "x").take()},
  };
  for (const auto& [name, tar] : corpus) compare(tar, name);
}

TEST_F(DriverEqualityTest, LinksThatChangeUnderneath) {
  const std::pair<const char*, std::string> corpus[] = {
      {"a link and its target swapped", TarBuilder()
                                            .directory("b")
                                            .directory("c")
                                            .link("a", "b")
                                            .file("a/f", "in b")
                                            .link("a", "c")
                                            .file("a/f", "in c")
                                            .take()},
      {"a directory becomes a file and again a directory",
       TarBuilder().file("d/f", "1").file("d", "now a file").directory("d").file("d/g", "2").take()},
      {"a hard link to what is replaced",
       TarBuilder().file("f", "first").hard_link("h", "f").file("f", "second").hard_link("i", "h").take()},
      {"a hard link onto itself", TarBuilder().file("f", "1").hard_link("f", "f").take()},
      {"a hard link to a link", TarBuilder().link("l", "nowhere").hard_link("h", "l").take()},
      {"a hard link to a directory", TarBuilder().directory("d").hard_link("h", "d").take()},
      {"a hard link through a link",
       TarBuilder().file("d/f", "x").link("l", "d").hard_link("h", "l/f").take()},
      {"a hard link to what is to come", TarBuilder().hard_link("h", "f").file("f", "x").take()},
      {"a whiteout, then a directory", TarBuilder().file(".wh.d", "").directory("d").file("d/f", "").take()},
      {"a whiteout, then what implies it", TarBuilder().file(".wh.d", "").file("d/f", "").take()},
      {"a directory, then its whiteout", TarBuilder().file("d/f", "").file(".wh.d", "").take()},
      {"a file, then its whiteout", TarBuilder().file("f", "x").file(".wh.f", "").take()},
      {"a whiteout of a whiteout", TarBuilder().file(".wh.f", "").file(".wh.f", "").file("f", "x").take()},
      {"a device that is a whiteout", TarBuilder().device("d", 0, 0).file("d/f", "").take()},
      {"a hard link to a whiteout", TarBuilder().file(".wh.f", "").hard_link("h", "f").take()},
      {"opaque before its directory", TarBuilder().file("d/.wh..wh..opq", "").directory("d", 0700).take()},
      {"an opaque root", TarBuilder().file(".wh..wh..opq", "").file("f", "x").take()},
      {"a whiteout through a link", TarBuilder().directory("d").link("l", "d").file("l/.wh.x", "").take()},
      {"devices", TarBuilder().device("n", 4095, 1048575).device("m", 1, 3).take()},
      {"a device with a large major", TarBuilder().device("n", 4096, 0).take()},
      {"a device with a large minor", TarBuilder().device("n", 1, 1048576).take()},
  };
  for (const auto& [name, tar] : corpus) compare(tar, name);
}

TEST_F(DriverEqualityTest, ExtendedAttributes) {
  auto with = [](std::vector<std::pair<std::string, std::string>> xattrs, TarType type = TarType::regular) {
    TarEntry entry;
    entry.name = "f";
    entry.type = type;
    entry.mode = 0755;
    entry.link_target = type == TarType::symbolic_link ? "x" : "";
    entry.xattrs = std::move(xattrs);
    return entry;
  };
  const std::string capability("\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
  const std::string of_a_namespace("\1\0\0\3\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\7\0\0\0", 24);
  const std::pair<const char*, std::string> corpus[] = {
      {"a capability", TarBuilder().add(with({{"security.capability", capability}}), "x").take()},
      {"a namespace's", TarBuilder().add(with({{"security.capability", of_a_namespace}}), "x").take()},
      {"none", TarBuilder().add(with({{"security.capability", "rubbish"}}), "x").take()},
      {"an empty one", TarBuilder().add(with({{"security.capability", ""}}), "x").take()},
      {"several", TarBuilder()
                      .add(with({{"user.b", "2"}, {"user.a", std::string(600, 'v')}, {"user.c", ""}}), "x")
                      .take()},
      {"on a directory", TarBuilder()
                             .add(with({{"user.a", "1"}, {"user.b", "1"}}, TarType::directory))
                             .add(with({{"user.a", "2"}, {"user.c", "3"}}, TarType::directory))
                             .take()},
      {"on a link", TarBuilder().add(with({{"user.a", "1"}}, TarType::symbolic_link)).take()},
      {"those that do not travel", TarBuilder()
                                       .add(with({{"trusted.overlay.opaque", "y"},
                                                  {"trusted.overlay.redirect", "/etc"},
                                                  {"user.overlay.opaque", "y"},
                                                  {"security.selinux", "x"},
                                                  {"system.posix_acl_access", "x"},
                                                  {"user.", "x"}},
                                                 TarType::directory))
                                       .take()},
      {"a long name", TarBuilder().add(with({{"user." + std::string(251, 'n'), "1"}}), "x").take()},
      {"the longest name", TarBuilder().add(with({{"user." + std::string(250, 'n'), "1"}}), "x").take()},
      {"a value too long", TarBuilder().add(with({{"user.a", std::string(70'000, 'v')}}), "x").take()},
  };
  for (const auto& [name, tar] : corpus) compare(tar, name);
}

TEST_F(DriverEqualityTest, RefusedTars) {
  const std::string whole = TarBuilder().file("f", std::string(5000, 'x')).take();
  for (std::size_t size : {100u, 512u, 600u, 5000u, 5632u}) compare(whole.substr(0, size), "cut off");
  std::string damaged = whole;
  damaged[10] = 'y';
  compare(damaged, "a wrong checksum");
  compare(whole + "rubbish behind the end", "rubbish");
  compare("", "empty");
  compare(std::string(1024, '\0'), "a trailer alone");
  compare(TarBuilder().file("./", "the root is a file").take(), "a root that is a file");
}

// What the last block of a file holds behind its end must not show in a memory mapping.
TEST_F(DriverEqualityTest, RubbishBehindTheEndOfAFileStaysInTheTar) {
  std::string tar = TarBuilder().file("f", "abc").file("g", std::string(512, 'g')).file("h", "h").take();
  tar.replace(512 + 3, 6, "secret");
  const auto seen = compare(tar, "rubbish in the padding");
  StringSource source(tar);
  const Layer layer = images_->add(source, {}).value();
  Fd tree = images_->open_tree(layer.diff_id).value();
  Fd file = open_at(tree.get(), "f", O_RDONLY).value();
  const char* mapped = static_cast<const char*>(mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file.get(), 0));
  ASSERT_NE(mapped, MAP_FAILED);
  EXPECT_EQ(std::string_view(mapped, 16), std::string_view("abc\0\0\0\0\0\0\0\0\0\0\0\0\0", 16));
  munmap(const_cast<char*>(mapped), 4096);
}

TEST_F(DriverEqualityTest, RandomTrees) {
  std::mt19937 random(20240607);
  auto below = [&](unsigned limit) { return static_cast<unsigned>(random() % limit); };
  for (int round = 0; round < 150; ++round) {
    TarBuilder builder;
    auto name = [&] {
      std::string path;
      for (unsigned depth = 1 + below(3); depth > 0; --depth) {
        if (!path.empty()) path += '/';
        switch (below(12)) {
          case 0:
            path += "..";
            break;
          case 1:
            path += std::string(1 + below(255), static_cast<char>('a' + below(3)));
            break;
          case 2:
            path += fmt::format(".wh.{}", static_cast<char>('a' + below(4)));
            break;
          default:
            path += static_cast<char>('a' + below(4));
        }
      }
      return below(40) == 0 ? path + "/.wh..wh..opq" : path;
    };
    for (unsigned entries = 1 + below(60); entries > 0; --entries) {
      TarEntry entry;
      entry.name = name();
      entry.type = static_cast<TarType>(below(7));
      if (entry.type == TarType::hard_link && below(2)) entry.type = TarType::regular;
      entry.link_target = name();
      entry.mode = below(010000);
      entry.uid = below(3) ? below(70'000) : 0;
      entry.gid = below(70'000);
      entry.mtime.nanoseconds = static_cast<std::int64_t>(below(2'000'000'000)) * 1'000'000'000;
      entry.device_major = below(3);
      entry.device_minor = below(3);
      if (below(6) == 0) entry.xattrs = {{"user.x", std::string(below(300), 'v')}};
      const std::string text(below(3) ? below(2000) : below(100'000), static_cast<char>('0' + below(10)));
      builder.add(entry, entry.type == TarType::regular ? text : "");
    }
    compare(builder.take(), fmt::format("round {}", round));
    if (HasFailure()) return;
  }
}

// The reference's own checker: Debian 13's erofs-utils, or newer.
TEST_F(DriverEqualityTest, TheReferenceAcceptsTheImages) {
  Result<Output> version = run_program({"fsck.erofs", "--version"});
  if (!version || version->exit_code != 0)
    GTEST_SKIP()
        << "fsck.erofs is not here (erofs-utils 1.8 or newer): images are checked by the kernel alone";
  TarBuilder builder;
  for (int i = 0; i < 3000; ++i)
    builder.file(fmt::format("d{}/{}", i % 7,
                             std::string(static_cast<std::size_t>(1 + i % 250), 'n') + std::to_string(i)),
                 std::string(static_cast<std::size_t>(i % 1500), 'x'));
  TarEntry entry;
  entry.name = "noted";
  entry.xattrs = {{"user.a", std::string(3000, 'a')}, {"user.b", ""}};
  builder.add(entry, "x")
      .link("long", std::string(3000, 't'))
      .link("short", "d1")
      .hard_link("again", "noted");
  builder.device("null", 1, 3).file(".wh.gone", "").file("d1/.wh..wh..opq", "");
  for (const std::string& tar : {builder.take(), TarBuilder().take()}) {
    StringSource source(tar);
    const Layer layer = images_->add(source, {}).value();
    const std::string directory = temporary_.path() + "/images/" + layer.diff_id.hex();
    Result<Output> checked =
        run_program({"fsck.erofs", "--device=" + directory + "/tar", directory + "/index.erofs"});
    ASSERT_TRUE(checked) << checked.error().message;
    EXPECT_EQ(checked->exit_code, 0) << checked->standard_output << checked->standard_error;
  }
}

// A tree that GNU tar wrote is, mounted, the tree that GNU tar would have unpacked.
TEST_F(DriverEqualityTest, WhatGnuTarMakesOfIt) {
  const std::string tree = temporary_.path() + "/tree";
  ASSERT_TRUE(make_directories(tree + "/sub/deep", 0755));
  for (int i = 0; i < 200; ++i)
    archive::test::write(fmt::format("{}/sub/file-{}", tree, i),
                         std::string(static_cast<std::size_t>(i) * 77, 'c'), i % 2 ? 0644 : 04755);
  ASSERT_EQ(symlink("../sub/file-1", (tree + "/sub/deep/link").c_str()), 0);
  ASSERT_EQ(::link((tree + "/sub/file-9").c_str(), (tree + "/hard").c_str()), 0);
  ASSERT_EQ(mkfifo((tree + "/fifo").c_str(), 0600), 0);
  ASSERT_EQ(setxattr((tree + "/sub/file-3").c_str(), "user.note", "hello", 5, 0), 0);
  ASSERT_EQ(chown((tree + "/sub/file-4").c_str(), 1234, 70'000), 0);
  Fd sparse = open_file(tree + "/sparse", O_WRONLY | O_CREAT, 0640).value();
  ASSERT_EQ(ftruncate(sparse.get(), 3'000'000), 0);
  ASSERT_EQ(pwrite(sparse.get(), "x", 1, 1'500'000), 1);
  ASSERT_EQ(pwrite(sparse.get(), "end", 3, 2'999'997), 3);
  Fd hole = open_file(tree + "/hole", O_WRONLY | O_CREAT, 0640).value();
  ASSERT_EQ(ftruncate(hole.get(), 70'000), 0);
  for (const char* format : {"--format=gnu", "--format=posix"})
    for (const char* holes : {"--sparse", "--numeric-owner"}) {
      const std::string path = temporary_.path() + "/t.tar";
      std::vector<std::string> write{"tar", format, holes, "-C", tree, "-cf", path, "."};
      if (std::string_view(format) == "--format=posix") write.insert(write.begin() + 1, "--xattrs");
      archive::test::run(write);
      const std::string out = temporary_.path() + "/out";
      ASSERT_TRUE(remove_tree(out));
      ASSERT_TRUE(make_directories(out, 0755));
      archive::test::run({"tar", "--xattrs", "--numeric-owner", "-p", "-C", out, "-xf", path});
      Fd tar = open_file(path, O_RDONLY).value();
      archive::FdSource source(tar.get());
      Result<Layer> layer = images_->add(source, {});
      ASSERT_TRUE(layer) << layer.error().message;
      EXPECT_TRUE(images_->verify(layer->diff_id));
      Fd expected = open_file(out, O_PATH | O_DIRECTORY).value();
      EXPECT_EQ(describe(images_->open_tree(layer->diff_id).value().get(), true),
                describe(expected.get(), true))
          << format << " " << holes;
    }
}

}  // namespace
}  // namespace berth::layers
