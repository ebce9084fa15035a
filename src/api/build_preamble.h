// SPDX-License-Identifier: Apache-2.0
// What a client of ours says in front of the context, because a query is no place for it: secrets, stages
// that are not to be cached, named contexts. cli/build/preamble.h has the form.
#pragma once
#include "api/router.h"
#include "build/request.h"

namespace berth::api {

// Leaves the body where the tar begins. A request of another type has none, and is left alone. Errors name
// secrets by their ids alone.
Result<void> read_build_preamble(Call& call, build::BuildRequest& request);

}  // namespace berth::api
