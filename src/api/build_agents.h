// SPDX-License-Identifier: Apache-2.0
// The SSH agents that a client lets its build's steps use: sockets that it has passed along with the request.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "build/request.h"
#include "http/message.h"

namespace berth::api {

// `places`: by id, which of the descriptors it is. What is taken of these is empty then.
Result<void> add_agents(const std::map<std::string, std::uint64_t>& places, std::vector<Fd>& descriptors,
                        const http::Peer& peer, build::BuildRequest& request);

}  // namespace berth::api
