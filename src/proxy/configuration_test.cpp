// SPDX-License-Identifier: Apache-2.0
#include "proxy/configuration.h"

#include <gmock/gmock.h>

namespace berth::proxy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(Configuration, HipachesReadsAsItIs) {
  const Result<Configuration> read = parse_configuration(R"({
    "server": {"accessLog": "/var/log/hipache.log", "port": 80, "workers": 10, "maxSockets": 100, "deadBackendTTL": 30,
               "tcpTimeout": 30, "retryOnError": 3, "deadBackendOn500": true, "httpKeepAlive": false,
               "staticDir": "/s", "lruCache": {"size": 3000, "ttl": 5}},
    "https": {"port": 443, "bind": ["127.0.0.1", "::1"], "key": "/etc/ssl/ssl.key", "cert": "/etc/ssl/ssl.crt"},
    "http": {"port": 80, "bind": ["127.0.0.1", "::1"]},
    "driver": ["redis://:secret@10.0.0.1:6380/3#prefix-"],
    "user": "www-data", "group": "www-data"})",
                                                         "c.json");
  ASSERT_TRUE(read) << read.error().message;
  const Settings& settings = read->settings;
  EXPECT_THAT(read->warnings, IsEmpty());
  EXPECT_EQ(settings.workers, 10u);
  EXPECT_EQ(settings.access_log, "/var/log/hipache.log");
  EXPECT_EQ(settings.dead_backend_ttl, std::chrono::seconds(30));
  EXPECT_EQ(settings.timeouts.backend, std::chrono::seconds(30));
  EXPECT_EQ(settings.retries, 3u);
  EXPECT_TRUE(settings.dead_backend_on_500);
  EXPECT_FALSE(settings.backend_keep_alive);
  ASSERT_EQ(settings.listens.size(), 4u);
  EXPECT_EQ(settings.listens[2].tls, true);
  EXPECT_EQ(settings.tls->key, "/etc/ssl/ssl.key");
  EXPECT_EQ(settings.redis->host, "10.0.0.1");
  EXPECT_EQ(settings.redis->port, 6380);
  EXPECT_EQ(settings.redis->database, 3u);
  EXPECT_EQ(settings.redis->password, "secret");
  EXPECT_EQ(settings.redis->prefix, "prefix-");
  EXPECT_EQ(settings.user, "www-data");
}

TEST(Configuration, TheFormBeforeVersionThreeListensToo) {
  const auto read = parse_configuration(
      R"({"server": {"port": 1080, "https": {"port": 1443, "key": "k", "cert": "c"}}, "driver": "redis://127.0.0.1:7777"})",
      "c.json");
  const Settings& settings = read.value().settings;
  ASSERT_EQ(settings.listens.size(), 2u);
  EXPECT_EQ(settings.listens[0].port, 1080);
  EXPECT_EQ(settings.listens[0].address, "0.0.0.0");
  EXPECT_TRUE(settings.listens[1].tls);
}

TEST(Configuration, SaysWhichKeyOfWhichFileIsWrong) {
  const auto said = [](std::string_view text) {
    const Result<Configuration> read = parse_configuration(text, "c.json");
    return read ? "nothing" : read.error().message;
  };
  const auto with = [&](std::string_view more) {
    return said(R"({"http": {"port": 80}, )" + std::string(more) + "}");
  };
  EXPECT_THAT(said("{"), HasSubstr("c.json"));
  EXPECT_THAT(said("{}"), HasSubstr("where to listen"));
  EXPECT_THAT(said(R"({"http": {"port": "x"}})"), AllOf(HasSubstr("c.json"), HasSubstr("http.port")));
  EXPECT_THAT(said(R"({"http": {"port": 70000}})"), HasSubstr("http.port"));
  EXPECT_THAT(said(R"({"http": {"port": 80, "bind": "localhost"}})"), HasSubstr("http.bind"));
  EXPECT_THAT(with(R"("https": {"port": 443})"), HasSubstr("https.cert"));
  EXPECT_THAT(with(R"("server": {"workers": 0})"), HasSubstr("server.workers"));
  EXPECT_THAT(with(R"("server": {"tcpTimeout": -1})"), HasSubstr("server.tcpTimeout"));
  EXPECT_THAT(with(R"("server": {"deadBackendTTL": "x"})"), HasSubstr("server.deadBackendTTL"));
  EXPECT_THAT(with(R"("driver": "etcd://a")"), HasSubstr("driver"));
  EXPECT_THAT(with(R"("driver": "redis://a:x")"), HasSubstr("redis://host:port"));
  EXPECT_THAT(with(R"("admin": {})"), HasSubstr("admin.port"));
  EXPECT_THAT(with(R"("admin": {"bind": "0.0.0.0", "port": 1})"), HasSubstr("admin.bind"));
  EXPECT_THAT(with(R"("admin": {"bind": "127.evil.test", "port": 1})"), HasSubstr("admin.bind"));
  EXPECT_THAT(with(R"("trustedProxies": ["10.0.0.0/33"])"), HasSubstr("trustedProxies"));
}

TEST(Configuration, WarnsOfKeysThatMeanNothing) {
  const auto read =
      parse_configuration(R"({"http": {"port": 80, "x": 1}, "htps": {}, "server": {"y": 1}})", "c.json");
  EXPECT_THAT(read.value().warnings, ElementsAre("htps means nothing here", "server.y means nothing here",
                                                 "http.x means nothing here"));
}

TEST(Network, HasItsAddressesAndNoOthers) {
  const auto address = [](std::string_view text) { return parse_network(text).value().address; };
  const Network ten = parse_network("10.0.0.0/9").value();
  EXPECT_TRUE(ten.contains(address("10.127.1.1")));
  EXPECT_FALSE(ten.contains(address("10.128.0.0")));
  EXPECT_FALSE(ten.contains(address("::1")));
  EXPECT_TRUE(parse_network("::1").value().contains(address("::1")));
  EXPECT_TRUE(parse_network("0.0.0.0/0").value().contains(address("9.9.9.9")));
  EXPECT_FALSE(parse_network("0.0.0.0/0").value().contains(address("fe80::1")));
  EXPECT_TRUE(parse_network("2001:db8::/33").value().contains(address("2001:db8:7fff::1")));
}

TEST(Configuration, RedisAsItWasSaidBeforeThereWereDrivers) {
  const auto read = [](const std::string& more) {
    return parse_configuration(R"({"http": {"port": 80}, )" + more + "}", "c.json");
  };
  const Result<Configuration> nested = read(R"("redis": {"host": "r.test", "port": 6380, "prefix": "p:"})");
  ASSERT_TRUE(nested);
  EXPECT_EQ(nested->settings.redis->host, "r.test");
  EXPECT_EQ(nested->settings.redis->port, 6380);
  EXPECT_EQ(nested->settings.redis->prefix, "p:");
  EXPECT_TRUE(nested->warnings.empty());
  const Result<Configuration> flat =
      read(R"("redisHost": "r.test", "redisDatabase": 3, "redisPassword": "x")");
  ASSERT_TRUE(flat);
  EXPECT_EQ(flat->settings.redis->database, 3u);
  EXPECT_EQ(flat->settings.redis->password, "x");
  EXPECT_EQ(read(R"("driver": "redis://d.test", "redis": {"host": "r.test"})")->settings.redis->host,
            "d.test");
  EXPECT_FALSE(read(R"("redis": {"port": 0})"));
}

}  // namespace
}  // namespace berth::proxy
