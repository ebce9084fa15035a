// SPDX-License-Identifier: Apache-2.0
// An OCI layout (image-spec, image-layout.md) in a directory that a client has passed. It is hostile: it is
// read with the client's permissions, links in it lead nowhere else, and what it says of bytes (digest, size)
// is verified. Only for this room's sources.
#pragma once
#include <functional>
#include <optional>
#include <stop_token>
#include <string>

#include "archive/stream.h"
#include "base/digest.h"
#include "base/error.h"
#include "build/tree.h"
#include "oci/manifest.h"
#include "oci/platform.h"

namespace berth::build {

// index.json. not_found where there is none: then it is no layout.
Result<oci::Index> read_layout_index(const Tree& layout);
// A manifest, an index or a configuration.
Result<std::string> read_layout_document(const Tree& layout, const oci::Descriptor& descriptor);
// The same by its digest alone, for what no descriptor is known of.
Result<std::string> read_layout_document(const Tree& layout, const Digest& digest);
Result<void> read_layout_blob(const Tree& layout, const oci::Descriptor& blob, archive::Sink& sink);

// How the documents of an image are got, wherever it is: by their digests, verified.
using ReadDocument = std::function<Result<std::string>(const oci::Descriptor&)>;

// What `bytes` are, or of an index (in which there may be others) the manifest for that platform. `name` is
// for what is said.
Result<oci::Manifest> read_manifest(std::string bytes, const ReadDocument& read, const oci::Platform& wanted,
                                    const std::string& name);

}  // namespace berth::build
