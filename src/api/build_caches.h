// SPDX-License-Identifier: Apache-2.0
// Caches of other engines in a build's request (build/cache_import.h). In the preamble:
//
//   {"cacheFrom": [{"type": "registry", "ref": "name"}, {"type": "local", "descriptor": 0}],
//    "cacheTo": [{"type": "inline"}, {"type": "registry", "ref": "name", "mode": "max", "ignoreError":
//    true}]}
//
// Docker's parameter `cachefrom` is a list of images, here or at their registries. A directory, an OCI
// layout, is passed along with the request (unix(7), SCM_RIGHTS), and read with the client's permissions.
//
//   GET /berth/builds/{result}/cache?mode=max  of a result that is held: an OCI layout as a tar
#pragma once
#include <cstdint>
#include <vector>

#include "api/router.h"
#include "base/json.h"
#include "build/request.h"

namespace berth::api {

Result<void> read_cache_images(Call& call, build::BuildRequest& request);

// A directory for one of the request's caches, by its place among the descriptors.
struct PassedCache {
  std::size_t source = 0;
  std::uint64_t descriptor = 0;
};
// The first error of the caches themselves, apart from those of the document's form.
Result<std::vector<PassedCache>> read_build_caches(ObjectReader& preamble, build::BuildRequest& request);
void add_build_cache_routes(Router& router);

}  // namespace berth::api
