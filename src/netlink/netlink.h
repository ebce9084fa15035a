// SPDX-License-Identifier: Apache-2.0
// Links, addresses and routes through NETLINK_ROUTE (rtnetlink(7)). A Socket belongs to one network namespace
// for life: the one it was opened in, whatever thread uses it later.
//
//   Batch batch;
//   batch.create_bridge("berth0", {.up = true});
//   batch.add_address(index, address);
//   TRY(socket.execute(batch));      // one sendmsg(2), an acknowledgement for each request
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "netlink/ipv4.h"
#include "netlink/ipv6.h"

namespace berth::netlink {

using MacAddress = std::array<unsigned char, 6>;
std::string format_mac(const MacAddress& mac);  // "02:42:ac:11:00:02"
std::optional<MacAddress> parse_mac(std::string_view text) noexcept;

struct LinkOptions {
  std::optional<MacAddress> mac;
  std::uint32_t mtu = 0;     // 0: the driver's
  std::uint32_t master = 0;  // index of the bridge to join; 0: none
  bool up = false;
};

// One end of a veth pair that is born in another namespace; moving one there later costs tens of
// milliseconds. It is born down: the kernel cannot raise it before the pair is complete.
struct VethPeer {
  std::string name;
  int namespace_descriptor = -1;  // -1: this socket's
  std::uint32_t index = 0;        // wanted interface index there; 0: the kernel's choice
  std::optional<MacAddress> mac;
  std::uint32_t mtu = 0;
};

// As linux/if_link.h has them.
enum class MacvlanMode : std::uint32_t { isolated = 1, vepa = 2, bridge = 4, passthru = 8 };

// A link with a MAC address of its own on a `parent` of this socket's namespace, born in another one and
// down.
struct MacvlanLink {
  std::string name;
  std::uint32_t parent = 0;
  MacvlanMode mode = MacvlanMode::bridge;
  int namespace_descriptor = -1;  // -1: this socket's
  std::optional<MacAddress> mac;
  std::uint32_t mtu = 0;  // 0: the parent's
};

struct Route {
  Ipv4Prefix destination;       // length 0: the default route
  Ipv4Address gateway;          // none: on link
  std::uint32_t interface = 0;  // 0: found by the gateway
};

struct Link {
  std::uint32_t index = 0;
  std::string name;
  std::string kind;  // "bridge", "veth", ...; empty for hardware and lo
  std::string alias;
  std::optional<MacAddress> mac;
  std::uint32_t mtu = 0;
  std::uint32_t master = 0;
  std::uint32_t peer_index = 0;  // a veth's other end, perhaps in another namespace
  bool up = false;
};

struct InterfaceAddress {
  std::uint32_t interface = 0;
  Ipv4Prefix address;
};

struct InterfaceAddress6 {
  std::uint32_t interface = 0;
  Ipv6Prefix address;
};

// Requests to be sent together, in order. Building one cannot fail; a name that is too long or malformed is
// found by execute().
class Batch {
 public:
  void create_bridge(std::string_view name, const LinkOptions& options);
  // A dummy device: an interface that drops what it is given.
  void create_dummy(std::string_view name, const LinkOptions& options);
  void create_veth(std::string_view name, const LinkOptions& options, const VethPeer& peer);
  void create_macvlan(const MacvlanLink& link);
  void create_vlan(std::string_view name, std::uint32_t parent, std::uint16_t id);  // 802.1Q
  void change_link(std::uint32_t index, const LinkOptions& options);  // sets what is given; `up` only raises
  void rename_link(std::uint32_t index, std::string_view name);       // the link must be down
  // IFLA_IFALIAS, up to 255 bytes: free text that ip(8) shows. Never in one batch with the link's creation:
  // were the name taken, someone else's link would get it.
  void set_alias(std::uint32_t index, std::string_view alias);
  // A port of a bridge gets back what came from it and is for it (hairpin).
  void set_hairpin(std::string_view port);
  void set_up(std::string_view link);
  void set_down(std::uint32_t index);
  // A bridge's port: between two that are isolated the bridge passes nothing (IFLA_BRPORT_ISOLATED).
  void isolate_port(std::uint32_t index, bool isolated);
  void delete_link(std::string_view name);
  void add_address(std::uint32_t index, const Ipv4Prefix& address);
  void remove_address(std::uint32_t index, const Ipv4Prefix& address);
  void add_route(const Route& route);
  // Usable at once: nobody is asked whether another has it. One that is there already stays.
  void set_address(std::uint32_t index, const Ipv6Prefix& address);
  void add_default_route(const Ipv6Address& gateway, std::uint32_t interface);
  void replace_default_route(const IpAddress& gateway, std::uint32_t interface);
  // Packets to the host's ::1 that come in by this interface are taken. Only what the host itself has
  // translated can come so: the kernel drops ::1 from the wire before. Goes with the interface.
  void accept_loopback(std::uint32_t interface);
  bool empty() const noexcept { return requests_.empty(); }

 private:
  friend class Socket;
  struct Request {
    std::string task;  // for the error: "create bridge berth0"
    std::size_t offset = 0;
  };
  std::size_t start(std::string task, std::uint16_t type, std::uint16_t flags);
  void finish(std::size_t offset);
  void check_name(std::string_view name);
  void create_simple(std::string_view kind, std::string_view name, const LinkOptions& options);
  void ask_for_link(std::size_t offset, std::string_view name);
  std::vector<char> bytes_;
  std::vector<Request> requests_;
  std::optional<Error> refused_;
};

class Socket {
 public:
  static Result<Socket> open();                             // in the calling thread's network namespace
  static Result<Socket> open_in(int namespace_descriptor);  // a helper thread enters it for a moment

  // Runs every request and returns the first failure, which names its task: "create bridge berth0: Operation
  // not permitted". Requests after a failed one have been tried all the same.
  Result<void> execute(const Batch& batch);

  Result<std::optional<Link>> find_link(std::string_view name);  // nothing when there is none
  Result<std::vector<Link>> links();
  Result<std::vector<InterfaceAddress>> addresses();  // IPv4's
  Result<std::vector<InterfaceAddress6>> ipv6_addresses();
  Result<std::vector<Route>> routes();  // of the main table

 private:
  explicit Socket(Fd socket) : socket_(std::move(socket)) {}
  Result<void> execute_part(const Batch& batch, std::size_t begin, std::size_t end,
                            std::optional<Error>& first_error);
  Result<std::size_t> receive(std::vector<char>& buffer);
  Result<void> send_all(std::vector<char>& bytes);
  Result<void> dump(std::string_view what, std::uint16_t type, const void* body, std::size_t body_size,
                    const std::function<void(std::string_view)>& each);
  Fd socket_;
  std::uint32_t sequence_ = 0;
};

}  // namespace berth::netlink
