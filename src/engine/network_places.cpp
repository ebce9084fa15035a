// SPDX-License-Identifier: Apache-2.0
#include "engine/network_places.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "engine/networks.h"

namespace berth::engine {

using netlink::IpAddress;

namespace {

Result<Fd> not_the_hosts(Fd ns) {
  struct stat found, own;
  if (fstat(ns.get(), &found) != 0 || stat("/proc/self/ns/net", &own) != 0)
    return fail_errno(errno, "inspect a container's network");
  if (found.st_ino == own.st_ino) return fail(ErrorKind::conflict, "the container has just ended");
  return ns;
}

}  // namespace

bool has_ipv6(const Attachment& one) { return one.endpoint && one.endpoint->ipv6; }

std::vector<IpAddress> addresses_of(const network::Endpoint& endpoint) {
  std::vector<IpAddress> addresses{endpoint.address};
  if (endpoint.ipv6) addresses.emplace_back(endpoint.ipv6->address);
  return addresses;
}

names::Endpoint endpoint_names(const ContainerRecord& record, const Attachment& attachment) {
  names::Endpoint endpoint{record.id, names_on(record, attachment), {}};
  for (const IpAddress& address : addresses_of(*attachment.endpoint))
    endpoint.addresses.push_back(*names::Address::parse(address.text()));
  return endpoint;
}

const Attachment* way_out(const std::vector<Attachment>& attachments,
                          const std::function<bool(const Attachment&)>& leads_out) {
  const Attachment* best = nullptr;
  for (const Attachment& one : attachments)
    if (leads_out(one) && (!best || one.settings.gateway_priority > best->settings.gateway_priority))
      best = &one;
  return best;
}

Result<Fd> open_network_of(int process) {
  return not_the_hosts(TRY(open_file(fmt::format("/proc/{}/ns/net", process), O_RDONLY)));
}

Result<Fd> open_network_of(const keeper::State& state) {
  if (state.pid > 0)
    if (Result<Fd> ns = open_network_of(state.pid)) return ns;
  const std::string descriptors = fmt::format("/proc/{}/fd", state.keeper_pid);
  for (const std::string& number : TRY(list_directory(descriptors))) {
    const std::string path = descriptors + "/" + number;
    char target[64];
    const ssize_t length = readlink(path.c_str(), target, sizeof target);
    if (length <= 0 || !std::string_view(target, static_cast<std::size_t>(length)).starts_with("net:["))
      continue;
    if (Result<Fd> ns = not_the_hosts(TRY(open_file(path, O_RDONLY)))) return ns;
  }
  return fail(ErrorKind::not_found, "the container's keeper has no network of its own");
}
}  // namespace berth::engine
