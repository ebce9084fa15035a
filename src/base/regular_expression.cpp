// SPDX-License-Identifier: Apache-2.0
#include "base/regular_expression.h"

#include <array>
#include <cctype>
#include <limits>
#include <memory>
#include <optional>
#include <string>

namespace berth {
namespace {

using Bytes = RegularExpression::Bytes;
using Place = RegularExpression::Place;
using Step = RegularExpression::Step;

constexpr int kDeepest = 100;
constexpr unsigned kMostTimes = 1000;
constexpr std::size_t kMostWork = 4000;  // steps, and visits of nodes: repetitions of nothing count too
constexpr unsigned kForEver = std::numeric_limits<unsigned>::max();

struct Node {
  enum class Kind { bytes, place, row, choice, repetition } kind = Kind::row;
  Bytes bytes{};
  Place place{};
  unsigned least = 0, most = 0;
  std::vector<Node> parts{};
};

struct Flags {
  bool either_case = false;
  bool dot_takes_newlines = false;
};

bool is_word(unsigned char byte) { return std::isalnum(byte) != 0 || byte == '_'; }

template <class Wanted>
Bytes bytes_that(Wanted wanted) {
  Bytes bytes;
  for (unsigned byte = 0; byte < 256; ++byte) bytes[byte] = wanted(static_cast<unsigned char>(byte));
  return bytes;
}

Bytes in_either_case(const Bytes& bytes) {
  return bytes_that([&](unsigned char byte) {
    return bytes[byte] || bytes[static_cast<unsigned char>(std::tolower(byte))] ||
           bytes[static_cast<unsigned char>(std::toupper(byte))];
  });
}

// \d and its like; nothing when the letter stands for no class.
std::optional<Bytes> class_of_letter(char letter) {
  switch (std::tolower(static_cast<unsigned char>(letter))) {
    case 'd': {
      const Bytes digits = bytes_that([](unsigned char byte) { return byte >= '0' && byte <= '9'; });
      return letter == 'd' ? digits : ~digits;
    }
    case 's': {
      const Bytes spaces = bytes_that([](unsigned char byte) {
        return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\f' || byte == '\r';
      });
      return letter == 's' ? spaces : ~spaces;
    }
    case 'w': {
      const Bytes words = bytes_that(is_word);
      return letter == 'w' ? words : ~words;
    }
    default:
      return std::nullopt;
  }
}

struct NamedClass {
  std::string_view name;
  int (*holds)(int);
};
constexpr std::array<NamedClass, 12> kNamedClasses = {{{"alnum", std::isalnum},
                                                       {"alpha", std::isalpha},
                                                       {"blank", std::isblank},
                                                       {"cntrl", std::iscntrl},
                                                       {"digit", std::isdigit},
                                                       {"graph", std::isgraph},
                                                       {"lower", std::islower},
                                                       {"print", std::isprint},
                                                       {"punct", std::ispunct},
                                                       {"space", std::isspace},
                                                       {"upper", std::isupper},
                                                       {"xdigit", std::isxdigit}}};

class Parser {
 public:
  explicit Parser(std::string_view text) : rest_(text) {}

  Result<Node> parse() {
    Node whole = TRY(choice(0));
    if (!rest_.empty()) return fail(ErrorKind::invalid, "a \")\" without its \"(\"");
    return whole;
  }

 private:
  bool take(char wanted) {
    if (rest_.empty() || rest_.front() != wanted) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool take(std::string_view wanted) {
    if (!rest_.starts_with(wanted)) return false;
    rest_.remove_prefix(wanted.size());
    return true;
  }
  char next() {
    const char byte = rest_.front();
    rest_.remove_prefix(1);
    return byte;
  }

  // Up to the end or a ")". Flags that are set inside hold up to there.
  Result<Node> choice(int depth) {
    if (depth > kDeepest) return fail(ErrorKind::invalid, "groups in more than {} others", kDeepest);
    const Flags outside = flags_;
    Node node{.kind = Node::Kind::choice};
    do node.parts.push_back(TRY(row(depth)));
    while (take('|'));
    flags_ = outside;
    return node;
  }

  Result<Node> row(int depth) {
    Node node;
    while (!rest_.empty() && rest_.front() != '|' && rest_.front() != ')') {
      std::optional<Node> one = TRY(atom(depth));
      if (one) node.parts.push_back(TRY(repeated(std::move(*one))));
    }
    return node;
  }

  Result<Node> repeated(Node one) {
    std::optional<Node> around = count();
    if (!around) return one;
    if (around->least > kMostTimes || (around->most != kForEver && around->most > kMostTimes))
      return fail(ErrorKind::invalid, "a repetition of more than {} times", kMostTimes);
    if (around->least > around->most) return fail(ErrorKind::invalid, "a repetition from more to less");
    take('?');
    if (count()) return fail(ErrorKind::invalid, "a repetition of a repetition");
    around->parts.push_back(std::move(one));
    return std::move(*around);
  }

  // A "*" and its like, at what comes next; nothing else is taken.
  std::optional<Node> count() {
    auto node = [](unsigned least, unsigned most) {
      return Node{.kind = Node::Kind::repetition, .least = least, .most = most};
    };
    if (take('*')) return node(0, kForEver);
    if (take('+')) return node(1, kForEver);
    if (take('?')) return node(0, 1);
    const std::string_view before = rest_;
    if (take('{'))
      if (std::optional<unsigned> least = number()) {
        if (take('}')) return node(*least, *least);
        if (take(',')) {
          if (take('}')) return node(*least, kForEver);
          std::optional<unsigned> most = number();
          if (most && take('}')) return node(*least, *most);
        }
      }
    rest_ = before;  // such a brace is one like any other byte
    return std::nullopt;
  }

  std::optional<unsigned> number() {
    if (rest_.empty() || std::isdigit(static_cast<unsigned char>(rest_.front())) == 0) return std::nullopt;
    unsigned value = 0;
    while (!rest_.empty() && std::isdigit(static_cast<unsigned char>(rest_.front())) != 0)
      value = std::min(value * 10 + static_cast<unsigned>(next() - '0'), kMostTimes + 1);
    return value;
  }

  // Nothing for what only sets flags.
  Result<std::optional<Node>> atom(int depth) {
    const char byte = next();
    switch (byte) {
      case '(':
        return group(depth);
      case '[':
        return std::optional(TRY(set()));
      case '.':
        return of(
            bytes_that([&](unsigned char other) { return flags_.dot_takes_newlines || other != '\n'; }));
      case '^':
        return at(Place::begin);
      case '$':
        return at(Place::end);
      case '*':
      case '+':
      case '?':
        return fail(ErrorKind::invalid, "a \"{}\" with nothing before it", byte);
      case '\\':
        return escaped();
      default:
        return one(byte);
    }
  }

  Result<std::optional<Node>> group(int depth) {
    if (take("?P<") || take("?<")) {
      const std::size_t end = rest_.find('>');
      if (end == 0 || end == std::string_view::npos)
        return fail(ErrorKind::invalid, "a group whose name has no end");
      rest_.remove_prefix(end + 1);
    } else if (take('?')) {
      const Flags outside = flags_;
      TRY(read_flags());
      if (take(')')) return std::optional<Node>();
      if (!take(':')) return fail(ErrorKind::invalid, "an unknown kind of group");
      Node node = TRY(closed(depth));
      flags_ = outside;
      return std::optional(std::move(node));
    }
    return std::optional(TRY(closed(depth)));
  }

  Result<Node> closed(int depth) {
    Node node = TRY(choice(depth + 1));
    if (!take(')')) return fail(ErrorKind::invalid, "a \"(\" without its \")\"");
    return node;
  }

  Result<void> read_flags() {
    bool value = true;
    while (!rest_.empty() && rest_.front() != ')' && rest_.front() != ':') {
      const char flag = next();
      if (flag == '-' && value)
        value = false;
      else if (flag == 'i')
        flags_.either_case = value;
      else if (flag == 's')
        flags_.dot_takes_newlines = value;
      else
        return fail(ErrorKind::invalid, "an unknown flag of a group");
    }
    return {};
  }

  Result<std::optional<Node>> escaped() {
    if (rest_.empty()) return fail(ErrorKind::invalid, "a \"\\\" at the end");
    if (std::optional<Bytes> letters = class_of_letter(rest_.front())) {
      next();
      return of(*letters);
    }
    if (take('b')) return at(Place::word_boundary);
    if (take('B')) return at(Place::no_word_boundary);
    if (take('A')) return at(Place::begin);
    if (take('z')) return at(Place::end);
    return one(TRY(escaped_byte()));
  }

  Result<char> escaped_byte() {
    if (rest_.empty()) return fail(ErrorKind::invalid, "a \"\\\" at the end");
    const char byte = next();
    switch (byte) {
      case 'a':
        return '\a';
      case 'f':
        return '\f';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'v':
        return '\v';
      case 'x':
        return hexadecimal();
      default:
        if (std::isalnum(static_cast<unsigned char>(byte)) != 0)
          return fail(ErrorKind::invalid, "an unknown escape \"\\{}\"", byte);
        return byte;
    }
  }

  Result<char> hexadecimal() {
    unsigned value = 0;
    for (int digit = 0; digit < 2; ++digit) {
      if (rest_.empty() || std::isxdigit(static_cast<unsigned char>(rest_.front())) == 0)
        return fail(ErrorKind::invalid, "a \"\\x\" without two hexadecimal digits");
      const char byte = next();
      const bool decimal = std::isdigit(static_cast<unsigned char>(byte)) != 0;
      value = value * 16 + static_cast<unsigned>(decimal ? byte - '0' : (byte | 0x20) - 'a' + 10);
    }
    return static_cast<char>(value);
  }

  // After the "[".
  Result<Node> set() {
    const bool others = take('^');
    Bytes bytes;
    for (bool first = true; first || rest_.empty() || rest_.front() != ']'; first = false) {
      if (rest_.empty()) return fail(ErrorKind::invalid, "a \"[\" without its \"]\"");
      TRY(add_to_set(bytes));
    }
    next();
    if (flags_.either_case) bytes = in_either_case(bytes);
    return Node{.kind = Node::Kind::bytes, .bytes = others ? ~bytes : bytes};
  }

  Result<void> add_to_set(Bytes& bytes) {
    if (take("[:")) {
      const bool others = take('^');
      for (const NamedClass& named : kNamedClasses)
        if (take(std::string(named.name) + ":]")) {
          const Bytes found =
              bytes_that([&](unsigned char byte) { return byte < 128 && named.holds(byte) != 0; });
          bytes |= others ? ~found : found;
          return {};
        }
      return fail(ErrorKind::invalid, "an unknown class of bytes");
    }
    if (rest_.size() > 1 && rest_.front() == '\\')
      if (std::optional<Bytes> letters = class_of_letter(rest_[1])) {
        rest_.remove_prefix(2);
        bytes |= *letters;
        return {};
      }
    const auto least = static_cast<unsigned char>(TRY(byte_of_set()));
    unsigned char most = least;
    if (rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') {
      next();
      most = static_cast<unsigned char>(TRY(byte_of_set()));
    }
    if (most < least) return fail(ErrorKind::invalid, "a range of bytes from more to less");
    for (unsigned byte = least; byte <= most; ++byte) bytes.set(byte);
    return {};
  }

  Result<char> byte_of_set() {
    if (take('\\')) return escaped_byte();
    return next();
  }

  Result<std::optional<Node>> one(char byte) const {
    Bytes bytes;
    bytes.set(static_cast<unsigned char>(byte));
    return of(flags_.either_case ? in_either_case(bytes) : bytes);
  }
  static Result<std::optional<Node>> of(const Bytes& bytes) {
    return std::optional(Node{.kind = Node::Kind::bytes, .bytes = bytes});
  }
  static Result<std::optional<Node>> at(Place place) {
    return std::optional(Node{.kind = Node::Kind::place, .place = place});
  }

  std::string_view rest_;
  Flags flags_;
};

// Writes the steps of a tree one behind the other; repetitions are written out.
class Writer {
 public:
  Writer(std::vector<Step>& program, std::vector<Bytes>& sets) : program_(program), sets_(sets) {}

  Result<void> write(const Node& node) {
    TRY(spend());
    switch (node.kind) {
      case Node::Kind::bytes:
        add({.kind = Step::Kind::take, .set = static_cast<std::uint32_t>(sets_.size())});
        sets_.push_back(node.bytes);
        return {};
      case Node::Kind::place:
        add({.kind = Step::Kind::place, .place = node.place});
        return {};
      case Node::Kind::row:
        for (const Node& part : node.parts) TRY(write(part));
        return {};
      case Node::Kind::choice:
        return write_choice(node);
      case Node::Kind::repetition:
        return write_repetition(node);
    }
    return {};
  }

 private:
  Result<void> spend() {
    if (++spent_ + program_.size() > kMostWork)
      return fail(ErrorKind::exhausted, "the regular expression is too large");
    return {};
  }
  std::uint32_t here() const { return static_cast<std::uint32_t>(program_.size()); }
  std::uint32_t add(Step step) {
    program_.push_back(step);
    return here() - 1;
  }

  Result<void> write_choice(const Node& node) {
    std::vector<std::uint32_t> jumps;
    for (const Node& part : node.parts) {
      if (&part == &node.parts.back()) {
        TRY(write(part));
        break;
      }
      const std::uint32_t split = add({.kind = Step::Kind::split, .target = here() + 1});
      TRY(write(part));
      jumps.push_back(add({.kind = Step::Kind::jump}));
      program_[split].other = here();
    }
    for (std::uint32_t jump : jumps) program_[jump].target = here();
    return {};
  }

  Result<void> write_repetition(const Node& node) {
    const Node& part = node.parts.front();
    for (unsigned time = 0; time < node.least; ++time) TRY(write(part));
    if (node.most == kForEver) {
      const std::uint32_t split = add({.kind = Step::Kind::split, .target = here() + 1});
      TRY(write(part));
      add({.kind = Step::Kind::jump, .target = split});
      program_[split].other = here();
      return {};
    }
    std::vector<std::uint32_t> splits;
    for (unsigned time = node.least; time < node.most; ++time) {
      splits.push_back(add({.kind = Step::Kind::split, .target = here() + 1}));
      TRY(write(part));
    }
    for (std::uint32_t split : splits) program_[split].other = here();
    return {};
  }

  std::vector<Step>& program_;
  std::vector<Bytes>& sets_;
  std::size_t spent_ = 0;
};

// One reading of a text.
class Search {
 public:
  Search(const std::vector<Step>& program, const std::vector<Bytes>& sets, std::string_view text)
      : program_(program), sets_(sets), text_(text), reached_(program.size(), 0) {}

  bool run() {
    std::vector<std::uint32_t> now, next;
    for (std::size_t at = 0;; ++at) {
      reach(0, at, now);  // it may begin anywhere
      if (matched_ || at == text_.size()) return matched_;
      next.clear();
      for (std::uint32_t step : now)
        if (sets_[program_[step].set][static_cast<unsigned char>(text_[at])]) reach(step + 1, at + 1, next);
      now.swap(next);
    }
  }

 private:
  // All that can be got to from `first` without taking a byte, each step once a place of the text.
  void reach(std::uint32_t first, std::size_t at, std::vector<std::uint32_t>& takers) {
    waiting_.push_back(first);
    while (!waiting_.empty()) {
      const std::uint32_t index = waiting_.back();
      waiting_.pop_back();
      if (reached_[index] == at + 1) continue;
      reached_[index] = at + 1;
      const Step& step = program_[index];
      switch (step.kind) {
        case Step::Kind::take:
          takers.push_back(index);
          break;
        case Step::Kind::split:
          waiting_.push_back(step.other);
          waiting_.push_back(step.target);
          break;
        case Step::Kind::jump:
          waiting_.push_back(step.target);
          break;
        case Step::Kind::place:
          if (is_at(step.place, at)) waiting_.push_back(index + 1);
          break;
        case Step::Kind::match:
          matched_ = true;
          break;
      }
    }
  }

  bool is_at(Place place, std::size_t at) const {
    if (place == Place::begin) return at == 0;
    if (place == Place::end) return at == text_.size();
    const bool before = at > 0 && is_word(static_cast<unsigned char>(text_[at - 1]));
    const bool after = at < text_.size() && is_word(static_cast<unsigned char>(text_[at]));
    return (before != after) == (place == Place::word_boundary);
  }

  const std::vector<Step>& program_;
  const std::vector<Bytes>& sets_;
  std::string_view text_;
  std::vector<std::size_t> reached_;  // by step: the last place of the text, counted from 1
  std::vector<std::uint32_t> waiting_;
  bool matched_ = false;
};

}  // namespace

Result<RegularExpression> RegularExpression::compile(std::string_view text) {
  const Node tree = TRY(Parser(text).parse());
  RegularExpression expression;
  TRY(Writer(expression.program_, expression.sets_).write(tree));
  expression.program_.push_back({.kind = Step::Kind::match});
  return expression;
}

bool RegularExpression::found_in(std::string_view text) const { return Search(program_, sets_, text).run(); }

}  // namespace berth
