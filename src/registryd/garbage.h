// SPDX-License-Identifier: Apache-2.0
// Removes what nothing refers to, while the registry goes on serving: docs of the rules are at
// Catalog::collect() and Storage::remove_unless().
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "registryd/catalog.h"
#include "registryd/storage.h"
#include "registryd/vouched.h"

namespace berth::registryd {

struct GarbageOptions {
  bool dry_run = false;
  bool delete_untagged = false;
  std::chrono::seconds grace = std::chrono::hours(1);  // for what a push may still refer to
};

struct GarbageReport {
  std::size_t manifests = 0, links = 0, blobs = 0;
  std::int64_t bytes = 0;
};

// `say` gets a line for each thing that goes (or would go), without a line feed.
Result<GarbageReport> collect_garbage(Catalog& catalog, Storage& storage, const Vouched& vouched,
                                      const GarbageOptions& options,
                                      const std::function<void(std::string_view)>& say);

}  // namespace berth::registryd
