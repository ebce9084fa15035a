// SPDX-License-Identifier: Apache-2.0
// A build's result for clients that want something else than an image of this engine. They say so in the
// preamble and fetch it when the build is done:
//
//   {"image": false, "result": "<64 hex digits of the client's>"}
//
//   GET    /berth/builds/{result}/tree               the file system as a tar
//   GET    /berth/builds/{result}/archive?form=oci   an OCI layout as a tar; form=docker: what `save` writes
//   DELETE /berth/builds/{result}                    it is not needed any more
#pragma once
#include "api/router.h"
#include "base/json.h"
#include "build/request.h"

namespace berth::api {

// Takes the result's name: one that is taken already, or a result too many, is an error before the build.
Result<void> read_build_outputs(Call& call, ObjectReader& preamble, build::BuildRequest& request);

}  // namespace berth::api
