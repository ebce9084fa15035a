// SPDX-License-Identifier: Apache-2.0
#include "cli/template/value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

namespace berth::cli {

bool truth(const Value& value) {
  if (!value.present()) return false;
  const json::value& v = value.get();
  switch (v.kind()) {
    case json::kind::null:
      return false;
    case json::kind::bool_:
      return v.get_bool();
    case json::kind::int64:
      return v.get_int64() != 0;
    case json::kind::uint64:
      return v.get_uint64() != 0;
    case json::kind::double_:
      return v.get_double() != 0;
    case json::kind::string:
      return !v.get_string().empty();
    case json::kind::array:
      return !v.get_array().empty();
    case json::kind::object:
      return !v.get_object().empty();
  }
  return false;
}

std::string go_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
  char buffer[64];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific).ptr;
  std::string_view digits(buffer, static_cast<std::size_t>(end - buffer));
  std::size_t at = digits.find('e');
  int exponent = 0;
  std::from_chars(digits.data() + at + (digits[at + 1] == '+' ? 2 : 1), end, exponent);
  if (exponent < -4 || exponent >= 21) return std::string(digits);
  end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed).ptr;
  return {buffer, end};
}

std::string go_text(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "<nil>";
    case json::kind::bool_:
      return value.get_bool() ? "true" : "false";
    case json::kind::int64:
      return std::to_string(value.get_int64());
    case json::kind::uint64:
      return std::to_string(value.get_uint64());
    case json::kind::double_:
      return go_number(value.get_double());
    case json::kind::string:
      return std::string(value.get_string());
    case json::kind::array: {
      std::string out = "[";
      for (bool first = true; const json::value& item : value.get_array()) {
        if (!std::exchange(first, false)) out += ' ';
        out += go_text(item);
      }
      return out + "]";
    }
    case json::kind::object: {
      std::vector<std::pair<std::string_view, const json::value*>> members;
      for (const auto& member : value.get_object()) members.emplace_back(member.key(), &member.value());
      std::ranges::sort(members, {}, &decltype(members)::value_type::first);
      std::string out = "map[";
      for (const auto& [name, member] : members) {
        if (out.size() > 4) out += ' ';
        out.append(name).append(":").append(go_text(*member));
      }
      return out + "]";
    }
  }
  return {};
}

std::string go_quote(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\a':
        out += "\\a";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\v':
        out += "\\v";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
          out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
          out += c;
    }
  }
  return out + "\"";
}

std::string go_type_name(const Value& value) {
  if (!value.present()) return "nil";
  switch (value.get().kind()) {
    case json::kind::null:
      return "nil";
    case json::kind::bool_:
      return "bool";
    case json::kind::int64:
    case json::kind::uint64:
      return "int64";
    case json::kind::double_:
      return "float64";
    case json::kind::string:
      return "string";
    case json::kind::array:
      return "[]interface {}";
    case json::kind::object:
      return "map[string]interface {}";
  }
  return {};
}

std::string go_json_string(std::string_view text) {
  std::string out = "\"";
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      default:
        if (c < 0x20 || c == '<' || c == '>' || c == '&')
          out += fmt::format("\\u{:04x}", c);
        else if (c == 0xe2 && i + 2 < text.size() && text[i + 1] == '\x80' &&
                 (text[i + 2] == '\xa8' || text[i + 2] == '\xa9')) {
          out += text[i + 2] == '\xa8' ? "\\u2028" : "\\u2029";
          i += 2;
        } else
          out += static_cast<char>(c);
    }
  }
  return out + "\"";
}

std::string go_json(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::string:
      return go_json_string(value.get_string());
    case json::kind::array: {
      std::string out = "[";
      for (const json::value& item : value.get_array()) {
        if (out.size() > 1) out += ',';
        out += go_json(item);
      }
      return out + "]";
    }
    case json::kind::object: {
      std::string out = "{";
      for (const auto& member : value.get_object()) {
        if (out.size() > 1) out += ',';
        out.append(go_json_string(member.key())).append(":").append(go_json(member.value()));
      }
      return out + "}";
    }
    default:
      return go_text(value);
  }
}

}  // namespace berth::cli
