// SPDX-License-Identifier: Apache-2.0
#include "cli/build/caches.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::cli {
namespace {

using testing::HasSubstr;

std::string said(const Result<CacheOption>& option) { return option ? "" : option.error().message; }

TEST(CacheOptions, ABareNameIsAtARegistry) {
  const CacheOption cache = *parse_cache_from("registry.example/cache:1");
  EXPECT_EQ(cache.type, "registry");
  EXPECT_EQ(cache.reference, "registry.example/cache:1");
}

TEST(CacheOptions, TypesAreWhatBuildxMeansByThem) {
  EXPECT_EQ(parse_cache_from("type=registry,ref=a/b")->reference, "a/b");
  EXPECT_EQ(parse_cache_from("type=local,src=dir")->directory, "dir");
  EXPECT_EQ(parse_cache_to("type=local,dest=dir")->directory, "dir");
  EXPECT_EQ(parse_cache_to("type=inline")->type, "inline");
  EXPECT_EQ(parse_cache_to("inline")->type, "inline");
  EXPECT_FALSE(parse_cache_to("type=registry,ref=a")->whole);
  EXPECT_FALSE(parse_cache_to("type=registry,ref=a,mode=min")->whole);
  EXPECT_TRUE(parse_cache_to("type=registry,ref=a,mode=max,image-manifest=true")->whole);
  EXPECT_TRUE(parse_cache_to("type=registry,ref=a,ignore-error=true")->optional);
  EXPECT_FALSE(parse_cache_to("type=registry,ref=a,ignore-error=0")->optional);
}

TEST(CacheOptions, ErrorsNameTheOption) {
  for (const char* text :
       {"UPPER", "type=registry", "type=registry,ref=UPPER", "type=local", "type=odd", "type=inline", "src=x",
        "type=local,src=x,odd=y", "type=gha", "type=s3,bucket=x", "type=azblob", "type=local,src"})
    EXPECT_THAT(said(parse_cache_from(text)), HasSubstr("--cache-from")) << text;
  for (const char* text : {"a", "type=registry", "type=local", "type=local,src=x", "type=odd", "type=gha",
                           "type=registry,ref=a,mode=most", "type=registry,ref=a,ignore-error=yes"})
    EXPECT_THAT(said(parse_cache_to(text)), HasSubstr("--cache-to")) << text;
  EXPECT_THAT(said(parse_cache_to("type=gha,scope=x")), HasSubstr("at a registry or in a directory"));
}

}  // namespace
}  // namespace berth::cli
