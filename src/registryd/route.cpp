// SPDX-License-Identifier: Apache-2.0
#include "registryd/route.h"

#include "base/text.h"
#include "registryd/names.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kPrefix = "/v2/";
constexpr std::size_t kReferenceLimit = 256;

// Cuts the last component off `path` and returns it.
std::string_view pop(std::string_view& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return std::exchange(path, {});
  std::string_view last = path.substr(slash + 1);
  path = path.substr(0, slash);
  return last;
}

std::unexpected<ApiError> no_such_path() {
  return refuse(Code::not_found, "there is no such path in a registry");
}

ApiResult<Route> make_route(Endpoint endpoint, std::string_view repository, std::string_view reference = {}) {
  if (!valid_repository(repository))
    return refuse(Code::name_invalid,
                  "not a repository's name: lower-case letters and digits, with . _ - between them and / "
                  "between components",
                  std::string(repository.substr(0, kNameLimit)));
  std::optional<std::string> decoded = percent_decode(reference, false);
  if (!decoded || decoded->size() > kReferenceLimit) return no_such_path();
  return Route{endpoint, std::string(repository), std::move(*decoded)};
}

}  // namespace

std::string_view name_of(Endpoint endpoint) noexcept {
  static constexpr std::string_view kNames[kEndpoints] = {"base",     "catalog", "tags",    "referrers",
                                                          "manifest", "blob",    "uploads", "upload"};
  return kNames[static_cast<std::size_t>(endpoint)];
}

ApiResult<Route> parse_route(std::string_view path) {
  if (path == "/v2" || path == kPrefix) return Route{Endpoint::base, {}, {}};
  if (!path.starts_with(kPrefix)) return no_such_path();
  std::string_view name = path.substr(kPrefix.size());
  if (name == "_catalog") return Route{Endpoint::catalog, {}, {}};
  std::string_view last = pop(name);
  std::string_view kind = pop(name);
  // Read from the right: a repository may well be called a/blobs/b.
  if (kind == "manifests") return make_route(Endpoint::manifest, name, last);
  if (kind == "referrers") return make_route(Endpoint::referrers, name, last);
  if (kind == "tags" && last == "list") return make_route(Endpoint::tags, name);
  if (kind == "blobs" && last == "uploads") return make_route(Endpoint::uploads, name);
  if (kind == "blobs") return make_route(Endpoint::blob, name, last);
  if (kind == "uploads" && pop(name) == "blobs")
    return last.empty() ? make_route(Endpoint::uploads, name) : make_route(Endpoint::upload, name, last);
  return no_such_path();
}

ApiResult<std::optional<ByteRange>> parse_range(std::string_view header, std::uint64_t size) {
  constexpr std::string_view unit = "bytes=";
  if (!header.starts_with(unit)) return std::nullopt;
  header = trim(header.substr(unit.size()));
  const std::size_t dash = header.find('-');
  if (dash == std::string_view::npos || header.find(',') != std::string_view::npos) return std::nullopt;
  const std::string_view first = header.substr(0, dash), last = header.substr(dash + 1);
  auto unsatisfiable = [&] {
    return refuse(Code::range_invalid, fmt::format("the range names nothing within {} bytes", size));
  };
  if (first.empty()) {
    auto suffix = parse_integer<std::uint64_t>(last);
    if (!suffix) return std::nullopt;
    if (*suffix == 0 || size == 0) return unsatisfiable();
    const std::uint64_t length = std::min(*suffix, size);
    return ByteRange{size - length, length};
  }
  auto begin = parse_integer<std::uint64_t>(first);
  auto end = last.empty() ? std::optional(UINT64_MAX) : parse_integer<std::uint64_t>(last);
  if (!begin || !end || *end < *begin) return std::nullopt;
  if (*begin >= size) return unsatisfiable();
  return ByteRange{*begin, std::min(*end, size - 1) - *begin + 1};
}

std::optional<ChunkRange> parse_chunk_range(std::string_view header) {
  header = trim(header);
  for (std::string_view unit : {"bytes ", "bytes="})
    if (header.starts_with(unit)) header.remove_prefix(unit.size());
  header = header.substr(0, header.find('/'));
  auto [first, last] = split_once(header, '-');
  auto begin = parse_integer<std::uint64_t>(first), end = parse_integer<std::uint64_t>(last);
  if (!begin || !end || *end < *begin || *end > INT64_MAX) return std::nullopt;
  return ChunkRange{*begin, *end};
}

}  // namespace berth::registryd
