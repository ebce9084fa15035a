// SPDX-License-Identifier: Apache-2.0
// A digest over parts that cannot run into each other: each goes in with its length, and a list with its
// number of parts. Whoever could make two different inputs look alike would have another's build take his
// layer.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"

namespace berth::build {

class PartsDigest {
 public:
  PartsDigest& add(std::string_view part);
  PartsDigest& add_number(std::uint64_t number);
  PartsDigest& add_list(std::span<const std::string> parts);  // with their number
  Digest finish() { return digest_.finish(); }

 private:
  Sha256 digest_;
};

}  // namespace berth::build
