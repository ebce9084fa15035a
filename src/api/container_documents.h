// SPDX-License-Identifier: Apache-2.0
// A container as Docker's JSON documents: the inspect answer and a line of the list.
#pragma once
#include <optional>

#include "base/json.h"
#include "engine/engine.h"

namespace berth::api {

struct Sizes {
  std::int64_t writable = 0;  // bytes
  std::int64_t root = 0;
};

json::object container_document(engine::Engine& engine, const engine::ContainerPointer& container,
                                const std::optional<Sizes>& sizes);
json::object container_summary(engine::Engine& engine, const engine::ContainerPointer& container,
                               const std::optional<Sizes>& sizes);

// "Up 3 seconds (healthy)"; with the container's mutex held.
std::string status_text(const engine::Container& container, Timestamp time);

Sizes measure(engine::Engine& engine, const engine::ContainerPointer& container);

}  // namespace berth::api
