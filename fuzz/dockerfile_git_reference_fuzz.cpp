// SPDX-License-Identifier: Apache-2.0
// References to git repositories: a line that is one, then the address of a submodule of it. What is taken
// is an address and a ref that no program could read as an option or as another transport.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/text.h"
#include "dockerfile/git_reference.h"

namespace {

using namespace berth::dockerfile;

void require(bool condition) {
  if (!condition) std::abort();
}

bool is_plain(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

void check(const berth::Result<GitReference>& reference) {
  if (!reference) {
    require(reference.error().kind == berth::ErrorKind::invalid);
    require(reference.error().message.size() < 5000 && is_plain(reference.error().message));
    require(berth::valid_utf8(reference.error().message));
    return;
  }
  const std::string& url = reference->url;
  bool transport = url.find("://") == std::string::npos;  // user@host:path
  for (const char* scheme : {"https://", "http://", "ssh://", "git://"})
    transport = transport || url.starts_with(scheme);
  require(transport && is_plain(url) && url.find(' ') == std::string::npos && !url.starts_with('-'));
  const std::size_t scheme = url.find("://");  // a path may have one as well, behind the host
  require(scheme == std::string::npos || !std::string_view(url).substr(scheme + 3).starts_with('-'));
  require(!url.starts_with("::"));
  require(!reference->ref.starts_with('-') && is_plain(reference->ref));
  require(reference->ref.find_first_of(" :~^*?[\\") == std::string::npos);
  for (const std::string_view component : berth::split(reference->subdirectory, '/'))
    require(component != "..");
  require(is_plain(reference->subdirectory) && !reference->subdirectory.starts_with('/'));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto [first, rest] = berth::split_once({reinterpret_cast<const char*>(data), size}, '\n');
  const berth::Result<GitReference> reference = parse_git_reference(first);
  check(reference);
  is_git_reference(first);
  if (reference) check(submodule_reference(*reference, rest));
  return 0;
}
