// SPDX-License-Identifier: Apache-2.0
#include "runtime/plan.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"

namespace berth::runtime {
namespace {

const std::string kData = std::string(BERTH_SOURCE_DIR) + "/src/runtime/testdata/";

// BERTH_UPDATE_GOLDEN=1 writes what the plan is now, to be read before it is committed.
void expect_golden(const std::string& name, const std::string& text) {
  if (std::getenv("BERTH_UPDATE_GOLDEN")) {
    Result<Fd> directory = open_file(kData, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(directory);
    ASSERT_TRUE(write_file_atomically(directory->get(), name, text, 0644, Durability::visible));
  }
  Result<std::string> golden = read_file(kData + name);
  ASSERT_TRUE(golden) << golden.error().message;
  EXPECT_EQ(text, *golden);
}

std::string planned(const oci::RuntimeSpec& spec, PlanOptions options = {}) {
  options.bundle = "/bundle";
  Result<Plan> plan = make_plan(spec, options);
  return plan ? to_text(*plan) : "error: " + plan.error().message + "\n";
}

oci::RuntimeSpec plain() {
  oci::RuntimeSpec spec = oci::default_runtime_spec();
  spec.process->terminal = false;
  return spec;
}

TEST(Plan, OfTheDefaultConfiguration) { expect_golden("default.plan", planned(oci::default_runtime_spec())); }

TEST(Plan, OfTheDefaultConfigurationOnCgroupV1) {
  expect_golden("default_v1.plan", planned(plain(), {.unified_cgroups = false}));
}

TEST(Plan, OfVolumesDevicesAndLimits) {
  oci::RuntimeSpec spec = plain();
  spec.mounts.push_back({"/data", "bind", "/srv/data", {"rbind", "ro", "rprivate"}, {}, {}});
  spec.mounts.push_back({"/all", "bind", "/srv/all", {"rbind", "rro", "nosuid", "rslave"}, {}, {}});
  spec.mounts.push_back({"/etc/hosts", "", "hosts", {"bind", "noatime"}, {}, {}});
  spec.linux_.devices = {{"/dev/fuse", "c", 10, 229, 0600, 0, 5},
                         {"/dev/null", "c", 1, 3, {}, {}, {}},
                         {"/dev/pipe", "p", 0, 0, {}, {}, {}}};
  spec.linux_.sysctl = {
      {"net.ipv4.ip_forward", "1"}, {"net.ipv4.conf.eth0/1.forwarding", "1"}, {"kernel.shmmax", "5"}};
  spec.domainname = "example";
  spec.process->cwd = "/work";
  expect_golden("volumes.plan", planned(spec, {.create_cwd = true}));
}

TEST(Plan, OfHooksEntersTheRootLast) {
  oci::RuntimeSpec spec = plain();
  spec.hooks.create_runtime.push_back({"/bin/true", {}, {}, {}});
  spec.hooks.create_container.push_back({"/bin/true", {}, {}, {}});
  expect_golden("hooks.plan", planned(spec));
}

TEST(Plan, OfJoinedNamespaces) {
  oci::RuntimeSpec spec = plain();
  spec.linux_.namespaces = {
      {"mount", ""}, {"pid", ""}, {"network", "/run/netns/a"}, {"ipc", "/proc/5/ns/ipc"}};
  spec.hostname.clear();
  expect_golden("joined.plan", planned(spec, {.joined_by_descriptor = {"network"}}));
}

TEST(Plan, OfAUserNamespaceBindsItsDevices) {
  oci::RuntimeSpec spec = plain();
  spec.linux_.namespaces.push_back({"user", ""});
  expect_golden("user_namespace.plan", planned(spec));
}

std::string refusal(const oci::RuntimeSpec& spec) {
  Result<Plan> plan = make_plan(spec, {.bundle = "/bundle"});
  return plan ? "" : plan.error().message;
}

TEST(Plan, SysctlsOutsideOfTheContainersNamespacesAreRefused) {
  for (const char* name :
       {"kernel.core_pattern", "vm.overcommit_memory", "kernel.panic", "fs.file-max", "kernel.hostname",
        "net", "kernel", "kernel.shmmax_", "fs.mqueuex.a", "net..ipv4", "net.ipv4/../../kernel.core_pattern",
        "net/../kernel/core_pattern", "net.//.kernel", "/kernel/core_pattern", "net.ipv4.a b", ""}) {
    oci::RuntimeSpec spec = plain();
    spec.linux_.sysctl = {{name, "|/x"}};
    EXPECT_NE(refusal(spec), "") << name;
  }
  oci::RuntimeSpec spec = plain();
  std::erase_if(spec.linux_.namespaces, [](const oci::Namespace& one) { return one.type == "network"; });
  spec.linux_.sysctl = {{"net.ipv4.ip_forward", "1"}};
  EXPECT_NE(refusal(spec).find("network namespace"), std::string::npos);
}

TEST(Plan, ConfigurationsThatMakeNoSenseAreRefused) {
  auto with = [](auto change) {
    oci::RuntimeSpec spec = plain();
    change(spec);
    return refusal(spec);
  };
  EXPECT_NE(with([](auto& spec) { spec.process.reset(); }), "");
  EXPECT_NE(with([](auto& spec) { spec.linux_.namespaces.push_back({"pid", ""}); }), "");
  EXPECT_NE(with([](auto& spec) { spec.linux_.namespaces.push_back({"moon", ""}); }), "");
  EXPECT_NE(with([](auto& spec) {
              std::erase_if(spec.linux_.namespaces, [](auto& one) { return one.type == "mount"; });
            }),
            "");
  EXPECT_NE(with([](auto& spec) {
              std::erase_if(spec.linux_.namespaces, [](auto& one) { return one.type == "uts"; });
            }),
            "");
  EXPECT_NE(with([](auto& spec) { spec.mounts.push_back({"", "tmpfs", "x", {}, {}, {}}); }), "");
  EXPECT_NE(with([](auto& spec) { spec.mounts.push_back({"/a", "bind", "", {"bind"}, {}, {}}); }), "");
  EXPECT_NE(with([](auto& spec) {
              spec.mounts.push_back({"/a", "bind", "/b", {"bind", "size=5"}, {}, {}});
            }),
            "");
  EXPECT_NE(with([](auto& spec) {
              spec.mounts.push_back({"/a", "bind", "/b", {"bind", "berth.beneath="}, {}, {}});
            }),
            "");
  EXPECT_EQ(with([](auto& spec) {
              spec.mounts.push_back({"/a", "bind", "/b", {"bind", "berth.beneath=c/d"}, {}, {}});
            }),
            "");
  EXPECT_NE(with([](auto& spec) { spec.linux_.devices.push_back({"/dev/x", "z", 1, 1, {}, {}, {}}); }), "");
  EXPECT_NE(with([](auto& spec) { spec.linux_.devices.push_back({"dev/x", "c", 1, 1, {}, {}, {}}); }), "");
  EXPECT_NE(with([](auto& spec) { spec.linux_.devices.push_back({"/dev/x", "c", -1, 1, {}, {}, {}}); }), "");
  EXPECT_EQ(with([](auto&) {}), "");
}

TEST(Plan, ProtectionsThatAreLeftOutAreSaid) {
  oci::RuntimeSpec spec = plain();
  spec.process->apparmor_profile = "docker-default";
  std::vector<std::string> warnings;
  ASSERT_TRUE(make_plan(spec, {.bundle = "/bundle", .warnings = &warnings}));
  ASSERT_EQ(warnings.size(), 1u);
  EXPECT_NE(warnings[0].find("docker-default"), std::string::npos);
}

}  // namespace
}  // namespace berth::runtime
