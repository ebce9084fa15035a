// SPDX-License-Identifier: Apache-2.0
#include "cli/create/networks.h"

#include <algorithm>
#include <set>

#include "base/json.h"
#include "base/text.h"
#include "cli/create/json_forms.h"
#include "cli/create/mount.h"

namespace berth::cli {
namespace {

struct Attachment {
  std::string network;
  std::vector<std::string> aliases, links, link_local;
  std::string ipv4, ipv6, mac;
  std::map<std::string, std::string> driver_options;
  std::int64_t gateway_priority = 0;

  bool plain() const {
    return aliases.empty() && links.empty() && link_local.empty() && ipv4.empty() && ipv6.empty() &&
           mac.empty() && driver_options.empty() && gateway_priority == 0;
  }
};

bool user_defined(std::string_view network) {
  return network != "default" && network != "bridge" && network != "host" && network != "none" &&
         !network.starts_with("container:");
}

Result<std::int64_t> parse_priority(std::string_view text) {
  if (auto value = parse_integer<std::int64_t>(text)) return *value;
  std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  bool too_large = !digits.empty() && digits.find_first_not_of("0123456789") == digits.npos;
  return fail(ErrorKind::invalid, "invalid gw-priority ({}): {}", text,
              too_large ? "value out of range" : "invalid syntax");
}

// A name, or name=N,alias=A,ip=...
Result<Attachment> parse_attachment(const std::string& text) {
  Attachment attachment;
  if (text.find('=') == text.npos) {
    attachment.network = text;
    return attachment;
  }
  std::vector<std::string> fields = TRY(parse_csv(text));
  for (const std::string& field : fields) {
    auto [name, value] = split_once(field, '=');
    std::string key = to_lower(trim(name));
    std::string setting(trim(value));
    if (field.find('=') == field.npos) return fail(ErrorKind::invalid, "invalid field {}", field);
    if (key == "name")
      attachment.network = setting;
    else if (key == "alias")
      attachment.aliases.push_back(to_lower(setting));
    else if (key == "ip")
      attachment.ipv4 = setting;
    else if (key == "ip6")
      attachment.ipv6 = setting;
    else if (key == "link-local-ip")
      attachment.link_local.push_back(setting);
    else if (key == "mac-address")
      attachment.mac = setting;
    else if (key == "driver-opt") {
      auto [option, meaning] = split_once(setting, '=');
      if (setting.find('=') == setting.npos)
        return fail(ErrorKind::invalid, "invalid key value pair format in driver options");
      attachment.driver_options[to_lower(option)] = to_lower(meaning);
    } else if (key == "gw-priority") {
      attachment.gateway_priority = TRY(parse_priority(setting));
    } else {
      return fail(ErrorKind::invalid, "invalid field key {}", key);
    }
  }
  if (attachment.network.empty()) return fail(ErrorKind::invalid, "network name/id is not specified");
  return attachment;
}

// The options of the container as a whole belong to its first network.
Result<void> apply_container_options(Attachment& first, const Flags& flags) {
  struct Text {
    std::string_view flag;
    std::string* field;
    std::string_view what;
  };
  for (auto [flag, field, what] :
       {Text{"ip", &first.ipv4, "IPv4 address"}, Text{"ip6", &first.ipv6, "IPv6 address"},
        Text{"mac-address", &first.mac, "MAC address"}}) {
    if (!flags.given(flag)) continue;
    if (!field->empty())
      return fail(ErrorKind::invalid, "conflicting options: cannot specify both --{} and per-network {}",
                  flag, what);
    *field = flags.text(flag);
  }
  if (!flags.list("network-alias").empty() && !first.aliases.empty())
    return fail(ErrorKind::invalid,
                "conflicting options: cannot specify both --network-alias and per-network alias");
  if (!flags.list("link-local-ip").empty() && !first.link_local.empty())
    return fail(
        ErrorKind::invalid,
        "conflicting options: cannot specify both --link-local-ip and per-network link-local IP addresses");
  for (const std::string& link : flags.list("link"))
    if (user_defined(first.network)) first.links.push_back(link);  // elsewhere HostConfig.Links is enough
  for (const std::string& alias : flags.list("network-alias")) first.aliases.push_back(alias);
  for (const std::string& address : flags.list("link-local-ip")) first.link_local.push_back(address);
  return {};
}

json::object encode(const Attachment& attachment) {
  json::value addresses = nullptr;
  if (!attachment.ipv4.empty() || !attachment.ipv6.empty() || !attachment.link_local.empty()) {
    json::object ipam;
    if (!attachment.ipv4.empty()) ipam["IPv4Address"] = attachment.ipv4;
    if (!attachment.ipv6.empty()) ipam["IPv6Address"] = attachment.ipv6;
    if (!attachment.link_local.empty()) ipam["LinkLocalIPs"] = to_json(attachment.link_local);
    addresses = std::move(ipam);
  }
  json::value options = nullptr;
  if (!attachment.driver_options.empty()) options = to_json(attachment.driver_options);
  json::object endpoint = empty_endpoint();
  endpoint["IPAMConfig"] = addresses;
  endpoint["Links"] = list_or_null(attachment.links);
  endpoint["Aliases"] = list_or_null(attachment.aliases);
  endpoint["MacAddress"] = attachment.mac;
  endpoint["DriverOpts"] = options;
  endpoint["GwPriority"] = attachment.gateway_priority;
  return endpoint;
}

// EUI-48 or EUI-64: bytes between colons or hyphens, or pairs of bytes between dots.
bool valid_mac(std::string_view text) {
  bool dots = text.find('.') != text.npos;
  auto parts = split(text, dots ? '.' : text.find('-') == text.npos ? ':' : '-');
  std::size_t bytes = parts.size() * (dots ? 2 : 1);
  if (bytes != 6 && bytes != 8) return false;
  return std::ranges::all_of(parts, [&](std::string_view part) {
    return part.size() == (dots ? 4 : 2) && parse_integer<std::uint16_t>(part, 16);
  });
}

}  // namespace

Result<std::string> add_networks(const Flags& flags, json::object& endpoints) {
  std::string mac = flags.text("mac-address");
  if (!mac.empty() && !valid_mac(trim(mac)))
    return fail(ErrorKind::invalid, "{} is not a valid mac address", mac);
  std::vector<Attachment> attachments;
  for (const std::string& text : flags.list("network")) {
    if (text.empty()) return fail(ErrorKind::invalid, "no name set for network");
    Attachment attachment = TRY(parse_attachment(text));
    attachments.push_back(std::move(attachment));
  }
  bool none_given = attachments.empty();
  if (none_given) attachments.emplace_back().network = "default";
  TRY(apply_container_options(attachments[0], flags));
  bool has_user_defined = false, has_other = false;
  std::set<std::string> seen;
  for (const Attachment& attachment : attachments) {
    (user_defined(attachment.network) ? has_user_defined : has_other) = true;
    if (!attachment.aliases.empty() && !user_defined(attachment.network))
      return fail(ErrorKind::invalid, "network-scoped aliases are only supported for user-defined networks");
    if (!attachment.mac.empty() && !valid_mac(trim(attachment.mac)))
      return fail(ErrorKind::invalid, "{} is not a valid mac address", attachment.mac);
    if (!seen.insert(attachment.network).second)
      return fail(ErrorKind::invalid, "network \"{}\" is specified multiple times", attachment.network);
    if (attachments.size() == 1 && attachment.plain() && !none_given) continue;  // the engine makes it itself
    endpoints[attachment.network] = encode(attachment);
  }
  if (has_user_defined && has_other)
    return fail(ErrorKind::invalid,
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  return attachments[0].network;
}

Result<std::string> check_network(std::string_view text) {
  TRY(parse_attachment(std::string(text)));
  return std::string(text);
}

}  // namespace berth::cli
