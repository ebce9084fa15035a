// SPDX-License-Identifier: Apache-2.0
// What a registry's client can write: paths, ranges, manifests, and lines that end up in the journal. What is
// accepted is safe to store, and is read again with the same result.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "registryd/change.h"
#include "registryd/configuration.h"
#include "registryd/manifest_facts.h"
#include "registryd/names.h"
#include "registryd/route.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void try_path(std::string_view text) {
  using namespace berth::registryd;
  ApiResult<Route> route = parse_route(text);
  if (!route) {
    require(!body_of(route.error()).empty());
    return;
  }
  const bool named = route->endpoint != Endpoint::base && route->endpoint != Endpoint::catalog;
  require(named == valid_repository(route->repository));
  require(route->repository.find("..") == std::string::npos);
}

void try_ranges(std::string_view text) {
  using namespace berth::registryd;
  for (std::uint64_t size : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1000}, UINT64_MAX / 2}) {
    auto range = parse_range(text, size);
    if (!range || !*range) continue;
    require((*range)->length > 0 && (*range)->begin < size && (*range)->length <= size - (*range)->begin);
  }
  if (auto chunk = parse_chunk_range(text)) require(chunk->first <= chunk->last);
}

void try_manifest(std::string_view text) {
  using namespace berth::registryd;
  berth::Result<ManifestFacts> facts = read_manifest_facts(text, "");
  if (!facts) return;
  require(valid_media_type(facts->media_type));
  require(facts->media_type.find_first_of(" \n") == std::string::npos);
  berth::Result<ManifestFacts> again = read_manifest_facts(text, facts->media_type);
  require(again && again->children.size() == facts->children.size());
}

void try_line(std::string_view text) {
  using namespace berth::registryd;
  if (std::optional<Change> change = parse_change(text)) {
    const std::string line = format_change(*change);
    std::optional<Change> again = parse_change(line);
    require(again && format_change(*again) == line);
    require(line.find('\n') == std::string::npos);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 5) {
    case 0:
      try_path(text);
      break;
    case 1:
      try_ranges(text);
      break;
    case 2:
      try_manifest(text);
      break;
    case 3:
      try_line(text);
      break;
    default:
      (void)berth::registryd::parse_configuration(text, "fuzz",
                                                  [](const std::string&) { return std::nullopt; });
  }
  return 0;
}
