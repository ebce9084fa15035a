// SPDX-License-Identifier: Apache-2.0
#include "registryd/catalog.h"

namespace berth::registryd {
namespace {

ManifestRow manifest_row(const db::Statement& row, Digest digest) {
  return {std::move(digest), row.text(1), row.integer(2), row.text(3), row.text(4)};
}

// Runs a question whose answer is one row or none.
template <class Read, class... Values>
auto one_row(db::Database& database, const char* question, Read read, const Values&... values)
    -> Result<std::optional<decltype(read(std::declval<db::Statement&>()))>> {
  db::Transaction transaction = TRY(database.read());
  db::Statement select = TRY(transaction.prepare(question));
  TRY(select.bind(values...));
  if (!TRY(select.step())) return std::nullopt;
  return read(select);
}

template <class... Values>
Result<std::vector<std::string>> texts(db::Database& database, const char* question,
                                       const Values&... values) {
  db::Transaction transaction = TRY(database.read());
  db::Statement select = TRY(transaction.prepare(question));
  TRY(select.bind(values...));
  std::vector<std::string> list;
  while (TRY(select.step())) list.push_back(select.text(0));
  return list;
}

bool anything(db::Statement&) { return true; }

}  // namespace

Result<bool> Catalog::repository_exists(std::string_view repository) {
  auto row = TRY(one_row(*database_,
                         "SELECT 1 FROM repositories r WHERE name = ? AND ("
                         " EXISTS(SELECT 1 FROM blobs WHERE repository = r.id) OR"
                         " EXISTS(SELECT 1 FROM manifests WHERE repository = r.id))",
                         anything, repository));
  return row.has_value();
}

Result<std::optional<std::int64_t>> Catalog::linked_size(std::string_view repository, const Digest& digest) {
  return one_row(
      *database_, "SELECT size FROM blobs JOIN repositories ON id = repository WHERE name = ? AND digest = ?",
      [](db::Statement& row) { return row.integer(0); }, repository, digest);
}

Result<std::optional<ManifestRow>> Catalog::manifest(std::string_view repository, const Digest& digest) {
  return one_row(
      *database_,
      "SELECT digest, media_type, size, artifact_type, annotations FROM manifests"
      " JOIN repositories ON id = repository WHERE name = ? AND digest = ?",
      [&](db::Statement& row) { return manifest_row(row, digest); }, repository, digest);
}

Result<std::optional<Digest>> Catalog::tag(std::string_view repository, std::string_view name) {
  auto found = TRY(one_row(
      *database_,
      "SELECT t.digest FROM tags t JOIN repositories r ON r.id = t.repository WHERE r.name = ? AND t.name = "
      "?",
      [](db::Statement& row) { return row.text(0); }, repository, name));
  if (!found) return std::nullopt;
  return TRY(Digest::parse(*found));
}

Result<std::vector<std::string>> Catalog::repositories(std::string_view last, std::size_t most) {
  return texts(*database_,
               "SELECT name FROM repositories r WHERE name > ? AND ("
               " EXISTS(SELECT 1 FROM manifests WHERE repository = r.id) OR"
               " EXISTS(SELECT 1 FROM blobs WHERE repository = r.id)) ORDER BY name LIMIT ?",
               last, most);
}

Result<std::vector<std::string>> Catalog::tags(std::string_view repository, std::string_view last,
                                               std::size_t most) {
  return texts(*database_,
               "SELECT t.name FROM tags t JOIN repositories r ON r.id = t.repository"
               " WHERE r.name = ? AND t.name > ? ORDER BY t.name LIMIT ?",
               repository, last, most);
}

Result<std::vector<TagRow>> Catalog::tag_rows(std::string_view repository, std::string_view last,
                                              std::size_t most) {
  db::Transaction transaction = TRY(database_->read());
  db::Statement select = TRY(transaction.prepare(
      "SELECT t.name, t.digest, m.size, m.media_type FROM tags t JOIN repositories r ON r.id = t.repository"
      " JOIN manifests m ON m.repository = t.repository AND m.digest = t.digest"
      " WHERE r.name = ? AND t.name > ? ORDER BY t.name LIMIT ?"));
  TRY(select.bind(repository, last, most));
  std::vector<TagRow> rows;
  while (TRY(select.step())) {
    Digest digest = TRY(select.digest(1));
    rows.push_back({select.text(0), std::move(digest), select.integer(2), select.text(3)});
  }
  return rows;
}

Result<std::vector<ManifestRow>> Catalog::referrers(std::string_view repository, const Digest& subject,
                                                    std::string_view artifact_type, std::string_view last,
                                                    std::size_t most) {
  db::Transaction transaction = TRY(database_->read());
  db::Statement select = TRY(transaction.prepare(
      "SELECT digest, media_type, size, artifact_type, annotations FROM manifests"
      " JOIN repositories ON id = repository WHERE name = ?1 AND subject = ?2 AND digest > ?4"
      " AND (?3 = '' OR artifact_type = ?3) ORDER BY digest LIMIT ?5"));
  TRY(select.bind(repository, subject, artifact_type, last, most));
  std::vector<ManifestRow> rows;
  while (TRY(select.step())) {
    Digest digest = TRY(select.digest(0));
    rows.push_back(manifest_row(select, std::move(digest)));
  }
  return rows;
}

Result<std::int64_t> Catalog::reference_count(const Digest& digest) {
  auto count = TRY(one_row(
      *database_,
      "SELECT (SELECT count(*) FROM blobs WHERE digest = ?1) + (SELECT count(*) FROM manifests WHERE digest "
      "= ?1)",
      [](db::Statement& row) { return row.integer(0); }, digest));
  return count.value_or(0);
}

Result<bool> Catalog::is_idle_link(std::string_view repository, const Digest& digest) {
  auto row = TRY(one_row(*database_,
                         "SELECT 1 FROM blobs b JOIN repositories r ON r.id = b.repository"
                         " WHERE r.name = ? AND b.digest = ? AND NOT EXISTS("
                         " SELECT 1 FROM edges e WHERE e.repository = b.repository AND e.child = b.digest)",
                         anything, repository, digest));
  return row.has_value();
}

Result<CatalogTotals> Catalog::totals() {
  auto row = TRY(one_row(
      *database_,
      "SELECT (SELECT count(*) FROM repositories), (SELECT count(*) FROM manifests),"
      " (SELECT count(*) FROM tags), (SELECT count(*) FROM blobs)",
      [](db::Statement& select) {
        return CatalogTotals{select.integer(0), select.integer(1), select.integer(2), select.integer(3)};
      }));
  return row.value_or(CatalogTotals{});
}

}  // namespace berth::registryd
