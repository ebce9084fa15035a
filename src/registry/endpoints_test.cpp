// SPDX-License-Identifier: Apache-2.0
#include "registry/endpoints.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "base/file.h"

namespace berth::registry {
namespace {

std::vector<Endpoint> endpoints(const std::string& name, const Settings& settings = {}) {
  return *endpoints_of(*oci::Reference::parse(name), settings);
}

TEST(Endpoints, DockerHubIsAnotherHostThanItsName) {
  EXPECT_THAT(endpoints("bb"),
              testing::ElementsAre(
                  Endpoint{.host = "registry-1.docker.io", .repository = "library/bb", .scheme = "https"}));
}

TEST(Endpoints, LoopbackMayBePlain) {
  for (const char* host : {"127.0.0.1:5000", "localhost:5000", "127.8.9.10", "[::1]:5000"}) {
    const Endpoint endpoint = endpoints(std::string(host) + "/a/b").back();
    EXPECT_TRUE(endpoint.insecure) << host;
    EXPECT_EQ(endpoint.scheme, "") << host;
  }
  EXPECT_FALSE(endpoints("127.0.0.1.example:5000/a").back().insecure);
  EXPECT_FALSE(endpoints("registry.example/a").back().insecure);
}

TEST(Endpoints, InsecureOnesAreNamedByHostPortOrNetwork) {
  const Settings settings{.insecure = {"one.example", "two.example:5000", "10.0.0.0/8", "fd00::/8"}};
  EXPECT_TRUE(is_insecure("one.example:1234", settings));
  EXPECT_TRUE(is_insecure("two.example:5000", settings));
  EXPECT_FALSE(is_insecure("two.example:5001", settings));
  EXPECT_TRUE(is_insecure("10.1.2.3:80", settings));
  EXPECT_FALSE(is_insecure("11.1.2.3:80", settings));
  EXPECT_TRUE(is_insecure("[fd00::1]:5000", settings));
  EXPECT_FALSE(is_insecure("[fe80::1]:5000", settings));
}

TEST(Endpoints, MirrorsAreOfDockerHubAlone) {
  const Settings settings{.mirrors = {"https://mirror.example/copy"}};
  std::vector<Endpoint> found = endpoints("bb", settings);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0], (Endpoint{.host = "mirror.example",
                                .base_path = "/copy",
                                .repository = "library/bb",
                                .scheme = "https",
                                .mirror = true}));
  EXPECT_EQ(endpoints("other.example/bb", settings).size(), 1u);
}

TEST(Endpoints, TheLongestPrefixWins) {
  Settings settings;
  settings.rules = {
      {.prefix = "docker.io", .location = "", .mirrors = {"https://general.example"}, .insecure = {}},
      {.prefix = "docker.io/library", .location = "inner.example:5000/lib", .mirrors = {}, .insecure = true}};
  Endpoint moved = endpoints("bb", settings).back();
  EXPECT_EQ(moved.host, "inner.example:5000");
  EXPECT_EQ(moved.repository, "lib/bb");
  EXPECT_TRUE(moved.insecure);
  EXPECT_EQ(endpoints("library2/bb", settings).front().host, "general.example");  // not at a boundary
}

TEST(Endpoints, AMirrorThatIsNoneIsRefused) {
  for (const char* text : {"ftp://x", "https://", "https://user@x", "https://x?y"})
    EXPECT_FALSE(endpoints_of(*oci::Reference::parse("bb"), Settings{.mirrors = {text}})) << text;
}

TEST(Endpoints, ProxiesAreLeftOutForLoopbackAndExceptions) {
  const Proxies proxies{
      .http = "", .https = "http://user:p%40ss@proxy.example:3128", .without = ".inner.example, 10.0.0.0/8"};
  std::optional<http::Proxy> proxy = *proxy_for("registry.example", true, proxies);
  ASSERT_TRUE(proxy);
  EXPECT_EQ(proxy->host, "proxy.example");
  EXPECT_EQ(proxy->port, 3128);
  EXPECT_EQ(proxy->authorization, "Basic dXNlcjpwQHNz");
  for (const char* host : {"127.0.0.1:5000", "a.inner.example:5000", "inner.example", "10.2.3.4:80"})
    EXPECT_FALSE(*proxy_for(host, true, proxies)) << host;
  EXPECT_FALSE(*proxy_for("registry.example", false, proxies));
  Result<std::optional<http::Proxy>> socks =
      proxy_for("x.example", true, Proxies{.https = "socks5://u:secret@p"});
  ASSERT_FALSE(socks);
  EXPECT_EQ(socks.error().message.find("secret"), std::string::npos);
}

TEST(Endpoints, CertificatesOfAHostAreFound) {
  Result<TemporaryDirectory> directory = TemporaryDirectory::create("certs");
  const std::string host = directory->path() + "/reg.example:5000";
  ASSERT_TRUE(make_directories(host, 0700));
  for (const char* name : {"ca.crt", "client.cert", "client.key"})
    ASSERT_TRUE(write_file_atomically(AT_FDCWD, host + "/" + name, "x", 0600, Durability::visible));
  const Settings settings{.certificate_directories = {directory->path()}};
  http::TlsClientSettings tls = *tls_for({.host = "reg.example:5000", .insecure = true}, settings);
  EXPECT_THAT(tls.authorities, testing::ElementsAre(host + "/ca.crt"));
  EXPECT_EQ(tls.certificate, host + "/client.cert");
  EXPECT_EQ(tls.key, host + "/client.key");
  EXPECT_TRUE(tls.verify);
  EXPECT_FALSE(tls_for({.host = "other.example", .insecure = true}, settings)->verify);
  ASSERT_EQ(unlink((host + "/client.key").c_str()), 0);
  EXPECT_FALSE(tls_for({.host = "reg.example:5000"}, settings));
}

}  // namespace
}  // namespace berth::registry
