// SPDX-License-Identifier: Apache-2.0
// One pattern of paths, compiled: the grammar that ignore.h describes.
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace berth::dockerfile {

inline constexpr std::size_t kLongestPattern = 4096;  // bytes, as of a path

// Compiled once and run over many paths. A run takes at most |pattern| * |path| steps, and few where it fails
// early.
class PathPattern {
 public:
  static Result<PathPattern> compile(std::string_view text);

  bool matches(std::string_view path) const;
  // Whether there is a path below `directory` that matches.
  bool may_match_below(std::string_view directory) const;

 private:
  enum class Kind {
    one,          // a character out of the ranges
    star,         // any number of characters but "/"
    everything,   // any number of characters
    directories,  // nothing, or what `inside` takes
    inside,       // any number of characters and a "/"
  };
  struct Token {
    Kind kind = Kind::one;
    bool negated = false;
    std::vector<std::pair<char32_t, char32_t>> ranges;

    bool takes(char32_t character) const;
  };
  class Compiler;
  class Run;

  std::vector<Token> tokens_;
  std::optional<std::string> only_;  // the one path that matches, where nothing in the pattern is special
};

// As Go's filepath.Clean: no "." and "..", no double and no last "/"; "." for nothing.
std::string clean_path(std::string_view path);

}  // namespace berth::dockerfile
