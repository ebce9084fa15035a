// SPDX-License-Identifier: Apache-2.0
#include "names/answer.h"

#include <algorithm>

namespace berth::names {
namespace {

// A single label that is none of ours is most often a service's name, misspelt or not started yet. Sent on,
// it would tell strangers about it and could be answered by them; and clients append their search domains
// once they hear no, so a short name of the local network is still found. Other types are about top-level
// domains themselves (validating resolvers ask for their keys) and are sent on.
bool stays_here(const Question& question) {
  if (question.labels != 1) return false;
  switch (question.type) {
    case record_type::a:
    case record_type::aaaa:
    case record_type::any:
    case record_type::svcb:
    case record_type::https:
      return true;
    default:
      return false;
  }
}

std::size_t write_finding(Bytes message, const Query& query, const Finding& finding, std::size_t limit,
                          std::span<unsigned char> out) {
  AnswerWriter answer(message, query, limit, out);
  for (const Address& address : finding.addresses)
    if (!answer.add_address(address, kTimeToLive)) break;
  if (!finding.pointer.empty()) answer.add_pointer(finding.pointer, kTimeToLive);
  return answer.finish(Rcode::no_error, true);
}

}  // namespace

std::size_t write_failure(Bytes message, const Query& query, Rcode rcode, std::span<unsigned char> out) {
  return AnswerWriter(message, query, kSmallestDatagram, out).finish(rcode, false);
}

Verdict judge(Directory& directory, const View& view, Bytes message, Transport transport,
              std::span<unsigned char> out) {
  using enum Verdict::Kind;
  std::expected<Query, Refusal> query = parse_query(message);
  if (!query) {
    if (!query.error().rcode) return {};
    return {answered, write_refusal(message, *query.error().rcode, out), {}};
  }
  const auto failure = [&](Rcode rcode) {
    return Verdict{answered, write_failure(message, *query, rcode, out), {}};
  };
  if (query->edns && query->edns->version != 0) return failure(Rcode::bad_version);
  if (query->question.of_class != kClassInternet) return failure(Rcode::refused);

  const Finding finding = directory.find(view, query->question);
  if (finding.known) {
    const std::size_t limit = transport == Transport::udp ? query->datagram_limit() : kLargestMessage;
    return {answered, write_finding(message, *query, finding, limit, out), {}};
  }
  // Where nothing may be asked outside, a name that is not here does not exist. REFUSED or SERVFAIL would be
  // as true, but musl waits for its timeout after the one and asks again after the other, and glibc gives
  // "try again".
  if (stays_here(query->question) || !view.forward) return failure(Rcode::no_such_name);
  return {forward, 0, std::move(*query)};
}

}  // namespace berth::names
