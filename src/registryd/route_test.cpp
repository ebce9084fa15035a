// SPDX-License-Identifier: Apache-2.0
#include "registryd/route.h"

#include <gtest/gtest.h>

#include "registryd/names.h"

namespace berth::registryd {
namespace {

struct Expected {
  const char* path;
  Endpoint endpoint;
  const char* repository;
  const char* reference;
};

TEST(Route, ReadsEveryEndpoint) {
  const Expected all[] = {
      {"/v2", Endpoint::base, "", ""},
      {"/v2/", Endpoint::base, "", ""},
      {"/v2/_catalog", Endpoint::catalog, "", ""},
      {"/v2/a/tags/list", Endpoint::tags, "a", ""},
      {"/v2/a/b/manifests/latest", Endpoint::manifest, "a/b", "latest"},
      {"/v2/a/manifests/sha256%3Aab", Endpoint::manifest, "a", "sha256:ab"},
      {"/v2/a/referrers/sha256:ab", Endpoint::referrers, "a", "sha256:ab"},
      {"/v2/a/blobs/sha256:ab", Endpoint::blob, "a", "sha256:ab"},
      {"/v2/a/blobs/uploads/", Endpoint::uploads, "a", ""},
      {"/v2/a/blobs/uploads", Endpoint::uploads, "a", ""},
      {"/v2/a/blobs/uploads/id-1", Endpoint::upload, "a", "id-1"},
      // Names that look like other endpoints.
      {"/v2/blobs/uploads/blobs/uploads/x", Endpoint::upload, "blobs/uploads", "x"},
      {"/v2/manifests/tags/list", Endpoint::tags, "manifests", ""},
      {"/v2/a/blobs/b/tags/list", Endpoint::tags, "a/blobs/b", ""},
  };
  for (const Expected& expected : all) {
    ApiResult<Route> route = parse_route(expected.path);
    ASSERT_TRUE(route) << expected.path << ": " << route.error().message;
    EXPECT_EQ(route->endpoint, expected.endpoint) << expected.path;
    EXPECT_EQ(route->repository, expected.repository) << expected.path;
    EXPECT_EQ(route->reference, expected.reference) << expected.path;
  }
}

TEST(Route, RefusesWhatIsNoName) {
  for (const char* path :
       {"/v2/A/tags/list", "/v2//tags/list", "/v2/a//b/tags/list", "/v2/../a/tags/list",
        "/v2/a%2fb/tags/list", "/v2/a./manifests/x", "/v2/a..b/manifests/x", "/v2/a___b/manifests/x"}) {
    ApiResult<Route> route = parse_route(path);
    ASSERT_FALSE(route) << path;
    EXPECT_EQ(route.error().code, Code::name_invalid) << path;
  }
  for (const char* path : {"/", "/v1/", "/v2/a", "/v2/a/b", "/v2/a/manifests/%zz", "/v2/uploads/x"}) {
    ApiResult<Route> route = parse_route(path);
    ASSERT_FALSE(route) << path;
    EXPECT_EQ(status_of(route.error().code), 404) << path;
  }
}

TEST(Names, FollowTheSpecification) {
  for (const char* name : {"a", "a/b/c", "a.b", "a_b", "a__b", "a---b", "0"})
    EXPECT_TRUE(valid_repository(name)) << name;
  for (const char* name : {"", "/a", "a/", "-a", "a-", "a..b", "a._b", "a b", "a\nb", "\xc3\xa4"})
    EXPECT_FALSE(valid_repository(name)) << name;
  EXPECT_TRUE(valid_repository(std::string(255, 'a')));
  EXPECT_FALSE(valid_repository(std::string(256, 'a')));
  EXPECT_TRUE(valid_media_type("application/vnd.oci.image.manifest.v1+json"));
  for (const char* type : {"", "a", "a/", "/b", "a/b c", "a/b;c=d", "a/b\n", "a/b/c"})
    EXPECT_FALSE(valid_media_type(type)) << type;
}

TEST(Range, NamesAPart) {
  auto part = [](std::string_view header) { return parse_range(header, 10); };
  EXPECT_EQ(part("bytes=0-4").value()->length, 5u);
  EXPECT_EQ(part("bytes=9-99").value()->length, 1u);
  EXPECT_EQ(part("bytes=4-").value()->begin, 4u);
  EXPECT_EQ(part("bytes=4-").value()->length, 6u);
  EXPECT_EQ(part("bytes=-3").value()->begin, 7u);
  EXPECT_EQ(part("bytes=-30").value()->begin, 0u);
  EXPECT_EQ(part("bytes=0-18446744073709551615").value()->length, 10u);
  for (const char* header : {"bytes=10-", "bytes=-0", "bytes=99-100"}) EXPECT_FALSE(part(header)) << header;
  for (const char* header :
       {"items=0-1", "bytes=", "bytes=5-4", "bytes=a-b", "bytes=0-1,3-4", "bytes=99999999999999999999-"}) {
    ASSERT_TRUE(part(header)) << header;
    EXPECT_FALSE(part(header).value()) << header;
  }
  EXPECT_FALSE(parse_range("bytes=0-", 0));
}

TEST(ChunkRange, IsReadInBothForms) {
  EXPECT_EQ(parse_chunk_range("5-9")->first, 5u);
  EXPECT_EQ(parse_chunk_range("bytes 5-9/*")->last, 9u);
  for (const char* header : {"", "5", "9-5", "a-b", "-5", "5-", "0-18446744073709551615"})
    EXPECT_FALSE(parse_chunk_range(header)) << header;
}

}  // namespace
}  // namespace berth::registryd
