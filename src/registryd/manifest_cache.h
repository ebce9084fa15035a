// SPDX-License-Identifier: Apache-2.0
// Manifests in memory, by repository and reference (tag or digest), so that the commonest request touches
// neither database nor disk. A write to a repository drops what is cached of it.
//
//   auto ticket = cache.start();            before the database is asked
//   ... read ...
//   cache.keep(ticket, repository, reference, manifest);   ignored when something was written since
//
// Bounded in bytes: two generations, the older of which is dropped when the younger is full. Thread-safe.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace berth::registryd {

struct CachedManifest {
  std::string digest;
  std::string media_type;
  std::string bytes;
};
using CachedManifestPointer = std::shared_ptr<const CachedManifest>;

class ManifestCache {
 public:
  explicit ManifestCache(std::size_t most_bytes) : most_bytes_(most_bytes) {}

  CachedManifestPointer find(std::string_view repository, std::string_view reference);
  std::uint64_t start() const;
  void keep(std::uint64_t ticket, std::string_view repository, std::string_view reference,
            CachedManifestPointer manifest);
  void drop(std::string_view repository);

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>()(text);
    }
  };
  template <class Value>
  using Table = std::unordered_map<std::string, Value, Hash, std::equal_to<>>;
  using Generation = Table<Table<CachedManifestPointer>>;
  void insert(std::string_view repository, std::string_view reference, CachedManifestPointer manifest);

  const std::size_t most_bytes_;
  mutable std::mutex mutex_;
  std::uint64_t writes_ = 0;
  Generation young_, old_;
  std::size_t young_bytes_ = 0;
};

}  // namespace berth::registryd
