// SPDX-License-Identifier: Apache-2.0
// What a keeper does while it waits for its container: the same as it will do then, with a made-up
// configuration and as far as it touches nothing outside. Then its code and its heap are in memory, and the
// filter that most containers want is compiled. Every page that a start touches first costs a fault, and a
// start is mostly that.
#pragma once
#include "sys/seccomp_cache.h"

namespace berth::keeper {

void warm_up(sys::SeccompCache& filters);

}  // namespace berth::keeper
