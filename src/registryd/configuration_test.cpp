// SPDX-License-Identifier: Apache-2.0
#include "registryd/configuration.h"

#include <gmock/gmock.h>

#include <map>

namespace berth::registryd {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

Result<Configuration> read(std::string_view text, std::map<std::string, std::string> variables = {}) {
  return parse_configuration(text, "r.yml", [&](const std::string& name) -> std::optional<std::string> {
    auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

TEST(Configuration, ReadsTheUsualFile) {
  Result<Configuration> made = read(R"(
version: 0.1
log: {level: warn, formatter: text, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: /data}
  delete: {enabled: true}
  maintenance:
    uploadpurging: {enabled: true, age: 24h, interval: 1h, dryrun: false}
    readonly: {enabled: true}
http:
  addr: 127.0.0.1:5001
  secret: x
  host: https://registry.example/
  relativeurls: true
  headers: {X-One: [a, b]}
  tls: {certificate: /c, key: /k, clientcas: [/a, /b], minimumtls: tls1.3}
auth: {htpasswd: {realm: "the realm", path: /p}}
proxy: {remoteurl: "https://registry-1.docker.io", username: u, password: p}
notifications:
  endpoints:
    - {name: n, url: "http://x/y", headers: {Authorization: [Bearer z]}, timeout: 500ms, threshold: 3, backoff: 2s}
    - {name: off, url: "http://x/z", disabled: true}
)");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(made->warnings, IsEmpty());
  const Settings& settings = made->settings;
  EXPECT_EQ(settings.log_level, LogLevel::warning);
  EXPECT_FALSE(settings.access_log);
  EXPECT_EQ(settings.root_directory, "/data");
  EXPECT_TRUE(settings.allow_delete);
  EXPECT_TRUE(settings.read_only);
  EXPECT_EQ(settings.purge_age, std::chrono::hours(24));
  EXPECT_EQ(settings.address, "127.0.0.1:5001");
  EXPECT_EQ(settings.external_host, "https://registry.example");
  EXPECT_TRUE(settings.relative_urls);
  ASSERT_EQ(settings.headers.size(), 1u);
  EXPECT_EQ(settings.headers[0].second, "a, b");
  EXPECT_EQ(settings.tls->client_authorities.size(), 2u);
  EXPECT_TRUE(settings.tls->only_tls13);
  EXPECT_EQ(settings.htpasswd->realm, "the realm");
  EXPECT_EQ(settings.proxy->username, "u");
  ASSERT_EQ(settings.notifications.size(), 1u);
  EXPECT_EQ(settings.notifications[0].timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(settings.notifications[0].threshold, 3);
}

TEST(Configuration, TheEnvironmentReplacesValues) {
  Result<Configuration> made =
      read("version: 0.1\nhttp: {addr: a:1}\n", {{"REGISTRY_HTTP_ADDR", "b:2"},
                                                 {"REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY", "/x"},
                                                 {"REGISTRY_STORAGE_DELETE_ENABLED", "true"}});
  ASSERT_TRUE(made);
  EXPECT_EQ(made->settings.address, "b:2");
  EXPECT_EQ(made->settings.root_directory, "/x");
  EXPECT_TRUE(made->settings.allow_delete);
}

TEST(Configuration, WarnsOfWhatHasNoEffect) {
  Result<Configuration> made =
      read("version: 0.1\nhttp: {adr: x, debug: {addr: ':1'}}\nredis: {addr: y}\nfoo: [1]\n");
  ASSERT_TRUE(made);
  EXPECT_THAT(made->warnings,
              testing::UnorderedElementsAre(HasSubstr("http.adr is not"), HasSubstr("http.debug has no"),
                                            HasSubstr("redis has no"), HasSubstr("foo is not")));
}

TEST(Configuration, WarnsOfWhatHasNoEffectInAnEndpoint) {
  Result<Configuration> made = read(
      "version: 0.1\nnotifications: {endpoints: [{url: http://x, tresholt: 3, ignore: {actions: "
      "[pull]}}]}\n");
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_THAT(made->warnings,
              testing::UnorderedElementsAre(HasSubstr("notifications.endpoints[0].tresholt is not a key"),
                                            HasSubstr("notifications.endpoints[0].ignore has no effect")));
}

TEST(Configuration, RefusesWithFileAndKey) {
  const std::pair<const char*, const char*> wrong[] = {
      {"version: 0.1\nhttp: {addr: [1]}", "r.yml: http.addr must be a single value"},
      {"version: 0.1\nhttp: 5", "http must be a map"},
      {"version: 0.1\nstorage: {delete: {enabled: maybe}}", "storage.delete.enabled must be true or false"},
      {"version: 0.1\nstorage: {s3: {bucket: b}}", "storage.s3"},
      {"version: 0.1\nlog: {level: loud}", "log.level must be"},
      {"version: 0.1\nhttp: {tls: {certificate: /c}}", "http.tls must be"},
      {"version: 0.1\nauth: {htpasswd: {realm: r}}", "auth.htpasswd.path must be"},
      {"version: 0.1\nauth: {htpasswd: {realm: 'a\"b', path: /p}}", "without quotes"},
      {"version: 0.1\nauth: {token: {realm: r}}", "auth.token must be complete"},
      {"version: 0.1\nstorage: {maintenance: {uploadpurging: {age: soon}}}",
       "uploadpurging.age must be a duration"},
      {"version: 0.1\nnotifications: {endpoints: [{url: ftp://x}]}",
       "notifications.endpoints[0].url must be"},
      {"version: 0.1\nnotifications: {endpoints: [{url: http://x, name: [a]}]}",
       "notifications.endpoints[0].name must be a single value"},
      {"version: 0.1\nnotifications: {endpoints: [{url: http://x, threshold: few}]}",
       "notifications.endpoints[0].threshold must be a number"},
      {"version: 0.1\nnotifications: {endpoints: [{url: http://x, disabled: maybe}]}",
       "notifications.endpoints[0].disabled must be true or false"},
      {"version: 0.1\nnotifications: {endpoints: [{url: http://x, headers: 5}]}",
       "notifications.endpoints[0].headers must be a map"},
      {"version: 7", "version 7"},
      {"log: {}", "version is missing"},
      {"- a", "not a map"},
      {"a: [", "r.yml:"},
      {"", "not a map"},
  };
  for (auto [text, message] : wrong) {
    Result<Configuration> made = read(text);
    ASSERT_FALSE(made) << text;
    EXPECT_THAT(made.error().message, HasSubstr(message)) << text;
  }
}

}  // namespace
}  // namespace berth::registryd
