// SPDX-License-Identifier: Apache-2.0
// What a build's steps may ask for beyond a container's defaults: the client allows it, and the engine's
// configuration lets clients do so.
#pragma once
#include "base/error.h"
#include "build/request.h"
#include "engine/build_policy.h"

namespace berth::api {

// An error says what of daemon.json forbids it.
Result<void> check_entitlements(const engine::BuildPolicy& policy, const build::BuildRequest& request);

}  // namespace berth::api
