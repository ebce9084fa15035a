// SPDX-License-Identifier: Apache-2.0
#include "build/cache_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "oci/image_config.h"
#include "oci/manifest.h"

namespace berth::build {
namespace {

using testing::HasSubstr;

CachedResult result(const std::string& key, const std::string& layer) {
  return {sha256_of(key), sha256_of(layer), {1'700'000'000'000'000'000}, {}, 0, 7, "RUN secret-word"};
}

std::string config_of(const std::vector<Digest>& diff_ids) {
  oci::ImageConfig config;
  config.platform = {.os = "linux", .architecture = "amd64"};
  config.diff_ids = diff_ids;
  return oci::format_image_config(config);
}

std::string refusal(const std::string& text) {
  const Result<CacheDocument> document = parse_cache(text);
  return document ? "" : document.error().message;
}

TEST(CacheDocument, WhatIsWrittenIsReadAgain) {
  const std::vector<CachedResult> results{result("a", "x"), result("b", "y"), result("c", "x")};
  const CacheDocument document = cache_document(results);
  EXPECT_EQ(document.diff_ids.size(), 2u) << "each layer once";
  const CacheDocument again = *parse_cache(format_cache(document));
  EXPECT_EQ(again.diff_ids, document.diff_ids);
  EXPECT_EQ(again.entries, document.entries);
  ASSERT_EQ(again.entries.size(), 3u);
  for (const CacheEntry& entry : again.entries)
    EXPECT_EQ(again.diff_ids[entry.layer], sha256_of(entry.key == sha256_of("b") ? "y" : "x"));
}

TEST(CacheDocument, DoesNotDependOnTheOrderOfStages) {
  const std::vector<CachedResult> one{result("a", "x"), result("b", "y")};
  const std::vector<CachedResult> other{result("b", "y"), result("a", "x")};
  EXPECT_EQ(format_cache(cache_document(one)), format_cache(cache_document(other)));
  EXPECT_THAT(format_cache(cache_document(one)), Not(HasSubstr("secret-word")));
}

TEST(CacheDocument, AnImageSaysWhatItsOwnLayersAreResultsOf) {
  const std::string config = config_of({sha256_of("base"), sha256_of("x"), sha256_of("x")});
  const std::vector<CachedResult> results{result("a", "x"), result("b", "elsewhere")};
  const std::string with = *with_inline_cache(config, results);
  EXPECT_EQ(oci::format_image_config(*oci::parse_image_config(with)), config) << "it is still that image";
  const CacheDocument document = **inline_cache_of(with);
  ASSERT_EQ(document.entries.size(), 1u);
  EXPECT_EQ(document.entries[0].key, sha256_of("a"));
  EXPECT_EQ(document.diff_ids[document.entries[0].layer], sha256_of("x"));
  EXPECT_FALSE(inline_cache_of(config)->has_value());
}

TEST(CacheDocument, HostileOnesAreRefused) {
  const std::string digest = sha256_of("x").text();
  EXPECT_THAT(refusal("[]"), HasSubstr("object"));
  EXPECT_THAT(refusal("{"), HasSubstr("build cache"));
  EXPECT_THAT(refusal("{}"), HasSubstr("version"));
  EXPECT_THAT(refusal(R"({"version": 2})"), HasSubstr("version 2"));
  EXPECT_THAT(refusal(R"({"version": 1, "diffIds": ["x"]})"), HasSubstr("digest"));
  EXPECT_THAT(
      refusal(R"({"version": 1, "diffIds": [], "results": [{"key": ")" + digest + R"(", "layer": 0}]})"),
      HasSubstr("layer"));
  EXPECT_THAT(refusal(R"({"version": 1, "diffIds": [")" + digest +
                      R"("], "results": [{"key": "../../x", "layer": 0}]})"),
              HasSubstr("key"));
  EXPECT_THAT(refusal(R"({"version": 1, "diffIds": [")" + digest + R"("], "results": [{"key": ")" + digest +
                      R"(", "layer": 18446744073709551615}]})"),
              HasSubstr("layer"));
  EXPECT_THAT(refusal(R"({"version": 1, "diffIds": [")" + digest + R"("], "results": [{"key": ")" + digest +
                      R"(", "layer": -1}]})"),
              HasSubstr("layer"));
  EXPECT_THAT(refusal(R"({"version": 1, "diffIds": [")" + digest + R"("], "results": [{"key": ")" + digest +
                      R"(", "created": "yesterday"}]})"),
              HasSubstr("created"));
  std::string many = R"({"version": 1, "diffIds": [")" + digest + "\"";
  for (std::size_t count = 0; count <= kMostCacheLayers; ++count) many += ",\"" + digest + "\"";
  EXPECT_THAT(refusal(many + "]}"), HasSubstr("limit"));
  EXPECT_THAT(refusal(std::string(oci::kDocumentLimit + 1, ' ')), HasSubstr("limit"));
}

TEST(CacheDocument, AConfigWithAHostileMemberIsRefused) {
  std::string config = config_of({sha256_of("x")});
  config.pop_back();
  const std::string digest = sha256_of("k").text();
  auto said = [&](const std::string& member) {
    const auto document = inline_cache_of(config + ",\"" + std::string(kInlineMember) + "\":" + member + "}");
    return document ? std::string() : document.error().message;
  };
  EXPECT_EQ(said(R"({"version":1,"results":[{"key":")" + digest + R"(","layer":0}]})"), "");
  EXPECT_THAT(said(R"({"version":1,"results":[{"key":")" + digest + R"(","layer":1}]})"), HasSubstr("layer"));
  EXPECT_THAT(said("7"), HasSubstr("build cache"));
}

}  // namespace
}  // namespace berth::build
