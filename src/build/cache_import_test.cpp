// SPDX-License-Identifier: Apache-2.0
#include "build/cache_import.h"

#include <gtest/gtest.h>

namespace berth::build {
namespace {

struct ImportedCachesTest : testing::Test {
  ImportedCaches caches;
  const Digest key = sha256_of("key"), other_key = sha256_of("other key");
  const Digest layer = sha256_of("layer"), other_layer = sha256_of("other layer");

  void SetUp() override {
    for (const char* name : {"first", "second"}) {
      RemoteCache cache;
      cache.document.diff_ids = {layer, other_layer};
      cache.document.entries = {{.key = key, .layer = 0}, {.key = other_key, .layer = 1}};
      cache.description = name;
      caches.add(std::move(cache));
    }
  }
  std::string found(const Digest& of) const {
    std::string names;
    for (const ImportedResult& result : caches.find(of)) names += result.cache->description + " ";
    return names;
  }
};

TEST_F(ImportedCachesTest, AreAskedInTheOrderInWhichTheyWereNamed) {
  EXPECT_EQ(found(key), "first second ");
  EXPECT_EQ(found(sha256_of("nothing")), "");
  EXPECT_EQ(caches.find(other_key).front().diff_id, other_layer);
}

TEST_F(ImportedCachesTest, ALayerThatWasWrongIsNotAskedForAgain) {
  caches.failed(caches.find(key).front(), {.kind = ErrorKind::corrupt});
  EXPECT_EQ(found(key), "second ");
  EXPECT_EQ(found(other_key), "first second ");
}

TEST_F(ImportedCachesTest, ACacheThatDoesNotAnswerIsNotAskedAgain) {
  caches.failed(caches.find(key).front(), {.kind = ErrorKind::unavailable});
  EXPECT_EQ(found(other_key), "second ");
  caches.failed(caches.find(key).front(), {.kind = ErrorKind::timeout});
  EXPECT_EQ(found(other_key), "");
}

}  // namespace
}  // namespace berth::build
