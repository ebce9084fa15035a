// SPDX-License-Identifier: Apache-2.0
// Results of builds on their way to other engines (decision 22): which key gave which layer.
//
//   {"version": 1, "diffIds": ["sha256:..."],
//    "results": [{"key": "sha256:...", "layer": 0, "created": "2026-01-02T03:04:05Z"}]}
//
// As the config blob of a manifest that lists the layers' blobs in the order of "diffIds": at a registry, or
// in an OCI layout. Or inside of an image's config, as its member kInlineMember: then the diffIDs are the
// image's. Pure; what is read is hostile.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "build/result_cache.h"

namespace berth::build {

inline constexpr std::string_view kCacheType = "application/vnd.berth.buildcache.v1+json";
inline constexpr std::string_view kInlineMember = "berth.buildcache.v1";
inline constexpr std::size_t kMostCacheLayers = 5000;

struct CacheEntry {
  Digest key;
  std::size_t layer = 0;  // place in CacheDocument::diff_ids
  Timestamp created;
  bool operator==(const CacheEntry&) const = default;
};

struct CacheDocument {
  std::vector<Digest> diff_ids;     // each once, but for those of an image
  std::vector<CacheEntry> entries;  // each with a layer that is there
};

// The same results give the same document, whatever their order.
CacheDocument cache_document(std::span<const CachedResult> results);
std::string format_cache(const CacheDocument& document);
Result<CacheDocument> parse_cache(std::string_view text);

// An image's config with those of the results that gave its layers.
Result<std::string> with_inline_cache(std::string_view config, std::span<const CachedResult> results);
// nullopt: it says nothing.
Result<std::optional<CacheDocument>> inline_cache_of(std::string_view config);

}  // namespace berth::build
