// SPDX-License-Identifier: Apache-2.0
#include "cli/template/functions.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "cli/template/printf.h"

namespace berth::cli {
namespace {

using Arguments = std::span<const Value>;

Result<void> need(Arguments arguments, std::size_t count) {
  if (arguments.size() == count) return {};
  return fail(ErrorKind::invalid, "wrong number of args: want {} got {}", count, arguments.size());
}

bool is_integer(const json::value& v) { return v.is_int64() || v.is_uint64(); }

Result<std::int64_t> integer_of(const Value& value) {
  if (value.present() && value.get().is_int64()) return value.get().get_int64();
  if (value.present() && value.get().is_double()) {  // numbers of JSON documents
    double real = value.get().get_double();
    if (real == static_cast<double>(static_cast<std::int64_t>(real))) return static_cast<std::int64_t>(real);
  }
  return fail(ErrorKind::invalid, "cannot index slice/array with type {}", go_type_name(value));
}

std::string text_of(const Value& value) { return value.present() ? go_text(value.get()) : "<nil>"; }

// The `print` family puts a blank between operands when neither is a string (print) or always (println).
std::string print_values(Arguments arguments, bool line) {
  std::string out;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    auto is_string = [&](std::size_t at) {
      return arguments[at].present() && arguments[at].get().is_string();
    };
    if (i > 0 && (line || (!is_string(i) && !is_string(i - 1)))) out += ' ';
    out += text_of(arguments[i]);
  }
  if (line) out += '\n';
  return out;
}

enum class Order { less, equal, greater };

Result<Order> compare(const Value& left, const Value& right, bool ordered) {
  auto three_way = [](auto a, auto b) {
    return a < b ? Order::less : a == b ? Order::equal : Order::greater;
  };
  bool nothing_left = !left.present() || left.get().is_null();
  bool nothing_right = !right.present() || right.get().is_null();
  if (nothing_left || nothing_right) {
    if (ordered) return fail(ErrorKind::invalid, "incompatible types for comparison");
    return nothing_left == nothing_right ? Order::equal : Order::less;
  }
  const json::value& a = left.get();
  const json::value& b = right.get();
  if (a.is_string() && b.is_string())
    return three_way(std::string_view(a.get_string()), std::string_view(b.get_string()));
  if (a.is_int64() && b.is_int64()) return three_way(a.get_int64(), b.get_int64());
  if (a.is_number() && b.is_number() && (!is_integer(a) || !is_integer(b)))
    return three_way(a.to_number<double>(), b.to_number<double>());
  if (a.is_uint64() && b.is_uint64()) return three_way(a.get_uint64(), b.get_uint64());
  if (is_integer(a) && is_integer(b)) return a.is_uint64() ? Order::greater : Order::less;
  if (a.is_bool() && b.is_bool() && !ordered)
    return a.get_bool() == b.get_bool() ? Order::equal : Order::less;
  if (a.is_structured() || b.is_structured())
    return fail(ErrorKind::invalid, "non-comparable type {}", go_type_name(a.is_structured() ? left : right));
  return fail(ErrorKind::invalid, "incompatible types for comparison");
}

Result<Value> equal(Arguments arguments) {
  if (arguments.size() < 2) return fail(ErrorKind::invalid, "missing argument for comparison");
  for (const Value& candidate : arguments.subspan(1)) {
    Order order = TRY(compare(arguments[0], candidate, false));
    if (order == Order::equal) return Value::own(true);
  }
  return Value::own(false);
}

Result<Value> ordered(std::string_view name, Arguments arguments) {
  TRY(need(arguments, 2));
  Order order = TRY(compare(arguments[0], arguments[1], name != "ne"));
  bool result = name == "ne"   ? order != Order::equal
                : name == "lt" ? order == Order::less
                : name == "le" ? order != Order::greater
                : name == "gt" ? order == Order::greater
                               : order != Order::less;
  return Value::own(result);
}

Result<Value> index(Arguments arguments) {
  if (arguments.empty())
    return fail(ErrorKind::invalid, "wrong number of args for index: want at least 1 got 0");
  Value at = arguments[0];
  for (const Value& key : arguments.subspan(1)) {
    if (!at.present() || at.get().is_null()) {
      if (at.present() && key.present() && key.get().is_string()) {  // a null map has no entries
        at = Value{};
        continue;
      }
      return fail(ErrorKind::invalid, "index of untyped nil");
    }
    const json::value& container = at.get();
    if (const json::object* map = container.if_object()) {
      if (!key.present() || !key.get().is_string())
        return fail(ErrorKind::invalid, "value has type {}; should be string", go_type_name(key));
      auto found = map->find(key.get().get_string());
      at = found == map->end() ? Value{} : at.part(found->value(), std::string_view(key.get().get_string()));
    } else if (container.is_array() || container.is_string()) {
      std::int64_t position = TRY(integer_of(key));
      std::size_t size = container.is_array() ? container.get_array().size() : container.get_string().size();
      if (position < 0 || static_cast<std::size_t>(position) >= size)
        return fail(ErrorKind::invalid, "reflect: slice index out of range");
      auto place = static_cast<std::size_t>(position);
      at = container.is_array() ? at.part(container.get_array()[place])
                                : Value::own(static_cast<std::int64_t>(
                                      static_cast<unsigned char>(container.get_string()[place])));
    } else {
      return fail(ErrorKind::invalid, "can't index item of type {}", go_type_name(at));
    }
  }
  return at;
}

Result<Value> slice(Arguments arguments) {
  if (arguments.empty() || arguments.size() > 3)
    return fail(ErrorKind::invalid, "wrong number of args for slice: got {}", arguments.size());
  const Value& of = arguments[0];
  if (!of.present() || !(of.get().is_string() || of.get().is_array()))
    return fail(ErrorKind::invalid, "can't slice item of type {}", go_type_name(of));
  bool list = of.get().is_array();
  auto size = static_cast<std::int64_t>(list ? of.get().get_array().size() : of.get().get_string().size());
  std::int64_t from = 0, to = size;
  if (arguments.size() > 1) from = TRY(integer_of(arguments[1]));
  if (arguments.size() > 2) to = TRY(integer_of(arguments[2]));
  if (from < 0 || from > size || to > size)
    return fail(ErrorKind::invalid, "index out of range: {}", from < 0 || from > size ? from : to);
  if (to < from) return fail(ErrorKind::invalid, "invalid slice index: {} > {}", from, to);
  if (!list)
    return Value::own(
        json::value(std::string_view(of.get().get_string())
                        .substr(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from))));
  const json::array& all = of.get().get_array();
  return Value::own(json::value(json::array(all.begin() + from, all.begin() + to)));
}

Result<Value> length(Arguments arguments) {
  TRY(need(arguments, 1));
  const Value& of = arguments[0];
  std::int64_t size = 0;
  if (of.present() && of.get().is_string())
    size = static_cast<std::int64_t>(of.get().get_string().size());
  else if (of.present() && of.get().is_array())
    size = static_cast<std::int64_t>(of.get().get_array().size());
  else if (of.present() && of.get().is_object())
    size = static_cast<std::int64_t>(of.get().get_object().size());
  else if (of.present() && !of.get().is_null())
    return fail(ErrorKind::invalid, "len of type {}", go_type_name(of));
  else
    return fail(ErrorKind::invalid, "len of nil pointer");
  return Value::own(size);
}

Result<std::string> string_argument(const Value& value) {
  if (value.present() && value.get().is_string()) return std::string(value.get().get_string());
  return fail(ErrorKind::invalid, "wrong type for value; expected string; got {}", go_type_name(value));
}

Result<Value> split_text(Arguments arguments) {
  TRY(need(arguments, 2));
  std::string text = TRY(string_argument(arguments[0]));
  std::string separator = TRY(string_argument(arguments[1]));
  json::array parts;
  std::string_view rest = text;
  while (separator.empty() ? rest.size() > 1 : rest.find(separator) != rest.npos) {
    std::size_t at = separator.empty() ? 1 : rest.find(separator);
    parts.emplace_back(rest.substr(0, at));
    rest.remove_prefix(at + separator.size());
  }
  parts.emplace_back(rest);
  return Value::own(std::move(parts));
}

Result<Value> join_list(Arguments arguments) {
  TRY(need(arguments, 2));
  std::string separator = TRY(string_argument(arguments[1]));
  std::string out;
  if (!arguments[0].present() || arguments[0].get().is_null()) return Value::own(json::value(""));
  if (!arguments[0].get().is_array())
    return fail(ErrorKind::invalid, "wrong type for value; expected []string; got {}",
                go_type_name(arguments[0]));
  for (bool first = true; const json::value& item : arguments[0].get().get_array()) {
    if (!std::exchange(first, false)) out += separator;
    out += go_text(item);
  }
  return Value::own(json::value(out));
}

std::string title_case(std::string text) {
  bool start = true;
  for (char& c : text) {
    bool letter = std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '\'' || (c & 0x80);
    if (start && letter) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    start = !letter;
  }
  return text;
}

Result<Value> pad(Arguments arguments) {
  TRY(need(arguments, 3));
  std::string text = TRY(string_argument(arguments[0]));
  std::int64_t before = TRY(integer_of(arguments[1]));
  std::int64_t after = TRY(integer_of(arguments[2]));
  constexpr std::int64_t limit = 1 << 16;
  if (before < 0 || after < 0 || before > limit || after > limit)
    return fail(ErrorKind::invalid, "padding must be between 0 and {}", limit);
  if (text.empty()) return Value::own(json::value(text));
  return Value::own(json::value(std::string(static_cast<std::size_t>(before), ' ') + text +
                                std::string(static_cast<std::size_t>(after), ' ')));
}

Result<Value> truncate(Arguments arguments) {
  TRY(need(arguments, 2));
  std::string text = TRY(string_argument(arguments[0]));
  std::int64_t size = TRY(integer_of(arguments[1]));
  if (size >= 0 && static_cast<std::size_t>(size) < text.size()) text.resize(static_cast<std::size_t>(size));
  return Value::own(json::value(text));
}

std::string escape_html(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '"')
      out += "&#34;";
    else if (c == '\'')
      out += "&#39;";
    else if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else
      out += c;
  }
  return out;
}

}  // namespace

Result<Value> call_template_function(std::string_view name, Arguments arguments) {
  auto text = [](std::string made) { return Value::own(json::value(std::move(made))); };
  if (name == "not") {
    TRY(need(arguments, 1));
    return Value::own(!truth(arguments[0]));
  }
  if (name == "eq") return equal(arguments);
  if (name == "ne" || name == "lt" || name == "le" || name == "gt" || name == "ge")
    return ordered(name, arguments);
  if (name == "index") return index(arguments);
  if (name == "slice") return slice(arguments);
  if (name == "len") return length(arguments);
  if (name == "print") return text(print_values(arguments, false));
  if (name == "println") return text(print_values(arguments, true));
  if (name == "html") return text(escape_html(print_values(arguments, false)));
  if (name == "js" || name == "urlquery") return text(percent_encode(print_values(arguments, false)));
  if (name == "printf") {
    if (arguments.empty())
      return fail(ErrorKind::invalid, "wrong number of args for printf: want at least 1 got 0");
    std::string format = TRY(string_argument(arguments[0]));
    return text(go_printf(format, arguments.subspan(1)));
  }
  if (name == "json") {
    TRY(need(arguments, 1));
    return text(arguments[0].present() ? go_json(arguments[0].get()) : "null");
  }
  if (name == "split") return split_text(arguments);
  if (name == "join") return join_list(arguments);
  if (name == "pad") return pad(arguments);
  if (name == "truncate") return truncate(arguments);
  TRY(need(arguments, 1));
  std::string only = TRY(string_argument(arguments[0]));
  if (name == "lower") return text(to_lower(only));
  if (name == "upper") return text(to_upper(only));
  return text(title_case(std::move(only)));
}

}  // namespace berth::cli
