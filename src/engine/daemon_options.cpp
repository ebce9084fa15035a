// SPDX-License-Identifier: Apache-2.0
#include "engine/daemon_options.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "engine/network_daemon_options.h"
#include "engine/registry_options.h"
#include "engine/validation.h"

namespace berth::engine {
namespace {

using Values = std::vector<std::string>;

template <auto Member>
Result<void> set_text(DaemonOptions& options, const Values& values) {
  options.*Member = values.back();
  return {};
}

template <auto Member>
Result<void> set_setting(DaemonOptions& options, const Values& values) {
  options.settings.*Member = values.back();
  return {};
}

template <auto Member>
Result<void> set_path(DaemonOptions& options, const Values& values) {
  const std::string path = clean_absolute(values.back());
  if (path.empty()) return fail(ErrorKind::invalid, "'{}' must be an absolute path", values.back());
  options.settings.*Member = path;
  return {};
}

Result<bool> parse_bool(const std::string& text) {
  if (text == "true" || text == "1" || text == "t" || text == "True") return true;
  if (text == "false" || text == "0" || text == "f" || text == "False") return false;
  return fail(ErrorKind::invalid, "'{}' is neither true nor false", text);
}

template <auto Member>
Result<void> set_flag(DaemonOptions& options, const Values& values) {
  options.*Member = TRY(parse_bool(values.back()));
  return {};
}

template <auto Member>
Result<void> set_setting_flag(DaemonOptions& options, const Values& values) {
  options.settings.*Member = TRY(parse_bool(values.back()));
  return {};
}

template <auto Member>
Result<void> set_setting_list(DaemonOptions& options, const Values& values) {
  options.settings.*Member = values;
  return {};
}

Result<void> set_hosts(DaemonOptions& options, const Values& values) {
  options.hosts = values;
  return {};
}

Result<void> set_config_file(DaemonOptions& options, const Values& values) {
  options.config_file = values.back();
  options.config_file_given = true;
  return {};
}

Result<void> set_mtu(DaemonOptions& options, const Values& values) {
  auto mtu = parse_integer<int>(values.back());
  if (!mtu || *mtu < 0 || *mtu > 65535) return fail(ErrorKind::invalid, "'{}' is not an MTU", values.back());
  if (*mtu > 0) options.settings.mtu = *mtu;
  return {};
}

Result<void> set_shm_size(DaemonOptions& options, const Values& values) {
  options.settings.default_shm_size = TRY(parse_size(values.back()));
  return {};
}

// Text that has to be one of these.
template <auto Member, class Parsed>
Result<void> set_address(DaemonOptions& options, const Values& values) {
  if (!Parsed::parse(values.back()))
    return fail(ErrorKind::invalid, "invalid address or subnet \"{}\"", values.back());
  options.settings.*Member = values.back();
  return {};
}

Result<void> set_fixed_cidr_v6(DaemonOptions& options, const Values& values) {
  const std::string& text = values.back();
  std::optional<netlink::Ipv6Prefix> subnet = netlink::Ipv6Prefix::parse(text);
  if (!subnet || subnet->length < 8 || subnet->length > 126)
    return fail(ErrorKind::invalid, "invalid IPv6 subnet \"{}\": use one like fd00:1::/64", text);
  options.settings.fixed_cidr_v6 = text;
  return {};
}

Result<void> set_storage_driver(DaemonOptions& options, const Values& values) {
  const std::string& driver = values.back();
  if (driver != "erofs" && driver != "overlay" && driver != "overlay2")
    return fail(ErrorKind::invalid, "there is no storage driver '{}': use erofs, overlay or overlay2",
                driver);
  options.settings.storage_driver = driver;
  return {};
}

Result<void> set_log_options(DaemonOptions& options, const Values& values) {
  for (const std::string& value : values) {
    auto [name, setting] = split_once(value, '=');
    options.settings.log_options[std::string(name)] = setting;
  }
  HostConfig probe;
  TRY(resolve_log_settings(options.settings, probe, ""));
  return {};
}

// "nofile=1024:2048"
Result<void> set_ulimits(DaemonOptions& options, const Values& values) {
  options.settings.default_ulimits.clear();
  for (const std::string& value : values) {
    auto [name, limits] = split_once(value, '=');
    auto [soft, hard] = split_once(limits, ':');
    auto soft_number = parse_integer<std::int64_t>(soft),
         hard_number = parse_integer<std::int64_t>(hard.empty() ? soft : hard);
    if (!soft_number || !hard_number) return fail(ErrorKind::invalid, "invalid ulimit argument: {}", value);
    options.settings.default_ulimits.push_back({std::string(name), *soft_number, *hard_number});
  }
  ResourceLimits probe;
  probe.ulimits = options.settings.default_ulimits;
  return validate_limits(probe, 1);
}

Result<void> set_log_level(DaemonOptions& options, const Values& values) {
  const std::string& level = values.back();
  for (const char* known : {"debug", "info", "warn", "error", "fatal"})
    if (level == known) {
      options.log_level = level;
      return {};
    }
  return fail(ErrorKind::invalid, "invalid logging level: {}", level);
}

Result<void> set_cdi_directories(DaemonOptions& options, const Values& values) {
  options.builds.cdi_directories = values;
  return {};
}

// {"enabled": true, "defaultKeepStorage": "20GB"}, or with Docker's later names. Policies have no effect:
// here is one, what was not used for longest goes first.
Result<void> set_cache_budget(ObjectReader& collection, std::int64_t& budget) {
  bool enabled = true;
  std::string kept;
  collection.read("enabled", enabled);
  for (const char* name : {"defaultKeepStorage", "defaultReservedSpace", "defaultMaxUsedSpace"})
    collection.read(name, kept);
  if (!kept.empty()) budget = TRY_AS("builder.gc", parse_size(kept));
  if (!enabled) budget = 0;
  return {};
}

// {"gc": {..}, "entitlements": {"security-insecure": true, "network-host": false, "device": false}}; the rest
// of it has no effect here.
Result<void> set_builder(DaemonOptions& options, const Values& values) {
  const json::value document = TRY(parse_json(values.back(), "builder"));
  ObjectReader in(document, "builder");
  in.read_object("entitlements", [&](ObjectReader& entitlements) {
    entitlements.read("security-insecure", options.builds.insecure);
    entitlements.read("network-host", options.builds.host_network);
    entitlements.read("device", options.builds.devices);
  });
  Result<void> budget;
  in.read_object("gc", [&](ObjectReader& gc) { budget = set_cache_budget(gc, options.builds.cache_budget); });
  TRY(std::move(budget));
  return in.finish();
}

std::vector<DaemonOption> make_table() {
  using O = DaemonOptions;
  using S = Settings;
  constexpr auto text = OptionShape::text, boolean = OptionShape::boolean, number = OptionShape::number,
                 list = OptionShape::list, map = OptionShape::map, document = OptionShape::document;
  std::vector<DaemonOption> table{
      {"data-root", 0, "data-root", text, set_path<&S::data_root>, "Root directory of persistent state"},
      {"exec-root", 0, "exec-root", text, set_path<&S::exec_root>, "Root directory of execution state files"},
      {"pidfile", 'p', "pidfile", text, set_text<&O::pid_file>, "File for the engine's process id"},
      {"host", 'H', "hosts", list, set_hosts,
       "Socket to listen on: unix://, tcp:// or fd://; may be repeated"},
      {"group", 'G', "group", text, set_text<&O::group>, "Group that may use the unix socket"},
      {"config-file", 0, "", text, set_config_file, "Configuration file"},
      {"insecure-registry", 0, "insecure-registries", list, set_insecure_registries,
       "Registry (host, host:port or CIDR) that may speak plain HTTP or show any certificate"},
      {"registry-mirror", 0, "registry-mirrors", list, set_registry_mirrors, "Mirror of Docker Hub"},
      {"", 0, "registries", document, set_registry_rules,
       "Where images with a prefix come from: location, mirrors, insecure"},
      {"max-concurrent-downloads", 0, "max-concurrent-downloads", number, set_parallel_downloads,
       "Layers that a pull fetches at a time"},
      {"max-concurrent-uploads", 0, "max-concurrent-uploads", number, set_parallel_uploads,
       "Layers that a push sends at a time"},
      {"", 0, "proxies", document, set_proxies, "Proxies for registries"},
      {"http-proxy", 0, "", text, set_http_proxy, "Proxy for registries over plain HTTP"},
      {"https-proxy", 0, "", text, set_https_proxy, "Proxy for registries over TLS"},
      {"no-proxy", 0, "", text, set_no_proxy, "Hosts that are reached without a proxy"},
      {"debug", 'D', "debug", boolean, set_setting_flag<&S::debug>, "Log what happens in detail"},
      {"log-level", 'l', "log-level", text, set_log_level, "debug, info, warn, error or fatal"},
      {"tls", 0, "tls", boolean, set_flag<&O::tls>, "Use TLS on tcp://; implied by --tlsverify"},
      {"tlsverify", 0, "tlsverify", boolean, set_flag<&O::tls_verify>, "Use TLS and verify clients"},
      {"tlscacert", 0, "tlscacert", text, set_text<&O::tls_ca>,
       "Trust clients whose certificate this CA signed"},
      {"tlscert", 0, "tlscert", text, set_text<&O::tls_certificate>, "Certificate file"},
      {"tlskey", 0, "tlskey", text, set_text<&O::tls_key>, "Key file"},
      {"allow-plain-tcp", 0, "allow-plain-tcp", boolean, set_flag<&O::allow_plain_tcp>,
       "Listen on tcp:// without TLS: whoever reaches it is root here"},
      {"storage-driver", 's', "storage-driver", text, set_storage_driver,
       "How layers are kept: erofs, overlay or overlay2; the best that works here if not given"},
      {"log-driver", 0, "log-driver", text, set_setting<&S::log_driver>, "Default log driver of containers"},
      {"log-opt", 0, "log-opts", map, set_log_options, "Default log options of containers"},
      {"default-ulimit", 0, "default-ulimits", map, set_ulimits, "Default ulimits of containers"},
      {"default-shm-size", 0, "default-shm-size", text, set_shm_size, "Default size of /dev/shm"},
      {"cgroup-parent", 0, "cgroup-parent", text, set_setting<&S::cgroup_parent>,
       "Parent control group of containers"},
      {"dns", 0, "dns", list, set_setting_list<&S::dns>, "Default DNS servers of containers"},
      {"dns-opt", 0, "dns-opts", list, set_setting_list<&S::dns_options>, "Default DNS options"},
      {"dns-search", 0, "dns-search", list, set_setting_list<&S::dns_search>, "Default DNS search domains"},
      {"bridge", 'b', "bridge", text, set_setting<&S::bridge>,
       "Bridge to attach containers to; 'none' for none"},
      {"bip", 0, "bip", text, set_setting<&S::bridge_address>, "The bridge's address and subnet"},
      {"icc", 0, "icc", boolean, set_setting_flag<&S::icc>,
       "Containers on the default bridge reach each other"},
      {"ipv6", 0, "ipv6", boolean, set_setting_flag<&S::ipv6>, "Give the default bridge IPv6"},
      {"fixed-cidr", 0, "fixed-cidr", text, set_address<&S::fixed_cidr, netlink::Ipv4Prefix>,
       "Part of the default bridge's subnet that containers get addresses of"},
      {"fixed-cidr-v6", 0, "fixed-cidr-v6", text, set_fixed_cidr_v6, "IPv6 subnet of the default bridge"},
      {"default-gateway", 0, "default-gateway", text, set_address<&S::default_gateway, netlink::Ipv4Address>,
       "Gateway of the default bridge's containers instead of the host"},
      {"default-gateway-v6", 0, "default-gateway-v6", text,
       set_address<&S::default_gateway_v6, netlink::Ipv6Address>, "The same for IPv6"},
      {"default-address-pool", 0, "", list, set_address_pools,
       "Where networks that name no subnet get theirs: base=172.30.0.0/16,size=24; may be repeated"},
      {"", 0, "default-address-pools", document, set_address_pools_document, "The same"},
      {"default-network-opt", 0, "", list, set_network_options,
       "Option of new networks: bridge=com.docker.network.driver.mtu=1400; may be repeated"},
      {"", 0, "default-network-opts", document, set_network_options_document, "The same"},
      {"ip", 0, "ip", text, set_address<&S::published_at, netlink::Ipv4Address>,
       "Address of the host where the default bridge's ports are published that name none"},
      {"ip-masq", 0, "ip-masq", boolean, set_setting_flag<&S::masquerade>,
       "What leaves the default bridge has the host's address"},
      {"ip-forward", 0, "ip-forward", boolean, set_setting_flag<&S::forward>,
       "Make the host forward packets for containers"},
      {"ip-forward-no-drop", 0, "ip-forward-no-drop", boolean, set_setting_flag<&S::forward_for_all>,
       "Where the engine has made the host forward, let it do so for everybody"},
      {"host-gateway-ip", 0, "host-gateway-ip", text, set_address<&S::host_gateway, netlink::IpAddress>,
       "What containers call host-gateway; the host as they reach it if not given"},
      {"mtu", 0, "mtu", number, set_mtu, "MTU of containers' interfaces"},
      {"init", 0, "init", boolean, set_setting_flag<&S::init_by_default>, "Run an init in every container"},
      {"init-path", 0, "init-path", text, set_setting<&S::init_program>, "Path of that init"},
      {"no-new-privileges", 0, "no-new-privileges", boolean, set_setting_flag<&S::no_new_privileges>,
       "Set no-new-privileges for every container"},
      {"seccomp-profile", 0, "seccomp-profile", text, set_setting<&S::seccomp_profile>,
       "Default seccomp profile"},
      {"cdi-spec-dir", 0, "cdi-spec-dirs", list, set_cdi_directories,
       "Directory of CDI specifications; may be repeated"},
      {"", 0, "builder", document, set_builder, "What builds may be allowed: entitlements"},
      {"label", 0, "labels", list, set_setting_list<&S::labels>, "Labels of the engine"},
      {"keeper-path", 0, "keeper-path", text, set_setting<&S::keeper_program>, "Path of berth-keeper"},
  };
  struct Ignored {
    std::string_view flag, key;
    OptionShape shape;
  };
  static constexpr Ignored ignored[] = {
      {"storage-opt", "storage-opts", list},
      {"userns-remap", "userns-remap", text},
      {"containerd", "containerd", text},
      {"containerd-namespace", "containerd-namespace", text},
      {"containerd-plugins-namespace", "containerd-plugin-namespace", text},
      {"live-restore", "live-restore", boolean},
      {"add-runtime", "runtimes", map},
      {"default-runtime", "default-runtime", text},
      {"exec-opt", "exec-opts", list},
      {"experimental", "experimental", boolean},
      {"feature", "features", map},
      {"allow-nondistributable-artifacts", "allow-nondistributable-artifacts", list},
      {"ip6tables", "ip6tables", boolean},
      {"iptables", "iptables", boolean},
      {"default-cgroupns-mode", "default-cgroupns-mode", text},
      {"default-ipc-mode", "default-ipc-mode", text},
      {"cpu-rt-period", "cpu-rt-period", number},
      {"cpu-rt-runtime", "cpu-rt-runtime", number},
      {"max-download-attempts", "max-download-attempts", number},
      {"metrics-addr", "metrics-addr", text},
      {"network-control-plane-mtu", "network-control-plane-mtu", number},
      {"node-generic-resource", "node-generic-resources", list},
      {"oom-score-adjust", "oom-score-adjust", number},
      {"raw-logs", "raw-logs", boolean},
      {"rootless", "", boolean},
      {"selinux-enabled", "selinux-enabled", boolean},
      {"shutdown-timeout", "shutdown-timeout", number},
      {"swarm-default-advertise-addr", "swarm-default-advertise-addr", text},
      {"userland-proxy", "userland-proxy", boolean},
      {"userland-proxy-path", "userland-proxy-path", text},
      {"validate", "", boolean},
      {"authorization-plugin", "authorization-plugins", list},
      {"log-format", "log-format", text}};
  for (const Ignored& option : ignored)
    table.push_back({option.flag, 0, option.key, option.shape, nullptr, "No effect here"});
  return table;
}

// A member's value as the command line would write it.
Result<Values> values_of(const DaemonOption& option, const json::value& value) {
  auto scalar = [&](const json::value& item) -> Result<std::string> {
    if (item.is_string()) return std::string(item.get_string());
    if (item.is_bool()) return std::string(item.get_bool() ? "true" : "false");
    if (item.is_int64()) return std::to_string(item.get_int64());
    return fail(ErrorKind::invalid, "the configuration's \"{}\" has a value of the wrong type", option.key);
  };
  Values values;
  if (option.shape == OptionShape::document) {
    values.push_back(json::serialize(value));
  } else if (option.shape == OptionShape::list && value.is_array()) {
    for (const json::value& item : value.get_array()) values.push_back(TRY(scalar(item)));
  } else if (option.shape == OptionShape::map && value.is_object()) {
    for (const auto& [name, item] : value.get_object()) {
      if (!item.is_object()) {
        values.push_back(std::string(name) + "=" + TRY(scalar(item)));
        continue;
      }
      // Ulimits: {"nofile": {"Name": "nofile", "Hard": 64000, "Soft": 64000}}
      std::int64_t soft = 0, hard = 0;
      ObjectReader in(item, option.key);
      in.read("Soft", soft);
      in.read("Hard", hard);
      TRY(in.finish());
      values.push_back(fmt::format("{}={}:{}", std::string_view(name), soft, hard));
    }
  } else {
    values.push_back(TRY(scalar(value)));
  }
  return values;
}

}  // namespace

const std::vector<DaemonOption>& daemon_options() {
  static const std::vector<DaemonOption> table = make_table();
  return table;
}

Result<void> apply_environment(DaemonOptions& options, const char* (*variable)(const char* name)) {
  if (!options.settings.storage_driver.empty()) return {};
  for (const char* name : {"BERTH_STORAGE_DRIVER", "DOCKER_DRIVER"}) {
    const char* value = variable(name);
    if (!value || !*value) continue;
    TRY_AS(name, set_storage_driver(options, {value}));
    break;
  }
  return {};
}

Result<void> apply_daemon_json(DaemonOptions& options, std::string_view text,
                               const std::vector<std::string>& given, std::vector<std::string>& warnings) {
  if (trim(text).empty()) return {};
  json::value document = TRY(parse_json(text, "the configuration file"));
  if (!document.is_object()) return fail(ErrorKind::invalid, "the configuration file must hold an object");
  for (const auto& [key, value] : document.get_object()) {
    const auto& table = daemon_options();
    auto option = std::find_if(table.begin(), table.end(),
                               [&, name = std::string_view(key)](const DaemonOption& candidate) {
                                 return !candidate.key.empty() && candidate.key == name;
                               });
    if (option == table.end())
      return fail(ErrorKind::invalid, "the following directives don't match any configuration option: {}",
                  std::string_view(key));
    if (std::find(given.begin(), given.end(), option->flag) != given.end())
      return fail(ErrorKind::invalid,
                  "the following directives are specified both as a flag and in the configuration file: {}",
                  std::string_view(key));
    if (!option->apply) {
      // runtimes, proxies and the like may have any shape: nobody reads them.
      warnings.push_back(
          fmt::format("\"{}\" in the configuration file has no effect here", std::string_view(key)));
      continue;
    }
    Values values = TRY(values_of(*option, value));
    if (!values.empty()) TRY_AS(std::string(key), option->apply(options, values));
  }
  return {};
}

}  // namespace berth::engine
