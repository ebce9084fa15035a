// SPDX-License-Identifier: Apache-2.0
#include "registry/authentication.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace berth::registry {
namespace {

TEST(Challenges, OneHeaderMayHoldSeveral) {
  auto challenges = *parse_challenges(
      "Basic realm=\"a \\\"b\\\", c\", Bearer "
      "realm=\"https://auth.example/token\",service=\"reg\",scope=\"repository:a/b:pull,push\"");
  ASSERT_EQ(challenges.size(), 2u);
  EXPECT_EQ(challenges[0].scheme, "basic");
  EXPECT_EQ(challenges[0].parameters["realm"], "a \"b\", c");
  EXPECT_EQ(challenges[1].scheme, "bearer");
  EXPECT_EQ(challenges[1].parameters["realm"], "https://auth.example/token");
  EXPECT_EQ(challenges[1].parameters["scope"], "repository:a/b:pull,push");
  EXPECT_EQ((*parse_challenges("BEARER realm=https://x/y,service=z"))[0].parameters["realm"], "https://x/y");
}

TEST(Challenges, MalformedOnesAreRefused) {
  for (const char* text : {"Bearer realm=\"open", "=x", "Bearer realm=\"a\\"})
    EXPECT_FALSE(parse_challenges(text)) << text;
  EXPECT_TRUE(parse_challenges("")->empty());
}

TEST(Credentials, ComeAsBase64UrlOfJson) {
  EXPECT_TRUE(parse_auth_header("")->empty());
  EXPECT_TRUE(parse_auth_header("e30=")->empty());
  EXPECT_TRUE(parse_auth_header(to_base64("null"))->empty());
  auto given = *parse_auth_header(to_base64(R"({"username":"alice","password":"s:e"})"));
  EXPECT_EQ(given.username, "alice");
  EXPECT_EQ(basic_authorization(given), "Basic " + to_base64("alice:s:e"));
  auto combined = *parse_auth_header(to_base64(R"({"auth":")" + to_base64("bob:x:y") + R"("})"));
  EXPECT_EQ(combined.username, "bob");
  EXPECT_EQ(combined.password, "x:y");
  EXPECT_EQ(parse_auth_header(to_base64(R"({"identitytoken":"t"})"))->identity_token, "t");
  EXPECT_FALSE(parse_auth_header("%%%"));
  EXPECT_FALSE(parse_auth_header(to_base64("[1]")));
  EXPECT_FALSE(parse_auth_header(std::string(1 << 20, 'A')));
}

TEST(Tokens, HaveEitherNameAndABoundedLife) {
  EXPECT_EQ(parse_token(R"({"token":"a","expires_in":300})")->text, "a");
  EXPECT_EQ(parse_token(R"({"access_token":"b"})")->text, "b");
  EXPECT_GT(parse_token(R"({"token":"a","expires_in":-5})")->expires, std::chrono::steady_clock::now());
  EXPECT_LT(parse_token(R"({"token":"a","expires_in":99999999})")->expires,
            std::chrono::steady_clock::now() + std::chrono::hours(2));
  for (const char* body : {"{}", "", "[]", R"({"token":"a\r\nX: y"})", R"({"token":5})"})
    EXPECT_FALSE(parse_token(body)) << body;
}

}  // namespace
}  // namespace berth::registry
