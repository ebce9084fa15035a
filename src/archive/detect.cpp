// SPDX-License-Identifier: Apache-2.0
#include "archive/detect.h"

#include "archive/tar.h"
#include "archive/tar_format.h"

namespace berth::archive {

bool begins_tar(std::string_view head) noexcept {
  if (head.size() < kTarBlock) return false;
  head = head.substr(0, kTarBlock);
  return head.find_first_not_of('\0') != head.npos && tar_format::checksum_matches(head);
}

}  // namespace berth::archive
