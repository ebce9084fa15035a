// SPDX-License-Identifier: Apache-2.0
#include "image/layer_intake.h"

#include "archive/compression.h"
#include "image/test_store.h"

namespace berth::image {
namespace {

struct LayerIntakeTest : testing::Test {
  static constexpr std::size_t kSize = 16u << 20;
  TemporaryDirectory directory = TemporaryDirectory::create("intake").value();
  TestStore store{directory.path()};
  std::string tar = make_tar({{"zeros", std::string(kSize, '\0')}});
  std::string blob;

  void SetUp() override {
    archive::StringSink packed;
    const std::unique_ptr<archive::Sink> zstd = archive::compress(packed, archive::Compression::zstd).value();
    ASSERT_TRUE(zstd->write(tar) && zstd->finish());
    blob = packed.take();
    ASSERT_LT(blob.size() * 100, kSize);
  }
  Result<void> take(std::int64_t claimed, const InflationLimit& limit) {
    const oci::Descriptor descriptor{
        .media_type = std::string(oci::media_type::kLayerGzip), .digest = sha256_of(blob), .size = claimed};
    archive::StringSource bytes(blob);
    bool right = false;
    return take_layer(store.layers(), bytes, descriptor, sha256_of(tar), {}, right, limit);
  }
};

TEST_F(LayerIntakeTest, ABombIsHeldAgainstWhatCameNotWhatItClaims) {
  const Result<void> taken = take(1'000'000'000'000, {.least = 1u << 20});
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().kind, ErrorKind::exhausted) << taken.error().message;
  EXPECT_FALSE(store.layers().has(sha256_of(tar)));
}

TEST_F(LayerIntakeTest, AClaimThatOverflowsIsNoLimit) {
  EXPECT_EQ(take(INT64_MAX, {.least = 1u << 20}).error().kind, ErrorKind::exhausted);
}

TEST_F(LayerIntakeTest, WhatCompressesWellIsTakenUpToTheLeast) {
  const Result<void> taken = take(static_cast<std::int64_t>(blob.size()), {.least = kSize * 2});
  EXPECT_TRUE(taken) << taken.error().message;
  EXPECT_TRUE(store.layers().has(sha256_of(tar)));
}

}  // namespace
}  // namespace berth::image
