// SPDX-License-Identifier: Apache-2.0
// Checksums are no obstacle to an attacker, so they shall be none to a fuzzer.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "archive/tar.h"

namespace berth::fuzz {

// Makes the checksum of every block right that has the magic of a header.
inline void correct_checksums(std::string& tar) {
  constexpr std::size_t kChecksum = 148;
  for (std::size_t block = 0; block + archive::kTarBlock <= tar.size(); block += archive::kTarBlock) {
    if (std::string_view(tar).substr(block + 257, 5) != "ustar") continue;
    tar.replace(block + kChecksum, 8, "        ");
    std::uint32_t sum = 0;
    for (std::size_t i = 0; i < archive::kTarBlock; ++i) sum += static_cast<unsigned char>(tar[block + i]);
    tar.replace(block + kChecksum, 8, fmt::format("{:06o}", sum) + std::string("\0 ", 2));
  }
}

}  // namespace berth::fuzz
