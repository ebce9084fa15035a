// SPDX-License-Identifier: Apache-2.0
// All networks and all views: what the resolver is told, and what it finds in it. No descriptors, no clock.
//
// Changes either happen whole or are refused. What is removed twice is removed.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "names/message.h"
#include "names/records.h"
#include "names/zone.h"

namespace berth::names {

// What the networks of a view say to a question.
struct Finding {
  bool known = false;  // the name is ours; without anything below it has nothing of the asked type
  std::vector<Address> addresses;
  std::string pointer;
};

class Directory {
 public:
  Result<void> set_network(Network network);  // replaces its records whole
  void remove_network(const std::string& id);
  Result<void> set_endpoint(const std::string& network, Endpoint endpoint);  // of a known network
  void remove_endpoint(const std::string& network, const std::string& container);
  Result<void> set_view(const std::string& sandbox, View view);
  void remove_view(const std::string& sandbox);

  const View* view(const std::string& sandbox) const;
  const std::map<std::string, Zone>& networks() const { return networks_; }
  const std::unordered_map<std::string, View>& views() const { return views_; }

  Finding find(const View& view, const Question& question);

 private:
  std::optional<std::vector<Address>> find_addresses(const View& view, const std::string& name,
                                                     Family family);
  std::map<std::string, Zone> networks_;
  std::unordered_map<std::string, View> views_;
};

}  // namespace berth::names
