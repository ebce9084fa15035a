// SPDX-License-Identifier: Apache-2.0
// What engine and resolver say to each other, over a stream socket: frames of a fixed header, a body of
// fields (fields.h), and descriptors. Every request has one reply, in the order of the requests.
//
//   engine                                    resolver
//   ------ set_network {Network}          -->
//   <----- done {}                        ---
//   ------ add_sandbox {id, View} + 2 fds -->
//   <----- failed {kind, message}         ---
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "names/records.h"

namespace berth::names {

enum class MessageKind : std::uint16_t {
  ping = 1,             // {}
  list = 2,             // {} -> listing {Listing}
  stop = 3,             // {}; the reply comes first
  set_network = 4,      // Network
  remove_network = 5,   // {network}
  set_endpoint = 6,     // {network, Endpoint}
  remove_endpoint = 7,  // {network, container}
  add_sandbox = 8,      // {sandbox, View} + none, or the UDP and the TCP socket
  remove_sandbox = 9,   // {sandbox}
  done = 100,           // {}
  failed = 101,         // {Error}
  listing = 102,        // Listing
};

struct Frame {
  MessageKind kind = MessageKind::ping;
  std::string body;
  std::vector<Fd> descriptors;
};

inline constexpr std::size_t kMostDescriptors = 2;      // of a frame
inline constexpr std::size_t kLargestBody = 16u << 20;  // a full network

// Header and body; descriptors go along with the first byte.
std::string encode_frame(MessageKind kind, std::string_view body, std::size_t descriptors = 0);

// Collects frames from a stream that may deliver them in pieces. After an error the connection has to be
// closed.
class FrameReader {
 public:
  // Reads what is there; false at the peer's end. An error when more descriptors come than any frame may
  // have.
  Result<bool> receive(int socket, int flags);
  Result<std::optional<Frame>> next();

 private:
  std::string buffered_;
  std::size_t taken_ = 0;  // of `buffered_`: frames that were given out
  std::vector<Fd> descriptors_;
};

struct EndpointOf {
  std::string network;
  Endpoint endpoint;
};
struct SandboxView {
  std::string sandbox;
  View view;
};

// What is there, for an engine that comes back.
struct Listing {
  struct Sandbox {
    std::string id;
    bool serving = false;  // it has its sockets; without them the view alone is known
    bool operator==(const Sandbox&) const = default;
  };
  struct NetworkSize {
    std::string id;
    std::size_t endpoints = 0;
    bool operator==(const NetworkSize&) const = default;
  };
  std::vector<Sandbox> sandboxes;     // by id
  std::vector<NetworkSize> networks;  // by id
};

std::string encode(const Network& network);
std::string encode(const EndpointOf& endpoint);
std::string encode(const SandboxView& view);
std::string encode(const Listing& listing);
std::string encode(const Error& error);
std::string encode_names(std::string_view first, std::string_view second = {});  // ids alone

// Malformed bodies are errors; bounds are the Directory's business.
Result<Network> decode_network(std::string_view body);
Result<EndpointOf> decode_endpoint(std::string_view body);
Result<SandboxView> decode_sandbox_view(std::string_view body);
Result<Listing> decode_listing(std::string_view body);
Result<Error> decode_error(std::string_view body);
Result<std::pair<std::string, std::string>> decode_names(std::string_view body);

}  // namespace berth::names
