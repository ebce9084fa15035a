// SPDX-License-Identifier: Apache-2.0
// Whether this host passes packets on between its interfaces (net.ipv4.ip_forward and, of IPv6,
// net.ipv6.conf.all.forwarding). Containers need it. A host that did not do so before shall not become a
// router between its networks by it: the Firewall has to know (FirewallHost), before it is turned on.
//
// Lifecycle: want() for each family that a network needs -> the firewall is loaded -> turn_on(). turn_off()
// when no network is left, and its bridge is gone. Not thread safe.
#pragma once
#include <array>
#include <string>

#include "base/error.h"

namespace berth::network {

class Forwarding {
 public:
  // What was off before is noted in files here, for the engines that follow: a directory that a boot empties,
  // as it resets the settings.
  explicit Forwarding(std::string directory);

  Result<void> want(bool is_v6);
  bool is_ours(bool is_v6) const noexcept { return families_[is_v6].ours; }  // it was off before
  Result<void> turn_on();                                                    // what is wanted
  // What is ours, unless others have come to need it: a bridge or a tunnel is on the host. Then it stays
  // ours.
  Result<void> turn_off();

 private:
  struct Family {
    bool wanted = false;
    bool ours = false;
  };
  std::string note(bool is_v6) const;
  std::string directory_;
  std::array<Family, 2> families_;
};

}  // namespace berth::network
