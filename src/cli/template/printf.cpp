// SPDX-License-Identifier: Apache-2.0
#include "cli/template/printf.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace berth::cli {
namespace {

constexpr int kWidthLimit = 1 << 16;

struct Directive {
  bool minus = false, plus = false, zero = false, space = false, sharp = false;
  int width = 0;
  int precision = -1;
  char verb = 0;
};

std::string wrong_verb(const Directive& directive, const Value& value) {
  if (!value.present() || value.get().is_null()) return fmt::format("%!{}(<nil>)", directive.verb);
  return fmt::format("%!{}({}={})", directive.verb, go_type_name(value), go_text(value.get()));
}

std::string with_sign(const Directive& directive, bool negative, std::string digits) {
  if (negative) return "-" + digits;
  if (directive.plus) return "+" + digits;
  if (directive.space) return " " + digits;
  return digits;
}

std::string format_integer(const Directive& directive, const Value& value) {
  const json::value& v = value.get();
  bool negative = v.is_int64() && v.get_int64() < 0;
  std::uint64_t magnitude = v.is_uint64() ? v.get_uint64()
                            : negative    ? 0 - static_cast<std::uint64_t>(v.get_int64())
                                          : static_cast<std::uint64_t>(v.get_int64());
  switch (directive.verb) {
    case 'v':
    case 'd':
      return with_sign(directive, negative, fmt::format("{}", magnitude));
    case 'x':
      return with_sign(directive, negative, fmt::format("{}{:x}", directive.sharp ? "0x" : "", magnitude));
    case 'X':
      return with_sign(directive, negative, fmt::format("{}{:X}", directive.sharp ? "0X" : "", magnitude));
    case 'o':
      return with_sign(directive, negative, fmt::format("{:o}", magnitude));
    case 'b':
      return with_sign(directive, negative, fmt::format("{:b}", magnitude));
    case 'c':
      return magnitude < 0x80 ? std::string(1, static_cast<char>(magnitude)) : "\uFFFD";
    default:
      return wrong_verb(directive, value);
  }
}

std::string format_real(const Directive& directive, const Value& value) {
  double real = value.get().get_double();
  bool negative = std::signbit(real);
  double magnitude = negative ? -real : real;
  switch (directive.verb) {
    case 'v':
      return with_sign(directive, negative, go_number(magnitude));
    case 'g':
      return with_sign(directive, negative,
                       directive.precision < 0 ? go_number(magnitude)
                                               : fmt::format("{:.{}g}", magnitude, directive.precision));
    case 'f':
    case 'F':
      return with_sign(directive, negative,
                       fmt::format("{:.{}f}", magnitude, directive.precision < 0 ? 6 : directive.precision));
    case 'e':
      return with_sign(directive, negative,
                       fmt::format("{:.{}e}", magnitude, directive.precision < 0 ? 6 : directive.precision));
    case 'd':  // a whole number of a JSON document
      return real == static_cast<double>(static_cast<std::int64_t>(real))
                 ? with_sign(directive, negative, fmt::format("{}", static_cast<std::int64_t>(magnitude)))
                 : wrong_verb(directive, value);
    default:
      return wrong_verb(directive, value);
  }
}

std::string format_text(const Directive& directive, const Value& value, std::string text) {
  if (directive.precision >= 0 && static_cast<std::size_t>(directive.precision) < text.size())
    text.resize(static_cast<std::size_t>(directive.precision));
  switch (directive.verb) {
    case 'v':
    case 's':
      return text;
    case 'q':
      return go_quote(text);
    case 'x':
      return to_hex({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
    case 'X':
      return to_upper(to_hex({reinterpret_cast<const unsigned char*>(text.data()), text.size()}));
    default:
      return wrong_verb(directive, value);
  }
}

std::string format_one(const Directive& directive, const Value& value) {
  if (directive.verb == 'T') return go_type_name(value);
  if (!value.present() || value.get().is_null()) {
    return directive.verb == 'v' ? "<nil>" : wrong_verb(directive, value);
  }
  const json::value& v = value.get();
  if (v.is_int64() || v.is_uint64()) return format_integer(directive, value);
  if (v.is_double()) return format_real(directive, value);
  if (v.is_bool())
    return directive.verb == 'v' || directive.verb == 't' ? go_text(v) : wrong_verb(directive, value);
  if (v.is_string()) return format_text(directive, value, go_text(v));
  return directive.verb == 'v' || directive.verb == 's' ? go_text(v) : wrong_verb(directive, value);
}

std::string padded(const Directive& directive, std::string text) {
  auto width = static_cast<std::size_t>(directive.width);
  auto runes =
      static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
  if (runes >= width) return text;
  std::size_t missing = width - runes;
  if (directive.minus) return text + std::string(missing, ' ');
  if (!directive.zero) return std::string(missing, ' ') + text;
  std::size_t sign = !text.empty() && (text[0] == '-' || text[0] == '+') ? 1 : 0;
  return text.insert(sign, missing, '0');
}

// Reads digits or a '*', which takes the next argument.
int read_number(std::string_view format, std::size_t& at, std::span<const Value> arguments,
                std::size_t& next) {
  if (at < format.size() && format[at] == '*') {
    ++at;
    if (next >= arguments.size() || !arguments[next].present() || !arguments[next].get().is_int64()) return 0;
    return static_cast<int>(
        std::clamp<std::int64_t>(arguments[next++].get().get_int64(), -kWidthLimit, kWidthLimit));
  }
  int number = 0;
  for (; at < format.size() && std::isdigit(static_cast<unsigned char>(format[at])); ++at)
    number = std::min(number * 10 + (format[at] - '0'), kWidthLimit);
  return number;
}

}  // namespace

std::string go_printf(std::string_view format, std::span<const Value> arguments) {
  std::string out;
  std::size_t next = 0;
  for (std::size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%') {
      out += format[at];
      continue;
    }
    Directive directive;
    for (++at; at < format.size(); ++at) {
      if (format[at] == '-')
        directive.minus = true;
      else if (format[at] == '+')
        directive.plus = true;
      else if (format[at] == '0')
        directive.zero = true;
      else if (format[at] == ' ')
        directive.space = true;
      else if (format[at] == '#')
        directive.sharp = true;
      else
        break;
    }
    directive.width = read_number(format, at, arguments, next);
    if (directive.width < 0) directive.minus = true, directive.width = -directive.width;
    if (at < format.size() && format[at] == '.')
      directive.precision = read_number(format, ++at, arguments, next);
    if (at >= format.size()) return out + "%!(NOVERB)";
    directive.verb = format[at];
    if (directive.verb == '%')
      out += '%';
    else if (next >= arguments.size())
      out += fmt::format("%!{}(MISSING)", directive.verb);
    else
      out += padded(directive, format_one(directive, arguments[next++]));
  }
  if (next < arguments.size()) {
    out += "%!(EXTRA ";
    for (std::size_t i = next; i < arguments.size(); ++i) {
      if (i > next) out += ", ";
      out += arguments[i].present()
                 ? fmt::format("{}={}", go_type_name(arguments[i]), go_text(arguments[i].get()))
                 : "<nil>";
    }
    out += ')';
  }
  return out;
}

}  // namespace berth::cli
