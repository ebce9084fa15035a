// SPDX-License-Identifier: Apache-2.0
// A volume as Docker's JSON documents.
#pragma once
#include "base/json.h"
#include "engine/engine.h"

namespace berth::api {

json::object volume_document(const engine::VolumeState& volume);

// All of them with UsageData, as /system/df has them. A size of -1 is unknown: the content is elsewhere.
json::array volume_usage(engine::Engine& engine);

}  // namespace berth::api
