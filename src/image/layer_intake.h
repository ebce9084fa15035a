// SPDX-License-Identifier: Apache-2.0
// A layer's blob on its way into the LayerStore. Internal to this room.
#pragma once
#include <stop_token>

#include "archive/stream.h"
#include "base/digest.h"
#include "base/error.h"
#include "layers/layer_store.h"
#include "oci/manifest.h"

namespace berth::image {

// Inflates the blob's bytes and adds the layer, which becomes visible when both digests have turned out to be
// right. What is far larger inside than outside is refused. `right` is set once all bytes have come and are
// those of the blob's digest.
Result<void> take_layer(layers::LayerStore& layers, archive::Source& bytes, const oci::Descriptor& blob,
                        const Digest& diff_id, const std::stop_token& stop, bool& right);

}  // namespace berth::image
