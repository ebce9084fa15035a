// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/mount.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::dockerfile {
namespace {

using testing::HasSubstr;

Mount mount_of(std::string_view text) {
  Result<Mount> mount = parse_mount(text);
  EXPECT_TRUE(mount) << text << ": " << mount.error().message;
  return mount ? *mount : Mount{};
}

std::string error_of(std::string_view text) {
  Result<Mount> mount = parse_mount(text);
  if (mount) return "no error";
  EXPECT_EQ(mount.error().kind, ErrorKind::invalid);
  return mount.error().message;
}

TEST(ParseMount, IsABindThatCannotBeWritten) {
  Mount mount = mount_of("from=base,source=/a,target=/b");
  EXPECT_EQ(mount.type, Mount::Type::bind);
  EXPECT_EQ(mount.from, "base");
  EXPECT_EQ(mount.source, "/a");
  EXPECT_EQ(mount.target, "/b");
  EXPECT_TRUE(mount.read_only);
  EXPECT_FALSE(mount_of("target=/b,rw").read_only);
  EXPECT_FALSE(mount_of("target=/b,readwrite=true").read_only);
  EXPECT_FALSE(mount_of("target=/b,ro=false").read_only);
  EXPECT_TRUE(mount_of("target=/b,rw=0").read_only);
}

TEST(ParseMount, KnowsEachKeyByItsOtherNames) {
  for (const char* text : {"src=s,dst=t", "source=s,destination=t", "SOURCE=s,Target=t"}) {
    EXPECT_EQ(mount_of(text).source, "s") << text;
    EXPECT_EQ(mount_of(text).target, "t") << text;
  }
}

TEST(ParseMount, CachesAreShared) {
  Mount mount = mount_of("type=cache,target=/c");
  EXPECT_EQ(mount.type, Mount::Type::cache);
  EXPECT_EQ(mount.sharing, Mount::Sharing::shared);
  EXPECT_FALSE(mount.read_only);
  EXPECT_EQ(mount.id, "");
  mount = mount_of("target=/c,id=x,sharing=Locked,mode=0750,uid=1,gid=2,ro,type=cache");
  EXPECT_EQ(mount.id, "x");
  EXPECT_EQ(mount.sharing, Mount::Sharing::locked);
  EXPECT_EQ(mount.mode, 0750u);
  EXPECT_EQ(mount.uid, 1u);
  EXPECT_EQ(mount.gid, 2u);
  EXPECT_TRUE(mount.read_only);
  EXPECT_EQ(mount_of("type=cache,target=/c,sharing=private").sharing, Mount::Sharing::exclusive);
}

TEST(ParseMount, TemporaryFileSystemsHaveASize) {
  EXPECT_EQ(mount_of("type=tmpfs,target=/t").size, 0);
  EXPECT_EQ(mount_of("type=tmpfs,target=/t,size=2m").size, 2 << 20);
  EXPECT_FALSE(mount_of("type=tmpfs,target=/t").read_only);
}

TEST(ParseMount, SecretsAreCalledByTheirSourceIdOrTarget) {
  EXPECT_EQ(mount_of("type=secret,id=k").id, "k");
  EXPECT_EQ(mount_of("type=secret,id=k").target, "");
  EXPECT_EQ(mount_of("type=secret,src=k,target=/t/u").id, "k");
  EXPECT_EQ(mount_of("type=secret,target=/t/u").id, "u");
  EXPECT_EQ(mount_of("type=secret,id=k,env=KEY").environment, "KEY");
  EXPECT_TRUE(mount_of("type=secret,id=k,required").required);
  EXPECT_FALSE(mount_of("type=secret,id=k,required=false").required);
  EXPECT_TRUE(mount_of("type=secret,id=k").read_only);
  EXPECT_EQ(mount_of("type=ssh").id, "default");
  EXPECT_EQ(mount_of("type=ssh,id=git,target=/s,mode=0600").id, "git");
}

TEST(ParseMount, QuotesKeepCommas) {
  EXPECT_EQ(mount_of(R"("source=a,b",target=/t)").source, "a,b");
  EXPECT_EQ(mount_of(R"("source=a""b")").source, "a\"b");
  EXPECT_THAT(error_of(R"("source=a)"), HasSubstr("a quote around a field"));
  EXPECT_THAT(error_of(R"("source=a"b,target=/t)"), HasSubstr("a quote around a field"));
}

TEST(ParseMount, SaysWhatIsWrong) {
  EXPECT_EQ(error_of("type=cach,target=/c"), "unsupported mount type \"cach\" (did you mean cache?)");
  EXPECT_EQ(error_of("type=cache,taget=/c"), "unexpected key 'taget' in 'taget=/c' (did you mean target?)");
  EXPECT_EQ(error_of("target"), "invalid field 'target' must be a key=value pair");
  EXPECT_EQ(error_of(""), "unexpected key '' in ''");
  EXPECT_EQ(error_of("target=/a,"), "unexpected key '' in ''");
  EXPECT_EQ(error_of("target=/a,ro=maybe"), "invalid value for readonly: maybe");
  EXPECT_EQ(error_of("target=/a,required"), "unexpected key 'required' for mount type 'bind'");
  EXPECT_EQ(error_of("target=/a,sharing=shared"), "unexpected key 'sharing' for mount type 'bind'");
  EXPECT_EQ(error_of("type=cache,sharing=lock"), "unsupported sharing value \"lock\" (did you mean locked?)");
  EXPECT_EQ(error_of("target=/a,size=1"), "unexpected key 'size' for mount type 'bind'");
  EXPECT_EQ(error_of("type=tmpfs,size=x"), "invalid value x for size");
  EXPECT_EQ(error_of("type=ssh,env=A"), "unexpected key 'env' for mount type 'ssh'");
  EXPECT_EQ(error_of("type=secret,id=a,from=b"), "unexpected key 'from' for mount type 'secret'");
  EXPECT_EQ(error_of("target=/a,mode=0600"), "mode not allowed for \"bind\" type mounts");
  EXPECT_EQ(error_of("type=tmpfs,uid=1"), "uid not allowed for \"tmpfs\" type mounts");
  EXPECT_EQ(error_of("type=cache,mode=8"), "invalid value 8 for mode");
  EXPECT_EQ(error_of("type=cache,uid=4294967296"), "invalid value 4294967296 for uid");
  EXPECT_EQ(error_of("type=secret"), "invalid secret mount. one of source, target required");
  EXPECT_EQ(error_of("type=secret,id=a,src=b"), "both source and id can't be set");
}

TEST(ParseMount, ExpandsEachValueByItself) {
  Expansion expansion{.lookup = [](std::string_view name) -> std::optional<std::string> {
    if (name == "DIR") return "/a,type=ssh";
    if (name == "T") return "cache";
    return std::nullopt;
  }};
  Result<Mount> mount = parse_mount("type=$T,target=${DIR},id=${NO:-x}", expansion);
  ASSERT_TRUE(mount) << mount.error().message;
  EXPECT_EQ(mount->type, Mount::Type::cache);
  EXPECT_EQ(mount->target, "/a,type=ssh");
  EXPECT_EQ(mount->id, "x");
  mount = parse_mount("from=$T,target=/a", expansion);
  ASSERT_FALSE(mount);
  EXPECT_THAT(mount.error().message, HasSubstr("doesn't support variable expansion"));
}

TEST(CheckMount, FindsWhatIsWrongWhateverVariablesAre) {
  for (const char* text : {"type=$T,sharing=$S,uid=$U", "type=secret,id=$ID",
                           "type=$T,env=x,size=1m,required", "type=cache,uid=$U,target=/a", "target=/a"})
    EXPECT_TRUE(check_mount(text)) << text;
  for (const char* text : {"type=$T,tagret=$X", "type=cache,env=$X", "type=cache,uid=x,target=$X", "from=$X",
                           "type=what,id=$X", "type=secret"})
    EXPECT_FALSE(check_mount(text)) << text;
}

TEST(OriginOfMount, DoesNotDependOnVariables) {
  for (const char* text :
       {"type=bind,from=base,target=/a", "From=base", "\"from=base\",target=/a", "type=$T,from=base",
        "type=cache,sharing=$S,mode=$M,from=base", "type=bind,target=$T,rw=$W,from=base"})
    EXPECT_EQ(origin_of_mount(text).value_or("wrong"), "base") << text;
  EXPECT_EQ(origin_of_mount("type=secret,id=$ID").value_or("wrong"), "");
  EXPECT_FALSE(origin_of_mount("from=$X"));
}

}  // namespace
}  // namespace berth::dockerfile
