// SPDX-License-Identifier: Apache-2.0
// What happens with a query: it is answered from the view, or has to be asked elsewhere. Pure.
#pragma once
#include "names/directory.h"
#include "names/message.h"

namespace berth::names {

// Seconds that a client may remember an address of ours. Docker says 600; but a container that is started
// again has another address at once, and clients that cache (JVMs, nginx, nscd) would go on asking the old
// one. With a few seconds a burst of connections still costs one query.
inline constexpr std::uint32_t kTimeToLive = 5;

enum class Transport { udp, tcp };

struct Verdict {
  enum class Kind {
    ignored,   // nothing is said
    answered,  // `size` bytes are in the buffer
    forward,   // `query` is for the view's servers
  };
  Kind kind = Kind::ignored;
  std::size_t size = 0;
  Query query;
};

// `out` has room for kLargestDatagram, or kLargestMessage over TCP.
Verdict judge(Directory& directory, const View& view, Bytes message, Transport transport,
              std::span<unsigned char> out);

// An answer without records: what is said when nobody could be asked.
std::size_t write_failure(Bytes message, const Query& query, Rcode rcode, std::span<unsigned char> out);

}  // namespace berth::names
