// SPDX-License-Identifier: Apache-2.0
#include "sys/rooted_path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <thread>

#include "base/file.h"

namespace berth::sys {
namespace {

// <temporary>/outside/secret and <temporary>/root, in which links try to reach it.
class RootedPath : public testing::Test {
 protected:
  void SetUp() override {
    root_path_ = temporary_.path() + "/root";
    outside_ = temporary_.path() + "/outside";
    for (const char* directory : {"/root", "/root/etc", "/root/a", "/root/a/b", "/outside"})
      ASSERT_EQ(mkdir((temporary_.path() + directory).c_str(), 0755), 0);
    write(outside_ + "/secret", "the host's");
    write(root_path_ + "/etc/passwd", "inside");
    link(outside_, "/absolute");
    link("../../../../../../../../../../../.." + outside_, "/a/b/relative");
    link("/etc", "/a/etc");
    link("../../etc/passwd", "/a/b/passwd");
    link("loop", "/loop");
    link("not/there", "/dangling");
    root_ = open_file(root_path_, O_PATH | O_DIRECTORY).value();
  }

  void write(const std::string& path, std::string_view text) { std::ofstream(path) << text; }
  void link(const std::string& target, const std::string& path) {
    ASSERT_EQ(symlink(target.c_str(), (root_path_ + path).c_str()), 0);
  }

  TemporaryDirectory temporary_ = TemporaryDirectory::create("rooted-path").value();
  std::string root_path_;
  std::string outside_;
  Fd root_;
};

std::string contents(Result<Fd> file) {
  if (!file) return "error " + std::to_string(file.error().code);
  return read_to_end(file->get(), 1000).value_or("unreadable");
}

// The kernel's lookup and the walk that stands in for it are held to the same answers.
enum class By { kernel, walk };
class RootedPathBy : public RootedPath, public testing::WithParamInterface<By> {
 protected:
  Result<Fd> open(std::string_view path, int flags, mode_t mode = 0) {
    return GetParam() == By::kernel ? open_in_root(root_.get(), path, flags, mode)
                                    : walk_in_root(root_.get(), path, flags, mode, Leaving::confined);
  }
  Result<Fd> beneath(std::string_view path, int flags) {
    return GetParam() == By::kernel ? open_beneath(root_.get(), path, flags)
                                    : walk_in_root(root_.get(), path, flags, 0, Leaving::refused);
  }
};
INSTANTIATE_TEST_SUITE_P(, RootedPathBy, testing::Values(By::kernel, By::walk),
                         [](const auto& by) { return by.param == By::kernel ? "kernel" : "walk"; });

TEST_P(RootedPathBy, FindsWhatIsInside) {
  for (const char* path : {"etc/passwd", "/etc/passwd", "//etc/./passwd", "a/etc/passwd", "a/b/passwd",
                           "../../etc/passwd", "/../etc/passwd", "a/b/../../etc/passwd"})
    EXPECT_EQ(contents(open(path, O_RDONLY)), "inside") << path;
}

TEST_P(RootedPathBy, LinksDoNotLeadOut) {
  for (const char* path : {"absolute/secret", "a/b/relative/secret"})
    EXPECT_EQ(contents(open(path, O_RDONLY)), "error " + std::to_string(ENOENT)) << path;
  EXPECT_EQ(contents(open("../outside/secret", O_RDONLY)), "error " + std::to_string(ENOENT));
}

TEST_P(RootedPathBy, AbsoluteLinksStartAtTheRoot) {
  ASSERT_TRUE(make_directories_in_root(root_.get(), outside_));
  write(root_path_ + outside_ + "/secret", "decoy");
  EXPECT_EQ(contents(open("absolute/secret", O_RDONLY)), "decoy");
  EXPECT_EQ(contents(open("a/b/relative/secret", O_RDONLY)), "decoy");
}

TEST_P(RootedPathBy, BeneathRefusesWhatWouldLeave) {
  EXPECT_EQ(contents(beneath("etc/passwd", O_RDONLY)), "inside");
  EXPECT_EQ(contents(beneath("a/../etc/passwd", O_RDONLY)), "inside");
  for (const char* path : {"/etc/passwd", "../root/etc/passwd", "absolute/secret", "a/etc/passwd"}) {
    Result<Fd> opened = beneath(path, O_RDONLY);
    ASSERT_FALSE(opened) << path;
    EXPECT_EQ(opened.error().kind, ErrorKind::denied) << path;
  }
}

TEST_P(RootedPathBy, ReportsWhatTheKernelWould) {
  EXPECT_EQ(open("loop", O_RDONLY).error().code, ELOOP);
  EXPECT_EQ(open("absolute", O_RDONLY | O_NOFOLLOW).error().code, ELOOP);
  EXPECT_EQ(open("etc/passwd/x", O_RDONLY).error().code, ENOTDIR);
  EXPECT_EQ(open("etc/passwd/", O_RDONLY).error().code, ENOTDIR);
  EXPECT_EQ(open("nothing", O_RDONLY).error().code, ENOENT);
  EXPECT_EQ(open(std::string(300, 'x'), O_RDONLY).error().code, ENAMETOOLONG);
  EXPECT_EQ(open(std::string(5000, '/') + "etc", O_RDONLY).error().code, ENAMETOOLONG);
  EXPECT_EQ(open(std::string_view("etc\0/passwd", 11), O_RDONLY).error().kind, ErrorKind::invalid);
}

TEST_P(RootedPathBy, OpensALinkItselfOnRequest) {
  Fd link = open("absolute", O_PATH | O_NOFOLLOW).value();
  struct stat status;
  ASSERT_EQ(fstat(link.get(), &status), 0);
  EXPECT_TRUE(S_ISLNK(status.st_mode));
  EXPECT_TRUE(open("a/etc/", O_PATH | O_NOFOLLOW | O_DIRECTORY)) << "a slash at the end follows";
}

TEST_P(RootedPathBy, CreatesThroughADanglingLinkInsideOnly) {
  link(outside_ + "/planted", "/plant");
  EXPECT_FALSE(open("plant", O_WRONLY | O_CREAT, 0600));
  ASSERT_TRUE(make_directories_in_root(root_.get(), outside_));
  link(outside_ + "/made", "/make");
  EXPECT_TRUE(open("make", O_WRONLY | O_CREAT, 0600));
  EXPECT_TRUE(exists(root_path_ + outside_ + "/made"));
  EXPECT_FALSE(exists(outside_ + "/made"));
  EXPECT_FALSE(exists(outside_ + "/planted"));
  EXPECT_EQ(open("make", O_WRONLY | O_CREAT | O_EXCL, 0600).error().code, EEXIST);
}

TEST_P(RootedPathBy, RefusesMagicLinks) {
  Fd proc = open_file("/proc", O_PATH | O_DIRECTORY).value();
  auto look = [&](std::string_view path) {
    return GetParam() == By::kernel ? open_in_root(proc.get(), path, O_PATH)
                                    : walk_in_root(proc.get(), path, O_PATH, 0, Leaving::confined);
  };
  EXPECT_EQ(look("self/root").error().code, ELOOP);
  EXPECT_EQ(look("self/cwd/x").error().code, ELOOP);
  EXPECT_TRUE(look("self/status"));
}

TEST_P(RootedPathBy, EndlessPathsEnd) {
  link("a/../a/../a/../a/../a/../a/..", "/l0");
  for (int i = 1; i < 6; ++i) {
    std::string target;
    for (int j = 0; j < 20; ++j) target += "/l" + std::to_string(i - 1) + "/..";
    link(target, "/l" + std::to_string(i));
  }
  EXPECT_EQ(open("l5", O_PATH).error().code, ELOOP);
}

TEST_F(RootedPath, MakesDirectoriesInsideOnly) {
  ASSERT_TRUE(
      make_directories_in_root(root_.get(), "/new/one/deep", {.mode = 02750, .owner = 7, .group = 8}));
  struct stat status;
  ASSERT_EQ(stat((root_path_ + "/new/one").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 02750u);
  EXPECT_EQ(status.st_uid, 7u);
  EXPECT_EQ(status.st_gid, 8u);
  ASSERT_TRUE(make_directories_in_root(root_.get(), "absolute/evil"));
  EXPECT_FALSE(exists(outside_ + "/evil"));
  EXPECT_TRUE(exists(root_path_ + outside_ + "/evil"));
  ASSERT_TRUE(make_directories_in_root(root_.get(), "dangling/x"));
  EXPECT_TRUE(exists(root_path_ + "/not/there/x"));
  ASSERT_TRUE(make_directories_in_root(root_.get(), "../../up"));
  EXPECT_TRUE(exists(root_path_ + "/up"));
  EXPECT_FALSE(exists(temporary_.path() + "/up"));
  EXPECT_EQ(make_directories_in_root(root_.get(), "etc/passwd/x").error().code, ENOTDIR);
  EXPECT_EQ(make_directories_in_root(root_.get(), "loop/x").error().code, ELOOP);
}

TEST_F(RootedPath, MakesAFileWithItsParents) {
  EXPECT_TRUE(make_file_in_root(root_.get(), "/run/secrets/key", 0600));
  EXPECT_TRUE(exists(root_path_ + "/run/secrets/key"));
  EXPECT_TRUE(make_file_in_root(root_.get(), "/etc/passwd", 0600));
  EXPECT_EQ(read_file_in_root(root_.get(), "/etc/passwd").value(), "inside");
  EXPECT_EQ(make_file_in_root(root_.get(), "/etc", 0600).error().code, EISDIR);
}

TEST_F(RootedPath, ParentAndNameDoNotFollowTheEnd) {
  RootedParent parent = parent_in_root(root_.get(), "a/etc/passwd").value();
  EXPECT_EQ(parent.name, "passwd");
  EXPECT_EQ(faccessat(parent.directory.get(), "passwd", F_OK, 0), 0);
  EXPECT_EQ(parent_in_root(root_.get(), "absolute").value().name, "absolute");
  EXPECT_EQ(parent_in_root(root_.get(), "absolute/").value().name, "absolute");
  for (const char* path : {"", "/", ".", "a/.", "a/..", "..", "../..", "a/b/../"})
    EXPECT_EQ(parent_in_root(root_.get(), path).value().name, ".") << path;
}

TEST_F(RootedPath, ReadsRegularFilesOnly) {
  EXPECT_EQ(read_file_in_root(root_.get(), "/a/b/passwd").value(), "inside");
  ASSERT_EQ(mkfifo((root_path_ + "/fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_file_in_root(root_.get(), "fifo").error().kind, ErrorKind::invalid);
  EXPECT_EQ(read_file_in_root(root_.get(), "etc").error().code, EISDIR);
}

TEST_F(RootedPath, ResolvesAsFarAsThereIsSomething) {
  EXPECT_EQ(resolve_in_root(root_.get(), "a/etc/passwd").value(), "/etc/passwd");
  EXPECT_EQ(resolve_in_root(root_.get(), "dangling").value(), "/not/there");
  EXPECT_EQ(resolve_in_root(root_.get(), "absolute").value(), outside_);
  EXPECT_EQ(resolve_in_root(root_.get(), "a/b/../../..").value(), "/");
  EXPECT_EQ(resolve_in_root(root_.get(), "no/../such/file").value(), "/such/file");
  EXPECT_EQ(resolve_in_root(root_.get(), "loop").error().code, ELOOP);
}

TEST_F(RootedPath, RemovesTheLinkAndNotItsTarget) {
  EXPECT_TRUE(remove_in_root(root_.get(), "absolute"));
  EXPECT_TRUE(remove_in_root(root_.get(), "a"));
  EXPECT_TRUE(remove_in_root(root_.get(), "missing/too"));
  EXPECT_FALSE(remove_in_root(root_.get(), "/"));
  EXPECT_FALSE(remove_in_root(root_.get(), "etc/.."));
  EXPECT_FALSE(exists(root_path_ + "/a"));
  EXPECT_TRUE(exists(outside_ + "/secret"));
  EXPECT_TRUE(exists(root_path_ + "/etc/passwd"));
}

TEST_F(RootedPath, CleansLexically) {
  EXPECT_EQ(clean_relative("/a//./b/../c/"), "a/c");
  EXPECT_EQ(clean_relative("../../a"), "a");
  EXPECT_EQ(clean_relative("a/../.."), "");
  EXPECT_EQ(clean_relative(""), "");
}

// Another thread swaps a directory for a link to the outside all the time: neither lookup ever gets out.
TEST_P(RootedPathBy, SwappedDirectoriesDoNotLeadOut) {
  write(root_path_ + "/a/secret", "decoy");
  link(outside_, "/trap");
  std::atomic<bool> stop = false;
  std::jthread swapper([&] {
    while (!stop) renameat2(root_.get(), "a", root_.get(), "trap", RENAME_EXCHANGE);
  });
  int found = 0;
  for (int i = 0; i < 5000; ++i) {
    Result<Fd> opened = open("a/secret", O_RDONLY);
    if (!opened) continue;
    std::string text = contents(std::move(opened));
    ASSERT_EQ(text, "decoy");
    ++found;
  }
  stop = true;
  EXPECT_GT(found, 0);
}

}  // namespace
}  // namespace berth::sys
