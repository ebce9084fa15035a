// SPDX-License-Identifier: Apache-2.0
#include "api/build_entitlements.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::api {
namespace {

using testing::HasSubstr;

std::string refusal(const engine::BuildPolicy& policy, const build::BuildRequest& request) {
  const Result<void> checked = check_entitlements(policy, request);
  return checked ? "" : checked.error().message;
}

TEST(CheckEntitlements, InsecureStepsAreTheConfigurationsToPermit) {
  engine::BuildPolicy policy;
  build::BuildRequest request;
  EXPECT_EQ(refusal(policy, request), "");
  request.entitlements = {"security.insecure"};
  EXPECT_THAT(refusal(policy, request), HasSubstr("{\"security-insecure\": true}"));
  policy.insecure = true;
  EXPECT_EQ(refusal(policy, request), "");
}

TEST(CheckEntitlements, TheHostsNetworkIsThereUnlessTheConfigurationForbidsIt) {
  engine::BuildPolicy policy;
  build::BuildRequest allowing, asking;
  allowing.entitlements = {"network.host"};
  asking.settings.network = "host";
  EXPECT_EQ(refusal(policy, allowing) + refusal(policy, asking), "");
  policy.host_network = false;
  EXPECT_THAT(refusal(policy, allowing), HasSubstr("network-host"));
  EXPECT_THAT(refusal(policy, asking), HasSubstr("network-host"));
}

TEST(CheckEntitlements, DevicesAreThereUnlessTheConfigurationForbidsThem) {
  engine::BuildPolicy policy;
  build::BuildRequest request;
  request.entitlements = {"device", "device=vendor.com/class=name"};
  EXPECT_EQ(refusal(policy, request), "");
  policy.devices = false;
  EXPECT_THAT(refusal(policy, request), HasSubstr("{\"device\": true}"));
}

TEST(CheckEntitlements, WhatIsNotKnownIsNamed) {
  build::BuildRequest request;
  request.entitlements = {"security.none"};
  EXPECT_THAT(refusal({}, request), HasSubstr("security.none"));
}

}  // namespace
}  // namespace berth::api
