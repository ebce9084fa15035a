// SPDX-License-Identifier: Apache-2.0
// A layer's tar taken apart into a tree and the framing between its files, and put together again.
#pragma once
#include <cstdint>
#include <memory>

#include "archive/stream.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "layers/layer_driver.h"

namespace berth::layers {

// Into `layer`, an open directory that has an empty fs/: fills that, and writes framing, implied and
// replaced/.
Result<MadeLayer> split_tar(archive::Source& tar, int layer, const AddOptions& options);

// The tar again. Its end is an error (corrupt) when the bytes before were not those of `diff_id`.
Result<std::unique_ptr<archive::Source>> join_tar(Fd layer, const Digest& diff_id);

}  // namespace berth::layers
