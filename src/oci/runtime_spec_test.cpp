// SPDX-License-Identifier: Apache-2.0
#include "oci/runtime_spec.h"

#include <gtest/gtest.h>

namespace berth::oci {
namespace {

constexpr const char* kFull = R"({"ociVersion":"1.2.0","process":{"terminal":true,
  "consoleSize":{"height":25,"width":80},"user":{"uid":1000,"gid":1001,"umask":63,"additionalGids":[5,6]},
  "args":["sh","-c","true"],"env":["A=b"],"cwd":"/work",
  "capabilities":{"bounding":["CAP_CHOWN"],"effective":["CAP_CHOWN"],"permitted":["CAP_CHOWN"],
  "inheritable":["CAP_KILL"],"ambient":["CAP_KILL"]},"rlimits":[{"type":"RLIMIT_NOFILE","hard":20,"soft":10}],
  "noNewPrivileges":true,"oomScoreAdj":-5,"apparmorProfile":"p","selinuxLabel":"l",
  "scheduler":{"policy":"SCHED_BATCH","nice":3},"ioPriority":{"class":"IOPRIO_CLASS_BE","priority":4}},
  "root":{"path":"rootfs","readonly":true},"hostname":"h","domainname":"d",
  "mounts":[{"destination":"/proc","type":"proc","source":"proc","options":["nosuid"],
  "uidMappings":[{"containerID":0,"hostID":1000,"size":1}]}],
  "hooks":{"createRuntime":[{"path":"/bin/true","args":["true","x"],"env":["K=v"],"timeout":3}]},
  "annotations":{"a":"b"},
  "linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/n"}],
  "uidMappings":[{"containerID":0,"hostID":100000,"size":65536}],
  "devices":[{"path":"/dev/fuse","type":"c","major":10,"minor":229,"fileMode":438,"uid":0,"gid":0}],
  "cgroupsPath":"/berth/x","resources":{"devices":[{"allow":false,"access":"rwm"},
  {"allow":true,"type":"c","major":1,"minor":3,"access":"rw"}],
  "memory":{"limit":1000,"swap":-1,"swappiness":7},"cpu":{"shares":512,"quota":-1,"period":100000,"cpus":"0-1"},
  "pids":{"limit":10},"blockIO":{"weight":100,"weightDevice":[{"major":8,"minor":0,"weight":50}],
  "throttleReadBpsDevice":[{"major":8,"minor":0,"rate":1048576}]},
  "hugepageLimits":[{"pageSize":"2MB","limit":4}],"unified":{"memory.high":"1"}},
  "rootfsPropagation":"rslave","sysctl":{"net.ipv4.ip_forward":"1"},"maskedPaths":["/proc/kcore"],
  "readonlyPaths":["/proc/sys"],"seccomp":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":1,
  "architectures":["SCMP_ARCH_X86_64"],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"},
  {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":2114060288,"op":"SCMP_CMP_MASKED_EQ"}]}]}}})";

TEST(RuntimeSpec, WhatIsWrittenIsReadBackTheSame) {
  Result<RuntimeSpec> first = parse_runtime_spec(kFull);
  ASSERT_TRUE(first) << first.error().message;
  std::string text = to_text(*first);
  Result<RuntimeSpec> second = parse_runtime_spec(text);
  ASSERT_TRUE(second) << second.error().message;
  EXPECT_EQ(to_text(*second), text);
  for (const char* part :
       {"\"umask\":63", "\"additionalGids\":[5,6]", "\"hostID\":100000", "\"oomScoreAdj\":-5", "\"quota\":-1",
        "\"rate\":1048576", "\"pids\":{\"limit\":10}", "\"timeout\":3", "\"valueTwo\"", "\"minor\":229",
        "\"path\":\"/n\""})
    EXPECT_EQ(text.find(part) != std::string::npos, std::string_view(part) != "\"valueTwo\"") << part;
  EXPECT_EQ(first->linux_.seccomp->syscalls[1].args[0].value, 2114060288u);
  EXPECT_EQ(first->find_namespace("network")->path, "/n");
  EXPECT_EQ(first->find_namespace("ipc"), nullptr);
}

TEST(RuntimeSpec, IdsThatDoNotFitAreRefused) {
  auto with_user = [](const char* user) {
    return parse_runtime_spec(std::string(R"({"process":{"user":)") + user + "}}");
  };
  EXPECT_TRUE(with_user(R"({"uid":4294967295,"gid":0})"));
  for (const char* bad : {R"({"uid":4294967296})", R"({"uid":-1})", R"({"gid":"0"})", R"({"uid":1.5})",
                          R"({"additionalGids":[4294967296]})", R"({"additionalGids":[-1]})",
                          R"({"additionalGids":["wheel"]})"}) {
    Result<RuntimeSpec> spec = with_user(bad);
    ASSERT_FALSE(spec) << bad;
    EXPECT_EQ(spec.error().kind, ErrorKind::invalid);
    EXPECT_NE(spec.error().message.find("process.user."), std::string::npos) << spec.error().message;
  }
}

TEST(RuntimeSpec, ErrorsNameThePlace) {
  Result<RuntimeSpec> spec = parse_runtime_spec(R"({"mounts":[{"destination":"/a"},{"destination":7}]})");
  ASSERT_FALSE(spec);
  EXPECT_NE(spec.error().message.find("mounts[1].destination must be a string"), std::string::npos)
      << spec.error().message;
  EXPECT_FALSE(parse_runtime_spec("[]"));
  EXPECT_FALSE(parse_runtime_spec("{\"process\":"));
}

TEST(RuntimeSpec, TheDefaultIsACompleteConfiguration) {
  RuntimeSpec spec = default_runtime_spec();
  std::string text = to_text(spec, true);
  Result<RuntimeSpec> again = parse_runtime_spec(text);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(to_text(*again, true), text);
  EXPECT_EQ(again->linux_.namespaces.size(), 6u);
  EXPECT_EQ(again->mounts.size(), 7u);
}

TEST(RuntimeSpec, AStateIsWrittenAsTheSpecificationShowsIt) {
  State state{"1.2.0", "web", "running", 42, "/b", {{"k", "v"}}};
  EXPECT_EQ(to_text(state), R"({"ociVersion":"1.2.0","id":"web","status":"running","pid":42,"bundle":"/b",)"
                            R"("annotations":{"k":"v"}})");
}

}  // namespace
}  // namespace berth::oci
