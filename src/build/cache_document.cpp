// SPDX-License-Identifier: Apache-2.0
#include "build/cache_document.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/json.h"
#include "oci/image_config.h"
#include "oci/manifest.h"

namespace berth::build {
namespace {

constexpr std::string_view kWhat = "the build cache";
constexpr std::uint64_t kVersion = 1;

// `place` gives a layer's index, or nothing for one that is not in the document.
template <class Place>
std::vector<CacheEntry> entries_of(std::span<const CachedResult> results, Place place) {
  std::map<Digest, CacheEntry> by_key;
  for (const CachedResult& result : results)
    if (const std::optional<std::size_t> layer = place(result.diff_id))
      by_key.try_emplace(result.key, CacheEntry{result.key, *layer, result.created});
  std::vector<CacheEntry> entries;
  for (auto& [key, entry] : by_key) entries.push_back(std::move(entry));
  return entries;
}

json::array to_json(const std::vector<CacheEntry>& entries) {
  json::array list;
  for (const CacheEntry& entry : entries) {
    json::object object{{"key", entry.key.text()}, {"layer", entry.layer}};
    if (entry.created) object["created"] = format_time(entry.created);
    list.push_back(std::move(object));
  }
  return list;
}

void read_entries(ObjectReader& in, CacheDocument& document) {
  in.read_objects("results", [&](ObjectReader& one) {
    std::string key, created;
    std::uint64_t layer = 0;
    one.read("key", key);
    one.read("layer", layer);
    one.read("created", created);
    const Result<Digest> digest = Digest::parse(key);
    if (!digest) return one.refuse("key", "a sha256 digest");
    if (layer >= document.diff_ids.size()) return one.refuse("layer", "one of its layers");
    CacheEntry entry{*digest, layer, {}};
    if (!created.empty()) {
      const Result<Timestamp> time = parse_time(created);
      if (!time) return one.refuse("created", "a time as RFC 3339 has it");
      entry.created = *time;
    }
    document.entries.push_back(std::move(entry));
  });
}

Result<void> check_version(ObjectReader& in) {
  std::uint64_t version = 0;
  in.read("version", version);
  TRY(in.finish());
  if (version == kVersion) return {};
  return fail(ErrorKind::unsupported, "{} has the version {}, which is not known here", kWhat, version);
}

}  // namespace

CacheDocument cache_document(std::span<const CachedResult> results) {
  CacheDocument document;
  std::set<Digest> seen;
  for (const CachedResult& result : results) seen.insert(result.diff_id);
  document.diff_ids.assign(seen.begin(), seen.end());
  if (document.diff_ids.size() > kMostCacheLayers)
    document.diff_ids.erase(document.diff_ids.begin() + kMostCacheLayers, document.diff_ids.end());
  document.entries = entries_of(results, [&](const Digest& diff_id) -> std::optional<std::size_t> {
    const auto found = std::ranges::lower_bound(document.diff_ids, diff_id);
    if (found == document.diff_ids.end() || *found != diff_id) return std::nullopt;
    return static_cast<std::size_t>(found - document.diff_ids.begin());
  });
  return document;
}

std::string format_cache(const CacheDocument& document) {
  json::array diff_ids;
  for (const Digest& diff_id : document.diff_ids) diff_ids.push_back(json::string(diff_id.text()));
  return json::serialize(json::object{
      {"version", kVersion}, {"diffIds", std::move(diff_ids)}, {"results", to_json(document.entries)}});
}

Result<CacheDocument> parse_cache(std::string_view text) {
  if (text.size() > oci::kDocumentLimit)
    return fail(ErrorKind::invalid, "{} has {} bytes; the limit is {}", kWhat, text.size(),
                oci::kDocumentLimit);
  const json::value value = TRY(parse_json(text, kWhat));
  if (!value.is_object()) return fail(ErrorKind::invalid, "{} is not a JSON object", kWhat);
  ObjectReader in(value, kWhat);
  TRY(check_version(in));
  CacheDocument document;
  std::vector<std::string> diff_ids;
  in.read("diffIds", diff_ids);
  if (diff_ids.size() > kMostCacheLayers)
    return fail(ErrorKind::invalid, "{} has {} layers; the limit is {}", kWhat, diff_ids.size(),
                kMostCacheLayers);
  for (const std::string& text_of_one : diff_ids) {
    Digest diff_id = TRY_AS(std::string(kWhat), Digest::parse(text_of_one));
    document.diff_ids.push_back(std::move(diff_id));
  }
  read_entries(in, document);
  TRY(in.finish());
  return document;
}

Result<std::string> with_inline_cache(std::string_view config, std::span<const CachedResult> results) {
  json::value document = TRY(parse_json(config, "the image config"));
  const oci::ImageConfig image = TRY(oci::parse_image_config(config));
  const auto entries = entries_of(results, [&](const Digest& diff_id) -> std::optional<std::size_t> {
    const auto found = std::ranges::find(image.diff_ids, diff_id);
    if (found == image.diff_ids.end()) return std::nullopt;
    return static_cast<std::size_t>(found - image.diff_ids.begin());
  });
  document.get_object()[kInlineMember] = json::object{{"version", kVersion}, {"results", to_json(entries)}};
  return json::serialize(document);
}

Result<std::optional<CacheDocument>> inline_cache_of(std::string_view config) {
  CacheDocument document;
  oci::ImageConfig image = TRY(oci::parse_image_config(config));
  document.diff_ids = std::move(image.diff_ids);
  const json::value value = TRY(parse_json(config, "the image config"));
  const json::value* member = value.get_object().if_contains(kInlineMember);
  if (!member) return std::optional<CacheDocument>();
  ObjectReader in(*member, kWhat);
  TRY(check_version(in));
  read_entries(in, document);
  TRY(in.finish());
  return std::optional(std::move(document));
}

}  // namespace berth::build
