// SPDX-License-Identifier: Apache-2.0
// What the registry needs to know about a manifest: read from its bytes when it is pushed, and again when the
// database is rebuilt. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "oci/manifest.h"

namespace berth::registryd {

struct Child {
  Digest digest;
  bool is_manifest = false;  // otherwise a blob
};

struct ManifestFacts {
  std::string media_type;     // of the whole: of the document, or where it has none, as it was pushed
  std::string artifact_type;  // as referrers are filtered by (distribution-spec, "Listing Referrers")
  std::optional<Digest> subject;
  std::string annotations;  // a JSON object's text, or empty
  std::vector<Child>
      children;  // what must be there: config, layers that are not foreign, an index's manifests
};

// `declared` is the Content-Type without parameters, or empty. ErrorKind::invalid says what is wrong;
// ErrorKind::unsupported is Docker's schema 1.
Result<ManifestFacts> read_manifest_facts(std::string_view bytes, std::string_view declared);

}  // namespace berth::registryd
