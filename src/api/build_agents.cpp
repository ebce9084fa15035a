// SPDX-License-Identifier: Apache-2.0
#include "api/build_agents.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace berth::api {

Result<void> add_agents(const std::map<std::string, std::uint64_t>& places, std::vector<Fd>& descriptors,
                        const http::Peer& peer, build::BuildRequest& request) {
  for (const auto& [id, place] : places) {
    if (place >= descriptors.size() || !descriptors[place])
      return fail(ErrorKind::unavailable, "the SSH agent {} was not passed along with the request", id);
    Fd socket = std::move(descriptors[place]);
    struct stat status;
    if (fstat(socket.get(), &status) != 0) return fail_errno(errno, "look at the SSH agent {}", id);
    if (!S_ISSOCK(status.st_mode)) return fail(ErrorKind::invalid, "the SSH agent {} is not a socket", id);
    build::SshAgent agent{std::move(socket), std::nullopt};
    // An engine that is asked by somebody does not connect for him to what he could not connect to himself.
    if (peer.uid != geteuid())
      agent.user = sys::UserIdentity{.uid = peer.uid, .gid = peer.gid, .groups = peer.groups};
    request.agents.insert_or_assign(id, std::move(agent));
  }
  return {};
}

}  // namespace berth::api
