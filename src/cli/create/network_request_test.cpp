// SPDX-License-Identifier: Apache-2.0
// testdata/network_requests.json holds what Docker 28's command line sent for the same options.
#include "cli/create/network_request.h"

#include <gtest/gtest.h>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/network_flags.h"

namespace berth::cli {
namespace {

Result<json::object> create_request(const std::vector<std::string>& arguments) {
  Parsed parsed = TRY(parse_flags(kNetworkCreateFlags, arguments, true));
  return make_network_request(parsed.flags, parsed.words.at(0));
}

Result<json::object> connect_request(const std::vector<std::string>& arguments) {
  Parsed parsed = TRY(parse_flags(kNetworkConnectFlags, arguments, true));
  return make_connect_request(parsed.flags, parsed.words.at(1));
}

std::string refusal(std::vector<std::string> arguments) {
  arguments.emplace_back("n");
  Result<json::object> made = create_request(arguments);
  return made ? json::serialize(*made) : made.error().message;
}

TEST(NetworkRequest, SendsWhatDockerSendsForTheSameOptions) {
  std::string text = *read_file(BERTH_SOURCE_DIR "/src/cli/testdata/network_requests.json");
  json::value golden = *parse_json(text, "the test data");
  for (const json::value& item : golden.get_array()) {
    auto arguments = json::value_to<std::vector<std::string>>(item.at("arguments"));
    SCOPED_TRACE(join(arguments, " "));
    Result<json::object> made =
        item.at("command") == "create" ? create_request(arguments) : connect_request(arguments);
    ASSERT_TRUE(made) << made.error().message;
    EXPECT_EQ(json::value(*made), item.at("body")) << json::serialize(*made);
  }
}

TEST(NetworkRequest, EachAddressGoesToTheSubnetThatItLiesIn) {
  json::object made =
      *create_request({"--subnet=10.0.0.0/8,fd00::/64", "--subnet", "12.0.0.0/8", "--gateway", "12.0.0.1",
                       "--gateway", "10.0.0.2", "--ip-range=fd00::/80", "--aux-address", "a=12.0.0.9", "n"});
  EXPECT_EQ(json::serialize(made.at("IPAM").at("Config")),
            R"([{"Subnet":"10.0.0.0/8","Gateway":"10.0.0.2"},{"Subnet":"fd00::/64","IPRange":"fd00::/80"},)"
            R"({"Subnet":"12.0.0.0/8","Gateway":"12.0.0.1","AuxiliaryAddresses":{"a":"12.0.0.9"}}])");
}

TEST(NetworkRequest, RefusesWhatLiesInNoSubnet) {
  EXPECT_EQ(refusal({"--gateway", "1.2.3.4"}), "every ip-range or gateway must have a corresponding subnet");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8", "--gateway", "1.2.3.4"}),
            "no matching subnet for gateway 1.2.3.4");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8", "--gateway", "fd00::1"}),
            "no matching subnet for gateway fd00::1");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8", "--ip-range", "11.0.0.0/16"}),
            "no matching subnet for range 11.0.0.0/16");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8", "--aux-address", "a=1.2.3.4"}),
            "no matching subnet for aux-address 1.2.3.4");
}

TEST(NetworkRequest, RefusesSubnetsThatOverlapAndWhatIsNoSubnet) {
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/16", "--subnet", "10.0.0.0/8"}),
            "multiple overlapping subnet configuration is not supported");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8", "--subnet", "10.1.0.0/16"}),
            "multiple overlapping subnet configuration is not supported");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/33", "--gateway", "10.0.0.1"}),
            "invalid subnet: invalid CIDR address: 10.0.0.0/33");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8", "--ip-range", "10.0.0.1"}), "invalid CIDR address: 10.0.0.1");
}

TEST(NetworkRequest, ASubnetHasOneRangeAndOneGateway) {
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8,12.0.0.0/8", "--ip-range", "10.2.3.0/24,10.3.0.0/24"}),
            "cannot configure multiple ranges (10.3.0.0/24, 10.2.3.0/24) on the same subnet (10.0.0.0/8)");
  EXPECT_EQ(refusal({"--subnet", "10.0.0.0/8,12.0.0.0/8", "--gateway", "10.0.0.1,10.0.0.2"}),
            "cannot configure multiple gateways (10.0.0.2, 10.0.0.1) for the same subnet (10.0.0.0/8)");
}

TEST(NetworkRequest, ADriverOptionHasANameAndAValue) {
  for (std::string option : {"x", "=x", "="})
    EXPECT_EQ(connect_request({"--driver-opt", option, "n", "c"}).error().message,
              "invalid key/value pair format in driver options");
}

}  // namespace
}  // namespace berth::cli
