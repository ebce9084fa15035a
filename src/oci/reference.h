// SPDX-License-Identifier: Apache-2.0
// Names of images: [domain/]path[:tag][@digest]. Grammar of the distribution specification ("Pulling
// manifests") and the short forms that Docker's clients use: "bb" is docker.io/library/bb:latest.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"

namespace berth::oci {

inline constexpr std::string_view kDefaultDomain = "docker.io";
inline constexpr std::string_view kDefaultTag = "latest";

// A checked name. None of its parts holds a blank, a control character, "..", or an empty path component.
class Reference {
 public:
  // Full and short forms; the domain is filled in, a tag is not. Refuses what the grammar does not allow,
  // names of more than 255 bytes, and 64 hex digits, which would be taken for an id.
  static Result<Reference> parse(std::string_view text);
  // The same, and "latest" where neither tag nor digest is given.
  static Result<Reference> parse_with_default_tag(std::string_view text);

  const std::string& domain() const noexcept { return domain_; }  // "docker.io", "host:5000"
  const std::string& path() const noexcept { return path_; }      // "library/bb"
  std::string repository() const { return domain_ + "/" + path_; }
  const std::optional<std::string>& tag() const noexcept { return tag_; }
  const std::optional<Digest>& digest() const noexcept { return digest_; }
  bool name_only() const noexcept { return !tag_ && !digest_; }

  std::string text() const;                 // "docker.io/library/bb:latest"
  std::string familiar() const;             // "bb:latest"
  std::string familiar_repository() const;  // "bb"

  Result<Reference> with_tag(std::string_view tag) const;  // replaces the tag, drops a digest
  Reference with_digest(const Digest& digest) const;       // drops a tag
  Reference with_default_tag() const;                      // where there is neither tag nor digest

  auto operator<=>(const Reference&) const = default;

 private:
  Reference() = default;
  std::string domain_;
  std::string path_;
  std::optional<std::string> tag_;
  std::optional<Digest> digest_;
};

bool valid_tag(std::string_view text) noexcept;

// Whether `pattern` matches the familiar name, with its tag or without: what `docker images --filter
// reference=` means. "*" and "?" stop at "/". A malformed pattern is an error.
Result<bool> matches_pattern(const Reference& reference, std::string_view pattern);

}  // namespace berth::oci
