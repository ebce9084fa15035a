// SPDX-License-Identifier: Apache-2.0
// A regular expression that somebody else wrote, to be looked for in short texts. Whatever it says, looking
// takes no longer than size() times the text's length, and a bounded stack: there is no stepping back, the
// text is read once with the set of states that the expression may be in.
//
// Syntax, as in Go's regexp, over bytes:
//
//   a . [a-z] [^0-9] [[:alpha:]] \d \D \s \S \w \W \. \x2e    one byte
//   xy  x|y  (x)  (?:x)  (?P<name>x)                          in a row, one or the other, groups
//   x* x+ x? x{3} x{3,} x{3,5}                                so many times; a "?" behind changes nothing
//   here ^ $ \A \z \b \B                                           places
//   (?i) (?s) (?is:x)                                         either case; "." takes newlines as well
#pragma once
#include <bitset>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth {

class RegularExpression {
 public:
  // invalid: not an expression of the syntax above; exhausted: one that is too large once its repetitions are
  // written out.
  static Result<RegularExpression> compile(std::string_view text);

  bool found_in(std::string_view text) const;
  std::size_t size() const noexcept { return program_.size(); }

  using Bytes = std::bitset<256>;
  enum class Place : std::uint8_t { begin, end, word_boundary, no_word_boundary };
  struct Step {
    enum class Kind : std::uint8_t { take, split, jump, place, match } kind;
    Place place{};
    std::uint32_t set = 0;                // take: an index of sets_
    std::uint32_t target = 0, other = 0;  // split: both; jump: target
  };

 private:
  std::vector<Step> program_;
  std::vector<Bytes> sets_;
};

}  // namespace berth
