// SPDX-License-Identifier: Apache-2.0
#include "oci/glob.h"

#include <vector>

namespace berth::oci {
namespace {

struct Range {
  unsigned char low;
  unsigned char high;
};

// One position of a pattern. Compiled first: a malformed pattern is an error even where the text would not
// have reached the malformed part.
struct Token {
  enum class Kind { literal, any, set, star } kind;
  bool negated = false;
  std::vector<Range> ranges;  // a literal is one range of one character

  bool matches(char c) const {
    auto byte = static_cast<unsigned char>(c);
    if (kind == Kind::any) return c != '/';
    bool inside = false;
    for (const Range& range : ranges) inside = inside || (range.low <= byte && byte <= range.high);
    return kind == Kind::literal ? inside : inside != negated && c != '/';
  }
};

std::unexpected<Error> malformed(std::string_view pattern) {
  return fail(ErrorKind::invalid, "syntax error in pattern: \"{}\"", pattern);
}

class Compiler {
 public:
  explicit Compiler(std::string_view pattern) : pattern_(pattern) {}

  Result<std::vector<Token>> compile() {
    std::vector<Token> tokens;
    while (at_ < pattern_.size()) {
      char c = pattern_[at_];
      if (c == '*') {
        ++at_;
        if (tokens.empty() || tokens.back().kind != Token::Kind::star) tokens.push_back({Token::Kind::star});
      } else if (c == '?') {
        ++at_;
        tokens.push_back({Token::Kind::any});
      } else if (c == '[') {
        tokens.push_back(TRY(set()));
      } else {
        unsigned char literal = TRY(character());
        tokens.push_back({Token::Kind::literal, false, {{literal, literal}}});
      }
    }
    return tokens;
  }

 private:
  Result<unsigned char> character() {
    if (at_ < pattern_.size() && pattern_[at_] == '\\') ++at_;
    if (at_ >= pattern_.size()) return malformed(pattern_);
    return static_cast<unsigned char>(pattern_[at_++]);
  }

  Result<Token> set() {
    Token token{Token::Kind::set};
    ++at_;
    if (at_ < pattern_.size() && pattern_[at_] == '^') {
      token.negated = true;
      ++at_;
    }
    while (true) {
      if (at_ >= pattern_.size()) return malformed(pattern_);
      if (pattern_[at_] == ']' && !token.ranges.empty()) break;
      if (pattern_[at_] == '-' || pattern_[at_] == ']') return malformed(pattern_);
      unsigned char low = TRY(character());
      unsigned char high = low;
      if (at_ < pattern_.size() && pattern_[at_] == '-') {
        ++at_;
        if (at_ < pattern_.size() && (pattern_[at_] == '-' || pattern_[at_] == ']'))
          return malformed(pattern_);
        high = TRY(character());
      }
      token.ranges.push_back({low, high});
    }
    ++at_;
    return token;
  }

  std::string_view pattern_;
  std::size_t at_ = 0;
};

}  // namespace

Result<bool> matches_glob(std::string_view pattern, std::string_view text) {
  Compiler compiler(pattern);
  std::vector<Token> tokens = TRY(compiler.compile());
  // On a mismatch the last star takes one character more. Earlier stars need no second try: what lies between
  // two stars was matched as early as possible.
  constexpr std::size_t kNone = static_cast<std::size_t>(-1);
  std::size_t token = 0, at = 0, star = kNone, star_at = 0;
  while (at < text.size()) {
    if (token < tokens.size() && tokens[token].kind == Token::Kind::star) {
      star = token++;
      star_at = at;
    } else if (token < tokens.size() && tokens[token].matches(text[at])) {
      // Behind a "/" that the pattern spelled out, a star before it cannot grow any more.
      if (text[at] == '/') star = kNone;
      ++token;
      ++at;
    } else if (star != kNone && text[star_at] != '/') {
      token = star + 1;
      at = ++star_at;
    } else {
      return false;
    }
  }
  while (token < tokens.size() && tokens[token].kind == Token::Kind::star) ++token;
  return token == tokens.size();
}

}  // namespace berth::oci
