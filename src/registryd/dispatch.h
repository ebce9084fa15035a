// SPDX-License-Identifier: Apache-2.0
// From a request to its handler. Internal to this room.
#pragma once
#include "http/server.h"
#include "registryd/service.h"

namespace berth::registryd {

// Any request of the public server.
void dispatch(Service& service, http::Exchange& exchange);

// What the request needs to be allowed; without the repository that it may mount from.
std::vector<Permission> permissions_of(const Route& route, std::string_view method);

}  // namespace berth::registryd
