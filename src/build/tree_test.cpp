// SPDX-License-Identifier: Apache-2.0
#include "build/tree.h"

#include <sys/mman.h>
#include <sys/xattr.h>

#include "build/copy_files.h"
#include "build/selection.h"
#include "build/test_trees.h"

namespace berth::build {
namespace {

using testing::ElementsAre;

std::vector<std::string> found(const Tree& tree, std::string_view written) {
  std::vector<std::string> paths;
  Result<std::vector<Source>> sources = find_sources(tree, written);
  if (!sources) return {"error: " + sources.error().message};
  for (const Source& source : *sources) paths.push_back(source.path + (source.is_directory ? "/" : ""));
  return paths;
}

std::vector<std::string> walked(const Tree& tree, const std::string& start,
                                std::vector<std::string> excludes = {}) {
  std::vector<std::string> paths;
  const Result<void> done =
      walk_source(tree, {start, true}, dockerfile::IgnoreRules::of(std::move(excludes)).value(),
                  [&](const TreeItem& item) -> Result<void> {
                    if (!item.path.empty()) paths.emplace_back(item.path);
                    return {};
                  });
  EXPECT_TRUE(done) << done.error().message;
  return paths;
}

TEST(Tree, FindsPathsHoweverTheyAreWritten) {
  TestTree files;
  files.file("a/b.txt", "");
  const Tree tree = files.tree();
  for (const char* written : {"a/b.txt", "/a/b.txt", "./a//b.txt", "a/../a/b.txt", "../../a/b.txt"})
    EXPECT_THAT(found(tree, written), ElementsAre("a/b.txt")) << written;
  EXPECT_THAT(found(tree, "a"), ElementsAre("a/"));
  EXPECT_THAT(found(tree, "."), ElementsAre("/"));
}

TEST(Tree, FindsWhatAPatternMatchesInEachDirectory) {
  TestTree files;
  for (const char* name : {"a1/x.go", "a2/y.go", "a2/z.c", "b/x.go", "top.go"}) files.file(name, "");
  const Tree tree = files.tree();
  EXPECT_THAT(found(tree, "a*/*.go"), ElementsAre("a1/x.go", "a2/y.go"));
  EXPECT_THAT(found(tree, "*.go"), ElementsAre("top.go"));
  EXPECT_THAT(found(tree, "a?"), ElementsAre("a1/", "a2/"));
  EXPECT_FALSE(find_sources(tree, "c*"));
}

TEST(Tree, WhatIsIgnoredIsNotThere) {
  TestTree files;
  for (const char* name : {"a.log", "keep.log", "d/x", "d/y"}) files.file(name, "");
  const Tree tree = files.tree("*.log\n!keep.log\nd\n!d/y\n");
  EXPECT_THAT(found(tree, "*.log"), ElementsAre("keep.log"));
  EXPECT_FALSE(find_sources(tree, "a.log"));
  EXPECT_FALSE(find_sources(tree, "d/x"));
  EXPECT_THAT(walked(tree, ""), ElementsAre("d", "d/y", "keep.log"))
      << "a directory comes for what is taken back in";
}

TEST(Tree, AnIgnoredDirectoryWithNothingTakenBackDoesNotCome) {
  TestTree files;
  for (const char* name : {"d/e/x", "d/f/y", "z"}) files.file(name, "");
  EXPECT_THAT(walked(files.tree("d\n!d/f/*\n"), ""), ElementsAre("d", "d/f", "d/f/y", "z"));
  EXPECT_THAT(walked(files.tree("d\n!d/q\n"), ""), ElementsAre("z"));
}

TEST(Tree, ExcludesAreRelativeToTheSource) {
  TestTree files;
  for (const char* name : {"d/a", "d/b.md", "d/e/c.md"}) files.file(name, "");
  EXPECT_THAT(walked(files.tree(), "d", {"*.md"}), ElementsAre("a", "e", "e/c.md"));
  EXPECT_THAT(walked(files.tree(), "d", {"**/*.md"}), ElementsAre("a", "e"));
}

// The attack: a context whose links lead out of it.
TEST(Tree, LinksDoNotLeadOutside) {
  TestTree files, outside;
  outside.file("secret", "secret");
  files.link("up", "../../../../../.." + outside.path() + "/secret");
  files.link("absolute", outside.path() + "/secret");
  files.link("directory", outside.path());
  const Tree tree = files.tree();
  EXPECT_FALSE(find_sources(tree, "up"));
  EXPECT_FALSE(find_sources(tree, "absolute"));
  EXPECT_FALSE(find_sources(tree, "directory/secret"));
  EXPECT_FALSE(find_sources(tree, "directory/*"));
}

TEST(Selection, DependsOnWhatIsCopiedAndNotOnTimes) {
  TestTree files;
  files.file("a", "1");
  files.file("d/b", "2");
  FileDigests known;
  auto digest = [&] {
    const std::vector<Source> sources{{"a", false}, {"d", true}};
    return digest_selection(files.tree(), sources, {}, &known, {}).value().contents;
  };
  const Digest first = digest();
  const struct timespec old[2] = {{1000, 0}, {1000, 0}};
  utimensat(AT_FDCWD, (files.path() + "/a").c_str(), old, 0);
  EXPECT_EQ(digest(), first);
  files.file("a", "3");
  EXPECT_NE(digest(), first);
  files.file("a", "1");
  EXPECT_EQ(digest(), first);
  files.file("a", "1", 0755);
  EXPECT_NE(digest(), first);
  files.file("a", "1");
  files.file("d/c", "");
  EXPECT_NE(digest(), first);
}

// The attack: the bytes of one selection, cut at other places, are those of another. Then a layer that
// somebody has built would be taken for another's.
TEST(Selection, PartsDoNotRunIntoEachOther) {
  auto list = [](std::vector<std::string> first, std::vector<std::string> second) {
    return PartsDigest().add_list(first).add_list(second).finish();
  };
  EXPECT_NE(list({"a", "b"}, {"c"}), list({"a"}, {"b", "c"}));
  EXPECT_NE(list({"ab"}, {}), list({"a", "b"}, {}));
  EXPECT_NE(list({}, {"a"}), list({"a"}, {}));
}

TEST(Selection, AnAttributeIsNotTakenForAFile) {
  TestTree plain, other;
  plain.file("a", "1");
  plain.file("user.x", "2");
  other.file("a", "1");
  other.file("user.x", "2");
  ASSERT_EQ(setxattr((other.path() + "/a").c_str(), "user.x", "value", 5, 0), 0);
  auto digest = [](const TestTree& files) {
    const std::vector<Source> sources{{"", true}};
    return digest_selection(files.tree(), sources, {}, nullptr, {}).value().contents;
  };
  const Digest with = digest(other);
  EXPECT_NE(with, digest(plain));
  ASSERT_EQ(removexattr((other.path() + "/a").c_str(), "user.x"), 0);
  EXPECT_EQ(digest(other), digest(plain));
}

Digest digest_of_file(std::string_view text) {
  return PartsDigest().add(sha256_of(text).text()).add_number(0).finish();
}

TEST(FileDigests, RememberWhatHasSettledAndNothingYounger) {
  TestTree files;
  files.file("a", "1");
  Fd root = files.open();
  FileDigests known;
  EXPECT_EQ(known.of(root.get(), "a", files.status("a"), 0, {}).value(), digest_of_file("1"));
  EXPECT_EQ(known.remembered(), 0u) << "it may be written again within the same tick";
  usleep(150'000);
  EXPECT_EQ(known.of(root.get(), "a", files.status("a"), 0, {}).value(), digest_of_file("1"));
  EXPECT_EQ(known.remembered(), 1u);
  files.file("a", "2");
  EXPECT_EQ(known.of(root.get(), "a", files.status("a"), 0, {}).value(), digest_of_file("2"));
}

TEST(FileDigests, WhatOneReaderCouldReadIsNotKnownToAnother) {
  TestTree files;
  files.file("secret", "for root alone", 0600);
  timespec past[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, (files.path() + "/secret").c_str(), past, 0), 0);
  usleep(150'000);
  const Fd root = files.open();
  FileDigests known;
  const struct stat status = files.status("secret");
  ASSERT_TRUE(known.of(root.get(), "secret", status, 0, {}));
  EXPECT_EQ(known.remembered(), 1u);
  const sys::UserIdentity somebody{.uid = 61234, .gid = 61234, .groups = {}};
  const sys::ActAs acting(&somebody);
  EXPECT_FALSE(known.of(root.get(), "secret", status, mark_of(somebody), {}));
}

TEST(Tree, IsReadWithItsReadersPermissions) {
  TestTree files;
  files.file("open/a", "a");
  files.file("open/secret", "for root alone", 0600);
  files.file("shut/b", "b");
  ASSERT_EQ(chmod(files.path().c_str(), 0755), 0);
  ASSERT_EQ(chmod((files.path() + "/shut").c_str(), 0700), 0);
  Tree tree = files.tree();
  tree.reader = sys::UserIdentity{.uid = 61234, .gid = 61234, .groups = {}};
  auto digested = [&](const std::string& path, bool directory) {
    const Source source{path, directory};
    FileDigests known;
    return digest_selection(tree, {&source, 1}, {}, &known, {}).has_value();
  };
  EXPECT_TRUE(digested("open/a", false));
  EXPECT_FALSE(digested("open/secret", false));
  EXPECT_FALSE(digested("open", true));
  EXPECT_FALSE(find_sources(tree, "shut/b"));
  EXPECT_FALSE(digested("shut", true));
  TestTree copies;
  const Fd root = copies.open();
  const CopyTarget target{.root = root.get(), .destination = "/", .owner = {}, .mode = {}};
  EXPECT_TRUE(copy_source(tree, {"open/a", false}, {}, target, {}));
  EXPECT_EQ(copies.text("a"), "a");
  EXPECT_FALSE(copy_source(tree, {"open/secret", false}, {}, target, {}));
  tree.reader.reset();
  EXPECT_TRUE(digested("shut", true));
}

// What the copy of d comes to, and what was digested of it before.
struct Copied {
  TestTree files;
  std::optional<Digest> expected, copied;

  Tree live() const {
    Tree tree = files.tree();
    tree.live = true;
    return tree;
  }
  Digest digest() const {
    const Source source{"d", true};
    return digest_selection(live(), {&source, 1}, {}, nullptr, {}).value().contents;
  }
  void copy() {
    const Tree tree = live();
    const Source source{"d", true};
    TestTree to;
    const Fd root = to.open();
    const CopyTarget target{.root = root.get(), .destination = "/", .owner = {}, .mode = {}};
    SourceDigest one(tree, source);
    const Result<void> done = copy_source(tree, source, {}, target, {}, &one);
    EXPECT_TRUE(done) << done.error().message;
    SourceDigests all;
    all.add(one.finish());
    copied = all.finish();
  }
  Copied() { files.directory("d"); }
};

TEST(LiveTree, ACopyComesToWhatWasDigested) {
  Copied tree;
  tree.files.file("d/a", "a");
  tree.files.file("d/sub/b", std::string(300'000, 'b'), 0755);
  tree.files.file("d/empty", "");
  tree.files.link("d/link", "a");
  ASSERT_EQ(link((tree.files.path() + "/d/a").c_str(), (tree.files.path() + "/d/same").c_str()), 0);
  ASSERT_EQ(mkfifo((tree.files.path() + "/d/fifo").c_str(), 0600), 0);
  ASSERT_EQ(setxattr((tree.files.path() + "/d/a").c_str(), "user.x", "1", 1, 0), 0);
  ASSERT_EQ(setxattr((tree.files.path() + "/d/sub").c_str(), "user.y", "2", 1, 0), 0);
  tree.expected = tree.digest();
  tree.copy();
  EXPECT_EQ(tree.copied, tree.expected);
}

TEST(LiveTree, ACopyOfSomethingElseComesToSomethingElse) {
  const std::vector<std::function<void(TestTree&)>> changes{
      [](TestTree& files) { files.file("d/a", "A"); },
      [](TestTree& files) { files.file("d/c", "c"); },
      [](TestTree& files) { ASSERT_EQ(chmod((files.path() + "/d/b").c_str(), 0600), 0); },
      [](TestTree& files) { ASSERT_EQ(setxattr((files.path() + "/d/b").c_str(), "user.x", "1", 1, 0), 0); },
      [](TestTree& files) { ASSERT_EQ(unlink((files.path() + "/d/b").c_str()), 0); },
  };
  for (std::size_t number = 0; number < changes.size(); ++number) {
    Copied tree;
    tree.files.file("d/a", "a");
    tree.files.file("d/b", "b");
    tree.expected = tree.digest();
    changes[number](tree.files);
    tree.copy();
    EXPECT_NE(tree.copied, tree.expected) << number;
  }
}

// No time of the file changes then.
TEST(LiveTree, AWriteThroughAMappingIsSeenInTheCopyAndForgotten) {
  Copied tree;
  tree.files.file("d/a", "good");
  const Fd file = open_file(tree.files.path() + "/d/a", O_RDWR).value();
  auto* bytes = static_cast<char*>(mmap(nullptr, 4, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0));
  ASSERT_NE(bytes, MAP_FAILED);
  bytes[0] = 'g';  // the page is written to from here on
  usleep(150'000);
  FileDigests known;
  const Tree live = tree.live();
  const Source source{"d", true};
  auto look = [&] { return digest_selection(live, {&source, 1}, {}, &known, {}).value().contents; };
  tree.expected = look();
  ASSERT_EQ(known.remembered(), 1u);
  bytes[0] = 'f';
  if (look() == tree.expected) {  // nothing has told of it
    tree.copy();
    EXPECT_NE(tree.copied, tree.expected);
    known.forget();
    EXPECT_EQ(look(), tree.copied);
  }
  munmap(bytes, 4);
}

TEST(LiveTree, ItsHiddenDirectoryIsNotThere) {
  TestTree files;
  files.file("a/own/x", "x");
  files.file("a/other", "y");
  Tree tree = files.tree();
  const struct stat own = files.status("a/own");
  tree.hidden = {.device = own.st_dev, .inode = own.st_ino};
  EXPECT_THAT(walked(tree, ""), ElementsAre("a", "a/other"));
}

TEST(FileDigests, GroupsMakeAnotherReader) {
  const sys::UserIdentity plain{.uid = 7, .gid = 8, .groups = {}}, with{.uid = 7, .gid = 8, .groups = {9}};
  EXPECT_NE(mark_of(plain), mark_of(with));
  EXPECT_NE(mark_of(plain), mark_of(std::nullopt));
  EXPECT_EQ(mark_of(plain), mark_of(sys::UserIdentity{plain}));
}

TEST(FileDigests, DoNotFollowALinkThatTookTheFilesPlace) {
  TestTree files;
  files.file("a", "1");
  const struct stat status = files.status("a");
  unlink((files.path() + "/a").c_str());
  files.link("a", "/etc/hostname");
  Fd root = files.open();
  EXPECT_FALSE(FileDigests().of(root.get(), "a", status, 0, {}));
}

}  // namespace
}  // namespace berth::build
