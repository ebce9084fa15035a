// SPDX-License-Identifier: Apache-2.0
// stats: what containers use.
#pragma once
#include "cli/command.h"

namespace boost::json {
class object;
class value;
}  // namespace boost::json

namespace berth::cli {

Result<int> stats(Invocation& invocation);

// One measurement of the Engine API as a row: CPU as the share between the two samples that it holds, memory
// without what is only cache.
boost::json::object stats_row(const boost::json::value& sample, bool shortened);

}  // namespace berth::cli
