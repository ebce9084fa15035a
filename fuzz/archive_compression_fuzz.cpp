// SPDX-License-Identifier: Apache-2.0
// Compressed streams: at most the limit comes out, the end stays the end, small and large reads agree, and
// what is compressed here comes back.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "archive/compression.h"

namespace {

using namespace berth;
using namespace berth::archive;

constexpr std::uint64_t kLimit = 1u << 20;

void require(bool condition) {
  if (!condition) std::abort();
}

struct Inflated {
  std::string text;
  bool whole = false;
};

Inflated inflate(std::string_view compressed, std::size_t step) {
  Inflated out;
  StringSource inner(compressed);
  FunctionSource source(
      [&](std::span<char> buffer) { return inner.read(buffer.first(std::min(step, buffer.size()))); });
  Result<std::unique_ptr<Source>> plain = decompress(source, kLimit);
  if (!plain) return out;
  std::string buffer(step, '\0');
  for (;;) {
    Result<std::size_t> size = (*plain)->read(buffer);
    if (!size) return out;
    if (*size == 0) break;
    require(*size <= buffer.size());
    out.text.append(buffer, 0, *size);
    require(out.text.size() <= kLimit);
  }
  Result<std::size_t> again = (*plain)->read(buffer);
  require(again && *again == 0);
  out.whole = true;
  return out;
}

void there_and_back(std::string_view text, Compression compression) {
  StringSink sink;
  std::unique_ptr<Sink> out = compress(sink, compression).value();
  require(out->write(text).has_value() && out->finish().has_value());
  const Inflated back = inflate(sink.text(), 1u << 16);
  require(back.whole && back.text == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const Inflated large = inflate(text, 1u << 18);
  const Inflated small = inflate(text, 61);
  require(large.whole == small.whole);
  if (large.whole) require(large.text == small.text);
  if (size > 0 && size <= 4096) there_and_back(text, size % 2 == 0 ? Compression::gzip : Compression::zstd);
  return 0;
}
