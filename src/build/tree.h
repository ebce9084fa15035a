// SPDX-License-Identifier: Apache-2.0
// A directory that COPY, ADD and `RUN --mount=type=bind` take from: a build context, or the file system of a
// stage or an image. It is hostile: paths are looked up below its root alone, links in it lead nowhere else.
#pragma once
#include <sys/stat.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "dockerfile/ignore.h"

namespace berth::build {

struct Tree {
  Fd root;                         // a directory
  dockerfile::IgnoreRules ignore;  // what of it is not there
  bool keeps_owners = false;       // a stage's files keep theirs, a context's become root's
  bool stable = false;             // nobody else writes to it: files need not be looked at for changes
};

// Something that a source of COPY denotes, by its path below the root.
struct Source {
  std::string path;  // clean, without a leading slash; empty is the root
  bool is_directory = false;
};

// What a source as it is written denotes: one path, or with wildcards those that match, sorted. Links are
// followed in directories and at the end. Nothing found is an error (not_found) that names it.
Result<std::vector<Source>> find_sources(const Tree& tree, std::string_view written);

// An entry of a walk over a source.
struct TreeItem {
  int directory;            // that holds it
  const std::string& name;  // in there
  std::string_view path;    // below the source; empty for the source itself
  const struct stat& status;
};

// Everything of a source that is neither ignored nor excluded, a directory before what is in it, sorted. The
// start comes first. Sockets are left out. A directory that is ignored and has something in it that is not
// comes too.
Result<void> walk_source(const Tree& tree, const Source& source, const dockerfile::IgnoreRules& excludes,
                         const std::function<Result<void>(const TreeItem&)>& visit);

}  // namespace berth::build
