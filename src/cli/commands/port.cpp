// SPDX-License-Identifier: Apache-2.0
// port: where a container's ports are published.
#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/rows.h"
#include "cli/output/list_format.h"

namespace berth::cli {
namespace {

Result<std::vector<std::string>> one_port(const std::string& container, const std::string& wanted,
                                          const json::value& ports) {
  auto [number, given] = split_once(wanted, '/');
  if (!parse_integer<std::uint16_t>(number)) {
    bool digits = !number.empty() && number.find_first_not_of("0123456789") == number.npos;
    return fail(ErrorKind::invalid, "Error: invalid port ({}): strconv.ParseUint: parsing \"{}\": {}", number,
                number, digits ? "value out of range" : "invalid syntax");
  }
  std::string port = fmt::format("{}/{}", number, given.empty() ? "tcp" : given);
  std::vector<std::string> addresses = published_addresses(member_of(ports, port));
  if (addresses.empty())
    return fail(ErrorKind::not_found, "Error: No public port '{}' published for {}", wanted, container);
  return addresses;
}

Result<int> port(Invocation& invocation) {
  const std::string& container = invocation.words[0];
  Engine* engine = TRY(invocation.context.engine());
  json::value document = TRY(engine->get_json("/containers/" + segment(container) + "/json"));
  const json::value& ports = member_of(member_of(document, "NetworkSettings"), "Ports");
  bool all = invocation.words.size() == 1 || invocation.words[1].empty();
  std::vector<std::string> lines =
      all ? published_ports(ports) : TRY(one_port(container, invocation.words[1], ports));
  for (const std::string& line : lines) print_out(line + "\n");
  return 0;
}

constexpr Command kCommands[] = {
    {"container port|port",
     "CONTAINER [PRIVATE_PORT[/PROTO]]",
     "Show where a container's ports are published",
     {},
     1,
     2,
     port},
};

}  // namespace

std::span<const Command> port_commands() { return kCommands; }

}  // namespace berth::cli
