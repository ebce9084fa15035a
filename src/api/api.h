// SPDX-License-Identifier: Apache-2.0
// The Docker Engine API, version 1.24 to 1.51, over an Engine. Handlers translate: they read a request, ask a
// service of the engine, and write the answer in Docker's form; they decide nothing.
#pragma once
#include "engine/engine.h"
#include "http/server.h"

namespace berth::api {

inline constexpr int kNewestVersion = 51;  // 1.51
inline constexpr int kOldestVersion = 24;

// The engine must outlive the handler.
http::Handler make_handler(engine::Engine& engine);

}  // namespace berth::api
