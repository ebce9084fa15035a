// SPDX-License-Identifier: Apache-2.0
// The rules of `cp` about paths. What a copy means depends on three things: whether the source is a
// directory, what the destination is, and how both are written ("dir/" asserts a directory, "dir/." means
// its contents).
#pragma once
#include <optional>
#include <string>

#include "base/error.h"

namespace berth::cli {

struct CopyArgument {
  std::string container;  // empty: a path here
  std::string path;       // "-" alone: a tar stream
};
CopyArgument parse_copy_argument(const std::string& text);

bool asserts_directory(const std::string& path);  // ends in "/" or "/."

// Directory and last component. The component is "." when the path ends in "/.", for "dir/" it is "dir".
struct SplitPath {
  std::string directory;
  std::string base;
};
SplitPath split_directory_entry(const std::string& path);

// Lexically clean and absolute, with a final "/" or "/." kept.
std::string absolute_keeping_end(const std::string& path);

struct CopySource {
  std::string path;
  bool directory = false;
  std::string rebase;  // what the archive's top is called if not by the path: a link that was followed
};
struct CopyDestination {
  std::string path;
  bool exists = false;
  bool directory = false;
};
// Where the archive is unpacked, and what its top is called there (none: as it is).
struct CopyPlan {
  std::string directory;
  std::string from;
  std::optional<std::string> to;
};
Result<CopyPlan> plan_copy(const CopySource& source, const CopyDestination& destination);

// A path here as source or destination, looked at.
Result<CopySource> look_at_source(const std::string& path, bool follow);
Result<CopyDestination> look_at_destination(const std::string& path);

}  // namespace berth::cli
