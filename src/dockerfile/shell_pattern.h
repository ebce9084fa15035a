// SPDX-License-Identifier: Apache-2.0
// The patterns of ${name#pattern} and its kin: "*" is any text, "?" any one character (of UTF-8), the escape
// character makes the next one ordinary, and everything else is itself.
#pragma once
#include <cstddef>
#include <string>
#include <string_view>

namespace berth::dockerfile {

// What may still be spent on one word: patterns and values are hostile, and a word holds many of them.
class Effort {
 public:
  explicit Effort(std::size_t most) : left_(most) {}
  void spend(std::size_t amount) noexcept { left_ -= amount < left_ ? amount : left_; }
  bool exhausted() const noexcept { return left_ == 0; }

 private:
  std::size_t left_;
};

enum class MatchLength { shortest, longest };
enum class MatchCount { first, all };

// Each takes some |pattern| * |value| steps, but gives up when the effort is exhausted: what it returns then
// means nothing.
std::string_view without_prefix(std::string_view value, std::string_view pattern, char escape,
                                MatchLength length, Effort& effort);
std::string_view without_suffix(std::string_view value, std::string_view pattern, char escape,
                                MatchLength length, Effort& effort);
// The longest match where one begins first; then the next one behind it. An empty pattern matches between all
// characters.
std::string with_replaced(std::string_view value, std::string_view pattern, char escape,
                          std::string_view replacement, MatchCount count, Effort& effort);

}  // namespace berth::dockerfile
