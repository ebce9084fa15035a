// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/copy_paths.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::cli {
namespace {

TEST(CopyArgument, NamesAContainerOrAPathHere) {
  EXPECT_EQ(parse_copy_argument("web:/a").container, "web");
  EXPECT_EQ(parse_copy_argument("web:/a").path, "/a");
  EXPECT_EQ(parse_copy_argument("/a:b").container, "");
  EXPECT_EQ(parse_copy_argument("./a:b").path, "./a:b");
  EXPECT_EQ(parse_copy_argument("-").path, "-");
  EXPECT_EQ(parse_copy_argument("web:a:b").path, "a:b");
}

TEST(CopyPaths, TheEndOfAPathMeansSomething) {
  EXPECT_EQ(split_directory_entry("/a/b/").base, "b");
  EXPECT_EQ(split_directory_entry("/a/b/.").base, ".");
  EXPECT_EQ(split_directory_entry("/a/b/.").directory, "/a/b");
  EXPECT_EQ(split_directory_entry("/a").directory, "/");
  EXPECT_TRUE(absolute_keeping_end("x/.").ends_with("/x/."));
  EXPECT_TRUE(absolute_keeping_end("x/y/..//").ends_with("/x/"));
  EXPECT_EQ(absolute_keeping_end("/"), "/");
}

struct PlanCase {
  CopySource source;
  CopyDestination destination;
  std::string_view directory;
  std::string_view from;
  std::string_view to;  // "-": as it is; "!": an error, in `from`
};

TEST(CopyPlan, FollowsDockersTable) {
  const PlanCase cases[] = {
      {{"/s/dir", true, {}}, {"/d", true, true}, "/d", "dir", "-"},
      {{"/s/dir/.", true, {}}, {"/d", true, true}, "/d", ".", "-"},
      {{"/s/file", false, {}}, {"/d", true, true}, "/d", "file", "-"},
      {{"/s/dir", true, {}}, {"/d/new", false, false}, "/d", "dir", "new"},
      {{"/s/dir/.", true, {}}, {"/d/new", false, false}, "/d", ".", "new"},
      {{"/s/file", false, {}}, {"/d/new", false, false}, "/d", "file", "new"},
      {{"/s/file", false, {}}, {"/d/old", true, false}, "/d", "file", "old"},
      {{"/s/target", false, "link"}, {"/d/old", true, false}, "/d", "link", "old"},
      {{"/s/dir", true, {}}, {"/d/file", true, false}, "", "cannot copy directory", "!"},
      {{"/s/file", false, {}}, {"/d/new/", false, false}, "", "no such directory", "!"},
      {{"/", true, {}}, {"/d/new", false, false}, "/d", "/", "new"},
  };
  for (const PlanCase& item : cases) {
    Result<CopyPlan> plan = plan_copy(item.source, item.destination);
    if (item.to == "!") {
      ASSERT_FALSE(plan);
      EXPECT_EQ(plan.error().message, item.from);
      continue;
    }
    ASSERT_TRUE(plan);
    EXPECT_EQ(plan->directory, item.directory) << item.source.path << " " << item.destination.path;
    EXPECT_EQ(plan->from, item.from);
    EXPECT_EQ(plan->to.value_or("-"), item.to);
  }
}

TEST(CopyPaths, LooksAtWhatIsHere) {
  TemporaryDirectory directory = *TemporaryDirectory::create("copy");
  std::string base = directory.path();
  ASSERT_EQ(::mkdir((base + "/dir").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("dir", (base + "/link").c_str()), 0);
  ASSERT_TRUE(open_file(base + "/file", O_WRONLY | O_CREAT, 0600));
  EXPECT_FALSE(look_at_source(base + "/link", false)->directory);
  EXPECT_TRUE(look_at_source(base + "/link", true)->directory);
  EXPECT_EQ(look_at_source(base + "/link", true)->rebase, "link");
  EXPECT_EQ(look_at_source(base + "/file/", false).error().message, "not a directory");
  EXPECT_EQ(look_at_source(base + "/nope", false).error().message,
            "lstat " + base + "/nope: no such file or directory");
  EXPECT_TRUE(look_at_destination(base + "/link")->directory);
  EXPECT_FALSE(look_at_destination(base + "/new")->exists);
  EXPECT_EQ(look_at_destination(base + "/nodir/f").error().message,
            "invalid output path: directory \"" + base + "/nodir\" does not exist");
}

}  // namespace
}  // namespace berth::cli
