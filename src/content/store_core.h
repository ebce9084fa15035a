// SPDX-License-Identifier: Apache-2.0
// What a BlobStore and its Ingests share. Internal to this room.
#pragma once
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "content/pin_table.h"

namespace berth::content {

inline constexpr std::string_view kPartialSuffix = ".part";
inline constexpr std::string_view kPutSuffix = ".put";

struct StoreCore {
  std::string path;  // of the directory, for messages
  Fd lock, blobs, ingest, damaged;
  std::shared_ptr<PinTable> pins = std::make_shared<PinTable>();

  std::mutex mutex;
  std::unordered_set<std::string> open_ingests;  // keys

  // Syncs `file`, which is `name` in the ingest directory, and renames it to the digest's name. Replaces a
  // blob that is there: the new bytes are verified, the old ones may have rotted.
  Result<void> give_name(int file, const std::string& name, const Digest& digest);
  void close_ingest(const std::string& key);
};

// Reads `file` from `begin` to `end` into the hash.
Result<void> hash_range(int file, std::int64_t begin, std::int64_t end, Sha256& hash);

}  // namespace berth::content
