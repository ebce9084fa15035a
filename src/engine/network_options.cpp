// SPDX-License-Identifier: Apache-2.0
#include "engine/network_options.h"

#include <set>

namespace berth::engine {

std::string network_option(const NetworkRecord& record, const std::string& name) {
  auto found = record.options.find(name);
  return found == record.options.end() ? "" : found->second;
}

Result<bool> boolean_option(const NetworkRecord& record, const std::string& name, bool otherwise) {
  static const std::set<std::string> yes{"1", "t", "T", "true", "TRUE", "True"};
  static const std::set<std::string> no{"0", "f", "F", "false", "FALSE", "False"};
  auto found = record.options.find(name);
  if (found == record.options.end()) return otherwise;
  if (yes.contains(found->second)) return true;
  if (no.contains(found->second)) return false;
  return fail(ErrorKind::invalid, "invalid {}: \"{}\" is neither true nor false", name, found->second);
}

bool has_way_out(const NetworkRecord& record) {
  return !record.internal && (record.driver != "macvlan" || !network_option(record, "parent").empty());
}

}  // namespace berth::engine
