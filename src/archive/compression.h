// SPDX-License-Identifier: Apache-2.0
// Compression in this process: never a program, least of all one from the container that asked.
// Formats: gzip (RFC 1952, any number of members), zstd (RFC 8878, any number of frames), xz and bzip2.
#pragma once
#include <cstdint>
#include <memory>
#include <string_view>

#include "archive/stream.h"
#include "base/error.h"

namespace berth::archive {

enum class Compression { none, gzip, zstd, xz, bzip2 };

inline constexpr std::size_t kMagicSize = 6;

// By the first bytes (kMagicSize of them, or all there are); what is not recognised is none.
Compression detect_compression(std::string_view head);

// `compressed` (which must outlive the result) as plain bytes, the format found by its first bytes. More
// output than `limit` is an error (exhausted), so are damaged and cut streams and bytes behind the end
// (corrupt): a bomb costs no more than the caller said.
Result<std::unique_ptr<Source>> decompress(Source& compressed, std::uint64_t limit = UINT64_MAX);

// `compression` is none, gzip or zstd. The output depends on the input alone: no times, no names.
// `level` 0 means the fast one that images are pushed with. `output` must outlive the result; finish() of the
// result ends the stream and finishes `output`.
Result<std::unique_ptr<Sink>> compress(Sink& output, Compression compression, int level = 0);

}  // namespace berth::archive
