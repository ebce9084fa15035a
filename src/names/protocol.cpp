// SPDX-License-Identifier: Apache-2.0
#include "names/protocol.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>

#include "names/fields.h"

namespace berth::names {
namespace {

constexpr std::uint32_t kMark = 0x424e5231;  // tells a peer that speaks something else at its first bytes
constexpr std::size_t kReadSize = 65'536;

struct FrameHeader {
  std::uint32_t mark = kMark;
  std::uint32_t length = 0;
  std::uint16_t kind = 0;
  std::uint16_t descriptors = 0;
};

// Fields' numbers are never given a new meaning.
enum EndpointTag : std::uint8_t { kContainer = 1, kName = 2, kAddress = 3 };
enum NetworkTag : std::uint8_t { kNetworkId = 1, kNetworkName = 2, kEndpoint = 3 };
enum ViewTag : std::uint8_t {
  kSandbox = 1,
  kViewNetwork = 3,
  kServer = 4,
  kNoForward = 5,
};
enum ErrorTag : std::uint8_t { kErrorKind = 1, kErrorCode = 2, kErrorMessage = 3 };
enum ListingTag : std::uint8_t { kListedSandbox = 1, kListedNetwork = 2 };
enum PairTag : std::uint8_t { kFirst = 1, kSecond = 2 };

FieldWriter fields_of(const Endpoint& endpoint) {
  FieldWriter out;
  out.text(kContainer, endpoint.container);
  for (const std::string& name : endpoint.names) out.text(kName, name);
  for (const Address& address : endpoint.addresses) out.text(kAddress, address.text());
  return out;
}

// Hands each field to `take`, which says whether it could read it.
template <class Function>
Result<void> read_fields(std::string_view bytes, std::string_view what, Function take) {
  FieldReader in(bytes);
  while (std::optional<Field> field = in.next())
    if (!take(*field)) return fail(ErrorKind::invalid, "{} has a malformed field {}", what, field->tag);
  if (in.malformed()) return fail(ErrorKind::invalid, "{} is malformed", what);
  return {};
}

template <class T, class Parsed>
bool append(std::vector<T>& list, Parsed parsed) {
  if (parsed) list.push_back(*std::move(parsed));
  return static_cast<bool>(parsed);
}

Result<Endpoint> read_endpoint(std::string_view bytes) {
  Endpoint endpoint;
  TRY(read_fields(bytes, "a container's record", [&](const Field& field) {
    if (field.tag == kContainer) endpoint.container = field.value;
    if (field.tag == kName) endpoint.names.push_back(field.text());
    return field.tag != kAddress || append(endpoint.addresses, Address::parse(field.value));
  }));
  return endpoint;
}

}  // namespace

std::string encode_frame(MessageKind kind, std::string_view body, std::size_t descriptors) {
  const FrameHeader header{.length = static_cast<std::uint32_t>(body.size()),
                           .kind = static_cast<std::uint16_t>(kind),
                           .descriptors = static_cast<std::uint16_t>(descriptors)};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof header);
  bytes.append(body);
  return bytes;
}

Result<bool> FrameReader::receive(int socket, int flags) {
  buffered_.erase(0, std::exchange(taken_, 0));
  if (buffered_.empty() && buffered_.capacity() > 4 * kReadSize) buffered_.shrink_to_fit();
  // Room for no more descriptors than a frame may have: the kernel closes what does not fit, and says so.
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostDescriptors)];
  const std::size_t before = buffered_.size();
  buffered_.resize(before + kReadSize);
  iovec part{buffered_.data() + before, kReadSize};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags);
  while (got < 0 && errno == EINTR);
  const int code = errno;
  buffered_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got < 0) {
    if (code == EAGAIN) return true;
    if (code == ECONNRESET) return false;
    return fail_errno(code, "receive from the resolver's connection");
  }
  for (cmsghdr* item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item)) {
    if (item->cmsg_level != SOL_SOCKET || item->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (item->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int number;
      std::memcpy(&number, CMSG_DATA(item) + i * sizeof(int), sizeof number);
      descriptors_.emplace_back(number);
    }
  }
  if ((message.msg_flags & MSG_CTRUNC) || descriptors_.size() > kMostDescriptors)
    return fail(ErrorKind::invalid, "a message came with too many descriptors");
  return got > 0;
}

Result<std::optional<Frame>> FrameReader::next() {
  FrameHeader header;
  const std::string_view rest = std::string_view(buffered_).substr(taken_);
  if (rest.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, rest.data(), sizeof header);
  if (header.mark != kMark) return fail(ErrorKind::invalid, "what came is no message to a resolver");
  if (header.length > kLargestBody)
    return fail(ErrorKind::invalid, "a message of {} bytes is too long", header.length);
  if (header.descriptors > kMostDescriptors)
    return fail(ErrorKind::invalid, "a message claims {} descriptors", header.descriptors);
  if (rest.size() < sizeof header + header.length) return std::nullopt;
  if (descriptors_.size() < header.descriptors)
    return fail(ErrorKind::invalid, "a message came without its descriptors");
  Frame frame{
      static_cast<MessageKind>(header.kind), std::string(rest.substr(sizeof header, header.length)), {}};
  taken_ += sizeof header + header.length;
  const auto end = descriptors_.begin() + header.descriptors;
  std::move(descriptors_.begin(), end, std::back_inserter(frame.descriptors));
  descriptors_.erase(descriptors_.begin(), end);
  return frame;
}

std::string encode(const Network& network) {
  FieldWriter out;
  out.text(kNetworkId, network.id);
  out.text(kNetworkName, network.name);
  for (const Endpoint& endpoint : network.endpoints) out.list(kEndpoint, fields_of(endpoint));
  return out.bytes();
}

std::string encode(const EndpointOf& endpoint) {
  FieldWriter out;
  out.text(kNetworkId, endpoint.network);
  out.list(kEndpoint, fields_of(endpoint.endpoint));
  return out.bytes();
}

std::string encode(const SandboxView& view) {
  FieldWriter out;
  out.text(kSandbox, view.sandbox);
  for (const std::string& network : view.view.networks) out.text(kViewNetwork, network);
  for (const Server& server : view.view.servers) out.text(kServer, server.text());
  if (!view.view.forward) out.number(kNoForward, 1);
  return out.bytes();
}

std::string encode(const Listing& listing) {
  FieldWriter out;
  for (const Listing::Sandbox& sandbox : listing.sandboxes) {
    FieldWriter fields;
    fields.text(kFirst, sandbox.id);
    fields.number(kSecond, sandbox.serving);
    out.list(kListedSandbox, fields);
  }
  for (const Listing::NetworkSize& network : listing.networks) {
    FieldWriter fields;
    fields.text(kFirst, network.id);
    fields.number(kSecond, network.endpoints);
    out.list(kListedNetwork, fields);
  }
  return out.bytes();
}

std::string encode(const Error& error) {
  FieldWriter out;
  out.number(kErrorKind, static_cast<std::uint64_t>(error.kind));
  out.number(kErrorCode, static_cast<std::uint64_t>(error.code));
  out.text(kErrorMessage, error.message);
  return out.bytes();
}

std::string encode_names(std::string_view first, std::string_view second) {
  FieldWriter out;
  out.text(kFirst, first);
  if (!second.empty()) out.text(kSecond, second);
  return out.bytes();
}

Result<Network> decode_network(std::string_view body) {
  Network network;
  TRY(read_fields(body, "a network's record", [&](const Field& field) {
    if (field.tag == kNetworkId) network.id = field.value;
    if (field.tag == kNetworkName) network.name = field.value;
    return field.tag != kEndpoint || append(network.endpoints, read_endpoint(field.value));
  }));
  return network;
}

Result<EndpointOf> decode_endpoint(std::string_view body) {
  EndpointOf result;
  std::vector<Endpoint> endpoints;
  TRY(read_fields(body, "a container's message", [&](const Field& field) {
    if (field.tag == kNetworkId) result.network = field.value;
    return field.tag != kEndpoint || append(endpoints, read_endpoint(field.value));
  }));
  if (endpoints.size() != 1)
    return fail(ErrorKind::invalid, "a message has {} containers, not one", endpoints.size());
  result.endpoint = std::move(endpoints.front());
  return result;
}

Result<SandboxView> decode_sandbox_view(std::string_view body) {
  SandboxView result;
  TRY(read_fields(body, "a sandbox's view", [&](const Field& field) {
    if (field.tag == kSandbox) result.sandbox = field.value;
    if (field.tag == kViewNetwork) result.view.networks.push_back(field.text());
    if (field.tag == kNoForward) result.view.forward = field.number() == 0;
    return field.tag != kServer || append(result.view.servers, Server::parse(field.value));
  }));
  return result;
}

Result<std::pair<std::string, std::string>> decode_names(std::string_view body) {
  std::pair<std::string, std::string> names;
  TRY(read_fields(body, "a message", [&](const Field& field) {
    if (field.tag == kFirst) names.first = field.value;
    if (field.tag == kSecond) names.second = field.value;
    return true;
  }));
  return names;
}

Result<Listing> decode_listing(std::string_view body) {
  Listing listing;
  TRY(read_fields(body, "the resolver's list", [&](const Field& field) {
    std::string id;
    std::uint64_t number = 0;
    FieldReader in(field.value);
    while (std::optional<Field> inner = in.next()) {
      if (inner->tag == kFirst) id = inner->value;
      if (inner->tag == kSecond) number = inner->number();
    }
    if (field.tag == kListedSandbox) listing.sandboxes.push_back({std::move(id), number != 0});
    if (field.tag == kListedNetwork) listing.networks.push_back({std::move(id), number});
    return !in.malformed();
  }));
  return listing;
}

Result<Error> decode_error(std::string_view body) {
  Error error;
  TRY(read_fields(body, "an error", [&](const Field& field) {
    if (field.tag == kErrorKind && field.number() <= static_cast<std::uint64_t>(ErrorKind::system))
      error.kind = static_cast<ErrorKind>(field.number());
    if (field.tag == kErrorCode) error.code = static_cast<int>(field.number());
    if (field.tag == kErrorMessage) error.message = field.value;
    return true;
  }));
  return error;
}

}  // namespace berth::names
