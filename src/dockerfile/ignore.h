// SPDX-License-Identifier: Apache-2.0
// .dockerignore, and the patterns of COPY: Docker's matching. Patterns are Go's path/filepath.Match ("*" and
// "?" stop at
// "/", [a-z] and [^a-z] are sets, and a backslash makes the next character ordinary) and "**", which is any
// number of directories. A path is excluded when the last pattern that matches it, or a directory above it,
// is one without "!".
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "dockerfile/path_pattern.h"

namespace berth::dockerfile {

// One pattern against a clean relative path ("a/b"). Malformed ones, which check_pattern refuses, match
// nothing. Time is |pattern| * |path| at the most. For many paths, compile a PathPattern once.
bool matches(std::string_view pattern, std::string_view path);
// The path itself or a directory above it: what --exclude and .dockerignore ask.
bool matches_or_below(std::string_view pattern, std::string_view path);
Result<void> check_pattern(std::string_view pattern);
bool has_wildcards(std::string_view pattern);  // * ? [ or an escape

class IgnoreRules {
 public:
  IgnoreRules() = default;
  // Lines of a .dockerignore: comments, blank lines, "!", "/" in front and at the end as Docker takes them.
  static Result<IgnoreRules> parse(std::string_view text);
  static Result<IgnoreRules> of(const std::vector<std::string>& patterns);  // of --exclude

  bool empty() const noexcept { return rules_.empty(); }
  bool excluded(std::string_view path) const;  // clean and relative: "a/b"
  // A directory that is excluded itself need still be entered if something below it may be taken back in by a
  // "!".
  bool may_include_below(std::string_view directory) const;

 private:
  struct Rule {
    PathPattern pattern;
    bool include = false;
  };
  Result<void> add(std::string_view line);
  std::vector<Rule> rules_;
};

}  // namespace berth::dockerfile
