// SPDX-License-Identifier: Apache-2.0
#include "registryd/catalog.h"
#include "registryd/change.h"

namespace berth::registryd {
namespace {

// What is kept: tagged manifests, young ones that nothing has settled yet, the entries of kept indexes, and
// what refers to a kept subject.
constexpr const char* kDeadManifests = R"sql(
  WITH RECURSIVE live(repository, digest) AS (
    SELECT repository, digest FROM tags
    UNION SELECT repository, digest FROM manifests WHERE settled = 0 AND created > ?
    UNION SELECT e.repository, e.child FROM live l
      JOIN edges e ON e.repository = l.repository AND e.manifest = l.digest AND e.is_manifest = 1
    UNION SELECT m.repository, m.digest FROM live l
      JOIN manifests m ON m.repository = l.repository AND m.subject = l.digest)
  SELECT r.name, m.digest FROM manifests m JOIN repositories r ON r.id = m.repository
    WHERE NOT EXISTS (SELECT 1 FROM live l WHERE l.repository = m.repository AND l.digest = m.digest)
)sql";

constexpr const char* kIdleLinks = R"sql(
  SELECT r.name, b.digest FROM blobs b JOIN repositories r ON r.id = b.repository
    WHERE (b.used = 1 OR b.created <= ?) AND NOT EXISTS (
      SELECT 1 FROM edges e WHERE e.repository = b.repository AND e.child = b.digest)
)sql";

constexpr const char* kEmptyRepositories = R"sql(
  DELETE FROM repositories WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE repository = id)
    AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository = id)
)sql";

}  // namespace

Result<std::vector<Catalog::Collectable>> Catalog::collect(
    bool remove, bool untagged, std::chrono::seconds grace,
    const std::function<bool(const Digest&)>& vouched) {
  const std::int64_t young = now().nanoseconds - std::chrono::nanoseconds(grace).count();
  // For a dry run too: the links of what would go are found by removing it, and rolled back.
  db::Transaction transaction = TRY(database_->begin(Durability::visible));
  std::vector<Collectable> found;
  if (untagged) {
    db::Statement dead = TRY(transaction.prepare(kDeadManifests));
    TRY(dead.bind(young));
    while (TRY(dead.step())) {
      Digest digest = TRY(dead.digest(1));
      found.push_back({dead.text(0), std::move(digest), true});
    }
  }
  std::vector<Change> changes;
  auto apply = [&](std::size_t from) -> Result<void> {
    for (std::size_t i = from; i < found.size(); ++i) {
      changes.push_back({.kind = found[i].is_manifest ? Change::Kind::unmanifest : Change::Kind::unlink,
                         .repository = found[i].repository,
                         .digest = found[i].digest});
      TRY(apply_change(transaction, changes.back(), nullptr));
    }
    return {};
  };
  TRY(apply(0));
  const std::size_t manifests = found.size();
  {
    db::Statement idle = TRY(transaction.prepare(kIdleLinks));
    TRY(idle.bind(young));
    while (TRY(idle.step())) {
      Digest digest = TRY(idle.digest(1));
      if (!vouched(digest)) found.push_back({idle.text(0), std::move(digest), false});
    }
  }
  if (!remove) return found;
  TRY(apply(manifests));
  TRY(transaction.run(kEmptyRepositories));
  if (!changes.empty()) TRY(record(std::move(transaction), changes));
  return found;
}

}  // namespace berth::registryd
