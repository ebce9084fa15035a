// SPDX-License-Identifier: Apache-2.0
// Each file of handlers adds its routes.
#pragma once
#include "api/router.h"

namespace berth::api {

void add_system_routes(Router& router);     // _ping, version, info, events, system/df, check
void add_container_routes(Router& router);  // create, list, inspect, and what changes them
void add_stream_routes(Router& router);     // attach, wait, logs, stats, resize
void add_exec_routes(Router& router);
void add_archive_routes(Router& router);  // archive, export, changes, commit
void add_image_routes(Router& router);
void add_volume_routes(Router& router);
void add_network_routes(Router& router);
void add_registry_routes(Router& router);      // push, auth, distribution
void add_build_routes(Router& router);         // build, the build cache
void add_build_result_routes(Router& router);  // what a build that is no image came to
Result<void> pull(Call& call);                 // POST /images/create with fromImage
void add_unavailable_routes(Router& router);   // swarm and plugins: the answers of an engine that has none

}  // namespace berth::api
