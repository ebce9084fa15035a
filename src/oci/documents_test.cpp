// SPDX-License-Identifier: Apache-2.0
// Manifests, indexes, image configs and platforms.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/config_json.h"
#include "oci/image_config.h"
#include "oci/manifest.h"
#include "oci/platform.h"

namespace berth::oci {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const std::string kDigest = "sha256:" + std::string(64, 'a');
const std::string kDescriptor =
    R"({"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":")" + kDigest + "\"}";

std::string manifest_text(std::string_view more = "") {
  return R"({"schemaVersion":2,"config":)" + kDescriptor + R"(,"layers":[)" + kDescriptor + "]" +
         std::string(more) + "}";
}

TEST(Manifest, ReadsAndWritesTheSameBytes) {
  std::string text =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":)" +
      kDescriptor + R"(,"layers":[)" + kDescriptor + R"(],"annotations":{"a":"b"}})";
  Result<Manifest> manifest = parse_manifest(text);
  ASSERT_TRUE(manifest) << manifest.error().message;
  std::string written = format_manifest(*manifest);
  EXPECT_EQ(format_manifest(*parse_manifest(written)), written);
  EXPECT_EQ(manifest->layers.size(), 1u);
  EXPECT_EQ(manifest->config.size, 2);
}

TEST(Manifest, RefusesADocumentThatIsTwoThings) {
  std::string both = manifest_text(R"(,"manifests":[])");
  EXPECT_THAT(parse_manifest(both).error().message, HasSubstr("both layers and manifests"));
  EXPECT_FALSE(parse_index(both));
  EXPECT_FALSE(parse_manifest_or_index(both));
  EXPECT_FALSE(parse_manifest_or_index(R"({"manifests":[],"layers":null,"mediaType":"x"})"));
}

TEST(Manifest, RefusesHostileDocuments) {
  std::string negative = manifest_text();
  negative.replace(negative.find("\"size\":2"), 8, "\"size\":-2");
  std::string traversal = manifest_text();
  traversal.replace(traversal.find(kDigest), kDigest.size(), "sha256:../../../etc/passwd");
  std::string many = R"({"config":)" + kDescriptor + R"(,"layers":[)" + kDescriptor;
  for (int i = 0; i < 600; ++i) many += "," + kDescriptor;
  for (const std::string& text :
       {std::string(), std::string("null"), std::string("[]"), std::string("{}"), negative, traversal,
        many + "]}", std::string(R"({"schemaVersion":1,"fsLayers":[]})"), manifest_text(R"(,"fsLayers":[])"),
        manifest_text(R"(,"mediaType":"application/vnd.oci.image.index.v1+json")"), manifest_text() + "{}",
        std::string(5u << 20, ' ') + manifest_text(), std::string(100'000, '[')})
    EXPECT_FALSE(parse_manifest(text)) << text.substr(0, 300);
}

TEST(Manifest, ToldApartByMediaTypeOrByTheArrayThatIsThere) {
  EXPECT_TRUE(std::holds_alternative<Manifest>(*parse_manifest_or_index(manifest_text())));
  EXPECT_TRUE(
      std::holds_alternative<Index>(*parse_manifest_or_index(R"({"schemaVersion":2,"manifests":[]})")));
  EXPECT_FALSE(parse_manifest_or_index(R"({"mediaType":"application/vnd.oci.image.index.v1+json"})"));
}

TEST(Index, ReadsPlatforms) {
  Result<Index> index =
      parse_index(R"({"schemaVersion":2,"manifests":[{"mediaType":"x","size":1,"digest":")" + kDigest +
                  R"(","platform":{"os":"linux","architecture":"arm","variant":"v7"}}]})");
  ASSERT_TRUE(index) << index.error().message;
  EXPECT_EQ(format_platform(*index->manifests[0].platform), "linux/arm/v7");
}

TEST(ImageConfig, ReadsDockersExtensionsAndToleratesTheUnknown) {
  Result<ImageConfig> config = parse_image_config(R"({
    "architecture":"arm64","os":"linux","variant":"v8","created":"2026-01-02T03:04:05Z","author":"ann","container":"abc",
    "container_config":{"Cmd":["x"]},"docker_version":"28.0","future":{"a":[1,2]},
    "config":{"User":"1:2","ExposedPorts":{"80/tcp":{}},"Env":["A=b"],"Entrypoint":null,"Cmd":"top","Volumes":{"/data":{}},
      "WorkingDir":"/w","Labels":{"l":"m"},"StopSignal":"SIGQUIT","StopTimeout":7,"ArgsEscaped":true,"Shell":["/bin/ash","-c"],
      "OnBuild":["RUN x"],"Healthcheck":{"Test":["CMD","true"],"Interval":5000000000,"Retries":3}},
    "rootfs":{"type":"layers","diff_ids":[")" + kDigest +
                                                  R"("]},
    "history":[{"created":"2026-01-02T03:04:05Z","created_by":"ADD","comment":"c"},{"created_by":"CMD","empty_layer":true}]})");
  ASSERT_TRUE(config) << config.error().message;
  EXPECT_EQ(format_platform(config->platform), "linux/arm64/v8");
  EXPECT_EQ(config->config.user, "1:2");
  EXPECT_EQ(config->config.entrypoint, std::nullopt);
  EXPECT_THAT(*config->config.cmd, ElementsAre("top"));
  EXPECT_THAT(config->config.exposed_ports, ElementsAre("80/tcp"));
  EXPECT_EQ(config->config.stop_timeout, 7);
  EXPECT_EQ(config->config.healthcheck->interval, std::chrono::seconds(5));
  EXPECT_THAT(*config->config.shell, ElementsAre("/bin/ash", "-c"));
  EXPECT_EQ(config->history.size(), 2u);
  EXPECT_TRUE(config->history[1].empty_layer);

  std::string written = format_image_config(*config);
  Result<ImageConfig> again = parse_image_config(written);
  ASSERT_TRUE(again) << again.error().message;
  EXPECT_EQ(again->config, config->config);
  EXPECT_EQ(format_image_config(*again), written);
}

TEST(ImageConfig, RefusesWhatMakesNoImage) {
  for (std::string text : {"", "null", "[]", "{}", R"({"rootfs":{"type":"other","diff_ids":[]}})",
                           R"({"rootfs":{"type":"layers","diff_ids":["../x"]}})",
                           R"({"rootfs":{"type":"layers","diff_ids":{}}})",
                           R"({"created":"yesterday","rootfs":{"type":"layers"}})",
                           R"({"config":[],"rootfs":{"type":"layers"}})",
                           R"({"config":{"Env":"A=b"},"rootfs":{"type":"layers"}})"})
    EXPECT_FALSE(parse_image_config(text)) << text;
  EXPECT_TRUE(parse_image_config(R"({"rootfs":{"type":"layers"}})"));
}

TEST(ImageConfig, ApiFormHasWhatClientsExpectToBeThere) {
  json::object api = to_json(ContainerConfig{}, ConfigForm::api);
  for (const char* name : {"Hostname", "User", "Tty", "Env", "Cmd", "Image", "Volumes", "WorkingDir",
                           "Entrypoint", "OnBuild", "Labels"})
    EXPECT_TRUE(api.contains(name)) << name;
  EXPECT_TRUE(to_json(ContainerConfig{}, ConfigForm::image).empty());
}

TEST(ImageConfig, ChainsDigestsOfLayers) {
  Digest a = sha256_of("a"), b = sha256_of("b");
  EXPECT_THAT(chain_ids({a, b}), ElementsAre(a, sha256_of(a.text() + " " + b.text())));
}

TEST(Platform, ParsesAndNormalises) {
  EXPECT_EQ(format_platform(*parse_platform("linux/x86_64")), "linux/amd64");
  EXPECT_EQ(format_platform(*parse_platform("linux/aarch64/v8")), "linux/arm64");
  EXPECT_EQ(format_platform(*parse_platform("linux/arm")), "linux/arm/v7");
  EXPECT_EQ(format_platform(*parse_platform("arm64")), "linux/arm64");
  EXPECT_EQ(*parse_platform("linux"), host_platform());
  for (const char* text : {"", "/", "linux/", "a/b/c/d", "linux/am d64", "linux/../x"})
    EXPECT_FALSE(parse_platform(text)) << text;
}

TEST(Platform, KnowsWhatRunsWithoutEmulation) {
  auto runs = [](const char* wanted, const char* host) {
    return runs_on(*parse_platform(wanted), *parse_platform(host));
  };
  EXPECT_TRUE(runs("linux/amd64", "linux/amd64"));
  EXPECT_TRUE(runs("linux/386", "linux/amd64"));
  EXPECT_FALSE(runs("linux/arm64", "linux/amd64"));
  EXPECT_TRUE(runs("linux/arm/v6", "linux/arm/v7"));
  EXPECT_FALSE(runs("linux/arm/v7", "linux/arm/v6"));
  EXPECT_TRUE(runs("linux/arm/v7", "linux/arm64"));
  EXPECT_FALSE(runs("windows/amd64", "linux/amd64"));
}

}  // namespace
}  // namespace berth::oci
