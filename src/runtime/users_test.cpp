// SPDX-License-Identifier: Apache-2.0
#include "runtime/users.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::runtime {
namespace {

using testing::HasSubstr;

const AccountFiles kFiles{
    "root:x:0:0:root:/root:/bin/sh\n"
    "# a comment\n"
    "\n"
    "web:x:1000:1001:Web:/srv/web:/bin/sh\r\n"
    "rel:x:1002:1002::home:/bin/sh\n"
    "short:x:1003:1003\n",
    "root:x:0:\n"
    "web:x:1001:\n"
    "logs:x:2000:other,web\n"
    "audio:x:29:web\n"
    "webmasters:x:3000:webx,xweb\n"};

std::string resolved(const AccountFiles& files, std::string_view text,
                     const std::vector<std::string>& extra = {}) {
  Result<ResolvedUser> user = resolve_user(files, text, extra);
  if (!user) return user.error().message;
  std::string out = fmt::format("{}:{}", user->user.uid, user->user.gid);
  for (std::uint32_t gid : user->user.additional_gids) out += fmt::format("+{}", gid);
  return out + " " + user->home;
}

TEST(Users, NamesAndNumbers) {
  struct Case {
    std::string_view text, outcome;
  };
  for (const Case& c :
       {Case{"", "0:0+0 /root"}, Case{"root", "0:0+0 /root"}, Case{"0", "0:0+0 /root"},
        Case{"web", "1000:1001+1001+2000+29 /srv/web"}, Case{"1000", "1000:1001+1001+2000+29 /srv/web"},
        Case{"web:logs", "1000:2000+2000 /srv/web"}, Case{"web:2000", "1000:2000+2000 /srv/web"},
        Case{"web:7", "1000:7+7 /srv/web"}, Case{":logs", "0:2000+2000 /root"},
        Case{"web:", "1000:1001+1001+2000+29 /srv/web"}, Case{"4242", "4242:0+0 /"},
        Case{"4242:4343", "4242:4343+4343 /"}, Case{"rel", "1002:1002+1002 /"},
        Case{"short", "1003:1003+1003 /"}, Case{"2147483647", "2147483647:0+0 /"},
        Case{"nobody", "unable to find user nobody: no matching entries in passwd file"},
        Case{"web:nogroup", "unable to find group nogroup: no matching entries in group file"}})
    EXPECT_EQ(resolved(kFiles, c.text), c.outcome) << c.text;
}

TEST(Users, IdsDoNotWrap) {
  for (const char* text :
       {"4294967296", "2147483648", "4294967295", "18446744073709551616", "99999999999999999999999"}) {
    EXPECT_THAT(resolved(kFiles, text), HasSubstr("out of range")) << text;
    EXPECT_THAT(resolved(kFiles, std::string("0:") + text), HasSubstr("out of range")) << text;
    EXPECT_THAT(resolved(kFiles, "0", {text}), HasSubstr("out of range")) << text;
  }
  for (const char* text : {"-1", "+0", "0x0", " 0", "0 ", "1e3", "\xef\xbc\x90"})
    EXPECT_THAT(resolved(kFiles, text), HasSubstr("unable to find user")) << text;
}

TEST(Users, ANumberIsANumberWhateverTheImageCallsItsAccounts) {
  const AccountFiles hostile{"1000:x:0:0::/:\n", "1000:x:0:\n2000:x:0:\n"};
  EXPECT_EQ(resolved(hostile, "1000"), "1000:0+0 /");
  EXPECT_EQ(resolved(hostile, "1000:2000"), "1000:2000+2000 /");
  EXPECT_EQ(resolved(hostile, "5", {"2000"}), "5:0+0+2000 /");
  EXPECT_THAT(resolved({"4294967296:x:0:0::/:\n", ""}, "4294967296"), HasSubstr("out of range"));
}

TEST(Users, LinesThatMakeNoSenseAreSkipped) {
  const AccountFiles hostile{
      "web:x:4294967296:0::/:\n"  // wraps to root
      "web:x:-1:0::/:\n"
      "web:x::0::/:\n"
      "web:x:0\n"
      "web\n"
      ":::::::::::::\n" +
          std::string("\0web:x:0:0::/:\n", 15) + "web:x:1000:1000::/home:\nweb:x:0:0::/:\n",
      "g:x:4294967296:web\ng:x\n:x:5:web\ng:x:6:web\n"};
  EXPECT_EQ(resolved(hostile, "web"), "1000:1000+1000+5+6 /home");
  EXPECT_EQ(resolved({"web:x:1000:4294967296::/:\n", ""}, "web"),
            "unable to find user web: no matching entries in passwd file");
}

TEST(Users, AUserWithoutANameIsInNoGroup) {
  EXPECT_EQ(resolved({":x:1000:1000::/:\n", "root:x:0:\nwheel:x:10:,\n"}, "1000"), "1000:1000+1000 /");
}

TEST(Users, TheOwnGroupIsAmongTheOthersOnce) {
  EXPECT_EQ(resolved(kFiles, "web", {"1001"}), "1000:1001+1001+2000+29 /srv/web");
  EXPECT_EQ(resolved(kFiles, "web:logs", {"logs"}), "1000:2000+2000 /srv/web");
  EXPECT_EQ(resolved({"a:x:5:6::/:\n", "g:x:6:a\n"}, "a"), "5:6+6 /");
}

TEST(Users, ExtraGroupsAreAddedOnce) {
  EXPECT_EQ(resolved(kFiles, "web", {"logs", "29", "77"}), "1000:1001+1001+2000+29+77 /srv/web");
  EXPECT_EQ(resolved(kFiles, "web:logs", {"audio"}), "1000:2000+2000+29 /srv/web");
  EXPECT_THAT(resolved(kFiles, "web", {"nogroup"}), HasSubstr("unable to find group nogroup"));
}

TEST(Users, NobodyAsksTheHost) {
  // These accounts exist on this machine, but not in the container's files.
  for (const char* name : {"daemon", "bin", "nobody"})
    EXPECT_THAT(resolved({"", ""}, name), HasSubstr("unable to find"));
  EXPECT_EQ(resolved({"", ""}, ""), "0:0+0 /");
}

class AccountFilesTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(make_directories(root() + "/etc", 0755)); }
  std::string root() const { return directory_.path() + "/root"; }
  void write(const std::string& path, std::string_view text) {
    Fd file = open_file(path, O_WRONLY | O_CREAT, 0644).value();
    ASSERT_TRUE(write_all(file.get(), text));
  }
  AccountFiles read() { return read_account_files(open_file(root(), O_RDONLY | O_DIRECTORY).value().get()); }
  TemporaryDirectory directory_ = TemporaryDirectory::create("users").value();
};

TEST_F(AccountFilesTest, AreReadFromTheRoot) {
  write(root() + "/etc/passwd", "p");
  write(root() + "/etc/group", "g");
  EXPECT_EQ(read().passwd, "p");
  EXPECT_EQ(read().group, "g");
}

TEST_F(AccountFilesTest, LinksStayInsideTheRoot) {
  write(directory_.path() + "/secret", "the host's");
  write(root() + "/inside", "the container's");
  ASSERT_EQ(symlink("../../secret", (root() + "/etc/passwd").c_str()), 0);
  ASSERT_EQ(symlink("/inside", (root() + "/etc/group").c_str()), 0);
  EXPECT_EQ(read().passwd, "");
  EXPECT_EQ(read().group, "the container's");
}

TEST_F(AccountFilesTest, WhatIsNoFileOrTooLargeIsEmpty) {
  ASSERT_EQ(mkfifo((root() + "/etc/passwd").c_str(), 0644), 0);  // must not block
  write(root() + "/etc/group", "g");
  ASSERT_EQ(truncate((root() + "/etc/group").c_str(), 64 << 20), 0);
  EXPECT_EQ(read().passwd, "");
  EXPECT_EQ(read().group, "");
}

}  // namespace
}  // namespace berth::runtime
