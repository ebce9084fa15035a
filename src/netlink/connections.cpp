// SPDX-License-Identifier: Apache-2.0
#include "netlink/connections.h"

#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

namespace berth::netlink {
namespace {

using Bytes = std::string_view;

// What of a tuple a filter compares: bits that the kernel knows and its headers do not tell.
constexpr std::uint32_t kCompareSource = 1u << 0, kCompareProtocol = 1u << 3;
constexpr std::size_t kDeletionsAtOnce = 100;  // their answers have to fit into the socket's buffer

// --- writing ---

void put(std::string& out, const void* data, std::size_t size) {
  out.append(static_cast<const char*>(data), size);
  out.resize(NLMSG_ALIGN(out.size()));
}

void put_attribute(std::string& out, std::uint16_t type, Bytes value) {
  const nlattr header{static_cast<std::uint16_t>(NLA_HDRLEN + value.size()), type};
  put(out, &header, sizeof header);
  put(out, value.data(), value.size());
}

template <class Number>
void put_number(std::string& out, std::uint16_t type, Number number) {
  put_attribute(out, type, {reinterpret_cast<const char*>(&number), sizeof number});
}

std::string message(int type, bool is_v6, int flags, std::uint32_t sequence, Bytes attributes) {
  const nfgenmsg general{static_cast<std::uint8_t>(is_v6 ? AF_INET6 : AF_INET), NFNETLINK_V0, 0};
  const nlmsghdr header{static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof general) + attributes.size()),
                        static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type),
                        static_cast<std::uint16_t>(NLM_F_REQUEST | flags), sequence, 0};
  std::string out;
  put(out, &header, sizeof header);
  put(out, &general, sizeof general);
  put(out, attributes.data(), attributes.size());
  return out;
}

Bytes bytes_of(const IpAddress& address) {
  return {reinterpret_cast<const char*>(address.bytes.data()), address.is_v6 ? 16u : 4u};
}

// As the source of one direction's packets: who answers is the source of the answers.
std::string tuple_of(const IpAddress& source, std::uint8_t protocol) {
  std::string tuple, inner;
  if (source) put_attribute(inner, source.is_v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC, bytes_of(source));
  if (source) put_attribute(tuple, CTA_TUPLE_IP | NLA_F_NESTED, inner);
  inner.clear();
  if (protocol != 0) put_number(inner, CTA_PROTO_NUM, protocol);
  if (protocol != 0) put_attribute(tuple, CTA_TUPLE_PROTO | NLA_F_NESTED, inner);
  return tuple;
}

// Protocols and IPv4 addresses. With IPv6 addresses the kernel answers with the connections that do not match
// (seen on 6.18): those are compared here alone.
std::string filter_attributes(const ConnectionFilter& filter) {
  const std::uint32_t original =
      (filter.source && !filter.is_v6 ? kCompareSource : 0) | (filter.protocol != 0 ? kCompareProtocol : 0);
  const std::uint32_t reply = filter.answering && !filter.is_v6 ? kCompareSource : 0;
  std::string out, flags;
  if (original == 0 && reply == 0) return out;
  put_number(flags, CTA_FILTER_ORIG_FLAGS, original);
  put_number(flags, CTA_FILTER_REPLY_FLAGS, reply);
  put_attribute(out, CTA_FILTER | NLA_F_NESTED, flags);
  if (original != 0)
    put_attribute(out, CTA_TUPLE_ORIG | NLA_F_NESTED,
                  tuple_of(filter.is_v6 ? IpAddress() : filter.source, filter.protocol));
  if (reply != 0) put_attribute(out, CTA_TUPLE_REPLY | NLA_F_NESTED, tuple_of(filter.answering, 0));
  return out;
}

// --- reading ---

template <class Structure>
std::optional<Structure> read(Bytes bytes) {
  if (bytes.size() < sizeof(Structure)) return std::nullopt;
  Structure value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

Bytes after(Bytes bytes, std::size_t size) {
  return bytes.substr(std::min<std::size_t>(bytes.size(), NLMSG_ALIGN(size)));
}

template <class Each>
void for_each_attribute(Bytes bytes, Each each) {
  while (auto header = read<nlattr>(bytes)) {
    if (header->nla_len < NLA_HDRLEN || header->nla_len > bytes.size()) return;
    each(header->nla_type & NLA_TYPE_MASK, bytes.substr(NLA_HDRLEN, header->nla_len - NLA_HDRLEN));
    bytes = after(bytes, header->nla_len);
  }
}

struct Tuple {
  IpAddress source, destination;
  std::uint8_t protocol = 0;
  std::uint16_t destination_port = 0;
};

void read_address(int type, Bytes value, Tuple& tuple) {
  const bool is_v6 = type == CTA_IP_V6_SRC || type == CTA_IP_V6_DST;
  if (value.size() != (is_v6 ? 16 : 4)) return;
  IpAddress& address = type == CTA_IP_V4_SRC || type == CTA_IP_V6_SRC ? tuple.source : tuple.destination;
  address.is_v6 = is_v6;
  std::memcpy(address.bytes.data(), value.data(), value.size());
}

Tuple parse_tuple(Bytes bytes) {
  Tuple tuple;
  for_each_attribute(bytes, [&](int part, Bytes inside) {
    for_each_attribute(inside, [&](int type, Bytes value) {
      if (part == CTA_TUPLE_IP) read_address(type, value, tuple);
      if (part != CTA_TUPLE_PROTO) return;
      if (type == CTA_PROTO_NUM) tuple.protocol = read<std::uint8_t>(value).value_or(0);
      if (type == CTA_PROTO_DST_PORT) tuple.destination_port = ntohs(read<std::uint16_t>(value).value_or(0));
    });
  });
  return tuple;
}

// What names exactly this connection: its first packet's tuple, its zone, and a number, for another may have
// the tuple by the time that this one is to be forgotten.
Connection parse_connection(Bytes payload) {
  Connection found;
  for_each_attribute(after(payload, sizeof(nfgenmsg)), [&](int type, Bytes value) {
    if (type == CTA_TUPLE_REPLY) found.answering = parse_tuple(value).source;
    if (type == CTA_TUPLE_ORIG) {
      const Tuple tuple = parse_tuple(value);
      found.protocol = tuple.protocol;
      found.source = tuple.source;
      found.destination = tuple.destination;
      found.destination_port = tuple.destination_port;
      put_attribute(found.identity, CTA_TUPLE_ORIG | NLA_F_NESTED, value);
    }
    if (type == CTA_ID || type == CTA_ZONE)
      put_attribute(found.identity, static_cast<std::uint16_t>(type), value);
  });
  return found;
}

bool matches(const ConnectionFilter& filter, const Connection& connection) {
  return (filter.protocol == 0 || filter.protocol == connection.protocol) &&
         (!filter.source || filter.source == connection.source) &&
         (!filter.answering || filter.answering == connection.answering);
}

}  // namespace

Result<Connections> Connections::open() {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket) return fail_errno(errno, "open a netfilter socket");
  const int on = 1;  // an acknowledgement then leaves the request out
  setsockopt(socket.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  return Connections(std::move(socket));
}

Result<void> Connections::send(const std::string& bytes) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  while (sendto(socket_.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<sockaddr*>(&kernel),
                sizeof kernel) < 0)
    if (errno != EINTR) return fail_errno(errno, "ask for tracked connections");
  return {};
}

// Until `each`, which gets one message at a time, has had the last.
Result<void> Connections::receive(const std::function<bool(std::string_view)>& each) {
  std::vector<char> buffer(64u << 10);
  for (bool last = false; !last;) {
    const ssize_t got = recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail_errno(got == 0 ? EPIPE : errno, "read tracked connections");
    Bytes left(buffer.data(), static_cast<std::size_t>(got));
    while (auto header = read<nlmsghdr>(left)) {
      if (header->nlmsg_len < NLMSG_HDRLEN || header->nlmsg_len > left.size()) break;
      last = each(left.substr(0, header->nlmsg_len)) || last;
      left = after(left, header->nlmsg_len);
    }
  }
  return {};
}

Result<std::vector<Connection>> Connections::find(const ConnectionFilter& filter) {
  TRY(send(message(IPCTNL_MSG_CT_GET, filter.is_v6, NLM_F_DUMP, ++sequence_, filter_attributes(filter))));
  std::vector<Connection> found;
  int error = 0;
  TRY(receive([&](Bytes bytes) {
    const nlmsghdr header = *read<nlmsghdr>(bytes);
    const Bytes payload = bytes.substr(NLMSG_HDRLEN);
    if (header.nlmsg_seq != sequence_) return false;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      error = read<int>(payload).value_or(0);
      return true;
    }
    // A kernel that knows no filter sends them all, and each sends all of IPv6.
    if (Connection connection = parse_connection(payload); matches(filter, connection))
      found.push_back(std::move(connection));
    return false;
  }));
  if (error < 0) return fail_errno(-error, "list tracked connections");
  return found;
}

Result<void> Connections::forget(const std::vector<Connection>& connections) {
  int error = 0;
  for (std::size_t begin = 0; begin < connections.size(); begin += kDeletionsAtOnce) {
    const std::size_t end = std::min(begin + kDeletionsAtOnce, connections.size());
    const std::uint32_t before = sequence_;
    std::string bytes;
    for (std::size_t i = begin; i < end; ++i)
      bytes += message(IPCTNL_MSG_CT_DELETE, connections[i].source.is_v6, NLM_F_ACK, ++sequence_,
                       connections[i].identity);
    TRY(send(bytes));
    std::size_t answered = 0;
    TRY(receive([&](Bytes answer) {
      const nlmsghdr header = *read<nlmsghdr>(answer);
      if (header.nlmsg_type != NLMSG_ERROR || header.nlmsg_seq - before - 1 >= end - begin) return false;
      const int status = read<int>(answer.substr(NLMSG_HDRLEN)).value_or(0);
      if (status != 0 && status != -ENOENT && error == 0) error = -status;
      return ++answered == end - begin;
    }));
  }
  if (error != 0) return fail_errno(error, "forget tracked connections");
  return {};
}

Result<void> Connections::forget_address(const IpAddress& address) {
  if (!address) return {};  // which would match everything
  std::vector<Connection> found = TRY(find({.is_v6 = address.is_v6, .source = address}));
  std::vector<Connection> led_there = TRY(find({.is_v6 = address.is_v6, .answering = address}));
  std::move(led_there.begin(), led_there.end(), std::back_inserter(found));
  return forget(found);
}

}  // namespace berth::netlink
