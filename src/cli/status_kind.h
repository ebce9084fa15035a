// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "base/error.h"

namespace berth::cli {

// Of an answer of the engine's API or of the load balancer's.
ErrorKind kind_of_status(int status);

}  // namespace berth::cli
