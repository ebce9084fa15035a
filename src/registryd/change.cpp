// SPDX-License-Identifier: Apache-2.0
#include "registryd/change.h"

#include "base/text.h"
#include "oci/reference.h"
#include "registryd/names.h"

namespace berth::registryd {

const char* const kCatalogSchema = R"sql(
  CREATE TABLE repositories(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
  CREATE TABLE blobs(
    repository INTEGER NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL,
    used INTEGER NOT NULL, PRIMARY KEY(repository, digest)) WITHOUT ROWID;
  CREATE INDEX blobs_by_digest ON blobs(digest);
  CREATE TABLE manifests(
    repository INTEGER NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, size INTEGER NOT NULL,
    created INTEGER NOT NULL, settled INTEGER NOT NULL, artifact_type TEXT NOT NULL, subject TEXT,
    annotations TEXT NOT NULL, PRIMARY KEY(repository, digest)) WITHOUT ROWID;
  CREATE INDEX manifests_by_digest ON manifests(digest);
  CREATE INDEX manifests_by_subject ON manifests(repository, subject, digest) WHERE subject IS NOT NULL;
  CREATE TABLE edges(
    repository INTEGER NOT NULL, manifest TEXT NOT NULL, child TEXT NOT NULL, is_manifest INTEGER NOT NULL,
    PRIMARY KEY(repository, manifest, child)) WITHOUT ROWID;
  CREATE INDEX edges_by_child ON edges(repository, child);
  CREATE TABLE tags(
    repository INTEGER NOT NULL, name TEXT NOT NULL, digest TEXT NOT NULL, updated INTEGER NOT NULL,
    PRIMARY KEY(repository, name)) WITHOUT ROWID;
  CREATE INDEX tags_by_digest ON tags(repository, digest);
  CREATE TABLE journal(generation TEXT NOT NULL, applied INTEGER NOT NULL);
)sql";

std::string format_change(const Change& change) {
  const char kind = static_cast<char>(change.kind);
  const std::string digest = change.digest ? change.digest->text() : "";
  const std::int64_t time = change.time.nanoseconds;
  switch (change.kind) {
    case Change::Kind::link:
      return fmt::format("{} {} {} {} {} {}", kind, change.repository, digest, change.size, time,
                         change.settled ? 1 : 0);
    case Change::Kind::manifest:
      return fmt::format("{} {} {} {} {} {}", kind, change.repository, digest, change.media_type, time,
                         change.settled ? 1 : 0);
    case Change::Kind::tag:
      return fmt::format("{} {} {} {} {}", kind, change.repository, digest, change.tag, time);
    case Change::Kind::untag:
      return fmt::format("{} {} {}", kind, change.repository, change.tag);
    case Change::Kind::unlink:
    case Change::Kind::unmanifest:
      break;
  }
  return fmt::format("{} {} {}", kind, change.repository, digest);
}

std::optional<Change> parse_change(std::string_view line) {
  const std::vector<std::string_view> words = split(line, ' ');
  if (words.size() < 3 || words[0].size() != 1 || !valid_repository(words[1])) return std::nullopt;
  Change change{.kind = static_cast<Change::Kind>(words[0][0]), .repository = std::string(words[1])};
  if (change.kind == Change::Kind::untag) {
    change.tag = words[2];
    return words.size() == 3 && oci::valid_tag(change.tag) ? std::optional(change) : std::nullopt;
  }
  Result<Digest> digest = Digest::parse(words[2]);
  if (!digest) return std::nullopt;
  change.digest = *digest;
  auto time_of = [&](std::string_view word) {
    auto time = parse_integer<std::int64_t>(word);
    change.time = {time.value_or(0)};
    return time.has_value();
  };
  switch (change.kind) {
    case Change::Kind::unlink:
    case Change::Kind::unmanifest:
      return words.size() == 3 ? std::optional(change) : std::nullopt;
    case Change::Kind::tag:
      if (words.size() != 5 || !oci::valid_tag(words[3]) || !time_of(words[4])) return std::nullopt;
      change.tag = words[3];
      return change;
    case Change::Kind::link: {
      auto size = words.size() == 6 ? parse_integer<std::int64_t>(words[3]) : std::nullopt;
      if (!size || *size < 0 || !time_of(words[4])) return std::nullopt;
      change.size = *size;
      change.settled = words[5] == "1";
      return change;
    }
    case Change::Kind::manifest:
      if (words.size() != 6 || !valid_media_type(words[3]) || !time_of(words[4])) return std::nullopt;
      change.media_type = words[3];
      change.settled = words[5] == "1";
      return change;
    case Change::Kind::untag:
      break;
  }
  return std::nullopt;
}

namespace {

Result<std::int64_t> repository_id(db::Transaction& transaction, const std::string& name) {
  TRY(transaction.run("INSERT INTO repositories(name) VALUES(?) ON CONFLICT DO NOTHING", name));
  db::Statement select = TRY(transaction.prepare("SELECT id FROM repositories WHERE name = ?"));
  TRY(select.bind(name));
  if (!TRY(select.step())) return fail(ErrorKind::corrupt, "the repository {} has no row", name);
  return select.integer(0);
}

Result<void> insert_manifest(db::Transaction& transaction, std::int64_t id, const Change& change,
                             const ManifestFacts& facts) {
  TRY(transaction.run(
      "INSERT INTO manifests(repository, digest, media_type, size, created, settled, artifact_type, subject,"
      " annotations) VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
      " media_type = excluded.media_type, created = excluded.created,"
      " settled = max(settled, excluded.settled), artifact_type = excluded.artifact_type",
      id, *change.digest, change.media_type, change.size, change.time.nanoseconds, change.settled,
      facts.artifact_type, facts.subject, facts.annotations));
  // A referrer lives and dies with its subject, and is no part of a push that goes on.
  if (facts.subject)
    TRY(
        transaction.run("UPDATE manifests SET settled = 1 WHERE repository = ?1 AND digest = ?2 AND EXISTS("
                        "SELECT 1 FROM manifests WHERE repository = ?1 AND digest = ?3)",
                        id, *change.digest, *facts.subject));
  for (const Child& child : facts.children) {
    TRY(
        transaction.run("INSERT INTO edges(repository, manifest, child, is_manifest) VALUES(?, ?, ?, ?)"
                        " ON CONFLICT DO NOTHING",
                        id, *change.digest, child.digest, child.is_manifest));
    TRY(transaction.run(child.is_manifest
                            ? "UPDATE manifests SET settled = 1 WHERE repository = ? AND digest = ?"
                            : "UPDATE blobs SET used = 1 WHERE repository = ? AND digest = ?",
                        id, child.digest));
  }
  return {};
}

}  // namespace

Result<void> apply_change(db::Transaction& transaction, const Change& change, const ManifestFacts* facts) {
  const std::int64_t id = TRY(repository_id(transaction, change.repository));
  switch (change.kind) {
    case Change::Kind::link:
      TRY(
          transaction.run("INSERT INTO blobs(repository, digest, size, created, used) VALUES(?, ?, ?, ?, ?)"
                          " ON CONFLICT DO UPDATE SET created = excluded.created, used = excluded.used",
                          id, *change.digest, change.size, change.time.nanoseconds, change.settled));
      break;
    case Change::Kind::unlink:
      TRY(transaction.run("DELETE FROM blobs WHERE repository = ? AND digest = ?", id, *change.digest));
      break;
    case Change::Kind::manifest:
      TRY(insert_manifest(transaction, id, change, *facts));
      break;
    case Change::Kind::unmanifest:
      TRY(transaction.run("DELETE FROM tags WHERE repository = ? AND digest = ?", id, *change.digest));
      TRY(transaction.run("DELETE FROM edges WHERE repository = ? AND manifest = ?", id, *change.digest));
      TRY(transaction.run("DELETE FROM manifests WHERE repository = ? AND digest = ?", id, *change.digest));
      break;
    case Change::Kind::tag:
      TRY(
          transaction.run("INSERT INTO tags(repository, name, digest, updated) VALUES(?, ?, ?, ?)"
                          " ON CONFLICT DO UPDATE SET digest = excluded.digest, updated = excluded.updated",
                          id, change.tag, *change.digest, change.time.nanoseconds));
      TRY(transaction.run("UPDATE manifests SET settled = 1 WHERE repository = ? AND digest = ?", id,
                          *change.digest));
      break;
    case Change::Kind::untag:
      TRY(transaction.run("DELETE FROM tags WHERE repository = ? AND name = ?", id, change.tag));
      break;
  }
  return {};
}

}  // namespace berth::registryd
