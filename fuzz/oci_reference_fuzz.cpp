// SPDX-License-Identifier: Apache-2.0
// Names from clients and archives: what parses means the same when it is written and read again, in both
// forms, and nothing that could leave a directory or a line gets through.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "oci/glob.h"
#include "oci/reference.h"

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace berth::oci;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  auto [pattern, name] = std::pair(text.substr(0, size / 2), text.substr(size / 2));
  if (size < 4096) (void)matches_glob(pattern, name);

  berth::Result<Reference> reference = Reference::parse(text);
  if (!reference) return 0;
  require(text.find_first_of(" \t\n\r%\\\"'$") == std::string_view::npos);
  require(reference->text().find("..") == std::string::npos &&
          reference->text().find("//") == std::string::npos);
  berth::Result<Reference> full = Reference::parse(reference->text());
  berth::Result<Reference> familiar = Reference::parse(reference->familiar());
  require(full && *full == *reference);
  // A short name of 64 hex digits would be taken for an id.
  require(!familiar || *familiar == *reference);
  return 0;
}
