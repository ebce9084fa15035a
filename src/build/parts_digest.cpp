// SPDX-License-Identifier: Apache-2.0
#include "build/parts_digest.h"

#include <cstring>

namespace berth::build {

PartsDigest& PartsDigest::add(std::string_view part) {
  add_number(part.size());
  digest_.update(part);
  return *this;
}

PartsDigest& PartsDigest::add_number(std::uint64_t number) {
  char bytes[sizeof number];
  std::memcpy(bytes, &number, sizeof number);
  digest_.update({bytes, sizeof bytes});
  return *this;
}

PartsDigest& PartsDigest::add_list(std::span<const std::string> parts) {
  add_number(parts.size());
  for (const std::string& part : parts) add(part);
  return *this;
}

}  // namespace berth::build
