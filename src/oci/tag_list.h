// SPDX-License-Identifier: Apache-2.0
// The tags of a repository, as a registry lists them page by page (distribution-spec 1.1, "Listing Tags").
// Whatever a registry sends, a list takes up a few megabytes at most: names that are no tags are left out,
// and pages, names and bytes are counted.
//
//   TagList list("tags of host/name");
//   for (std::optional<std::string> where = first; where; where = ...) { ... TRY(list.add(body, link)) ... }
//   std::vector<std::string> tags = std::move(list).sorted();
#pragma once
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::oci {

class TagList {
 public:
  static constexpr std::size_t kPageBytes = 8u << 20;  // more of one need not be read
  static constexpr std::size_t kBytes = 64u << 20;     // of all pages
  static constexpr std::size_t kPages = 1000;
  static constexpr std::size_t kTags = 100'000;

  explicit TagList(std::string what) : what_(std::move(what)) {}  // what it is, for messages

  // The body of a page and its Link field, which may be empty. Returns where the list goes on, as the
  // registry says it, and nothing at its end. ErrorKind::invalid: no list, or one that is too long.
  Result<std::optional<std::string>> add(std::string_view body, std::string_view link);

  // Each once.
  std::vector<std::string> sorted() &&;

 private:
  std::string what_;
  std::size_t pages_ = 0, bytes_ = 0;
  std::vector<std::string> tags_;
};

}  // namespace berth::oci
