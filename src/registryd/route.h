// SPDX-License-Identifier: Apache-2.0
// The paths of the distribution specification ("Endpoints"). Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "registryd/api_error.h"

namespace berth::registryd {

enum class Endpoint {
  base,       // /v2/
  catalog,    // /v2/_catalog
  tags,       // /v2/<name>/tags/list
  referrers,  // /v2/<name>/referrers/<digest>
  manifest,   // /v2/<name>/manifests/<reference>
  blob,       // /v2/<name>/blobs/<digest>
  uploads,    // /v2/<name>/blobs/uploads/
  upload,     // /v2/<name>/blobs/uploads/<id>
};
inline constexpr std::size_t kEndpoints = 8;
std::string_view name_of(Endpoint endpoint) noexcept;  // "manifest", for metrics and logs

struct Route {
  Endpoint endpoint = Endpoint::base;
  std::string repository;  // a valid name; empty for base and catalog
  std::string reference;   // the last component, percent-decoded: a tag, a digest or an id, unchecked
};

// `path` is a request's: raw, without the query.
ApiResult<Route> parse_route(std::string_view path);

// A part of a blob: RFC 9110, section 14.1.2.
struct ByteRange {
  std::uint64_t begin = 0, length = 0;
};
// A Range header over `size` bytes. Nothing: the header is to be ignored (other units, several ranges, not
// understood). Code::range_invalid: it names nothing that is there.
ApiResult<std::optional<ByteRange>> parse_range(std::string_view header, std::uint64_t size);

// A chunk's place: "0-99" as the specification has it, or RFC 9110's "bytes 0-99/*". Both ends count.
struct ChunkRange {
  std::uint64_t first = 0, last = 0;
};
std::optional<ChunkRange> parse_chunk_range(std::string_view header);

}  // namespace berth::registryd
