// SPDX-License-Identifier: Apache-2.0
#include "cli/create/json_forms.h"

#include "base/text.h"

namespace berth::cli {

json::value list_or_null(const std::vector<std::string>& list) {
  return list.empty() ? json::value(nullptr) : json::value(to_json(list));
}

json::object pairs(const std::vector<std::string>& list) {
  json::object object;
  for (const std::string& item : list) {
    auto [name, value] = split_once(item, '=');
    object[name] = value;
  }
  return object;
}

json::array ulimits(const std::vector<std::string>& list) {
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> limits;  // the last of a name counts
  for (const std::string& item : list) {
    auto [name, values] = split_once(item, '=');
    auto [soft, hard] = split_once(values, ':');
    limits[std::string(name)] = {parse_integer<std::int64_t>(soft).value_or(0),
                                 parse_integer<std::int64_t>(hard).value_or(0)};
  }
  json::array out;
  for (const auto& [name, limit] : limits)
    out.push_back(json::object{{"Name", name}, {"Hard", limit.second}, {"Soft", limit.first}});
  return out;
}

json::object empty_endpoint() {
  return {{"IPAMConfig", nullptr},   {"Links", nullptr},         {"Aliases", nullptr}, {"MacAddress", ""},
          {"DriverOpts", nullptr},   {"GwPriority", 0},          {"NetworkID", ""},    {"EndpointID", ""},
          {"Gateway", ""},           {"IPAddress", ""},          {"IPPrefixLen", 0},   {"IPv6Gateway", ""},
          {"GlobalIPv6Address", ""}, {"GlobalIPv6PrefixLen", 0}, {"DNSNames", nullptr}};
}

}  // namespace berth::cli
