// SPDX-License-Identifier: Apache-2.0
#include "dockerfile/expand.h"

#include <algorithm>
#include <utility>

#include "dockerfile/shell_pattern.h"
#include "dockerfile/suggest.h"

namespace berth::dockerfile {
namespace {

// For one text: bytes that are copied and characters that are compared. A second's work at the most.
constexpr std::size_t kMostEffort = 64u << 20;

// Not <cctype>: names are ASCII, whatever the locale says.
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool begins_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_character(char c) { return begins_name(c) || is_digit(c); }
bool is_special_name(char c) { return std::string_view("@*#?-$!").find(c) != std::string_view::npos; }
bool is_blank(char c) { return std::string_view(" \t\n\v\f\r").find(c) != std::string_view::npos; }

// Where text goes: into one string, or into words that unquoted blanks divide.
class Sink {
 public:
  explicit Sink(std::vector<std::string>* words = nullptr) : words_(words) {}

  void literal(std::string_view text) { text_ += text; }
  void plain(std::string_view text) {
    if (!words_) return literal(text);
    for (char c : text) is_blank(c) ? end_word() : text_.push_back(c);
  }
  // There are no empty words, quoted or not.
  void end_word() {
    if (text_.empty()) return;
    finished_ += text_.size();
    words_->push_back(std::exchange(text_, {}));
  }
  std::size_t size() const { return finished_ + text_.size(); }
  std::string take() && { return std::move(text_); }

 private:
  std::vector<std::string>* words_;
  std::string text_;
  std::size_t finished_ = 0;
};

// `kept`: in a pattern, where they still have a meaning; and, as BuildKit has it, in what replaces a match.
enum class Escapes { resolved, kept };
enum class Quotes { resolved, text };

class Expander {
 public:
  Expander(std::string_view text, const Expansion& expansion, Quotes quotes)
      : text_(text), expansion_(expansion), quotes_(quotes) {}

  Result<void> run(Sink& sink) {
    if (text_.size() > kLongestExpansion) return too_large();
    TRY(expand_until(std::nullopt, Escapes::resolved, sink));
    if (sink.size() > kLongestExpansion) return too_large();
    return {};
  }

 private:
  bool at_end() const { return at_ == text_.size(); }
  bool next_is(char c) const { return !at_end() && text_[at_] == c; }
  bool skip(char c) {
    const bool there = next_is(c);
    if (there) ++at_;
    return there;
  }

  // Takes `stop` as well. Without one, to the end.
  Result<void> expand_until(std::optional<char> stop, Escapes escapes, Sink& sink) {
    while (!at_end()) {
      const char c = text_[at_];
      if (c == stop) {
        ++at_;
        return {};
      }
      if (c == '$') {
        const std::string value = TRY(dollar());
        sink.plain(value);
        if (sink.size() > kLongestExpansion) return too_large();
      } else if (c == '\'' && quotes_ == Quotes::resolved) {
        TRY(single_quoted(sink));
      } else if (c == '"' && quotes_ == Quotes::resolved) {
        TRY(double_quoted(escapes, sink));
      } else if (c == expansion_.escape) {
        escaped(escapes, sink);
      } else {
        sink.plain(text_.substr(at_++, 1));
      }
    }
    if (stop) return missing(*stop);
    return {};
  }

  // Makes whatever follows ordinary. As the very last character it is nothing.
  void escaped(Escapes escapes, Sink& sink) {
    std::string_view both = text_.substr(at_, 2);
    at_ += both.size();
    if (both.size() == 2) sink.literal(escapes == Escapes::kept ? both : both.substr(1));
  }

  Result<void> single_quoted(Sink& sink) {
    const std::size_t end = text_.find('\'', ++at_);
    if (end == std::string_view::npos) return missing('\'');
    sink.literal(text_.substr(at_, end - at_));
    at_ = end + 1;
    return {};
  }

  Result<void> double_quoted(Escapes escapes, Sink& sink) {
    ++at_;
    while (!at_end()) {
      if (skip('"')) return {};
      const char c = text_[at_];
      if (c == '$') {
        const std::string value = TRY(dollar());
        sink.literal(value);
        if (sink.size() > kLongestExpansion) return too_large();
      } else if (c == expansion_.escape && escapable_in_quotes(at_ + 1)) {
        escaped(escapes, sink);
      } else {
        // A character like others: so that a pattern takes it for one, it is written twice there.
        if (c == expansion_.escape && escapes == Escapes::kept) sink.literal(text_.substr(at_, 1));
        sink.literal(text_.substr(at_++, 1));
      }
    }
    return missing('"');
  }
  bool escapable_in_quotes(std::size_t at) const {
    return at < text_.size() && (text_[at] == '"' || text_[at] == '$' || text_[at] == expansion_.escape);
  }

  Result<std::string> dollar() {
    ++at_;
    if (!skip('{')) {
      const std::string_view name = take_name();
      if (name.empty()) return "$";
      return value_or_nothing(name);
    }
    if (depth_ == kDeepest)
      return fail(ErrorKind::invalid, "variables are nested deeper than {} in \"{}\"", kDeepest,
                  shown(text_));
    ++depth_;
    Result<std::string> value = braces();
    --depth_;
    return value;
  }

  // Behind "${".
  Result<std::string> braces() {
    if (at_end()) return missing('}');
    const std::string_view name = take_name();
    if (at_end()) return missing('}');
    if (name.empty())
      return fail(ErrorKind::invalid,
                  "syntax error: bad substitution, a name is expected behind \"${{\" in \"{}\"",
                  shown(text_));
    if (skip('}')) return value_or_nothing(name);
    const std::size_t begin = at_;
    const bool colon = skip(':');
    const char modifier = at_end() ? '}' : text_[at_++];
    switch (modifier) {
      case '-':
      case '+':
      case '?':
        return chosen(name, modifier, colon);
      case '#':
      case '%':
        if (!colon) return trimmed(name, modifier);
        break;
      case '/':
        if (!colon) return replaced(name);
        break;
    }
    return fail(ErrorKind::invalid, "syntax error: unsupported modifier ({}) behind the name in \"{}\"",
                shown(text_.substr(begin, at_ - begin)), shown(text_));
  }

  // ${name-word} ${name+word} ${name?word}. The word has to be right even where it is not needed.
  Result<std::string> chosen(std::string_view name, char modifier, bool empty_is_unset) {
    Sink sink;
    TRY(expand_until('}', Escapes::resolved, sink));
    std::string word = std::move(sink).take();
    std::optional<std::string> value = TRY(look_up(name));
    const bool there = value && !(empty_is_unset && value->empty());
    if (modifier == '-') return there ? std::move(*value) : word;
    if (modifier == '+') return there ? word : "";
    if (there) return std::move(*value);
    if (word.empty()) word = value ? "a value that is not empty is required" : "a value is required";
    return fail(ErrorKind::invalid, "{}: {}", shown(name), shown(word, 1000));
  }

  Result<std::string> trimmed(std::string_view name, char modifier) {
    const MatchLength length = skip(modifier) ? MatchLength::longest : MatchLength::shortest;
    const std::string pattern = TRY(pattern_until('}'));
    const std::string value = TRY(value_or_nothing(name));
    std::string_view rest = modifier == '#'
                                ? without_prefix(value, pattern, expansion_.escape, length, effort_)
                                : without_suffix(value, pattern, expansion_.escape, length, effort_);
    if (effort_.exhausted()) return too_large();
    return std::string(rest);
  }

  Result<std::string> replaced(std::string_view name) {
    const MatchCount count = skip('/') ? MatchCount::all : MatchCount::first;
    const std::string pattern = TRY(pattern_until('/'));
    const std::string replacement = TRY(pattern_until('}'));
    const std::string value = TRY(value_or_nothing(name));
    std::string result = with_replaced(value, pattern, expansion_.escape, replacement, count, effort_);
    if (effort_.exhausted()) return too_large();
    return result;
  }

  Result<std::string> pattern_until(char stop) {
    Sink pattern;
    TRY(expand_until(stop, Escapes::kept, pattern));
    return std::move(pattern).take();
  }

  // A name, a number, or one special character. None of the latter two has a value, but "$1" is not "$" and
  // "1".
  std::string_view take_name() {
    const std::size_t begin = at_;
    if (!at_end() && is_special_name(text_[at_])) return text_.substr(at_++, 1);
    auto more = !at_end() && is_digit(text_[at_]) ? is_digit : is_name_character;
    while (!at_end() && more(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  Result<std::optional<std::string>> look_up(std::string_view name) {
    if (expansion_.used) expansion_.used->emplace(name);
    std::optional<std::string> value;
    if (expansion_.lookup) value = expansion_.lookup(name);
    // A value that is used and thrown away again costs as much as one that stays.
    effort_.spend(name.size() + (value ? value->size() : 0));
    if (effort_.exhausted()) return too_large();
    return value;
  }

  Result<std::string> value_or_nothing(std::string_view name) {
    std::optional<std::string> value = TRY(look_up(name));
    if (!value && expansion_.unset) expansion_.unset->emplace(name);
    return value ? std::move(*value) : "";
  }

  std::unexpected<Error> missing(char c) const {
    return fail(ErrorKind::invalid, "syntax error: missing '{}' in \"{}\"", c, shown(text_));
  }
  std::unexpected<Error> too_large() const {
    return fail(ErrorKind::exhausted, "the value of \"{}\" is too large", shown(text_));
  }

  std::string_view text_;
  const Expansion& expansion_;
  Quotes quotes_;
  std::size_t at_ = 0;
  int depth_ = 0;
  Effort effort_{kMostEffort};
};

Result<std::string> expand_text(std::string_view text, const Expansion& expansion, Quotes quotes) {
  Sink sink;
  TRY(Expander(text, expansion, quotes).run(sink));
  return std::move(sink).take();
}

}  // namespace

Result<std::string> expand_word(std::string_view word, const Expansion& expansion) {
  return expand_text(word, expansion, Quotes::resolved);
}

Result<std::vector<std::string>> expand_words(std::string_view text, const Expansion& expansion) {
  std::vector<std::string> words;
  Sink sink(&words);
  TRY(Expander(text, expansion, Quotes::resolved).run(sink));
  sink.end_word();
  return words;
}

Result<std::string> expand_heredoc(std::string_view text, const Expansion& expansion) {
  Expansion with_backslash = expansion;
  with_backslash.escape = '\\';
  return expand_text(text, with_backslash, Quotes::text);
}

}  // namespace berth::dockerfile
