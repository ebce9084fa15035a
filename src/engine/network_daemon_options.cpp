// SPDX-License-Identifier: Apache-2.0
#include "engine/network_daemon_options.h"

#include "base/json.h"
#include "base/text.h"
#include "engine/daemon_options.h"
#include "engine/network_ipam.h"
#include "engine/network_options.h"

namespace berth::engine {
namespace {

using Values = std::vector<std::string>;

constexpr int kLongestPrefix = 30, kLongestPrefix6 = 126;  // a gateway and a container have room

Result<void> check_pool_size(int base, int length, int longest) {
  if (length >= base && length <= longest) return {};
  return fail(ErrorKind::invalid,
              "an address pool's size is the prefix length of its subnets: {} is not between its base's {} "
              "and {}",
              length, base, longest);
}

// A base may be written with bits behind its prefix, as dockerd takes it.
Result<void> add_pool(Settings& settings, const std::string& base, int length) {
  if (std::optional<netlink::Ipv4Prefix> written = netlink::Ipv4Prefix::parse(base)) {
    const netlink::Ipv4Prefix subnet = TRY(parse_subnet(written->subnet().text()));
    TRY(check_pool_size(subnet.length, length, kLongestPrefix));
    settings.subnet_pools.push_back({subnet, length});
    return {};
  }
  if (std::optional<netlink::Ipv6Prefix> written = netlink::Ipv6Prefix::parse(base)) {
    const netlink::Ipv6Prefix subnet = TRY(parse_subnet6(written->subnet().text()));
    TRY(check_pool_size(subnet.length, length, kLongestPrefix6));
    settings.subnet_pools6.push_back({subnet, length});
    return {};
  }
  return fail(ErrorKind::invalid, "an address pool's base is a subnet like 172.30.0.0/16, not \"{}\"", base);
}

// Flags are applied before the file.
Result<void> only_in_one_place(bool given, const char* directive) {
  if (!given) return {};
  return fail(ErrorKind::invalid,
              "the following directives are specified both as a flag and in the configuration file: {}",
              directive);
}

// What no network could be created with is said at the start.
Result<void> set_network_option(Settings& settings, const std::string& driver, const std::string& name,
                                const std::string& value) {
  if (driver != "bridge" && driver != "macvlan")
    return fail(ErrorKind::invalid, "there are no networks of the driver \"{}\": use bridge or macvlan",
                driver);
  NetworkRecord probe;
  probe.options[name] = value;
  TRY(check_options(probe));
  settings.network_options[driver][name] = value;
  return {};
}

}  // namespace

Result<void> set_address_pools(DaemonOptions& options, const Values& values) {
  for (const std::string& value : values) {
    std::string base, size;
    for (std::string_view part : split(value, ',')) {
      auto [name, text] = split_once(part, '=');
      if (name != "base" && name != "size")
        return fail(ErrorKind::invalid, "\"{}\" is not like base=172.30.0.0/16,size=24", value);
      (name == "base" ? base : size) = text;
    }
    std::optional<int> length = parse_integer<int>(size);
    if (!length) return fail(ErrorKind::invalid, "\"{}\" is not like base=172.30.0.0/16,size=24", value);
    TRY(add_pool(options.settings, base, *length));
  }
  return {};
}

Result<void> set_address_pools_document(DaemonOptions& options, const Values& values) {
  Settings& settings = options.settings;
  TRY(only_in_one_place(!settings.subnet_pools.empty() || !settings.subnet_pools6.empty(),
                        "default-address-pools"));
  const json::value document = TRY(parse_json(values.back(), "default-address-pools"));
  if (!document.is_array())
    return fail(ErrorKind::invalid, R"(it holds pools: [{{"base": "172.30.0.0/16", "size": 24}}])");
  for (const json::value& item : document.get_array()) {
    std::string base;
    int length = 0;
    ObjectReader in(item, "pool");
    in.read("base", base);
    in.read("size", length);
    TRY(in.finish());
    TRY(add_pool(settings, base, length));
  }
  return {};
}

Result<void> set_network_options(DaemonOptions& options, const Values& values) {
  for (const std::string& value : values) {
    auto [driver, option] = split_once(value, '=');
    auto [name, text] = split_once(option, '=');
    if (name.empty())
      return fail(ErrorKind::invalid, "\"{}\" is not like bridge=com.docker.network.driver.mtu=1400", value);
    TRY(set_network_option(options.settings, std::string(driver), std::string(name), std::string(text)));
  }
  return {};
}

Result<void> set_network_options_document(DaemonOptions& options, const Values& values) {
  TRY(only_in_one_place(!options.settings.network_options.empty(), "default-network-opts"));
  const json::value document = TRY(parse_json(values.back(), "default-network-opts"));
  if (!document.is_object())
    return fail(ErrorKind::invalid,
                R"(it holds drivers: {{"bridge": {{"com.docker.network.driver.mtu": "1400"}}}})");
  ObjectReader in(document, "default-network-opts");
  for (const auto& [key, ignored] : document.get_object()) {
    const std::string driver(key);
    std::map<std::string, std::string> values_by_name;
    in.read(driver, values_by_name);
    TRY(in.finish());
    for (const auto& [name, value] : values_by_name)
      TRY(set_network_option(options.settings, driver, name, value));
  }
  return {};
}

}  // namespace berth::engine
