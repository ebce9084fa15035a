// SPDX-License-Identifier: Apache-2.0
#include "cli/build/named_contexts.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "dockerfile/git_reference.h"

namespace berth::cli {
namespace {

constexpr std::string_view kImage = "docker-image://", kLayout = "oci-layout://";
constexpr std::string_view kForms =
    "docker-image://IMAGE, oci-layout://DIRECTORY[:TAG][@DIGEST], a directory, or an address of Git or HTTP";

Result<LocalContext> open_passed(const std::string& name, const std::string& place, bool passing) {
  LocalContext local = TRY_AS("the build context " + name, open_named_directory(place));
  if (!passing || !local.readable_elsewhere)
    return fail(ErrorKind::unsupported,
                "the build context {}: a directory can only be passed to the engine of this machine over its "
                "own socket",
                name);
  return local;
}

Result<json::object> layout(const std::string& name, std::string_view text, bool passing,
                            std::vector<Fd>& descriptors) {
  const LayoutPlace place = TRY_AS("the build context " + name, parse_layout_place(text));
  LocalContext local = TRY(open_passed(name, place.directory, passing));
  local.ignore.clear();  // what a layout has is not chosen by names
  json::object described = describe_directory(local, descriptors);
  if (!place.tag.empty()) described["tag"] = place.tag;
  if (!place.digest.empty()) described["digest"] = place.digest;
  return json::object{{"layout", std::move(described)}};
}

bool is_address(const std::string& value) {
  if (value.starts_with("http://") || value.starts_with("https://")) return true;
  return dockerfile::is_git_reference(value) && !exists(value);
}

Result<json::object> named_context(const std::string& name, const std::string& value, bool passing,
                                   std::vector<Fd>& descriptors) {
  if (value.starts_with(kLayout)) return layout(name, value.substr(kLayout.size()), passing, descriptors);
  if (value.starts_with(kImage) && value.size() > kImage.size())
    return json::object{{"image", value.substr(kImage.size())}};
  if (is_address(value)) {
    if (dockerfile::is_git_reference(value))
      TRY_AS("the build context " + name, dockerfile::parse_git_reference(value));
    return json::object{{"address", value}};
  }
  if (value.find("://") != value.npos || value.starts_with("target:"))
    return fail(ErrorKind::unsupported, "the build context {}: \"{}\" is none of {}", name, value, kForms);
  LocalContext local = TRY(open_passed(name, value, passing));
  return describe_directory(local, descriptors);
}

}  // namespace

Result<LayoutPlace> parse_layout_place(std::string_view text) {
  LayoutPlace place;
  if (const std::size_t at = text.rfind('@'); at != text.npos && text.substr(at + 1).find('/') == text.npos) {
    place.digest = text.substr(at + 1);
    TRY(Digest::parse(place.digest));
    text = text.substr(0, at);
  }
  const std::size_t colon = text.rfind(':');
  if (colon != text.npos && text.find('/', colon) == text.npos) {
    place.tag = text.substr(colon + 1);
    text = text.substr(0, colon);
  }
  if (text.empty()) return fail(ErrorKind::invalid, "oci-layout:// has no directory behind it");
  place.directory = text;
  return place;
}

json::object describe_directory(LocalContext& local, std::vector<Fd>& descriptors) {
  descriptors.push_back(std::move(local.root));
  return {{"descriptor", descriptors.size() - 1}, {"ignore", to_base64(local.ignore)}};
}

Result<json::object> named_contexts(const Flags& flags, bool passing, std::vector<Fd>& descriptors) {
  json::object all;
  for (const std::string& text : flags.list("build-context")) {
    const auto [name, value] = split_once(text, '=');
    if (name.empty() || value.empty())
      return fail(ErrorKind::invalid, "invalid --build-context \"{}\": it must be name={}", text, kForms);
    all[name] = TRY(named_context(std::string(name), std::string(value), passing, descriptors));
  }
  return all;
}

}  // namespace berth::cli
