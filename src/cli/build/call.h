// SPDX-License-Identifier: Apache-2.0
// `build --call` and `--check`: what a Dockerfile is asked instead of being built. api/build_call.h has the
// documents.
#pragma once
#include <string>

#include "base/error.h"
#include "cli/build/events.h"
#include "cli/flags/flags.h"

namespace boost::json {
class value;
}

namespace berth::cli {

struct BuildCall {
  std::string name = "build";  // "check", "outline", "targets"
  bool json = false;
  bool ignores_status = false;
  bool builds() const { return name == "build"; }
};

// From --call=NAME[,format=json|text][,ignorestatus=true] and --check.
Result<BuildCall> chosen_call(const Flags& flags);

std::string call_text(const BuildCall& call, const boost::json::value& document);
// 1 for a check that has found something.
int call_status(const BuildCall& call, const boost::json::value& document);

// What a build says about the document of a check; people are shown a line each, or all of it.
WarningEvent warnings_of(const boost::json::value& document, bool whole);

}  // namespace berth::cli
