// SPDX-License-Identifier: Apache-2.0
// What a client of ours says in front of the context, because a query is no place for it: secrets, stages
// that are not to be cached, named contexts. cli/build/preamble.h has the form.
#pragma once
#include <string>

#include "api/router.h"
#include "build/request.h"

namespace berth::api {

// How a build's client wants to be answered.
struct BuildAnswer {
  std::string call = "build";  // or "check", "outline", "targets": build_call.h
  bool vertices = false;       // progress as events of vertices: build_events.h
};

struct BuildPreamble {
  bool passed = false;  // the context is a directory that the client has passed: no tar follows
  BuildAnswer answer;
};

// Leaves the body where the tar begins. A request of another type has none, and is left alone. Errors name
// secrets by their ids alone.
//
// A directory that was passed becomes a tree that is read with the permissions of the client's user.
Result<BuildPreamble> read_build_preamble(Call& call, build::BuildRequest& request);

}  // namespace berth::api
