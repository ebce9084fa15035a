// SPDX-License-Identifier: Apache-2.0
#include "network/name_redirect.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace berth::network {
namespace {

constexpr const char* kTable = "berth_names";
constexpr const char* kChain = "names";
constexpr std::uint16_t kNames = 53;
constexpr std::int32_t kManglePriority = -150;
constexpr std::uint32_t kSourceAddress = 12, kDestinationAddress = 16;  // in an IPv4 header
constexpr std::uint32_t kSourcePort = 0, kDestinationPort = 2;          // in UDP's and TCP's
constexpr std::uint32_t kUdpChecksum = 6, kTcpChecksum = 16;

// One nf_tables transaction.
class Transaction {
 public:
  void begin(std::uint16_t type, std::uint16_t flags, std::uint8_t family, std::uint16_t resource = 0) {
    start_ = bytes_.size();
    const nlmsghdr header{0, type, static_cast<std::uint16_t>(NLM_F_REQUEST | flags), ++sequence_, 0};
    const nfgenmsg general{family, NFNETLINK_V0, htons(resource)};
    append(&header, sizeof header);
    append(&general, sizeof general);
  }
  void end() {
    const auto length = static_cast<std::uint32_t>(bytes_.size() - start_);
    std::memcpy(bytes_.data() + start_, &length, sizeof length);
  }
  void attribute(std::uint16_t type, const void* data, std::size_t size) {
    const nlattr header{static_cast<std::uint16_t>(NLA_HDRLEN + size), type};
    append(&header, sizeof header);
    append(data, size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }
  void text(std::uint16_t type, const char* value) { attribute(type, value, std::strlen(value) + 1); }
  void number(std::uint16_t type, std::uint32_t value) {
    const std::uint32_t ordered = htonl(value);
    attribute(type, &ordered, sizeof ordered);
  }
  template <class Inner>
  void nested(std::uint16_t type, Inner inner) {
    const std::size_t at = bytes_.size();
    attribute(type | NLA_F_NESTED, nullptr, 0);
    inner();
    const auto length = static_cast<std::uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);
  }
  std::string_view bytes() const { return bytes_; }

 private:
  void append(const void* data, std::size_t size) {
    if (size > 0) bytes_.append(static_cast<const char*>(data), size);
  }
  std::string bytes_;
  std::size_t start_ = 0;
  std::uint32_t sequence_ = 0;
};

std::uint16_t message_of(int message) {
  return static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | message);
}

// The expressions of a rule, each a step of the kernel's little machine with one register.
class Rule {
 public:
  explicit Rule(Transaction& out) : out_(out) {}

  void payload_is(std::uint32_t base, std::uint32_t offset, const void* value, std::uint32_t size) {
    expression("payload", [&] {
      out_.number(NFTA_PAYLOAD_DREG, NFT_REG_1);
      out_.number(NFTA_PAYLOAD_BASE, base);
      out_.number(NFTA_PAYLOAD_OFFSET, offset);
      out_.number(NFTA_PAYLOAD_LEN, size);
    });
    equals(value, size);
  }
  void protocol_is(std::uint8_t protocol) {
    expression("meta", [&] {
      out_.number(NFTA_META_KEY, NFT_META_L4PROTO);
      out_.number(NFTA_META_DREG, NFT_REG_1);
    });
    equals(&protocol, 1);
  }
  void set_port(std::uint32_t offset, std::uint16_t port, std::uint32_t checksum) {
    const std::uint16_t ordered = htons(port);
    expression("immediate", [&] {
      out_.number(NFTA_IMMEDIATE_DREG, NFT_REG_1);
      out_.nested(NFTA_IMMEDIATE_DATA, [&] { out_.attribute(NFTA_DATA_VALUE, &ordered, sizeof ordered); });
    });
    expression("payload", [&] {
      out_.number(NFTA_PAYLOAD_SREG, NFT_REG_1);
      out_.number(NFTA_PAYLOAD_BASE, NFT_PAYLOAD_TRANSPORT_HEADER);
      out_.number(NFTA_PAYLOAD_OFFSET, offset);
      out_.number(NFTA_PAYLOAD_LEN, sizeof ordered);
      out_.number(NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
      out_.number(NFTA_PAYLOAD_CSUM_OFFSET, checksum);
    });
  }

 private:
  void equals(const void* value, std::uint32_t size) {
    expression("cmp", [&] {
      out_.number(NFTA_CMP_SREG, NFT_REG_1);
      out_.number(NFTA_CMP_OP, NFT_CMP_EQ);
      out_.nested(NFTA_CMP_DATA, [&] { out_.attribute(NFTA_DATA_VALUE, value, size); });
    });
  }
  template <class Data>
  void expression(const char* name, Data data) {
    out_.nested(NFTA_LIST_ELEM, [&] {
      out_.text(NFTA_EXPR_NAME, name);
      out_.nested(NFTA_EXPR_DATA, data);
    });
  }
  Transaction& out_;
};

struct Rewrite {
  std::uint32_t address_at, port_at;
  std::uint16_t from, to;
  std::uint8_t protocol;
  std::uint32_t checksum_at;
};

void add_rule(Transaction& out, std::uint32_t address, const Rewrite& rewrite, bool last) {
  const auto flags = static_cast<std::uint16_t>(NLM_F_CREATE | NLM_F_APPEND | (last ? NLM_F_ACK : 0));
  out.begin(message_of(NFT_MSG_NEWRULE), flags, NFPROTO_IPV4);
  out.text(NFTA_RULE_TABLE, kTable);
  out.text(NFTA_RULE_CHAIN, kChain);
  out.nested(NFTA_RULE_EXPRESSIONS, [&] {
    const std::uint32_t ordered = htonl(address);
    const std::uint16_t from = htons(rewrite.from);
    Rule rule(out);
    rule.payload_is(NFT_PAYLOAD_NETWORK_HEADER, rewrite.address_at, &ordered, sizeof ordered);
    rule.protocol_is(rewrite.protocol);
    rule.payload_is(NFT_PAYLOAD_TRANSPORT_HEADER, rewrite.port_at, &from, sizeof from);
    rule.set_port(rewrite.port_at, rewrite.to, rewrite.checksum_at);
  });
  out.end();
}

void add_table_message(Transaction& out, int message, std::uint16_t flags) {
  out.begin(message_of(message), flags, NFPROTO_IPV4);
  out.text(NFTA_TABLE_NAME, kTable);
  out.end();
}

Transaction make_transaction(std::uint32_t address, std::uint16_t udp_port, std::uint16_t tcp_port) {
  Transaction out;
  out.begin(NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  out.end();
  // Made before it is deleted, so that the deletion succeeds whether it was there or not: a resolver that was
  // started again has other ports.
  add_table_message(out, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  add_table_message(out, NFT_MSG_DELTABLE, 0);
  add_table_message(out, NFT_MSG_NEWTABLE, NLM_F_CREATE);
  out.begin(message_of(NFT_MSG_NEWCHAIN), NLM_F_CREATE, NFPROTO_IPV4);
  out.text(NFTA_CHAIN_TABLE, kTable);
  out.text(NFTA_CHAIN_NAME, kChain);
  out.nested(NFTA_CHAIN_HOOK, [&] {
    out.number(NFTA_HOOK_HOOKNUM, NF_INET_LOCAL_OUT);
    out.number(NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(kManglePriority));
  });
  out.text(NFTA_CHAIN_TYPE, "filter");
  out.end();
  const Rewrite rewrites[] = {
      {kDestinationAddress, kDestinationPort, kNames, udp_port, IPPROTO_UDP, kUdpChecksum},
      {kSourceAddress, kSourcePort, udp_port, kNames, IPPROTO_UDP, kUdpChecksum},
      {kDestinationAddress, kDestinationPort, kNames, tcp_port, IPPROTO_TCP, kTcpChecksum},
      {kSourceAddress, kSourcePort, tcp_port, kNames, IPPROTO_TCP, kTcpChecksum}};
  for (const Rewrite& rewrite : rewrites) add_rule(out, address, rewrite, &rewrite == std::end(rewrites) - 1);
  out.begin(NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
  out.end();
  return out;
}

// The first failure of any message, or the last one's acknowledgement.
Result<void> await_answer(int socket) {
  alignas(nlmsghdr) char buffer[16 << 10];
  for (;;) {
    ssize_t size = recv(socket, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return fail_errno(errno, "redirect name queries");
    auto left = static_cast<unsigned>(size);
    for (auto* message = reinterpret_cast<nlmsghdr*>(buffer); NLMSG_OK(message, left);
         message = NLMSG_NEXT(message, left)) {
      if (message->nlmsg_type != NLMSG_ERROR) continue;
      nlmsgerr answer;
      std::memcpy(&answer, NLMSG_DATA(message), sizeof answer);
      if (answer.error == 0) return {};
      return fail_errno(-answer.error, "redirect name queries with nftables");
    }
  }
}

}  // namespace

Result<void> redirect_names(std::uint32_t address, std::uint16_t udp_port, std::uint16_t tcp_port) {
  Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
  if (!socket) return fail_errno(errno, "open a netfilter socket");
  const Transaction transaction = make_transaction(address, udp_port, tcp_port);
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  const std::string_view bytes = transaction.bytes();
  if (sendto(socket.get(), bytes.data(), bytes.size(), 0, reinterpret_cast<const sockaddr*>(&kernel),
             sizeof kernel) < 0)
    return fail_errno(errno, "redirect name queries");
  return await_answer(socket.get());
}

}  // namespace berth::network
