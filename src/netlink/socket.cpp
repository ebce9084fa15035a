// SPDX-License-Identifier: Apache-2.0
// Sending batches, and reading what comes back.
#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <thread>

#include "netlink/netlink.h"

namespace berth::netlink {
namespace {

constexpr std::size_t kRequestsAtOnce = 100;  // their answers have to fit into the socket's buffer

using Bytes = std::string_view;

template <class Structure>
std::optional<Structure> read_structure(Bytes bytes) {
  if (bytes.size() < sizeof(Structure)) return std::nullopt;
  Structure value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Bytes after_aligned(Bytes bytes, std::size_t size) {
  return bytes.substr(std::min(bytes.size(), NLMSG_ALIGN(size)));
}

void for_each_attribute(Bytes bytes, const std::function<void(std::uint16_t, Bytes)>& each) {
  while (auto header = read_structure<rtattr>(bytes)) {
    if (header->rta_len < sizeof(rtattr) || header->rta_len > bytes.size()) return;
    each(header->rta_type & NLA_TYPE_MASK, bytes.substr(sizeof(rtattr), header->rta_len - sizeof(rtattr)));
    bytes = after_aligned(bytes, header->rta_len);
  }
}

std::uint32_t number(Bytes bytes) { return read_structure<std::uint32_t>(bytes).value_or(0); }
Ipv4Address address(Bytes bytes) { return {ntohl(number(bytes))}; }
std::string text(Bytes bytes) { return std::string(bytes.substr(0, bytes.find('\0'))); }

Link parse_link(Bytes payload) {
  Link link;
  auto header = read_structure<ifinfomsg>(payload);
  if (!header) return link;
  link.index = static_cast<std::uint32_t>(header->ifi_index);
  link.up = (header->ifi_flags & IFF_UP) != 0;
  for_each_attribute(after_aligned(payload, sizeof *header), [&](std::uint16_t type, Bytes value) {
    if (type == IFLA_IFNAME) link.name = text(value);
    if (type == IFLA_IFALIAS) link.alias = text(value);
    if (type == IFLA_MTU) link.mtu = number(value);
    if (type == IFLA_MASTER) link.master = number(value);
    if (type == IFLA_LINK) link.peer_index = number(value);
    if (type == IFLA_ADDRESS && value.size() == 6) {
      link.mac.emplace();
      std::memcpy(link.mac->data(), value.data(), 6);
    }
    if (type == IFLA_LINKINFO)
      for_each_attribute(value, [&](std::uint16_t inner, Bytes kind) {
        if (inner == IFLA_INFO_KIND) link.kind = text(kind);
      });
  });
  return link;
}

std::optional<Route> parse_route(Bytes payload) {
  auto header = read_structure<rtmsg>(payload);
  if (!header || header->rtm_family != AF_INET || header->rtm_type != RTN_UNICAST) return std::nullopt;
  Route route;
  route.destination.length = header->rtm_dst_len;
  std::uint32_t table = header->rtm_table;
  for_each_attribute(after_aligned(payload, sizeof *header), [&](std::uint16_t type, Bytes value) {
    if (type == RTA_DST) route.destination.address = address(value);
    if (type == RTA_GATEWAY) route.gateway = address(value);
    if (type == RTA_OIF) route.interface = number(value);
    if (type == RTA_TABLE) table = number(value);
  });
  if (table != RT_TABLE_MAIN) return std::nullopt;
  return route;
}

std::optional<InterfaceAddress> parse_address(Bytes payload) {
  auto header = read_structure<ifaddrmsg>(payload);
  if (!header || header->ifa_family != AF_INET) return std::nullopt;
  InterfaceAddress found{header->ifa_index, {{}, header->ifa_prefixlen}};
  for_each_attribute(after_aligned(payload, sizeof *header), [&](std::uint16_t type, Bytes value) {
    if (type == IFA_LOCAL) found.address.address = address(value);
  });
  return found;
}

std::optional<InterfaceAddress6> parse_ipv6_address(Bytes payload) {
  auto header = read_structure<ifaddrmsg>(payload);
  if (!header || header->ifa_family != AF_INET6) return std::nullopt;
  InterfaceAddress6 found{header->ifa_index, {{}, header->ifa_prefixlen}};
  auto& bytes = found.address.address.bytes;
  for_each_attribute(after_aligned(payload, sizeof *header), [&](std::uint16_t type, Bytes value) {
    if (type == IFA_ADDRESS && value.size() == bytes.size())
      std::memcpy(bytes.data(), value.data(), value.size());
  });
  return found;
}

// Calls each(header, payload) for every message in what one recv(2) brought.
void for_each_message(Bytes bytes, const std::function<void(const nlmsghdr&, Bytes)>& each) {
  while (auto header = read_structure<nlmsghdr>(bytes)) {
    if (header->nlmsg_len < sizeof(nlmsghdr) || header->nlmsg_len > bytes.size()) return;
    each(*header, bytes.substr(NLMSG_HDRLEN, header->nlmsg_len - NLMSG_HDRLEN));
    bytes = after_aligned(bytes, header->nlmsg_len);
  }
}

}  // namespace

Result<Socket> Socket::open() {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (!socket) return fail_errno(errno, "open a netlink socket");
  // An acknowledgement then leaves the request out, and says in words what was wrong with it.
  const int on = 1;
  setsockopt(socket.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt(socket.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  setsockopt(socket.get(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  return Socket(std::move(socket));
}

Result<Socket> Socket::open_in(int namespace_descriptor) {
  Result<Socket> opened = fail(ErrorKind::system, "open a netlink socket in another namespace");
  // setns(2) moves one thread: one of our own, that ends with it.
  std::thread([&] {
    if (setns(namespace_descriptor, CLONE_NEWNET) != 0)
      opened = fail_errno(errno, "enter a network namespace");
    else
      opened = open();
  }).join();
  return opened;
}

Result<std::size_t> Socket::receive(std::vector<char>& buffer) {
  buffer.resize(64u << 10);  // the kernel fills at most 32 KiB at a time
  for (;;) {
    ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got > 0) return static_cast<std::size_t>(got);
    if (got == 0) return fail(ErrorKind::system, "the netlink socket ended");
    if (errno != EINTR) return fail_errno(errno, "read from the netlink socket");
  }
}

Result<void> Socket::send_all(std::vector<char>& bytes) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  for (;;) {
    ssize_t put = sendto(socket_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
                         sizeof kernel);
    if (put == static_cast<ssize_t>(bytes.size())) return {};
    if (put >= 0 || errno != EINTR)
      return fail_errno(put >= 0 ? EMSGSIZE : errno, "write to the netlink socket");
  }
}

namespace {

// The kernel's explanation in an acknowledgement (NLMSGERR_ATTR_MSG), or nothing.
std::string explanation(const nlmsghdr& header, Bytes payload) {
  std::string words;
  if (!(header.nlmsg_flags & NLM_F_ACK_TLVS)) return words;
  std::size_t skipped = sizeof(nlmsgerr);
  auto error = read_structure<nlmsgerr>(payload);
  if (error && !(header.nlmsg_flags & NLM_F_CAPPED)) skipped += error->msg.nlmsg_len - sizeof(nlmsghdr);
  for_each_attribute(after_aligned(payload, skipped), [&](std::uint16_t type, Bytes value) {
    if (type == NLMSGERR_ATTR_MSG) words = text(value);
  });
  return words;
}

}  // namespace

Result<void> Socket::execute(const Batch& batch) {
  if (batch.refused_) return std::unexpected(*batch.refused_);
  std::optional<Error> first_error;
  for (std::size_t begin = 0; begin < batch.requests_.size(); begin += kRequestsAtOnce)
    TRY(execute_part(batch, begin, std::min(begin + kRequestsAtOnce, batch.requests_.size()), first_error));
  if (first_error) return std::unexpected(std::move(*first_error));
  return {};
}

Result<void> Socket::execute_part(const Batch& batch, std::size_t begin, std::size_t end,
                                  std::optional<Error>& first_error) {
  const std::size_t from = batch.requests_[begin].offset;
  const std::size_t to = end < batch.requests_.size() ? batch.requests_[end].offset : batch.bytes_.size();
  std::vector<char> bytes(batch.bytes_.data() + from, batch.bytes_.data() + to);
  const std::uint32_t first_sequence = sequence_ + 1;
  for (std::size_t i = begin; i < end; ++i) {
    ++sequence_;
    std::memcpy(bytes.data() + batch.requests_[i].offset - from + offsetof(nlmsghdr, nlmsg_seq), &sequence_,
                sizeof sequence_);
  }
  TRY(send_all(bytes));
  for (std::size_t answered = 0; answered < end - begin;) {
    std::size_t got = TRY(receive(bytes));
    for_each_message({bytes.data(), got}, [&](const nlmsghdr& header, Bytes payload) {
      const std::uint32_t place = header.nlmsg_seq - first_sequence;
      if (header.nlmsg_type != NLMSG_ERROR || place >= end - begin) return;
      ++answered;
      auto error = read_structure<nlmsgerr>(payload);
      if (!error || error->error == 0 || first_error) return;
      const std::string& task = batch.requests_[begin + place].task;
      std::string words = explanation(header, payload);
      first_error = words.empty() ? fail_errno(-error->error, "{}", task).error()
                                  : fail_errno(-error->error, "{} ({})", task, words).error();
    });
  }
  return {};
}

Result<void> Socket::dump(std::string_view what, std::uint16_t type, const void* body, std::size_t body_size,
                          const std::function<void(std::string_view)>& each) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(NLMSG_LENGTH(body_size));
  header.nlmsg_type = type;
  header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  header.nlmsg_seq = ++sequence_;
  std::vector<char> bytes(NLMSG_ALIGN(header.nlmsg_len));
  std::memcpy(bytes.data(), &header, sizeof header);
  std::memcpy(bytes.data() + NLMSG_HDRLEN, body, body_size);
  TRY(send_all(bytes));

  bool done = false, interrupted = false;
  int error = 0;
  while (!done) {
    std::size_t got = TRY(receive(bytes));
    for_each_message({bytes.data(), got}, [&](const nlmsghdr& message, Bytes payload) {
      if (message.nlmsg_seq != sequence_) return;
      if (message.nlmsg_flags & NLM_F_DUMP_INTR) interrupted = true;
      if (message.nlmsg_type == NLMSG_DONE || message.nlmsg_type == NLMSG_ERROR) {
        done = true;
        error = read_structure<int>(payload).value_or(0);
      } else {
        each(payload);
      }
    });
  }
  if (error < 0) return fail_errno(-error, "list {}", what);
  // Something changed meanwhile: the list may have holes.
  if (interrupted) return fail_errno(EAGAIN, "list {}", what);
  return {};
}

namespace {

// A dump that was disturbed is made again; under constant change the error stands.
template <class List, class Attempt>
Result<List> retried(Attempt attempt) {
  for (int left = 20;; --left) {
    List list;
    Result<void> made = attempt(list);
    if (made) return list;
    if (made.error().code != EAGAIN || left == 0) return std::unexpected(std::move(made).error());
  }
}

}  // namespace

Result<std::vector<Link>> Socket::links() {
  return retried<std::vector<Link>>([&](std::vector<Link>& list) {
    const ifinfomsg body{};
    return dump("links", RTM_GETLINK, &body, sizeof body,
                [&](Bytes payload) { list.push_back(parse_link(payload)); });
  });
}

Result<std::vector<InterfaceAddress>> Socket::addresses() {
  return retried<std::vector<InterfaceAddress>>([&](std::vector<InterfaceAddress>& list) {
    ifaddrmsg body{};
    body.ifa_family = AF_INET;
    return dump("addresses", RTM_GETADDR, &body, sizeof body, [&](Bytes payload) {
      if (auto found = parse_address(payload)) list.push_back(*found);
    });
  });
}

Result<std::vector<InterfaceAddress6>> Socket::ipv6_addresses() {
  return retried<std::vector<InterfaceAddress6>>([&](std::vector<InterfaceAddress6>& list) {
    ifaddrmsg body{};
    body.ifa_family = AF_INET6;
    return dump("IPv6 addresses", RTM_GETADDR, &body, sizeof body, [&](Bytes payload) {
      if (auto found = parse_ipv6_address(payload)) list.push_back(*found);
    });
  });
}

Result<std::vector<Route>> Socket::routes() {
  return retried<std::vector<Route>>([&](std::vector<Route>& list) {
    rtmsg body{};
    body.rtm_family = AF_INET;
    return dump("routes", RTM_GETROUTE, &body, sizeof body, [&](Bytes payload) {
      if (auto found = parse_route(payload)) list.push_back(*found);
    });
  });
}

Result<std::optional<Link>> Socket::find_link(std::string_view name) {
  Batch query;
  const std::size_t offset = query.start(fmt::format("find link {}", name), RTM_GETLINK, 0);
  query.check_name(name);
  if (query.refused_) return std::unexpected(*query.refused_);
  query.ask_for_link(offset, name);
  std::vector<char> bytes = std::move(query.bytes_);
  ++sequence_;
  std::memcpy(bytes.data() + offsetof(nlmsghdr, nlmsg_seq), &sequence_, sizeof sequence_);
  TRY(send_all(bytes));
  std::optional<Link> found;
  int error = 0;
  for (bool done = false; !done;) {
    std::size_t got = TRY(receive(bytes));
    for_each_message({bytes.data(), got}, [&](const nlmsghdr& message, Bytes payload) {
      if (message.nlmsg_seq != sequence_) return;
      if (message.nlmsg_type == NLMSG_ERROR) {
        done = true;
        error = read_structure<int>(payload).value_or(0);
      } else {
        found = parse_link(payload);
      }
    });
  }
  if (error == -ENODEV) return std::nullopt;
  if (error < 0) return fail_errno(-error, "find link {}", name);
  return found;
}

}  // namespace berth::netlink
