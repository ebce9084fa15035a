// SPDX-License-Identifier: Apache-2.0
#include "registryd/manifest_cache.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kEntryOverhead = 300;  // bytes of nodes, strings and the shared count, about

}  // namespace

CachedManifestPointer ManifestCache::find(std::string_view repository, std::string_view reference) {
  std::lock_guard guard(mutex_);
  for (Generation* generation : {&young_, &old_}) {
    auto table = generation->find(repository);
    if (table == generation->end()) continue;
    auto entry = table->second.find(reference);
    if (entry == table->second.end()) continue;
    CachedManifestPointer found = entry->second;
    if (generation == &old_) {
      table->second.erase(entry);
      insert(repository, reference, found);
    }
    return found;
  }
  return nullptr;
}

std::uint64_t ManifestCache::start() const {
  std::lock_guard guard(mutex_);
  return writes_;
}

void ManifestCache::keep(std::uint64_t ticket, std::string_view repository, std::string_view reference,
                         CachedManifestPointer manifest) {
  std::lock_guard guard(mutex_);
  if (ticket == writes_) insert(repository, reference, std::move(manifest));
}

void ManifestCache::insert(std::string_view repository, std::string_view reference,
                           CachedManifestPointer manifest) {
  const std::size_t bytes = manifest->bytes.size() + kEntryOverhead;
  if (bytes > most_bytes_ / 2) return;
  if (young_bytes_ + bytes > most_bytes_ / 2) {
    old_ = std::move(young_);
    young_ = {};
    young_bytes_ = 0;
  }
  young_[std::string(repository)][std::string(reference)] = std::move(manifest);
  young_bytes_ += bytes;
}

void ManifestCache::drop(std::string_view repository) {
  std::lock_guard guard(mutex_);
  ++writes_;
  // The bytes are counted again when the generation changes: too early a change does no harm.
  for (Generation* generation : {&young_, &old_})
    if (auto table = generation->find(repository); table != generation->end()) generation->erase(table);
}

}  // namespace berth::registryd
