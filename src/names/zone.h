// SPDX-License-Identifier: Apache-2.0
// One network's records, indexed for questions.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "names/records.h"

namespace berth::names {

enum class Family { v4, v6, both };

class Zone {
 public:
  explicit Zone(std::string name);

  // Lower case; empty when no query could ask for it.
  const std::string& suffix() const { return suffix_; }

  void set(Endpoint endpoint);  // replaces the container's former one
  void remove(const std::string& container);
  std::size_t size() const { return endpoints_.size(); }
  bool has(const std::string& container) const { return endpoints_.contains(container); }

  // Nothing: nobody has the name (lower case). Each question begins with another of those who have it, so
  // that clients which take the first address spread.
  std::optional<std::vector<Address>> addresses_of_name(const std::string& name, Family family);
  // "web.backend"; "web" where that would be no name.
  std::optional<std::string> name_of(const Address& address) const;

 private:
  struct Holders {
    std::vector<const Endpoint*> endpoints;
    std::size_t turn = 0;
  };
  std::string name_, suffix_;
  std::map<std::string, Endpoint> endpoints_;  // by container; the indexes point into it
  std::unordered_map<std::string, Holders> by_name_;
  std::unordered_map<Address, const Endpoint*, AddressHash> by_address_;
};

}  // namespace berth::names
