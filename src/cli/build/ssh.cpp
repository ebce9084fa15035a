// SPDX-License-Identifier: Apache-2.0
#include "cli/build/ssh.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "base/file.h"
#include "base/text.h"
#include "cli/create/security.h"

namespace berth::cli {
namespace {

Result<std::string> agent_of_environment(std::string_view id) {
  const char* variable = std::getenv("SSH_AUTH_SOCK");
  if (variable && *variable) return std::string(variable);
  return fail(ErrorKind::invalid,
              "--ssh {}: there is no SSH agent: SSH_AUTH_SOCK is not set (--ssh {}=FILE takes a key instead)",
              id, id);
}

// Nothing where it is not a socket.
Result<std::optional<Fd>> open_socket(std::string_view id, const std::string& place) {
  Result<Fd> opened = open_file(place, O_PATH);
  if (!opened)
    return fail(opened.error().kind, "--ssh {}: {}: {}", id, place, words_of_errno(opened.error().code));
  struct stat status;
  if (fstat(opened->get(), &status) != 0) return fail_errno(errno, "--ssh {}: look at {}", id, place);
  if (S_ISSOCK(status.st_mode)) return std::optional(std::move(*opened));
  if (!S_ISREG(status.st_mode) && !S_ISFIFO(status.st_mode))
    return fail(ErrorKind::invalid, "--ssh {}: {} is neither an agent's socket nor the file of a key", id,
                place);
  return std::optional<Fd>();
}

Result<void> add_agent(std::string_view id, const std::vector<std::string>& places, SshAgents& agents) {
  for (const std::string& place : places) {
    std::optional<Fd> socket = TRY(open_socket(id, place));
    if (!socket) continue;
    if (places.size() > 1)
      return fail(ErrorKind::invalid, "--ssh {}: {} is an agent's socket: it has to be the only one", id,
                  place);
    agents.sockets[std::string(id)] = std::move(*socket);
    return {};
  }
  KeyAgent agent = TRY(KeyAgent::start(id, places));
  agents.sockets[std::string(id)] = agent.take_socket();
  agents.own.push_back(std::move(agent));
  return {};
}

}  // namespace

Result<SshAgents> open_ssh_agents(const Flags& flags) {
  SshAgents agents;
  for (const std::string& text : flags.list("ssh")) {
    const auto [id, given] = split_once(text, '=');
    if (id.empty())
      return fail(ErrorKind::invalid,
                  "invalid --ssh \"{}\": it must be ID, ID=SOCKET or ID=KEYFILE[,KEYFILE...]", text);
    if (agents.sockets.contains(std::string(id)))
      return fail(ErrorKind::invalid, "--ssh {} is given twice", id);
    std::vector<std::string> places;
    for (const std::string_view place : split(given, ','))
      if (!place.empty()) places.emplace_back(place);
    if (places.empty()) places.push_back(TRY(agent_of_environment(id)));
    TRY(add_agent(id, places, agents));
  }
  return agents;
}

}  // namespace berth::cli
