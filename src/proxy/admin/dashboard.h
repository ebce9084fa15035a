// SPDX-License-Identifier: Apache-2.0
// The page on which people see routes, backends and what is counted: one document without anything from
// elsewhere, made of the three files in dashboard/. It has no data of its own and so needs no token; what it
// shows it asks the API for.
#pragma once
#include "base/error.h"
#include "http/server.h"

namespace berth::proxy {

Result<void> answer_dashboard(http::Exchange& exchange);

}  // namespace berth::proxy
