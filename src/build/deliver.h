// SPDX-License-Identifier: Apache-2.0
// The end of a build: its result becomes what the client asked for. Only for this room's sources.
#pragma once
#include "build/solve.h"

namespace berth::build {

// An image on record, a result to fetch, caches at registries; returns the image's id. The layers are
// protected by the build's Adding until then.
Result<Digest> deliver(Solve& solve, const oci::ImageConfig& config);

}  // namespace berth::build
