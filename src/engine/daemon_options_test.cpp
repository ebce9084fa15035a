// SPDX-License-Identifier: Apache-2.0
#include "engine/daemon_options.h"

#include <gmock/gmock.h>

#include <map>
#include <set>

namespace berth::engine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Applied {
  DaemonOptions options;
  std::vector<std::string> warnings;
  std::string error;
};

Applied apply(std::string_view text, const std::vector<std::string>& given = {}) {
  Applied applied;
  if (Result<void> done = apply_daemon_json(applied.options, text, given, applied.warnings); !done)
    applied.error = done.error().message;
  return applied;
}

TEST(DaemonJson, SetsWhatDockerdsWould) {
  Applied applied = apply(R"({
    "data-root": "/srv/berth/", "exec-root": "/run/b", "pidfile": "/run/b.pid", "hosts": ["unix:///a", "tcp://127.0.0.1:1"],
    "group": "staff", "debug": true, "log-level": "warn", "tlsverify": true, "tlscacert": "/ca", "tlscert": "/cert",
    "tlskey": "/key", "log-driver": "local", "log-opts": {"max-size": "10m", "max-file": "3"},
    "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1000, "Hard": 2000}}, "default-shm-size": "128M",
    "cgroup-parent": "/x", "dns": ["1.1.1.1"], "dns-opts": ["ndots:1"], "dns-search": ["example.com"], "bridge": "none",
    "bip": "10.9.0.1/24", "mtu": 1400, "icc": false, "ip": "127.0.0.3", "ip-masq": false, "ip-forward": false,
    "ip-forward-no-drop": true, "fixed-cidr": "10.9.0.128/25", "host-gateway-ip": "fd00::1", "init": true, "init-path": "/init", "no-new-privileges": true,
    "seccomp-profile": "/p.json", "labels": ["a=b"]})");
  ASSERT_EQ(applied.error, "");
  EXPECT_TRUE(applied.warnings.empty());
  const DaemonOptions& o = applied.options;
  EXPECT_EQ(o.settings.data_root, "/srv/berth");
  EXPECT_EQ(o.settings.exec_root, "/run/b");
  EXPECT_EQ(o.pid_file, "/run/b.pid");
  EXPECT_THAT(o.hosts, ElementsAre("unix:///a", "tcp://127.0.0.1:1"));
  EXPECT_EQ(o.group, "staff");
  EXPECT_TRUE(o.settings.debug && o.tls_verify && o.settings.init_by_default && o.settings.no_new_privileges);
  EXPECT_EQ(o.log_level, "warn");
  EXPECT_EQ(o.tls_ca + o.tls_certificate + o.tls_key, "/ca/cert/key");
  EXPECT_EQ(o.settings.log_driver, "local");
  EXPECT_EQ(o.settings.log_options.at("max-size"), "10m");
  ASSERT_EQ(o.settings.default_ulimits.size(), 1u);
  EXPECT_EQ(o.settings.default_ulimits[0].soft, 1000);
  EXPECT_EQ(o.settings.default_ulimits[0].hard, 2000);
  EXPECT_EQ(o.settings.default_shm_size, 128 << 20);
  EXPECT_EQ(o.settings.cgroup_parent, "/x");
  EXPECT_THAT(o.settings.dns, ElementsAre("1.1.1.1"));
  EXPECT_EQ(o.settings.bridge, "none");
  EXPECT_EQ(o.settings.bridge_address, "10.9.0.1/24");
  EXPECT_EQ(o.settings.mtu, 1400);
  EXPECT_FALSE(o.settings.icc);
  EXPECT_EQ(o.settings.published_at, "127.0.0.3");
  EXPECT_FALSE(o.settings.masquerade);
  EXPECT_FALSE(o.settings.forward);
  EXPECT_TRUE(o.settings.forward_for_all);
  EXPECT_EQ(o.settings.fixed_cidr, "10.9.0.128/25");
  EXPECT_EQ(o.settings.host_gateway, "fd00::1");
  EXPECT_EQ(o.settings.init_program, "/init");
  EXPECT_EQ(o.settings.seccomp_profile, "/p.json");
  EXPECT_THAT(o.settings.labels, ElementsAre("a=b"));
}

TEST(DaemonJson, SaysWhatNetworksGetThatNameNothing) {
  Applied applied = apply(R"({
    "default-address-pools": [{"base": "172.30.7.0/16", "size": 24}, {"base": "fd00:7::/48", "size": 64}],
    "default-gateway": "10.9.0.9", "default-gateway-v6": "fd00::9",
    "default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1400", "of.my": "own"}}})");
  ASSERT_EQ(applied.error, "");
  EXPECT_TRUE(applied.warnings.empty());
  const Settings& settings = applied.options.settings;
  ASSERT_EQ(settings.subnet_pools.size(), 1u);
  EXPECT_EQ(settings.subnet_pools[0].base.text(), "172.30.0.0/16");
  EXPECT_EQ(settings.subnet_pools[0].length, 24);
  ASSERT_EQ(settings.subnet_pools6.size(), 1u);
  EXPECT_EQ(settings.subnet_pools6[0].base.text(), "fd00:7::/48");
  EXPECT_EQ(settings.default_gateway + settings.default_gateway_v6, "10.9.0.9fd00::9");
  EXPECT_EQ(settings.network_options.at("bridge").at("com.docker.network.driver.mtu"), "1400");
}

TEST(DaemonJson, WrongPoolsAndNetworkOptionsAreNamed) {
  auto pools = [](const std::string& text) {
    return apply("{\"default-address-pools\": " + text + "}").error;
  };
  EXPECT_THAT(pools(R"([{"base": "172.30.0.0", "size": 24}])"), HasSubstr("\"172.30.0.0\""));
  EXPECT_THAT(pools(R"([{"base": "172.30.0.0/16", "size": 15}])"),
              HasSubstr("15 is not between its base's 16"));
  EXPECT_THAT(pools(R"([{"base": "172.30.0.0/16"}])"), HasSubstr("0 is not between"));
  EXPECT_THAT(pools(R"([{"base": "172.30.0.0/16", "size": 31}])"), HasSubstr("and 30"));
  EXPECT_THAT(pools(R"([{"base": "127.0.0.0/8", "size": 24}])"), HasSubstr("loopback"));
  EXPECT_THAT(pools(R"([{"base": "ff00::/8", "size": 64}])"), HasSubstr("multicast"));
  EXPECT_THAT(pools(R"({"base": "172.30.0.0/16"})"), HasSubstr("it holds pools"));
  auto defaults = [](const std::string& text) {
    return apply("{\"default-network-opts\": " + text + "}").error;
  };
  EXPECT_THAT(defaults(R"({"overlay": {"a": "b"}})"), HasSubstr("\"overlay\""));
  EXPECT_THAT(defaults(R"({"bridge": {"com.docker.network.driver.mtu": "7"}})"), HasSubstr("68 and 65535"));
  EXPECT_THAT(defaults(R"({"bridge": {"com.docker.network.nothing": "7"}})"),
              HasSubstr("unknown network option"));
  EXPECT_THAT(defaults(R"({"bridge": {"a": 7}})"), HasSubstr("must be an object of strings"));
  EXPECT_THAT(defaults(R"({"bridge": "a=b"})"), HasSubstr("must be an object of strings"));
  EXPECT_THAT(defaults("[]"), HasSubstr("it holds drivers"));
}

TEST(DaemonFlags, GivePoolsAndNetworkOptions) {
  auto apply_flag = [](std::string_view flag, const std::vector<std::string>& values,
                       DaemonOptions& options) {
    for (const DaemonOption& option : daemon_options())
      if (option.flag == flag) {
        Result<void> applied = option.apply(options, values);
        return applied ? std::string() : applied.error().message;
      }
    return std::string("no such flag");
  };
  DaemonOptions options;
  EXPECT_EQ(
      apply_flag("default-address-pool", {"base=10.7.0.0/16,size=24", "size=20,base=10.8.0.0/16"}, options),
      "");
  ASSERT_EQ(options.settings.subnet_pools.size(), 2u);
  EXPECT_EQ(options.settings.subnet_pools[1].length, 20);
  EXPECT_EQ(apply_flag("default-network-opt", {"bridge=com.docker.network.driver.mtu=1400"}, options), "");
  EXPECT_EQ(options.settings.network_options.at("bridge").at("com.docker.network.driver.mtu"), "1400");
  for (const char* wrong : {"base=10.7.0.0/16", "10.7.0.0/16,size=24", "base=10.7.0.0/16,size=x", ""})
    EXPECT_THAT(apply_flag("default-address-pool", {wrong}, options), HasSubstr("is not like base="));
  EXPECT_THAT(apply_flag("default-network-opt", {"bridge"}, options), HasSubstr("is not like bridge="));
  std::vector<std::string> warnings;
  for (const char* text : {R"({"default-address-pools": [{"base": "10.9.0.0/16", "size": 24}]})",
                           R"({"default-network-opts": {"bridge": {"a": "b"}}})"})
    EXPECT_THAT(apply_daemon_json(options, text, {}, warnings).error().message, HasSubstr("both as a flag"));
}

TEST(DaemonJson, AnUnknownKeyIsNamed) {
  EXPECT_EQ(apply(R"({"debug": true, "graphh": "/x"})").error,
            "the following directives don't match any configuration option: graphh");
  EXPECT_THAT(apply(R"({"config-file": "/x"})").error, HasSubstr("config-file")) << "only a flag";
  EXPECT_THAT(apply(R"({"": "/x"})").error, HasSubstr("don't match any configuration option"));
}

TEST(DaemonJson, ADirectiveInBothPlacesIsNamed) {
  EXPECT_EQ(apply(R"({"hosts": ["unix:///a"]})", {"debug", "host"}).error,
            "the following directives are specified both as a flag and in the configuration file: hosts");
  EXPECT_EQ(apply(R"({"hosts": ["unix:///a"]})", {"debug"}).error, "");
}

TEST(DaemonJson, WhatHasNoMeaningHereIsTakenWithAWarning) {
  Applied applied =
      apply(R"({"storage-opts": ["a=b"], "runtimes": {"kata": {"path": "/x", "runtimeArgs": []}},
                              "live-restore": true, "features": {"a": {"b": [1]}}})");
  EXPECT_EQ(applied.error, "");
  EXPECT_THAT(applied.warnings, ElementsAre(HasSubstr("\"storage-opts\""), HasSubstr("\"runtimes\""),
                                            HasSubstr("\"live-restore\""), HasSubstr("\"features\"")));
}

TEST(DaemonJson, RegistriesAreReadAndWrongOnesNamed) {
  DaemonOptions options;
  std::vector<std::string> warnings;
  Result<void> applied = apply_daemon_json(options, R"({
    "registry-mirrors": ["https://mirror.example"], "insecure-registries": ["10.0.0.0/8", "reg.example:5000"],
    "registries": {"docker.io/library": {"location": "inner.example/lib", "insecure": true}},
    "proxies": {"http-proxy": "http://proxy.example:3128", "no-proxy": "localhost"},
    "max-concurrent-downloads": 6})",
                                           {}, warnings);
  ASSERT_TRUE(applied) << applied.error().message;
  const registry::Settings& registries = options.settings.registries;
  EXPECT_THAT(registries.mirrors, ElementsAre("https://mirror.example"));
  EXPECT_THAT(registries.insecure, ElementsAre("10.0.0.0/8", "reg.example:5000"));
  ASSERT_EQ(registries.rules.size(), 1u);
  EXPECT_EQ(registries.rules[0].location, "inner.example/lib");
  EXPECT_EQ(registries.proxies.http, "http://proxy.example:3128");
  EXPECT_EQ(registries.parallel_downloads, 6);
  for (const char* wrong :
       {R"({"registry-mirrors": ["ftp://x"]})", R"({"insecure-registries": ["http://x"]})",
        R"({"registries": {"": {}}})", R"({"registries": {"x": {"insecure": 5}}})",
        R"({"proxies": {"http-proxy": "socks5://x"}})", R"({"max-concurrent-downloads": 0})"})
    EXPECT_FALSE(apply_daemon_json(options, wrong, {}, warnings)) << wrong;
}

TEST(DaemonJson, BuildsGetNothingInsecureUnlessItSaysSo) {
  auto policy = [](std::string_view text) {
    DaemonOptions options;
    std::vector<std::string> warnings;
    EXPECT_TRUE(apply_daemon_json(options, text, {}, warnings)) << text;
    return options.builds;
  };
  EXPECT_FALSE(policy("{}").insecure);
  EXPECT_TRUE(policy("{}").host_network);
  EXPECT_FALSE(policy(R"({"builder": {"gc": {"enabled": true}}})").insecure);
  EXPECT_TRUE(policy(R"({"builder": {"entitlements": {"security-insecure": true}}})").insecure);
  EXPECT_FALSE(policy(R"({"builder": {"entitlements": {"network-host": false}}})").host_network);
  DaemonOptions options;
  std::vector<std::string> warnings;
  for (const char* wrong : {R"({"builder": {"entitlements": {"security-insecure": "true"}}})",
                            R"({"builder": {"entitlements": []}})", R"({"builder": 1})"})
    EXPECT_FALSE(apply_daemon_json(options, wrong, {}, warnings)) << wrong;
  EXPECT_FALSE(options.builds.insecure);
}

TEST(DaemonJson, TheBuildCacheHasTheRoomThatItSays) {
  auto budget = [](std::string_view gc) {
    DaemonOptions options;
    std::vector<std::string> warnings;
    EXPECT_TRUE(apply_daemon_json(options, fmt::format(R"({{"builder": {{"gc": {}}}}})", gc), {}, warnings))
        << gc;
    return options.builds.cache_budget;
  };
  EXPECT_EQ(budget("{}"), 20'000'000'000);
  EXPECT_EQ(budget(R"({"defaultKeepStorage": "10GB"})"), 10ll << 30);
  EXPECT_EQ(budget(R"({"defaultReservedSpace": "1GB", "defaultMaxUsedSpace": "5GB"})"), 5ll << 30);
  EXPECT_EQ(budget(R"({"enabled": false, "defaultKeepStorage": "10GB"})"), 0);
  DaemonOptions options;
  std::vector<std::string> warnings;
  for (const char* wrong : {R"({"builder": {"gc": {"defaultKeepStorage": "much"}}})",
                            R"({"builder": {"gc": []}})", R"({"builder": {"gc": {"enabled": "yes"}}})"})
    EXPECT_FALSE(apply_daemon_json(options, wrong, {}, warnings)) << wrong;
}

TEST(DaemonOptions, TheStorageDriverComesFromTheEnvironmentWhereNothingElseSays) {
  static std::map<std::string, std::string> environment;
  auto variable = [](const char* name) -> const char* {
    auto found = environment.find(name);
    return found == environment.end() ? nullptr : found->second.c_str();
  };
  auto choose = [&](std::string given, std::map<std::string, std::string> variables) {
    environment = std::move(variables);
    DaemonOptions options;
    options.settings.storage_driver = std::move(given);
    Result<void> applied = apply_environment(options, variable);
    return applied ? options.settings.storage_driver : applied.error().message;
  };
  EXPECT_EQ(choose("", {}), "");
  EXPECT_EQ(choose("", {{"DOCKER_DRIVER", "overlay2"}}), "overlay2");
  EXPECT_EQ(choose("", {{"DOCKER_DRIVER", "overlay2"}, {"BERTH_STORAGE_DRIVER", "erofs"}}), "erofs");
  EXPECT_EQ(choose("overlay", {{"BERTH_STORAGE_DRIVER", "erofs"}}), "overlay");
  EXPECT_THAT(choose("", {{"BERTH_STORAGE_DRIVER", "btrfs"}}), HasSubstr("BERTH_STORAGE_DRIVER"));
  EXPECT_EQ(choose("", {{"BERTH_STORAGE_DRIVER", ""}}), "");
}

TEST(DaemonJson, AWrongValueIsAnErrorThatNamesItsKey) {
  struct Case {
    std::string_view text, words;
  };
  for (const Case& c :
       {Case{R"({"debug": "maybe"})", "debug"}, Case{R"({"mtu": "wide"})", "mtu"},
        Case{R"({"mtu": 70000})", "mtu"},
        Case{R"({"storage-driver": "btrfs"})", "erofs, overlay or overlay2"},
        Case{R"({"data-root": "srv"})", "data-root"}, Case{R"({"data-root": {"a": 1}})", "data-root"},
        Case{R"({"log-level": "loud"})", "log-level"}, Case{R"({"log-opts": {"max-file": "0"}})", "log-opts"},
        Case{R"({"default-ulimits": {"nofile": {"Soft": 2, "Hard": 1}}})", "default-ulimits"},
        Case{R"({"default-ulimits": {"files": {"Soft": 1, "Hard": 1}}})", "files"},
        Case{R"({"default-shm-size": "big"})", "default-shm-size"}, Case{R"({"dns": [1.5]})", "dns"},
        Case{"[]", "must hold an object"}, Case{"{", "configuration file"},
        Case{"{} {}", "configuration file"}})
    EXPECT_THAT(apply(c.text).error, HasSubstr(c.words)) << c.text;
}

TEST(DaemonJson, AnEmptyFileSaysNothing) {
  for (const char* text : {"", " \n", "{}"}) {
    Applied applied = apply(text);
    EXPECT_EQ(applied.error, "");
    EXPECT_EQ(applied.options.settings.data_root, "/var/lib/berth");
  }
}

TEST(DaemonOptionTable, NoNameStandsForTwoOptions) {
  std::set<std::string_view> flags, keys;
  std::set<char> letters;
  for (const DaemonOption& option : daemon_options()) {
    EXPECT_FALSE(option.flag.empty() && option.key.empty());
    EXPECT_TRUE(option.flag.empty() || flags.insert(option.flag).second) << option.flag;
    EXPECT_TRUE(option.key.empty() || keys.insert(option.key).second) << option.key;
    EXPECT_TRUE(option.letter == 0 || letters.insert(option.letter).second) << option.letter;
    EXPECT_FALSE(option.help.empty()) << option.flag;
  }
}

TEST(LogSettings, TheEnginesDefaultsHoldForItsOwnDriver) {
  Settings settings;
  settings.log_options = {{"max-size", "1m"}, {"max-file", "7"}};
  HostConfig host;
  keeper::LogSettings log = resolve_log_settings(settings, host, "/l").value();
  EXPECT_EQ(log.path, "/l");
  EXPECT_EQ(log.maximum_size, 1 << 20);
  EXPECT_EQ(log.maximum_files, 7);
  host.log_options = {{"max-file", "2"}, {"tag", "x"}};
  log = resolve_log_settings(settings, host, "/l").value();
  EXPECT_EQ(log.maximum_size, 1 << 20);
  EXPECT_EQ(log.maximum_files, 2);
  host.log_driver = "local";
  host.log_options.clear();
  EXPECT_EQ(resolve_log_settings(settings, host, "/l").value().maximum_size, 20'000'000);
  host.log_options = {{"max-size", "-1"}};
  EXPECT_EQ(resolve_log_settings(settings, host, "/l").value().maximum_size, 0) << "no limit";
  host.log_driver = "none";
  EXPECT_EQ(resolve_log_settings(settings, host, "/l").value().path, "");
}

}  // namespace
}  // namespace berth::engine
