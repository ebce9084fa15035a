// SPDX-License-Identifier: Apache-2.0
// Building requests. A netlink message is a header, a fixed structure and a tree of attributes, all aligned
// to four bytes (netlink(7)).
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>

#include <cstring>

#include "base/text.h"
#include "netlink/netlink.h"

namespace berth::netlink {
namespace {

constexpr std::size_t kAliasLimit = 255;

// The message at the end of a buffer, still growing.
class Message {
 public:
  explicit Message(std::vector<char>& bytes) : bytes_(bytes) {}

  template <class Structure>
  void append(const Structure& structure) {
    append_bytes(&structure, sizeof structure);
  }
  void put(std::uint16_t type, const void* data, std::size_t size) {
    const rtattr attribute{static_cast<std::uint16_t>(RTA_LENGTH(size)), type};
    append_bytes(&attribute, sizeof attribute);
    append_bytes(data, size);
  }
  void put_number(std::uint16_t type, std::uint32_t value) { put(type, &value, sizeof value); }
  void put_text(std::uint16_t type, std::string_view text) {
    const std::string terminated(text);
    put(type, terminated.c_str(), terminated.size() + 1);
  }
  void put_address(std::uint16_t type, Ipv4Address address) { put_number(type, htonl(address.value)); }

  // Calls `fill` for what goes inside the attribute.
  template <class Fill>
  void nest(std::uint16_t type, Fill fill) {
    const std::size_t start = bytes_.size();
    const rtattr attribute{0, type};
    append_bytes(&attribute, sizeof attribute);
    fill();
    const auto size = static_cast<std::uint16_t>(bytes_.size() - start);
    std::memcpy(bytes_.data() + start, &size, sizeof size);
  }

 private:
  void append_bytes(const void* data, std::size_t size) {
    const std::size_t start = bytes_.size();
    bytes_.resize(start + NLMSG_ALIGN(size));
    if (size > 0) std::memcpy(bytes_.data() + start, data, size);
  }
  std::vector<char>& bytes_;
};

// As the kernel judges a device name (dev_valid_name).
bool valid_name(std::string_view name) {
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
         name.find_first_of(std::string_view("/: \t\r\n\v\f%\0", 10)) == std::string_view::npos;
}

ifinfomsg link_header(std::uint32_t index, bool up) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = static_cast<int>(index);
  if (up) header.ifi_flags = header.ifi_change = IFF_UP;
  return header;
}

void put_options(Message& message, const LinkOptions& options) {
  if (options.mac) message.put(IFLA_ADDRESS, options.mac->data(), options.mac->size());
  if (options.mtu != 0) message.put_number(IFLA_MTU, options.mtu);
  if (options.master != 0) message.put_number(IFLA_MASTER, options.master);
}

}  // namespace

std::string format_mac(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3], mac[4],
                     mac[5]);
}

std::optional<MacAddress> parse_mac(std::string_view text) noexcept {
  if (text.size() != 17) return std::nullopt;
  MacAddress mac;
  for (std::size_t i = 0; i < mac.size(); ++i) {
    if (i > 0 && text[i * 3 - 1] != ':') return std::nullopt;
    auto byte = parse_integer<std::uint8_t>(text.substr(i * 3, 2), 16);
    if (!byte) return std::nullopt;
    mac[i] = *byte;
  }
  return mac;
}

std::size_t Batch::start(std::string task, std::uint16_t type, std::uint16_t flags) {
  const std::size_t offset = bytes_.size();
  requests_.push_back({std::move(task), offset});
  nlmsghdr header{};
  header.nlmsg_type = type;
  header.nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
  bytes_.resize(offset + sizeof header);
  std::memcpy(bytes_.data() + offset, &header, sizeof header);
  return offset;
}

void Batch::finish(std::size_t offset) {
  const auto length = static_cast<std::uint32_t>(bytes_.size() - offset);
  std::memcpy(bytes_.data() + offset, &length, sizeof length);
}

void Batch::check_name(std::string_view name) {
  if (!valid_name(name) && !refused_)
    refused_ = fail(ErrorKind::invalid, "'{}' is not a name that a network interface can have", name).error();
}

void Batch::ask_for_link(std::size_t offset, std::string_view name) {
  Message message(bytes_);
  message.append(link_header(0, false));
  message.put_text(IFLA_IFNAME, name);
  finish(offset);
}

void Batch::create_simple(std::string_view kind, std::string_view name, const LinkOptions& options) {
  check_name(name);
  std::size_t offset = start(fmt::format("create {} {}", kind, name), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  Message message(bytes_);
  message.append(link_header(0, options.up));
  message.put_text(IFLA_IFNAME, name);
  put_options(message, options);
  message.nest(IFLA_LINKINFO, [&] { message.put_text(IFLA_INFO_KIND, kind); });
  finish(offset);
}

void Batch::create_bridge(std::string_view name, const LinkOptions& options) {
  create_simple("bridge", name, options);
}

void Batch::create_dummy(std::string_view name, const LinkOptions& options) {
  create_simple("dummy", name, options);
}

void Batch::create_veth(std::string_view name, const LinkOptions& options, const VethPeer& peer) {
  check_name(name);
  check_name(peer.name);
  std::size_t offset = start(fmt::format("create veth {} with peer {}", name, peer.name), RTM_NEWLINK,
                             NLM_F_CREATE | NLM_F_EXCL);
  Message message(bytes_);
  message.append(link_header(0, options.up));
  message.put_text(IFLA_IFNAME, name);
  put_options(message, options);
  message.nest(IFLA_LINKINFO, [&] {
    message.put_text(IFLA_INFO_KIND, "veth");
    message.nest(IFLA_INFO_DATA, [&] {
      message.nest(VETH_INFO_PEER, [&] {
        message.append(link_header(peer.index, false));
        message.put_text(IFLA_IFNAME, peer.name);
        put_options(message, {.mac = peer.mac, .mtu = peer.mtu});
        if (peer.namespace_descriptor >= 0)
          message.put_number(IFLA_NET_NS_FD, static_cast<std::uint32_t>(peer.namespace_descriptor));
      });
    });
  });
  finish(offset);
}

void Batch::create_macvlan(const MacvlanLink& link) {
  check_name(link.name);
  std::size_t offset =
      start(fmt::format("create macvlan {}", link.name), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  Message message(bytes_);
  message.append(link_header(0, false));
  message.put_text(IFLA_IFNAME, link.name);
  message.put_number(IFLA_LINK, link.parent);
  if (link.namespace_descriptor >= 0)
    message.put_number(IFLA_NET_NS_FD, static_cast<std::uint32_t>(link.namespace_descriptor));
  put_options(message, {.mac = link.mac, .mtu = link.mtu});
  message.nest(IFLA_LINKINFO, [&] {
    message.put_text(IFLA_INFO_KIND, "macvlan");
    message.nest(IFLA_INFO_DATA,
                 [&] { message.put_number(IFLA_MACVLAN_MODE, static_cast<std::uint32_t>(link.mode)); });
  });
  finish(offset);
}

void Batch::create_vlan(std::string_view name, std::uint32_t parent, std::uint16_t id) {
  check_name(name);
  std::size_t offset = start(fmt::format("create vlan {}", name), RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  Message message(bytes_);
  message.append(link_header(0, false));
  message.put_text(IFLA_IFNAME, name);
  message.put_number(IFLA_LINK, parent);
  message.nest(IFLA_LINKINFO, [&] {
    message.put_text(IFLA_INFO_KIND, "vlan");
    message.nest(IFLA_INFO_DATA, [&] { message.put(IFLA_VLAN_ID, &id, sizeof id); });
  });
  finish(offset);
}

void Batch::change_link(std::uint32_t index, const LinkOptions& options) {
  std::size_t offset = start(fmt::format("set up link {}", index), RTM_NEWLINK, 0);
  Message message(bytes_);
  message.append(link_header(index, options.up));
  put_options(message, options);
  finish(offset);
}

void Batch::rename_link(std::uint32_t index, std::string_view name) {
  check_name(name);
  std::size_t offset = start(fmt::format("rename link {} to {}", index, name), RTM_NEWLINK, 0);
  Message message(bytes_);
  message.append(link_header(index, false));
  message.put_text(IFLA_IFNAME, name);
  finish(offset);
}

void Batch::set_alias(std::uint32_t index, std::string_view alias) {
  std::size_t offset = start(fmt::format("set the alias of link {}", index), RTM_NEWLINK, 0);
  Message message(bytes_);
  message.append(link_header(index, false));
  message.put(IFLA_IFALIAS, alias.data(), std::min(alias.size(), kAliasLimit));
  finish(offset);
}

void Batch::set_hairpin(std::string_view port) {
  check_name(port);
  std::size_t offset = start(fmt::format("set hairpin mode of {}", port), RTM_NEWLINK, 0);
  Message message(bytes_);
  message.append(link_header(0, false));
  message.put_text(IFLA_IFNAME, port);
  message.nest(IFLA_LINKINFO, [&] {
    message.put_text(IFLA_INFO_SLAVE_KIND, "bridge");
    message.nest(IFLA_INFO_SLAVE_DATA, [&] {
      const std::uint8_t on = 1;
      message.put(IFLA_BRPORT_MODE, &on, sizeof on);
    });
  });
  finish(offset);
}

void Batch::set_up(std::string_view link) {
  check_name(link);
  std::size_t offset = start(fmt::format("take link {} up", link), RTM_NEWLINK, 0);
  Message message(bytes_);
  message.append(link_header(0, true));
  message.put_text(IFLA_IFNAME, link);
  finish(offset);
}

void Batch::set_down(std::uint32_t index) {
  std::size_t offset = start(fmt::format("take link {} down", index), RTM_NEWLINK, 0);
  Message message(bytes_);
  ifinfomsg header = link_header(index, false);
  header.ifi_change = IFF_UP;
  message.append(header);
  finish(offset);
}

void Batch::isolate_port(std::uint32_t index, bool isolated) {
  const auto value = static_cast<std::uint8_t>(isolated);
  std::size_t offset =
      start(fmt::format("{} bridge port {}", isolated ? "isolate" : "join", index), RTM_NEWLINK, 0);
  Message message(bytes_);
  message.append(link_header(index, false));
  message.nest(IFLA_LINKINFO, [&] {
    message.put_text(IFLA_INFO_SLAVE_KIND, "bridge");
    message.nest(IFLA_INFO_SLAVE_DATA, [&] { message.put(IFLA_BRPORT_ISOLATED, &value, sizeof value); });
  });
  finish(offset);
}

void Batch::delete_link(std::string_view name) {
  check_name(name);
  std::size_t offset = start(fmt::format("delete link {}", name), RTM_DELLINK, 0);
  Message message(bytes_);
  message.append(link_header(0, false));
  message.put_text(IFLA_IFNAME, name);
  finish(offset);
}

void Batch::add_address(std::uint32_t index, const Ipv4Prefix& address) {
  std::size_t offset = start(fmt::format("add address {} to link {}", address.text(), index), RTM_NEWADDR,
                             NLM_F_CREATE | NLM_F_EXCL);
  Message message(bytes_);
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = static_cast<unsigned char>(address.length);
  header.ifa_index = index;
  message.append(header);
  message.put_address(IFA_LOCAL, address.address);
  message.put_address(IFA_ADDRESS, address.address);
  if (address.length < 31) message.put_address(IFA_BROADCAST, address.broadcast());
  finish(offset);
}

void Batch::set_address(std::uint32_t index, const Ipv6Prefix& address) {
  std::size_t offset = start(fmt::format("add address {} to link {}", address.text(), index), RTM_NEWADDR,
                             NLM_F_CREATE | NLM_F_REPLACE);
  Message message(bytes_);
  ifaddrmsg header{};
  header.ifa_family = AF_INET6;
  header.ifa_prefixlen = static_cast<unsigned char>(address.length);
  header.ifa_flags = IFA_F_NODAD;
  header.ifa_index = index;
  message.append(header);
  message.put(IFA_LOCAL, address.address.bytes.data(), address.address.bytes.size());
  message.put(IFA_ADDRESS, address.address.bytes.data(), address.address.bytes.size());
  finish(offset);
}

void Batch::add_default_route(const Ipv6Address& gateway, std::uint32_t interface) {
  std::size_t offset = start("add route ::/0 via " + gateway.text(), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  Message message(bytes_);
  rtmsg header{};
  header.rtm_family = AF_INET6;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  message.append(header);
  message.put(RTA_GATEWAY, gateway.bytes.data(), gateway.bytes.size());
  message.put_number(RTA_OIF, interface);
  finish(offset);
}

void Batch::replace_default_route(const IpAddress& gateway, std::uint32_t interface) {
  std::size_t offset =
      start("make the default route go via " + gateway.text(), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  Message message(bytes_);
  rtmsg header{};
  header.rtm_family = gateway.is_v6 ? AF_INET6 : AF_INET;
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_UNICAST;
  message.append(header);
  message.put(RTA_GATEWAY, gateway.bytes.data(), gateway.is_v6 ? 16 : 4);
  message.put_number(RTA_OIF, interface);
  finish(offset);
}

void Batch::accept_loopback(std::uint32_t interface) {
  std::size_t offset =
      start(fmt::format("take ::1 on link {}", interface), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE);
  Message message(bytes_);
  rtmsg header{};
  header.rtm_family = AF_INET6;
  header.rtm_dst_len = 128;
  header.rtm_table = RT_TABLE_LOCAL;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_type = RTN_LOCAL;
  message.append(header);
  Ipv6Address loopback;
  loopback.bytes.back() = 1;
  message.put(RTA_DST, loopback.bytes.data(), loopback.bytes.size());
  message.put_number(RTA_OIF, interface);
  // Behind the loopback interface's own, and another for each interface: equal ones would replace each other.
  message.put_number(RTA_PRIORITY, 1024 + interface);
  finish(offset);
}

void Batch::remove_address(std::uint32_t index, const Ipv4Prefix& address) {
  std::size_t offset =
      start(fmt::format("remove address {} from link {}", address.text(), index), RTM_DELADDR, 0);
  Message message(bytes_);
  ifaddrmsg header{};
  header.ifa_family = AF_INET;
  header.ifa_prefixlen = static_cast<unsigned char>(address.length);
  header.ifa_index = index;
  message.append(header);
  message.put_address(IFA_LOCAL, address.address);
  finish(offset);
}

void Batch::add_route(const Route& route) {
  std::string task = fmt::format("add route {}", route.destination.text());
  if (route.gateway) task += " via " + route.gateway.text();
  std::size_t offset = start(std::move(task), RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
  Message message(bytes_);
  rtmsg header{};
  header.rtm_family = AF_INET;
  header.rtm_dst_len = static_cast<unsigned char>(route.destination.length);
  header.rtm_table = RT_TABLE_MAIN;
  header.rtm_protocol = RTPROT_BOOT;
  header.rtm_scope = route.gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  header.rtm_type = RTN_UNICAST;
  message.append(header);
  if (route.destination.length > 0) message.put_address(RTA_DST, route.destination.address);
  if (route.gateway) message.put_address(RTA_GATEWAY, route.gateway);
  if (route.interface != 0) message.put_number(RTA_OIF, route.interface);
  finish(offset);
}

}  // namespace berth::netlink
