// SPDX-License-Identifier: Apache-2.0
// Opening, replaying and writing; the questions are in catalog_read.cpp, garbage in catalog_garbage.cpp.
#include "registryd/catalog.h"

#include "base/log.h"
#include "registryd/change.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kLostAndFound = "lost-and-found";
constexpr std::int64_t kBytesPerRow = 160;  // of a line, about

const db::Migration kMigrations[] = {{.room = "registryd", .version = 1, .sql = kCatalogSchema}};

constexpr const char* kHasBlob =
    "SELECT 1 FROM blobs JOIN repositories ON id = repository WHERE name = ? AND digest = ?";
constexpr const char* kHasManifest =
    "SELECT 1 FROM manifests JOIN repositories ON id = repository WHERE name = ? AND digest = ?";

template <class... Values>
Result<bool> has_row(db::Transaction& transaction, const char* question, const Values&... values) {
  db::Statement select = TRY(transaction.prepare(question));
  TRY(select.bind(values...));
  return select.step();
}

// How far the database follows the journal.
struct Followed {
  std::string generation;  // empty: a new database
  std::int64_t applied = 0;
};

Result<Followed> followed(db::Transaction& transaction) {
  db::Statement select = TRY(transaction.prepare("SELECT generation, applied FROM journal"));
  if (!TRY(select.step())) return Followed{};
  return Followed{select.text(0), select.integer(1)};
}

Result<void> follow(db::Transaction& transaction, const Followed& state) {
  if (TRY(transaction.run("UPDATE journal SET generation = ?, applied = ?", state.generation,
                          state.applied)) == 0)
    TRY(transaction.run("INSERT INTO journal(generation, applied) VALUES(?, ?)", state.generation,
                        state.applied));
  return {};
}

}  // namespace

Catalog::~Catalog() = default;

Result<std::unique_ptr<Catalog>> Catalog::open(const std::string& directory, Storage& storage) {
  std::unique_ptr<Catalog> catalog(new Catalog(storage));
  catalog->journal_ = TRY(Journal::open(directory, "journal"));
  catalog->database_ = TRY(db::Database::open(directory + "/meta.db", kMigrations));
  TRY_AS("read the registry's metadata", catalog->catch_up());
  return catalog;
}

// Four cases: both agree; the database lacks the journal's end (a power cut: it is not synced); the journal
// is of another generation or the database is new (rebuild it); the database is ahead (what it has more was
// never acknowledged, but a client may have seen it: the journal is written again from it).
Result<void> Catalog::catch_up() {
  db::Transaction transaction = TRY(database_->begin(Durability::durable));
  Followed state = TRY(followed(transaction));
  if (!journal_->existed() && !state.generation.empty()) {
    log_error("registry", "the journal is lost; it is written again from the database");
    TRY(rewrite_journal(transaction));
    return transaction.commit();
  }
  const bool same = state.generation == journal_->generation();
  if (same && state.applied > journal_->end()) {
    log_warning("registry", "the journal has lost its end; it is written again from the database");
    TRY(rewrite_journal(transaction));
    return transaction.commit();
  }
  if (!same) {
    if (journal_->existed())
      log_warning("registry", "the database is made again from the journal and the blobs");
    TRY(
        transaction.run_script("DELETE FROM repositories; DELETE FROM blobs; DELETE FROM manifests; DELETE "
                               "FROM edges; DELETE FROM tags"));
    state.applied = 0;
  }
  const std::size_t damaged = TRY(
      journal_->replay(state.applied, [&](std::string_view line) { return replay_line(transaction, line); }));
  if (damaged > 0) log_error("registry", "{} lines of the journal are damaged and were left out", damaged);
  TRY(follow(transaction, {journal_->generation(), journal_->end()}));
  TRY(transaction.commit());
  return same || journal_->existed() ? Result<void>() : adopt_nameless_blobs();
}

// Neither the database nor the journal is there. A new registry has no blobs; one that was robbed of both
// has: what they are can still be read, what they were called cannot.
Result<void> Catalog::adopt_nameless_blobs() {
  const std::vector<Storage::Entry> blobs = TRY(storage_.list());
  if (blobs.empty()) return {};
  log_error("registry", "database and journal are lost: {} blobs are now in the repository {}", blobs.size(),
            kLostAndFound);
  std::vector<std::pair<Change, ManifestFacts>> manifests;
  for (const Storage::Entry& blob : blobs) {
    Result<std::string> bytes = blob.size <= static_cast<std::int64_t>(oci::kDocumentLimit)
                                    ? storage_.read(blob.digest, oci::kDocumentLimit)
                                    : fail(ErrorKind::invalid, "too large for a manifest");
    Result<ManifestFacts> facts =
        bytes ? read_manifest_facts(*bytes, "") : std::unexpected(std::move(bytes).error());
    if (!facts) {
      TRY(link(kLostAndFound, blob.digest, blob.size));
      continue;
    }
    Change change{.kind = Change::Kind::manifest,
                  .repository = std::string(kLostAndFound),
                  .digest = blob.digest,
                  .media_type = facts->media_type,
                  .size = blob.size,
                  .time = now(),
                  .settled = true};
    manifests.emplace_back(std::move(change), std::move(*facts));
  }
  for (const auto& [change, facts] : manifests) {
    db::Transaction transaction = TRY(database_->begin(Durability::visible));
    TRY(apply_change(transaction, change, &facts));
    TRY(record(std::move(transaction), std::span(&change, 1)));
  }
  return {};
}

Result<void> Catalog::replay_line(db::Transaction& transaction, std::string_view line) {
  std::optional<Change> change = parse_change(line);
  if (!change) {
    log_error("registry", "a line of the journal makes no sense and is left out: {}", line.substr(0, 200));
    return {};
  }
  if (change->kind == Change::Kind::tag) {
    // Without its manifest it was removed further on, or is lost, which was said.
    if (!TRY(has_row(transaction, kHasManifest, change->repository, *change->digest))) return {};
    return apply_change(transaction, *change, nullptr);
  }
  if (change->kind != Change::Kind::manifest) return apply_change(transaction, *change, nullptr);
  Result<std::string> bytes = storage_.read(*change->digest, oci::kDocumentLimit);
  if (bytes && sha256_of(*bytes) != *change->digest)
    bytes = fail(ErrorKind::corrupt, "its content has another digest");
  Result<ManifestFacts> facts =
      bytes ? read_manifest_facts(*bytes, change->media_type) : std::unexpected(bytes.error());
  if (!facts) {
    // Also when it was deleted later, and its blob collected: the journal keeps history until it is
    // compacted.
    log_info("registry", "the manifest {} of {} is left out: {}", change->digest->text(), change->repository,
             facts.error().message);
    return {};
  }
  change->size = static_cast<std::int64_t>(bytes->size());
  return apply_change(transaction, *change, &*facts);
}

Result<void> Catalog::record(db::Transaction transaction, std::span<const Change> changes) {
  std::string lines;
  for (const Change& change : changes) lines += format_change(change) + "\n";
  const Journal::Appended appended = TRY(journal_->append(lines));
  Result<void> committed = follow(transaction, {journal_->generation(), appended.end});
  if (committed) committed = transaction.commit();
  if (!committed) {
    // Still under the database's lock: nobody has appended behind us.
    TRY(journal_->cut_back(appended.begin));
    return committed;
  }
  if (observer_)
    for (const Change& change : changes) observer_(change.repository);
  return journal_->sync(appended.ticket);
}

Result<void> Catalog::nothing_to_record(db::Transaction transaction) {
  const std::uint64_t ticket = journal_->last_ticket();
  { db::Transaction ended = std::move(transaction); }
  return journal_->sync(ticket);
}

Result<void> Catalog::link(std::string_view repository, const Digest& digest, std::int64_t size) {
  db::Transaction transaction = TRY(database_->begin(Durability::visible));
  const bool in_use =
      TRY(has_row(transaction,
                  "SELECT 1 FROM blobs b JOIN repositories r ON r.id = b.repository JOIN edges e"
                  " ON e.repository = b.repository AND e.child = b.digest"
                  " WHERE r.name = ? AND b.digest = ? LIMIT 1",
                  repository, digest));
  if (in_use) return nothing_to_record(std::move(transaction));
  // A link that no manifest uses becomes young again: its manifest is on the way.
  const Change change{.kind = Change::Kind::link,
                      .repository = std::string(repository),
                      .digest = digest,
                      .size = size,
                      .time = now()};
  TRY(apply_change(transaction, change, nullptr));
  return record(std::move(transaction), std::span(&change, 1));
}

Result<bool> Catalog::unlink(std::string_view repository, const Digest& digest) {
  db::Transaction transaction = TRY(database_->begin(Durability::visible));
  if (!TRY(has_row(transaction, kHasBlob, repository, digest))) return false;
  const Change change{.kind = Change::Kind::unlink, .repository = std::string(repository), .digest = digest};
  TRY(apply_change(transaction, change, nullptr));
  TRY(record(std::move(transaction), std::span(&change, 1)));
  return true;
}

namespace {

// The first of what the manifest refers to that the repository does not have.
Result<const Child*> missing_child(db::Transaction& transaction, std::string_view repository,
                                   const ManifestFacts& facts) {
  for (const Child& child : facts.children) {
    const char* question = child.is_manifest ? kHasManifest : kHasBlob;
    if (!TRY(has_row(transaction, question, repository, child.digest))) return &child;
  }
  return nullptr;
}

Result<bool> is_there_already(db::Transaction& transaction, std::string_view repository, const Digest& digest,
                              const ManifestFacts& facts, std::string_view tag) {
  db::Statement manifest = TRY(transaction.prepare(
      "SELECT media_type FROM manifests JOIN repositories ON id = repository WHERE name = ? AND digest = ?"));
  TRY(manifest.bind(repository, digest));
  if (!TRY(manifest.step()) || manifest.text(0) != facts.media_type) return false;
  if (tag.empty()) return false;  // written again, so that it is young again
  db::Statement select =
      TRY(transaction.prepare("SELECT t.digest FROM tags t JOIN repositories r ON r.id = t.repository WHERE "
                              "r.name = ? AND t.name = ?"));
  TRY(select.bind(repository, tag));
  return TRY(select.step()) && select.text(0) == digest.text();
}

}  // namespace

ApiResult<void> Catalog::put_manifest(std::string_view repository, const Digest& digest, std::int64_t size,
                                      const ManifestFacts& facts, std::string_view tag, Children children) {
  db::Transaction transaction = API_TRY(database_->begin(Durability::visible));
  const Child* missing =
      children == Children::may_come_later ? nullptr : API_TRY(missing_child(transaction, repository, facts));
  if (missing)
    return refuse(Code::manifest_blob_unknown,
                  fmt::format("the manifest refers to the {} {}, which is not in {}; push that first",
                              missing->is_manifest ? "manifest" : "blob", missing->digest.text(), repository),
                  missing->digest.text());
  if (API_TRY(is_there_already(transaction, repository, digest, facts, tag))) {
    API_TRY(nothing_to_record(std::move(transaction)));
    return {};
  }
  const Timestamp time = now();
  std::vector<Change> changes{{.kind = Change::Kind::manifest,
                               .repository = std::string(repository),
                               .digest = digest,
                               .media_type = facts.media_type,
                               .size = size,
                               .time = time,
                               .settled = !tag.empty()}};
  if (!tag.empty())
    changes.push_back({.kind = Change::Kind::tag,
                       .repository = std::string(repository),
                       .digest = digest,
                       .tag = std::string(tag),
                       .time = time});
  for (const Change& change : changes) API_TRY(apply_change(transaction, change, &facts));
  API_TRY(record(std::move(transaction), changes));
  return {};
}

Result<bool> Catalog::delete_manifest(std::string_view repository, const Digest& digest) {
  db::Transaction transaction = TRY(database_->begin(Durability::visible));
  if (!TRY(has_row(transaction, kHasManifest, repository, digest))) return false;
  const Change change{
      .kind = Change::Kind::unmanifest, .repository = std::string(repository), .digest = digest};
  TRY(apply_change(transaction, change, nullptr));
  TRY(record(std::move(transaction), std::span(&change, 1)));
  return true;
}

Result<bool> Catalog::delete_tag(std::string_view repository, std::string_view name) {
  db::Transaction transaction = TRY(database_->begin(Durability::visible));
  const bool there = TRY(has_row(transaction,
                                 "SELECT 1 FROM tags t JOIN repositories r ON r.id = t.repository"
                                 " WHERE r.name = ? AND t.name = ?",
                                 repository, name));
  if (!there) return false;
  const Change change{
      .kind = Change::Kind::untag, .repository = std::string(repository), .tag = std::string(name)};
  TRY(apply_change(transaction, change, nullptr));
  TRY(record(std::move(transaction), std::span(&change, 1)));
  return true;
}

// ---- the journal, written again

namespace {

using WriteLine = std::function<Result<void>(std::string_view)>;

Result<void> write_links(db::Transaction& transaction, const WriteLine& write) {
  db::Statement rows = TRY(transaction.prepare(
      "SELECT name, digest, size, created, used FROM blobs JOIN repositories ON id = repository"));
  while (TRY(rows.step())) {
    const Digest digest = TRY(rows.digest(1));
    TRY(write(format_change({.kind = Change::Kind::link,
                             .repository = rows.text(0),
                             .digest = digest,
                             .size = rows.integer(2),
                             .time = {rows.integer(3)},
                             .settled = rows.boolean(4)})));
  }
  return {};
}

Result<void> write_manifests(db::Transaction& transaction, const WriteLine& write) {
  db::Statement rows =
      TRY(transaction.prepare("SELECT name, digest, media_type, created, settled FROM manifests JOIN "
                              "repositories ON id = repository"));
  while (TRY(rows.step())) {
    const Digest digest = TRY(rows.digest(1));
    TRY(write(format_change({.kind = Change::Kind::manifest,
                             .repository = rows.text(0),
                             .digest = digest,
                             .media_type = rows.text(2),
                             .time = {rows.integer(3)},
                             .settled = rows.boolean(4)})));
  }
  return {};
}

Result<void> write_tags(db::Transaction& transaction, const WriteLine& write) {
  db::Statement rows = TRY(transaction.prepare(
      "SELECT r.name, t.digest, t.name, t.updated FROM tags t JOIN repositories r ON r.id = t.repository"));
  while (TRY(rows.step())) {
    const Digest digest = TRY(rows.digest(1));
    TRY(write(format_change({.kind = Change::Kind::tag,
                             .repository = rows.text(0),
                             .digest = digest,
                             .tag = rows.text(2),
                             .time = {rows.integer(3)}})));
  }
  return {};
}

}  // namespace

Result<void> Catalog::rewrite_journal(db::Transaction& transaction) {
  auto write_all_rows = [&](const WriteLine& write) -> Result<void> {
    TRY(write_links(transaction, write));
    TRY(write_manifests(transaction, write));
    return write_tags(transaction, write);
  };
  TRY(journal_->rewrite(write_all_rows));
  return follow(transaction, {journal_->generation(), journal_->end()});
}

Result<void> Catalog::compact(std::int64_t from) {
  if (journal_->end() < from) return {};
  const CatalogTotals totals = TRY(this->totals());
  if (journal_->end() < 3 * kBytesPerRow * (totals.blobs + totals.manifests + totals.tags)) return {};
  db::Transaction transaction = TRY(database_->begin(Durability::durable));
  TRY(rewrite_journal(transaction));
  return transaction.commit();
}

}  // namespace berth::registryd
