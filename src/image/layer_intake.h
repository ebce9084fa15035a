// SPDX-License-Identifier: Apache-2.0
// A layer's blob on its way into the LayerStore. Internal to this room.
#pragma once
#include <cstdint>
#include <stop_token>

#include "archive/stream.h"
#include "base/digest.h"
#include "base/error.h"
#include "layers/layer_store.h"
#include "oci/manifest.h"

namespace berth::image {

// More than that out of a compressed layer is a bomb. A blob's own claim of its size counts for nothing: what
// has come at a moment does.
struct InflationLimit {
  std::uint64_t least = 1ull << 30;  // bytes that any layer may have
  std::uint64_t times = 100;         // as many as came
};

// Inflates the blob's bytes and adds the layer, which becomes visible when both digests have turned out to be
// right. What is far larger inside than outside is refused. `right` is set once all bytes have come and are
// those of the blob's digest.
Result<void> take_layer(layers::LayerStore& layers, archive::Source& bytes, const oci::Descriptor& blob,
                        const Digest& diff_id, const std::stop_token& stop, bool& right,
                        const InflationLimit& limit = {});

}  // namespace berth::image
