// SPDX-License-Identifier: Apache-2.0
// What the registry knows: repositories, the blobs and manifests that are visible in each, and tags. Kept in
// SQLite, which is an index over the journal and the manifests' bytes:
//
//   <directory>/meta.db    made again when it is lost or damaged
//   <directory>/journal    what cannot be read out of blobs
//
// Writes are durable when they return: the journal is synced, once for all who write at the same time. Names
// and digests are checked by the callers. Thread-safe. Never pin or hold a blob while a transaction of the
// database is open; Storage::remove_unless() asks the database the other way round.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "db/database.h"
#include "registryd/api_error.h"
#include "registryd/journal.h"
#include "registryd/manifest_facts.h"
#include "registryd/storage.h"

namespace berth::registryd {

struct Change;

struct ManifestRow {
  Digest digest;
  std::string media_type;
  std::int64_t size = 0;
  std::string artifact_type;
  std::string annotations;  // JSON, may be empty
};

struct TagRow {
  std::string name;
  Digest digest;
  std::int64_t size = 0;  // of the manifest
  std::string media_type;
};

struct CatalogTotals {
  std::int64_t repositories = 0, manifests = 0, tags = 0, blobs = 0;
};

class Catalog {
 public:
  // Opens, replays what the database lacks of the journal, and rebuilds whichever of the two is lost.
  static Result<std::unique_ptr<Catalog>> open(const std::string& directory, Storage& storage);
  ~Catalog();

  // ---- reading. An unknown repository is an empty one.
  Result<bool> repository_exists(std::string_view repository);
  Result<std::optional<std::int64_t>> linked_size(std::string_view repository, const Digest& digest);
  Result<std::optional<ManifestRow>> manifest(std::string_view repository, const Digest& digest);
  Result<std::optional<Digest>> tag(std::string_view repository, std::string_view name);
  // At most `most` after `last`, in the order of their bytes.
  Result<std::vector<std::string>> repositories(std::string_view last, std::size_t most);
  Result<std::vector<std::string>> tags(std::string_view repository, std::string_view last, std::size_t most);
  Result<std::vector<TagRow>> tag_rows(std::string_view repository, std::string_view last, std::size_t most);
  // Ordered by digest, after `last` (empty: all); `artifact_type` empty: of any.
  Result<std::vector<ManifestRow>> referrers(std::string_view repository, const Digest& subject,
                                             std::string_view artifact_type, std::string_view last,
                                             std::size_t most);
  // By links and manifests of any repository.
  Result<std::int64_t> reference_count(const Digest& digest);
  // A blob that is linked in the repository, and that no manifest there names.
  Result<bool> is_idle_link(std::string_view repository, const Digest& digest);
  Result<CatalogTotals> totals();

  // ---- writing. Callers hold the blobs that they link.
  Result<void> link(std::string_view repository, const Digest& digest, std::int64_t size);
  Result<bool> unlink(std::string_view repository, const Digest& digest);  // false: it was not linked
  // Stores a manifest, and points `tag` (when not empty) to it. What it refers to must be in the repository:
  // checked in the same transaction, so that a garbage collection cannot come between.
  enum class Children { must_be_there, may_come_later };  // later: in a cache of another registry
  ApiResult<void> put_manifest(std::string_view repository, const Digest& digest, std::int64_t size,
                               const ManifestFacts& facts, std::string_view tag,
                               Children children = Children::must_be_there);
  Result<bool> delete_manifest(std::string_view repository, const Digest& digest);  // and the tags on it
  Result<bool> delete_tag(std::string_view repository, std::string_view name);

  // ---- garbage (garbage.cpp knows what is)
  struct Collectable {
    std::string repository;
    Digest digest;
    bool is_manifest = false;
  };
  // What could go, and with `remove` is gone from the catalog afterwards: links that no manifest uses and,
  // with `untagged`, manifests that neither a tag nor another kept manifest leads to. A link that was never
  // used stays for `grace`: its manifest is probably on its way. `vouched` names digests that clients were
  // lately told are there.
  Result<std::vector<Collectable>> collect(bool remove, bool untagged, std::chrono::seconds grace,
                                           const std::function<bool(const Digest&)>& vouched);
  // Rewrites a journal of at least so many bytes that is mostly history. Cheap when there is nothing to do.
  Result<void> compact(std::int64_t from = 1 << 20);

  // Called with the repository's name after each committed write to it, before the writer returns.
  void on_change(std::function<void(std::string_view)> observer) { observer_ = std::move(observer); }

 private:
  explicit Catalog(Storage& storage) : storage_(storage) {}
  Result<void> catch_up();
  Result<void> adopt_nameless_blobs();
  Result<void> rewrite_journal(db::Transaction& transaction);
  Result<void> replay_line(db::Transaction& transaction, std::string_view line);
  Result<void> record(db::Transaction transaction, std::span<const Change> changes);
  // For a write that changes nothing: what it would have written may still be on its way to the disk.
  Result<void> nothing_to_record(db::Transaction transaction);

  Storage& storage_;
  std::unique_ptr<db::Database> database_;
  std::unique_ptr<Journal> journal_;
  std::function<void(std::string_view)> observer_;
};

}  // namespace berth::registryd
