// SPDX-License-Identifier: Apache-2.0
#include "cli/build/ssh.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>

#include "base/file.h"
#include "base/text.h"
#include "cli/create/security.h"

namespace berth::cli {
namespace {

Result<std::string> place_of_agent(std::string_view id, std::string_view given) {
  if (!given.empty()) return std::string(given);
  const char* variable = std::getenv("SSH_AUTH_SOCK");
  if (variable && *variable) return std::string(variable);
  return fail(ErrorKind::invalid, "--ssh {}: there is no SSH agent: SSH_AUTH_SOCK is not set", id);
}

Result<Fd> open_agent(std::string_view id, const std::string& place) {
  Result<Fd> socket = open_file(place, O_PATH);
  if (!socket)
    return fail(socket.error().kind, "--ssh {}: {}: {}", id, place, words_of_errno(socket.error().code));
  struct stat status;
  if (fstat(socket->get(), &status) != 0) return fail_errno(errno, "--ssh {}: look at {}", id, place);
  if (S_ISREG(status.st_mode))
    return fail(ErrorKind::unsupported,
                "--ssh {}: {} is a file: add the key to an agent (ssh-add {}), and give its socket", id,
                place, place);
  if (!S_ISSOCK(status.st_mode)) return fail(ErrorKind::invalid, "--ssh {}: {} is not a socket", id, place);
  return socket;
}

}  // namespace

Result<std::map<std::string, Fd>> open_ssh_agents(const Flags& flags) {
  std::map<std::string, Fd> agents;
  for (const std::string& text : flags.list("ssh")) {
    const auto [id, given] = split_once(text, '=');
    if (id.empty()) return fail(ErrorKind::invalid, "invalid --ssh \"{}\": it must be ID or ID=SOCKET", text);
    if (agents.contains(std::string(id))) return fail(ErrorKind::invalid, "--ssh {} is given twice", id);
    const std::string place = TRY(place_of_agent(id, given));
    agents[std::string(id)] = TRY(open_agent(id, place));
  }
  return agents;
}

}  // namespace berth::cli
