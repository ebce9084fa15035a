// SPDX-License-Identifier: Apache-2.0
#include "proxy/redis/resp.h"

#include <fmt/format.h>

#include <iterator>
#include <optional>

#include "base/text.h"

namespace berth::proxy {
namespace {

constexpr std::size_t kLongestLine = 64u << 10;
constexpr std::int64_t kLongestText = 64 << 20;
constexpr std::int64_t kMostItems = 1 << 20;
constexpr unsigned kDeepest = 8;

std::unexpected<Error> corrupt(std::string_view what) {
  return fail(ErrorKind::corrupt, "Redis sent {}", what);
}

class Parser {
 public:
  explicit Parser(std::string_view bytes) : bytes_(bytes) {}
  std::size_t at() const noexcept { return at_; }
  std::size_t needed() const noexcept { return needed_; }

  // False: there is not enough.
  Result<bool> value(RespValue& out, unsigned depth = 0) {
    if (depth > kDeepest) return corrupt("lists within lists");
    const std::optional<std::string_view> line = TRY(take_line());
    if (!line) return false;
    if (line->empty()) return corrupt("an empty line");
    const std::string_view rest = line->substr(1);
    switch (line->front()) {
      case '+':
      case ',':
      case '#':
      case '(':
        out = {.type = RespValue::Type::text, .text = std::string(rest)};
        return true;
      case '-':
        out = {.type = RespValue::Type::error, .text = std::string(rest)};
        return true;
      case '_':
        out = {};
        return true;
      case ':':
        out = {.type = RespValue::Type::integer, .integer = TRY(number(rest))};
        return true;
      case '$':
      case '=':
      case '!':
        return text(out, line->front(), rest);
      case '*':
      case '~':
        return list(out, RespValue::Type::list, rest, 1, depth);
      case '>':
        return list(out, RespValue::Type::push, rest, 1, depth);
      case '%':
        return list(out, RespValue::Type::list, rest, 2, depth);
      default:
        return corrupt("a value of an unknown type");
    }
  }

 private:
  Result<std::optional<std::string_view>> take_line() {
    const std::size_t end = bytes_.find("\r\n", at_);
    if (end == std::string_view::npos) {
      if (bytes_.size() - at_ > kLongestLine) return corrupt("a longer line than it should");
      return std::optional<std::string_view>();
    }
    const std::string_view line = bytes_.substr(at_, end - at_);
    at_ = end + 2;
    return std::optional(line);
  }

  static Result<std::int64_t> number(std::string_view text) {
    const auto value = parse_integer<std::int64_t>(text);
    if (!value) return corrupt("a number that is none");
    return *value;
  }

  Result<bool> text(RespValue& out, char type, std::string_view length_text) {
    const std::int64_t length = TRY(number(length_text));
    if (length == -1) {
      out = {};
      return true;
    }
    if (length < 0 || length > kLongestText) return corrupt("a text of an impossible length");
    const auto size = static_cast<std::size_t>(length);
    if (bytes_.size() - at_ < size + 2) {
      needed_ = at_ + size + 2;
      return false;
    }
    if (bytes_.substr(at_ + size, 2) != "\r\n") return corrupt("a text that does not end where it should");
    out = {.type = type == '!' ? RespValue::Type::error : RespValue::Type::text,
           .text = std::string(bytes_.substr(at_, size))};
    at_ += size + 2;
    return true;
  }

  Result<bool> list(RespValue& out, RespValue::Type type, std::string_view count_text, std::int64_t each,
                    unsigned depth) {
    const std::int64_t count = TRY(number(count_text));
    out = {.type = count == -1 ? RespValue::Type::null : type};
    if (count == -1) return true;
    if (count < 0 || count > kMostItems) return corrupt("a list of an impossible length");
    for (std::int64_t item = 0; item < count * each; ++item) {
      out.items.emplace_back();
      if (!TRY(value(out.items.back(), depth + 1))) return false;
    }
    return true;
  }

  const std::string_view bytes_;
  std::size_t at_ = 0, needed_ = 0;
};

}  // namespace

Result<bool> RespReader::next(RespValue& out) {
  const std::string_view rest = std::string_view(bytes_).substr(begin_);
  if (rest.empty() || rest.size() < needed_) return false;
  Parser parser(rest);
  const bool whole = TRY(parser.value(out));
  needed_ = whole ? 0 : parser.needed();
  if (!whole) return false;
  begin_ += parser.at();
  if (begin_ == bytes_.size() || begin_ > (1u << 20)) {
    bytes_.erase(0, begin_);
    begin_ = 0;
  }
  return true;
}

void append_command(std::string& out, std::initializer_list<std::string_view> parts) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", parts.size());
  for (const std::string_view part : parts) {
    fmt::format_to(std::back_inserter(out), "${}\r\n", part.size());
    out.append(part).append("\r\n");
  }
}

}  // namespace berth::proxy
