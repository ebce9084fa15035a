// SPDX-License-Identifier: Apache-2.0
#include "build/cdi.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/file.h"

namespace berth::build {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kSpecification = R"({"cdiVersion": "0.6.0", "kind": "vendor.com/gpu",
  "containerEdits": {"env": ["ALL=1"]},
  "devices": [
    {"name": "a", "containerEdits": {"env": ["A=1"], "deviceNodes": [{"path": "/dev/a", "hostPath": "/dev/null"}]}},
    {"name": "b", "annotations": {"org.mobyproject.buildkit.device.autoallow": "true"},
     "containerEdits": {"deviceNodes": [{"path": "/dev/b", "permissions": "r"}]}},
    {"name": "c", "containerEdits": {"mounts": [{"hostPath": "/", "containerPath": "/host"}]}}]})";

std::vector<CdiDevice> devices() { return *read_cdi_specification(kSpecification); }

std::string chosen(std::string_view text, const std::set<std::string>& allowed) {
  const Result<std::vector<CdiDevice>> found =
      choose_devices(devices(), *parse_device_request(text), allowed);
  if (!found) return found.error().message;
  std::string names;
  for (const CdiDevice& device : *found) names += device.name;
  return names;
}

TEST(CdiSpecification, HasNodesAndVariables) {
  const std::vector<CdiDevice> all = devices();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].qualified(), "vendor.com/gpu=a");
  EXPECT_THAT(all[0].environment, ElementsAre("ALL=1", "A=1"));
  EXPECT_EQ(all[0].nodes.at(0).host, "/dev/null");
  EXPECT_EQ(all[0].nodes.at(0).permissions, "rwm");
  EXPECT_EQ(all[1].nodes.at(0).host, "/dev/b");
  EXPECT_EQ(all[1].nodes.at(0).permissions, "r");
  EXPECT_EQ(all[2].missing, "mounts");
}

TEST(CdiSpecification, ThatIsWrongIsRefused) {
  for (
      const char* wrong :
      {"", "[]", R"({"kind": "gpu"})", R"({"kind": "v/c", "devices": [{}]})",
       R"({"kind": "v/c", "devices": [{"name": "a", "containerEdits": {"deviceNodes": [{"path": "dev"}]}}]})",
       R"({"kind": "v/c", "devices": [{"name": "a", "containerEdits": {"deviceNodes": [{"path": "/a/../b"}]}}]})",
       R"({"kind": "v/c", "containerEdits": {"deviceNodes": [{"path": "/a", "permissions": "x"}]}})"})
    EXPECT_FALSE(read_cdi_specification(wrong)) << wrong;
}

TEST(CdiDevices, AreOfAllDirectoriesAndTheLastOneWins) {
  const TemporaryDirectory one = *TemporaryDirectory::create("cdi"), two = *TemporaryDirectory::create("cdi");
  const Fd first = *open_file(one.path(), O_DIRECTORY), second = *open_file(two.path(), O_DIRECTORY);
  ASSERT_TRUE(write_file_atomically(first.get(), "gpu.json", kSpecification, 0644, Durability::visible));
  ASSERT_TRUE(write_file_atomically(first.get(), "wrong.json", "{", 0644, Durability::visible));
  ASSERT_TRUE(write_file_atomically(second.get(), "gpu.json",
                                    R"({"kind": "vendor.com/gpu", "devices": [{"name": "a"}]})", 0644,
                                    Durability::visible));
  const std::vector<CdiDevice> all = list_cdi_devices({one.path(), two.path(), "/nowhere"});
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all.back().name, "a");
  EXPECT_TRUE(all.back().nodes.empty());
}

TEST(ChooseDevices, ByNameByClassAndAll) {
  EXPECT_EQ(chosen("vendor.com/gpu=b", {"device"}), "b");
  EXPECT_EQ(chosen("vendor.com/gpu", {"device"}), "a");
  EXPECT_EQ(chosen("name=vendor.com/gpu=b,required=false", {"device"}), "b");
  EXPECT_EQ(chosen("vendor.com/gpu=z,required=false", {}), "");
  EXPECT_THAT(chosen("vendor.com/gpu=z", {"device"}), HasSubstr("no device vendor.com/gpu=z"));
  EXPECT_THAT(chosen("vendor.com/gpu=*", {"device"}), HasSubstr("c needs mounts"));
}

TEST(ChooseDevices, OnlyWhatIsAllowed) {
  EXPECT_THAT(chosen("vendor.com/gpu=a", {}), HasSubstr("--allow device=vendor.com/gpu=a"));
  EXPECT_THAT(chosen("vendor.com/gpu=a", {"security.insecure", "device=vendor.com/gpu=b"}),
              HasSubstr("--allow"));
  EXPECT_EQ(chosen("vendor.com/gpu=a", {"device=vendor.com/gpu=a"}), "a");
  EXPECT_EQ(chosen("vendor.com/gpu=a", {"device=vendor.com/gpu"}), "a");
  EXPECT_EQ(chosen("vendor.com/gpu=b", {}), "b") << "its annotation says so";
}

TEST(DeviceRequest, HasANameAndMayBeOptional) {
  for (const char* wrong : {"", "gpu", "required=false", "v/c=a,required=x", "v/c=a,v/c=b"})
    EXPECT_FALSE(parse_device_request(wrong)) << wrong;
}

}  // namespace
}  // namespace berth::build
