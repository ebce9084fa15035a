// SPDX-License-Identifier: Apache-2.0
// system df.
#pragma once
#include "cli/command.h"

namespace berth::cli {

Result<int> disk_usage(Invocation& invocation);

}  // namespace berth::cli
