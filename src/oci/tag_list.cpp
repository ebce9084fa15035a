// SPDX-License-Identifier: Apache-2.0
#include "oci/tag_list.h"

#include <algorithm>

#include "base/json.h"
#include "oci/reference.h"

namespace berth::oci {
namespace {

// Link: </v2/...?last=x>; rel="next".
std::optional<std::string> next_page(std::string_view link) {
  const std::size_t open = link.find('<'), close = link.find('>');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
      link.find("next", close) == std::string_view::npos)
    return std::nullopt;
  return std::string(link.substr(open + 1, close - open - 1));
}

}  // namespace

Result<std::optional<std::string>> TagList::add(std::string_view body, std::string_view link) {
  if (pages_++ >= kPages) return fail(ErrorKind::invalid, "{}: the registry's list does not end", what_);
  bytes_ += body.size();
  if (bytes_ > kBytes)
    return fail(ErrorKind::invalid, "{}: the registry's list has more than {} bytes", what_, kBytes);
  const json::value document = TRY(parse_json(body, what_));
  if (!document.is_object()) return fail(ErrorKind::invalid, "{}: the registry sent no list", what_);
  // "tags": null is how some registries say that there are none.
  const json::value* listed = document.get_object().if_contains("tags");
  if (!listed || listed->is_null()) return std::nullopt;
  if (!listed->is_array()) return fail(ErrorKind::invalid, "{}: the registry sent no list", what_);
  for (const json::value& name : listed->get_array())
    if (name.is_string() && valid_tag(name.get_string())) tags_.emplace_back(name.get_string());
  if (tags_.size() > kTags) return fail(ErrorKind::invalid, "{}: more than {} of them", what_, kTags);
  if (listed->get_array().empty()) return std::nullopt;
  return next_page(link);
}

std::vector<std::string> TagList::sorted() && {
  std::ranges::sort(tags_);
  tags_.erase(std::ranges::unique(tags_).begin(), tags_.end());
  return std::move(tags_);
}

}  // namespace berth::oci
