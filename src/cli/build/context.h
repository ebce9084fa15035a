// SPDX-License-Identifier: Apache-2.0
// Where a build's files come from, and the tar that they are sent as.
#pragma once
#include <memory>
#include <string>

#include "archive/stream.h"
#include "base/error.h"

namespace berth::cli {

struct BuildContext {
  std::string remote;                     // an address that the engine fetches; then there is no body
  std::string dockerfile;                 // its name in the context; "" is the engine's default
  std::unique_ptr<archive::Source> body;  // a tar, plain or compressed
};

// `place` is a directory, "-" or an address; `file` is --file: "" for the default, "-" for standard input.
// A directory is packed while it is sent, without what its ignore file names; the Dockerfile and the ignore
// file are always in. A Dockerfile from elsewhere is sent under a name of our own, which COPY does not see.
Result<BuildContext> open_build_context(const std::string& place, const std::string& file);

// Whether these first bytes (512 of them, or all there are) begin an archive; otherwise they are a
// Dockerfile.
bool begins_archive(std::string_view head);

// Text, and then what another source has.
std::unique_ptr<archive::Source> in_front_of(std::unique_ptr<archive::Source> rest, std::string text);

}  // namespace berth::cli
