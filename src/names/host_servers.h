// SPDX-License-Identifier: Apache-2.0
// The host's DNS servers: what containers' questions are sent to when their view names none.
#pragma once
#include <sys/stat.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "names/address.h"

namespace berth::names {

// The `nameserver` lines of resolv.conf(5), the first kMostServers of them; what is malformed is passed over.
std::vector<Server> parse_resolv_conf(std::string_view text);

struct ResolvConfPaths {
  std::string own = "/etc/resolv.conf";
  // systemd-resolved's list of real servers. Used when `own` names its stub alone: the stub is one more
  // process on the way, with limits of its own. Without the file the stub is asked, which works from the
  // host's namespace.
  std::string systemd = "/run/systemd/resolve/resolv.conf";
};

// Follows the file: looks once a second at most, and only when asked.
class HostServers {
 public:
  explicit HostServers(ResolvConfPaths paths) : paths_(std::move(paths)) {}
  const std::vector<Server>& current(std::chrono::steady_clock::time_point time);

 private:
  // Of a file, what changes when it is replaced or written.
  struct Mark {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = -1;
    timespec modified{};
    static Mark of(const std::string& path);
    bool operator==(const Mark& other) const;
  };
  void read_again();
  ResolvConfPaths paths_;
  std::vector<Server> read_;
  Mark own_, systemd_;
  std::chrono::steady_clock::time_point looked_{};
  bool ever_ = false;
};

}  // namespace berth::names
