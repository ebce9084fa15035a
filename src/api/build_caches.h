// SPDX-License-Identifier: Apache-2.0
// Caches of other engines in a build's request (build/cache_import.h). In the preamble:
//
//   {"cacheFrom": [{"type": "registry", "ref": "name"}, {"type": "local", "held": "<64 hex digits>"}],
//    "cacheTo": [{"type": "inline"}, {"type": "registry", "ref": "name", "mode": "max", "ignoreError":
//    true}]}
//
// Docker's parameter `cachefrom` is a list of images, here or at their registries. A directory is passed
// beforehand:
//
//   PUT /berth/builds/{result}/cache           with one descriptor (unix(7), SCM_RIGHTS): an OCI layout
//   GET /berth/builds/{result}/cache?mode=max  of a result that is held: an OCI layout as a tar
#pragma once
#include "api/router.h"
#include "base/json.h"
#include "build/request.h"

namespace berth::api {

Result<void> read_cache_images(Call& call, build::BuildRequest& request);
// The first error of the caches themselves, apart from those of the document's form.
Result<void> read_build_caches(Call& call, ObjectReader& preamble, build::BuildRequest& request);
void add_build_cache_routes(Router& router);

}  // namespace berth::api
