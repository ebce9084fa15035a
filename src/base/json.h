// SPDX-License-Identifier: Apache-2.0
// JSON with errors that name the place. Include this where documents are read or written, not in public
// headers: it brings Boost.JSON along (declare what a header names of it by hand).
//
// Reading is tolerant as Go's decoder is: a missing member, an empty one and null all mean the default; a
// member of the wrong type is an error that names it ("HostConfig.Memory must be a number").
#pragma once
#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth {

namespace json = boost::json;

// The whole text as one document of at most 64 levels. `what` names it in errors: "the manifest".
Result<json::value> parse_json(std::string_view text, std::string_view what);

// A reader over one JSON object that keeps the first error, so that a codec reads as a list of fields:
//
//   ObjectReader in(document, "the config");
//   in.read("Hostname", config.hostname);
//   in.read("Env", config.environment);
//   TRY(in.finish());
class ObjectReader {
 public:
  ObjectReader(const json::value& value, std::string_view path);

  const json::value* find(std::string_view name) const;  // null when missing or JSON null
  std::string path_of(std::string_view name) const;
  bool ok() const { return !error_; }

  void read(std::string_view name, std::string& out);
  void read(std::string_view name, bool& out);
  void read(std::string_view name, std::int64_t& out);
  void read(std::string_view name, std::uint64_t& out);
  void read(std::string_view name, std::int32_t& out);
  void read(std::string_view name, std::uint32_t& out);
  void read(std::string_view name, double& out);
  void read(std::string_view name, std::vector<std::string>& out);
  void read(std::string_view name, std::map<std::string, std::string>& out);
  template <class T>
  void read(std::string_view name, std::optional<T>& out) {
    if (!find(name)) return;
    T value{};
    read(name, value);
    out = std::move(value);
  }

  // Calls `each(reader)` for every object in the array `name`.
  template <class Function>
  void read_objects(std::string_view name, Function each) {
    const json::value* list = find(name);
    if (!list) return;
    if (!list->is_array()) return refuse(name, "a list");
    std::size_t index = 0;
    for (const json::value& item : list->get_array()) {
      ObjectReader reader(item, path_of(name) + "[" + std::to_string(index++) + "]");
      each(reader);
      adopt(reader);
    }
  }
  // Calls `each(reader)` once if the member `name` is there.
  template <class Function>
  void read_object(std::string_view name, Function each) {
    const json::value* member = find(name);
    if (!member) return;
    ObjectReader reader(*member, path_of(name));
    each(reader);
    adopt(reader);
  }
  // Calls `each(name, reader)` for every member that is not null; all of them must be objects.
  template <class Function>
  void each_object(Function each) {
    if (!object_) return;
    for (const json::key_value_pair& member : *object_) {
      if (member.value().is_null()) {
        continue;
      }
      ObjectReader reader(member.value(), path_of(member.key()));
      each(std::string_view(member.key()), reader);
      adopt(reader);
    }
  }
  void refuse(std::string_view name, std::string_view wanted);  // "<path>.<name> must be <wanted>"
  void adopt(ObjectReader& inner);
  Result<void> finish();

 private:
  const json::object* object_ = nullptr;
  std::string path_;
  std::optional<Error> error_;
};

json::array to_json(const std::vector<std::string>& list);
json::object to_json(const std::map<std::string, std::string>& map);

}  // namespace berth
