// SPDX-License-Identifier: Apache-2.0
// Networks and containers' places on them as Docker's JSON documents.
#pragma once
#include <string>

#include "base/json.h"
#include "engine/engine.h"

namespace berth::api {

json::object network_document(const engine::NetworkState& network);
json::object network_summary(const engine::NetworkState& network);  // of a list: without the containers

void read_endpoint_settings(ObjectReader& in, engine::EndpointSettings& settings);

// 64 hex digits that stay the same for this container on this network.
std::string endpoint_id(const std::string& container, const std::string& network);

}  // namespace berth::api
