// SPDX-License-Identifier: Apache-2.0
// A directory that COPY, ADD and `RUN --mount=type=bind` take from: a build context, or the file system of a
// stage or an image. It is hostile: paths are looked up below its root alone, links in it lead nowhere else.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "dockerfile/ignore.h"
#include "sys/act_as.h"

namespace berth::build {

// What a client may send or pass.
inline constexpr std::uint64_t kLargestContext = 64ull << 30;  // bytes
inline constexpr std::uint64_t kMostContextEntries = 10'000'000;

struct Tree {
  Fd root;                         // a directory
  dockerfile::IgnoreRules ignore;  // what of it is not there
  bool keeps_owners = false;       // a stage's files keep theirs, a context's become root's
  bool stable = false;             // nobody else writes to it: files need not be looked at for changes
  bool live = false;  // the client's own directory: it may change at any time, also while it is copied
  std::optional<sys::UserIdentity> reader;  // with whose permissions it is read; missing: the engine's
  // A directory that is not there, wherever in the tree it is: the builder's own, which it would copy into
  // itself.
  struct {
    dev_t device = 0;
    ino_t inode = 0;
  } hidden;
};

// From here to its end this thread looks at the tree with its reader's permissions.
class ReadingTree {
 public:
  explicit ReadingTree(const Tree& tree) : acting_(tree.reader ? &*tree.reader : nullptr) {}

 private:
  const sys::ActAs acting_;
};

// Something that a source of COPY denotes, by its path below the root.
struct Source {
  std::string path;  // clean, without a leading slash; empty is the root
  bool is_directory = false;
};

// What a source as it is written denotes: one path, or with wildcards those that match, sorted. Links are
// followed in directories and at the end. Nothing found is an error (not_found) that names it.
Result<std::vector<Source>> find_sources(const Tree& tree, std::string_view written);

// The same for one path, in which nothing is a wildcard.
Result<Source> find_source(const Tree& tree, std::string_view path);

// An entry of a walk over a source.
struct TreeItem {
  int directory;            // that holds it
  const std::string& name;  // in there
  std::string_view path;    // below the source; empty for the source itself
  const struct stat& status;
};

// Everything of a source that is neither ignored nor excluded, a directory before what is in it, sorted. The
// start comes first. Sockets are left out. A directory that is ignored and has something in it that is not
// comes too. `visit` has the engine's permissions.
Result<void> walk_source(const Tree& tree, const Source& source, const dockerfile::IgnoreRules& excludes,
                         const std::function<Result<void>(const TreeItem&)>& visit);

}  // namespace berth::build
