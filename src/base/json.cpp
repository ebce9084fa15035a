// SPDX-License-Identifier: Apache-2.0
#include "base/json.h"

#include <boost/json/src.hpp>
#include <limits>

namespace berth {

Result<json::value> parse_json(std::string_view text, std::string_view what) {
  json::parse_options options;
  options.max_depth = 64;
  options.allow_invalid_utf8 = false;
  boost::system::error_code error;
  json::stream_parser parser({}, options);
  std::size_t used = parser.write_some(text.data(), text.size(), error);
  if (!error && parser.done()) {
    if (text.find_first_not_of(" \t\r\n", used) != std::string_view::npos)
      return fail(ErrorKind::invalid, "{} is not valid JSON: something follows the document at byte {}", what,
                  used);
    return parser.release();
  }
  if (!error) parser.finish(error);
  if (!error) return parser.release();
  return fail(ErrorKind::invalid, "{} is not valid JSON: {} at byte {}", what, error.message(), used);
}

ObjectReader::ObjectReader(const json::value& value, std::string_view path) : path_(path) {
  static const json::object empty;
  if (value.is_object()) {
    object_ = &value.get_object();
    return;
  }
  object_ = &empty;
  if (!value.is_null()) error_ = Error{ErrorKind::invalid, 0, path_ + " must be an object"};
}

const json::value* ObjectReader::find(std::string_view name) const {
  const json::value* member = object_->if_contains(name);
  return member && !member->is_null() ? member : nullptr;
}

std::string ObjectReader::path_of(std::string_view name) const {
  std::string path = path_;
  if (!path.empty()) path += '.';
  return path.append(name);
}

void ObjectReader::refuse(std::string_view name, std::string_view wanted) {
  if (!error_) error_ = Error{ErrorKind::invalid, 0, fmt::format("{} must be {}", path_of(name), wanted)};
}

void ObjectReader::adopt(ObjectReader& inner) {
  if (!error_) error_ = std::move(inner.error_);
}

Result<void> ObjectReader::finish() {
  if (error_) return std::unexpected(std::move(*error_));
  return {};
}

void ObjectReader::read(std::string_view name, std::string& out) {
  const json::value* member = find(name);
  if (!member) return;
  if (!member->is_string()) return refuse(name, "a string");
  out = std::string(member->get_string());
}

void ObjectReader::read(std::string_view name, bool& out) {
  const json::value* member = find(name);
  if (!member) return;
  if (!member->is_bool()) return refuse(name, "true or false");
  out = member->get_bool();
}

namespace {

template <class Integer>
bool read_integer(const json::value& member, Integer& out) {
  if (member.is_int64()) {
    if (!std::in_range<Integer>(member.get_int64())) return false;
    out = static_cast<Integer>(member.get_int64());
    return true;
  }
  if (member.is_uint64()) {
    if (!std::in_range<Integer>(member.get_uint64())) return false;
    out = static_cast<Integer>(member.get_uint64());
    return true;
  }
  if (member.is_double()) {  // 1e9 is an integer in Go's eyes only when it is written so; clients send both
    double value = member.get_double();
    if (value != static_cast<double>(static_cast<std::int64_t>(value)) || value > 9e15 || value < -9e15)
      return false;
    if (!std::in_range<Integer>(static_cast<std::int64_t>(value))) return false;
    out = static_cast<Integer>(value);
    return true;
  }
  return false;
}

template <class Integer>
std::string range_of() {
  return fmt::format("a whole number from {} to {}", std::numeric_limits<Integer>::min(),
                     std::numeric_limits<Integer>::max());
}

}  // namespace

void ObjectReader::read(std::string_view name, std::int64_t& out) {
  if (const json::value* member = find(name); member && !read_integer(*member, out))
    refuse(name, range_of<std::int64_t>());
}
void ObjectReader::read(std::string_view name, std::uint64_t& out) {
  if (const json::value* member = find(name); member && !read_integer(*member, out))
    refuse(name, range_of<std::uint64_t>());
}
void ObjectReader::read(std::string_view name, std::int32_t& out) {
  if (const json::value* member = find(name); member && !read_integer(*member, out))
    refuse(name, range_of<std::int32_t>());
}
void ObjectReader::read(std::string_view name, std::uint32_t& out) {
  if (const json::value* member = find(name); member && !read_integer(*member, out))
    refuse(name, range_of<std::uint32_t>());
}

void ObjectReader::read(std::string_view name, double& out) {
  const json::value* member = find(name);
  if (!member) return;
  if (!member->is_number()) return refuse(name, "a number");
  out = member->to_number<double>();
}

void ObjectReader::read(std::string_view name, std::vector<std::string>& out) {
  const json::value* member = find(name);
  if (!member) return;
  if (!member->is_array()) return refuse(name, "a list of strings");
  out.clear();
  for (const json::value& item : member->get_array()) {
    if (!item.is_string()) return refuse(name, "a list of strings");
    out.emplace_back(item.get_string());
  }
}

void ObjectReader::read(std::string_view name, std::map<std::string, std::string>& out) {
  const json::value* member = find(name);
  if (!member) return;
  if (!member->is_object()) return refuse(name, "an object of strings");
  out.clear();
  for (const auto& [key, value] : member->get_object()) {
    if (!value.is_string() && !value.is_null()) return refuse(name, "an object of strings");
    out.emplace(key, value.is_string() ? std::string(value.get_string()) : std::string());
  }
}

json::array to_json(const std::vector<std::string>& list) {
  json::array array;
  array.reserve(list.size());
  for (const std::string& item : list) array.emplace_back(item);
  return array;
}

json::object to_json(const std::map<std::string, std::string>& map) {
  json::object object;
  for (const auto& [key, value] : map) object.emplace(key, value);
  return object;
}

}  // namespace berth
