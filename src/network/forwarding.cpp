// SPDX-License-Identifier: Apache-2.0
#include "network/forwarding.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "base/text.h"
#include "netlink/netlink.h"

namespace berth::network {
namespace {

const std::string kIpv6Settings = "/proc/sys/net/ipv6/conf/";

std::string setting(bool is_v6) {
  return is_v6 ? kIpv6Settings + "all/forwarding" : "/proc/sys/net/ipv4/ip_forward";
}

Result<bool> is_on(bool is_v6) { return trim(TRY(read_file(setting(is_v6)))) != "0"; }

// Whoever makes such an interface counts on forwarding, and may have found it on.
bool needs_forwarding(const netlink::Link& link) {
  return link.kind == "bridge" || link.kind == "tun" || link.kind == "wireguard";
}

// A host that forwards no longer takes its own address from router advertisements, unless it is told to. Only
// for interfaces that are there: those of the future may lead to guests.
Result<void> keep_own_addresses() {
  for (const std::string& interface : TRY(list_directory(kIpv6Settings))) {
    if (interface == "all" || interface == "default") continue;
    const std::string accept = kIpv6Settings + interface + "/accept_ra";
    if (Result<std::string> now = read_file(accept); now && trim(*now) == "1")
      (void)write_existing(accept, "2");
  }
  return {};
}

}  // namespace

std::string Forwarding::note(bool is_v6) const {
  return directory_ + (is_v6 ? "/forwards-ipv6" : "/forwards-ipv4");
}

Forwarding::Forwarding(std::string directory) : directory_(std::move(directory)) {
  for (const bool is_v6 : {false, true}) families_[is_v6].ours = exists(note(is_v6));
}

// The note first: whatever comes between, the next engine does not take our work for the host's wish.
Result<void> Forwarding::want(bool is_v6) {
  Family& family = families_[is_v6];
  if (family.wanted) return {};
  if (!family.ours && !TRY(is_on(is_v6))) {
    TRY(write_file_atomically(AT_FDCWD, note(is_v6), "was off before the engine needed it\n", 0644,
                              Durability::visible));
    family.ours = true;
  }
  family.wanted = true;
  return {};
}

Result<void> Forwarding::turn_on() {
  for (const bool is_v6 : {false, true}) {
    if (!families_[is_v6].wanted || TRY(is_on(is_v6))) continue;
    if (is_v6) TRY(keep_own_addresses());
    TRY(write_existing(setting(is_v6), "1"));
  }
  return {};
}

Result<void> Forwarding::turn_off() {
  netlink::Socket netlink = TRY(netlink::Socket::open());
  const std::vector<netlink::Link> links = TRY(netlink.links());
  if (std::any_of(links.begin(), links.end(), needs_forwarding)) return {};
  for (const bool is_v6 : {false, true}) {
    if (!families_[is_v6].ours) continue;
    TRY(write_existing(setting(is_v6), "0"));
    if (::unlink(note(is_v6).c_str()) != 0 && errno != ENOENT)
      return fail_errno(errno, "remove {}", note(is_v6));
    families_[is_v6] = {};
  }
  return {};
}

}  // namespace berth::network
