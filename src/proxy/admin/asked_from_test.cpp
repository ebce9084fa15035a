// SPDX-License-Identifier: Apache-2.0
#include "proxy/admin/asked_from.h"

#include <gmock/gmock.h>

namespace berth::proxy {
namespace {

bool allowed(std::string_view method, http::Headers headers, std::string_view address = "127.0.0.1") {
  http::Request request;
  request.method = method;
  request.headers = std::move(headers);
  return check_asked_from(request, address).has_value();
}

TEST(AskedFrom, KnowsThisMachinesOwnNames) {
  for (const char* host :
       {"localhost", "LOCALHOST:8081", "127.0.0.1", "127.0.0.1:8081", "[::1]", "[::1]:8081"})
    EXPECT_TRUE(allowed("GET", {{"Host", host}})) << host;
  EXPECT_TRUE(allowed("GET", {{"Host", "127.0.0.2:8081"}}, "127.0.0.2"));
  EXPECT_TRUE(allowed("GET", {{"Host", "[::1]:8081"}}, "::1"));
}

TEST(AskedFrom, RefusesNamesThatOnlyMeanThisMachineNow) {
  for (const char* host :
       {"evil.test", "evil.test:8081", "localhost.evil.test", "127.0.0.1.evil.test", "evil.test:127.0.0.1",
        "localhost@evil.test", "", ":8081", "127.0.0.2", "[::1", "[::1].evil.test", "[::1]evil.test:80",
        "[::2]", "::1", "0.0.0.0", "localhost.", "127.1", " localhost"})
    EXPECT_FALSE(allowed("GET", {{"Host", host}})) << host;
  EXPECT_FALSE(allowed("GET", {{"Host", "localhost"}, {"Host", "evil.test"}}));
}

TEST(AskedFrom, RefusesChangesByPagesOfOtherOrigins) {
  for (const char* origin :
       {"http://evil.test", "null", "", "http://localhost", "http://localhost:3000", "https://localhost:8081",
        "http://127.0.0.1:8081", "http://localhost:80810", "http://localhost:8081.evil.test"}) {
    EXPECT_FALSE(allowed("PUT", {{"Host", "localhost:8081"}, {"Origin", origin}})) << origin;
    EXPECT_FALSE(allowed("DELETE", {{"Origin", origin}, {"Host", "localhost:8081"}})) << origin;
    EXPECT_TRUE(allowed("GET", {{"Host", "localhost:8081"}, {"Origin", origin}})) << origin;
  }
  for (const char* site : {"cross-site", "same-site", "", "Same-Origin"})
    EXPECT_FALSE(allowed("PUT", {{"Host", "localhost:8081"}, {"Sec-Fetch-Site", site}})) << site;
}

TEST(AskedFrom, LetsItsOwnPageAndProgramsThrough) {
  EXPECT_TRUE(allowed("PUT", {{"Host", "localhost:8081"}}));
  EXPECT_TRUE(allowed("PUT", {}));  // HTTP/1.0
  EXPECT_TRUE(allowed(
      "PUT",
      {{"Host", "localhost:8081"}, {"Origin", "http://localhost:8081"}, {"Sec-Fetch-Site", "same-origin"}}));
  EXPECT_TRUE(allowed("DELETE", {{"Host", "[::1]:8081"}, {"Sec-Fetch-Site", "none"}}));
}

}  // namespace
}  // namespace berth::proxy
