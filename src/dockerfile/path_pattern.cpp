// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/path_pattern.h"

#include <algorithm>
#include <span>

#include "base/text.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

constexpr char32_t kLast = 0x10ffff;

// Bytes that are not UTF-8 are characters of their own, beyond all others: they match themselves and "?".
char32_t take_character(std::string_view text, std::size_t& at) {
  const auto first = static_cast<unsigned char>(text[at]);
  const std::size_t size = first < 0x80 ? 1 : first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  if (size == 1 || !valid_utf8(text.substr(at, size))) {
    ++at;
    return first < 0x80 ? first : kLast + 1 + first;
  }
  char32_t character = first & (0x7f >> size);
  for (std::size_t more = 1; more < size; ++more) character = character << 6 | (text[at + more] & 0x3f);
  at += size;
  return character;
}

}  // namespace

// What "**" is depends on what is around it. It is Docker's to be odd here: "**" and a "/" behind it are any
// number of directories; at the pattern's end they are all there is; and before an ordinary text, with
// nothing before, any beginning.
class PathPattern::Compiler {
 public:
  explicit Compiler(std::string_view text) : text_(text) {}

  Result<std::vector<Token>> compile() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (text_.substr(at_).starts_with("**")) {
        double_star();
      } else if (c == '*') {
        ++at_;
        tokens_.push_back({.kind = Kind::star});
      } else if (c == '?') {
        ++at_;
        tokens_.push_back({.negated = true, .ranges = {{U'/', U'/'}}});
      } else if (c == '[') {
        TRY(set());
      } else {
        const char32_t literal = TRY(character());
        tokens_.push_back({.ranges = {{literal, literal}}});
      }
    }
    return std::move(tokens_);
  }

 private:
  void double_star() {
    const bool first = at_ == 0;
    at_ += 2;
    const bool slash = at_ < text_.size() && text_[at_] == '/';
    if (slash) ++at_;
    const bool plain_suffix =
        first && !slash && text_.substr(at_).find_first_of("*?[]\\") == std::string_view::npos;
    if (at_ == text_.size() || plain_suffix) {
      tokens_.push_back({.kind = Kind::everything});
    } else {
      tokens_.push_back({.kind = Kind::directories});
      tokens_.push_back({.kind = Kind::inside});
    }
  }

  Result<void> set() {
    Token token;
    ++at_;
    if (next_is('^')) {
      token.negated = true;
      ++at_;
    }
    while (token.ranges.empty() || !next_is(']')) {
      const char32_t low = TRY(bound());
      char32_t high = low;
      if (next_is('-')) {
        ++at_;
        high = TRY(bound());
      }
      token.ranges.emplace_back(low, high);
    }
    ++at_;
    tokens_.push_back(std::move(token));
    return {};
  }

  Result<char32_t> bound() {
    if (next_is('-') || next_is(']')) return malformed();
    return character();
  }
  Result<char32_t> character() {
    if (next_is('\\')) ++at_;
    if (at_ == text_.size()) return malformed();
    return take_character(text_, at_);
  }
  bool next_is(char c) const { return at_ < text_.size() && text_[at_] == c; }
  std::unexpected<Error> malformed() const {
    return fail(ErrorKind::invalid, "syntax error in pattern: \"{}\"", shown(text_));
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
};

bool PathPattern::Token::takes(char32_t character) const {
  switch (kind) {
    case Kind::one:
      return negated != std::ranges::any_of(ranges, [&](const auto& range) {
               return range.first <= character && character <= range.second;
             });
    case Kind::star:
      return character != U'/';
    case Kind::everything:
    case Kind::inside:
      return true;
    case Kind::directories:
      return false;
  }
  return false;
}

// Walks along all ways through the tokens at once: which positions the characters so far may have led to.
class PathPattern::Run {
 public:
  explicit Run(std::span<const Token> tokens) : tokens_(tokens), seen_(tokens.size() + 1, 0) { reach(0); }

  // False when nothing that comes behind can match any more.
  bool feed(std::string_view text) {
    for (std::size_t at = 0; at < text.size() && !positions_.empty();) step(take_character(text, at));
    return !positions_.empty();
  }
  bool accepts() const { return seen_[tokens_.size()] == round_; }
  // Some way leads on: no token is such that no path fits it.
  bool goes_on() const {
    return std::ranges::any_of(positions_, [&](std::size_t position) { return position < tokens_.size(); });
  }

 private:
  void step(char32_t character) {
    std::swap(positions_, before_);
    positions_.clear();
    ++round_;
    for (std::size_t position : before_) {
      if (position == tokens_.size() || !tokens_[position].takes(character)) continue;
      const Kind kind = tokens_[position].kind;
      if (kind != Kind::one) reach(position);
      if (kind == Kind::one || (kind == Kind::inside && character == U'/')) reach(position + 1);
    }
  }

  // The position, and those that are reached from it without a character.
  void reach(std::size_t position) {
    while (seen_[position] != round_) {
      seen_[position] = round_;
      positions_.push_back(position);
      if (position == tokens_.size()) return;
      const Kind kind = tokens_[position].kind;
      if (kind == Kind::one || kind == Kind::inside) return;
      if (kind == Kind::directories) reach(position + 1);
      position += kind == Kind::directories ? 2 : 1;
    }
  }

  std::span<const Token> tokens_;
  std::vector<std::size_t> seen_;  // by position: the round in which it was reached last
  std::vector<std::size_t> positions_, before_;
  std::size_t round_ = 1;
};

Result<PathPattern> PathPattern::compile(std::string_view text) {
  if (text.size() > kLongestPattern)
    return fail(ErrorKind::invalid, "a pattern is longer than {} bytes", kLongestPattern);
  PathPattern pattern;
  pattern.tokens_ = TRY(Compiler(text).compile());
  if (text.find_first_of("*?[\\") == std::string_view::npos) pattern.only_ = text;
  return pattern;
}

bool PathPattern::matches(std::string_view path) const {
  if (only_) return path == *only_;
  Run run(tokens_);
  return run.feed(path) && run.accepts();
}

bool PathPattern::may_match_below(std::string_view directory) const {
  Run run(tokens_);
  return run.feed(directory) && run.feed("/") && run.goes_on();
}

std::string clean_path(std::string_view path) {
  const bool rooted = path.starts_with('/');
  std::vector<std::string_view> kept;
  for (std::string_view component : split(path, '/')) {
    if (component.empty() || component == ".") continue;
    const bool up = component == "..";
    if (up && !kept.empty() && kept.back() != "..")
      kept.pop_back();
    else if (!up || !rooted)
      kept.push_back(component);
  }
  std::string clean = rooted ? "/" : "";
  for (std::string_view component : kept) {
    if (clean.size() > rooted) clean += '/';
    clean += component;
  }
  return clean.empty() ? "." : clean;
}

}  // namespace berth::dockerfile
