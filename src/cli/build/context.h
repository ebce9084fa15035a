// SPDX-License-Identifier: Apache-2.0
// Where a build's files come from, and the tar that they are sent as.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "archive/stream.h"
#include "base/error.h"
#include "base/fd.h"

namespace berth::cli {

// A directory of this machine, with what was read of it.
struct LocalContext {
  Fd root;
  std::string ignore;             // the text of its ignore file
  std::string dockerfile_name;    // as the user knows it
  std::string dockerfile;         // its text
  bool inside = false;            // the Dockerfile is in the directory, under that name
  std::vector<std::string> kept;  // sent whatever the ignore file says
  // The engine may not be able to read it, even with this user's permissions (FUSE): send it.
  bool readable_elsewhere = true;
};

struct BuildContext {
  std::string remote;                     // an address that the engine fetches; then there is no body
  std::string dockerfile;                 // its name in the context; "" is the engine's default
  std::unique_ptr<archive::Source> body;  // a tar, plain or compressed
  std::optional<LocalContext> local;      // instead of a body: to be passed, or packed by send_local
};

// `place` is a directory, "-" or an address; `file` is --file: "" for the default, "-" for standard input.
Result<BuildContext> open_build_context(const std::string& place, const std::string& file);

// Makes a tar of the local directory, packed while it is sent, without what its ignore file names; the
// Dockerfile and the ignore file are always in. A Dockerfile from elsewhere is sent under a name of our own,
// which COPY does not see.
Result<void> send_local(BuildContext& context);

// For --build-context: a directory without a Dockerfile.
Result<LocalContext> open_named_directory(const std::string& place);

// Whether these first bytes (512 of them, or all there are) begin an archive; otherwise they are a
// Dockerfile.
bool begins_archive(std::string_view head);

// Text, and then what another source has.
std::unique_ptr<archive::Source> in_front_of(std::unique_ptr<archive::Source> rest, std::string text);

}  // namespace berth::cli
