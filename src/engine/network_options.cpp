// SPDX-License-Identifier: Apache-2.0
#include "engine/network_options.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace berth::engine {
namespace {

constexpr std::size_t kLongestPrefix = 12;  // with a number it is still an interface's name

bool is_prefix(const std::string& text) {
  return !text.empty() && text.size() <= kLongestPrefix && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-';
  });
}

}  // namespace

std::string network_option(const NetworkRecord& record, const std::string& name) {
  auto found = record.options.find(name);
  return found == record.options.end() ? "" : found->second;
}

Result<bool> boolean_option(const NetworkRecord& record, const std::string& name, bool otherwise) {
  static const std::set<std::string> yes{"1", "t", "T", "true", "TRUE", "True"};
  static const std::set<std::string> no{"0", "f", "F", "false", "FALSE", "False"};
  auto found = record.options.find(name);
  if (found == record.options.end()) return otherwise;
  if (yes.contains(found->second)) return true;
  if (no.contains(found->second)) return false;
  return fail(ErrorKind::invalid, "invalid {}: \"{}\" is neither true nor false", name, found->second);
}

Result<std::uint32_t> mtu_option(const NetworkRecord& record, std::uint32_t otherwise) {
  const std::string text = network_option(record, kMtuOption);
  if (text.empty()) return otherwise;
  const std::optional<std::uint32_t> value = parse_integer<std::uint32_t>(text);
  if (!value || *value < 68 || *value > 65535)
    return fail(ErrorKind::invalid, "invalid {}: {} is not between 68 and 65535", kMtuOption, text);
  return *value;
}

std::optional<netlink::IpAddress> host_binding(const NetworkRecord& record) {
  std::optional<netlink::IpAddress> address =
      netlink::IpAddress::parse(network_option(record, kHostBindingOption));
  return address && *address ? address : std::nullopt;
}

std::string interface_prefix(const NetworkRecord& record) {
  const std::string prefix = network_option(record, kInterfacePrefixOption);
  return prefix.empty() ? "eth" : prefix;
}

Result<void> check_options(const NetworkRecord& record) {
  static const std::set<std::string> known{
      kBridgeNameOption,  kIccOption,  kMasqueradeOption,
      kHostBindingOption, kMtuOption,  kInterfacePrefixOption,
      kIpv4Option,        kIpv6Option, "com.docker.network.bridge.default_bridge"};
  for (const auto& [name, value] : record.options)
    if (name.starts_with("com.docker.network.") && !known.contains(name))
      return fail(ErrorKind::invalid, "unknown network option {}", name);
  for (const char* name : {kIccOption, kMasqueradeOption, kIpv4Option, kIpv6Option})
    TRY(boolean_option(record, name, true));
  TRY(mtu_option(record, 0));
  const std::string binding = network_option(record, kHostBindingOption);
  if (!binding.empty() && !netlink::Ipv4Address::parse(binding))
    return fail(ErrorKind::invalid, "invalid {}: \"{}\" is not an IPv4 address", kHostBindingOption, binding);
  const std::string prefix = network_option(record, kInterfacePrefixOption);
  if (!prefix.empty() && !is_prefix(prefix))
    return fail(ErrorKind::invalid, "invalid {}: \"{}\" is not up to {} letters, digits, '-' and '_'",
                kInterfacePrefixOption, prefix, kLongestPrefix);
  return {};
}

bool has_way_out(const NetworkRecord& record) {
  return !record.internal && (record.driver != "macvlan" || !network_option(record, "parent").empty());
}

}  // namespace berth::engine
