// SPDX-License-Identifier: Apache-2.0
// One change to the catalog: as a line of the journal, and as rows of the database. Internal to the catalog.
//
//   L <repository> <digest> <size> <time> <used>        a blob is visible in a repository
//   U <repository> <digest>                             no longer
//   M <repository> <digest> <media type> <time> <settled>   a manifest, whose bytes are a blob
//   D <repository> <digest>                             gone, and the tags on it
//   T <repository> <digest> <tag> <time>                a tag points to a manifest
//   X <repository> <tag>                                no longer
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/digest.h"
#include "db/database.h"
#include "registryd/manifest_facts.h"

namespace berth::registryd {

struct Change {
  enum class Kind : char {
    link = 'L',
    unlink = 'U',
    manifest = 'M',
    unmanifest = 'D',
    tag = 'T',
    untag = 'X'
  };
  Kind kind;
  std::string repository;
  std::optional<Digest> digest = {};  // all but untag
  std::string tag = {};               // tag, untag
  std::string media_type = {};        // manifest
  std::int64_t size = 0;              // link, manifest (bytes; not in the manifest's line)
  Timestamp time = {};
  // link: a manifest has named it. manifest: a tag or an index has. Then it is no part of a push that goes
  // on.
  bool settled = false;
};

std::string format_change(const Change& change);  // without a line feed
// Nothing for a line that is none of the above.
std::optional<Change> parse_change(std::string_view line);

// `facts` is for Kind::manifest.
Result<void> apply_change(db::Transaction& transaction, const Change& change, const ManifestFacts* facts);

extern const char* const kCatalogSchema;  // the room's first migration

}  // namespace berth::registryd
