// SPDX-License-Identifier: Apache-2.0
// Lists of results that other engines have written: what parses is written and read again with the same
// result.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "build/cache_document.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::build;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  if (berth::Result<CacheDocument> document = parse_cache(text)) {
    for (const CacheEntry& entry : document->entries) require(entry.layer < document->diff_ids.size());
    const std::string written = format_cache(*document);
    berth::Result<CacheDocument> again = parse_cache(written);
    require(again && format_cache(*again) == written);
  }
  if (berth::Result<std::optional<CacheDocument>> document = inline_cache_of(text); document && *document)
    for (const CacheEntry& entry : (*document)->entries) require(entry.layer < (*document)->diff_ids.size());
  return 0;
}
