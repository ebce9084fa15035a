// SPDX-License-Identifier: Apache-2.0
#include "base/service.h"

#include <malloc.h>
#include <sys/resource.h>

namespace berth {

void prepare_to_stay() {
  mallopt(M_ARENA_MAX, 2);  // an arena a thread would keep what connections of long ago have used
  mallopt(M_TRIM_THRESHOLD, 512 * 1024);
  rlimit descriptors;
  if (getrlimit(RLIMIT_NOFILE, &descriptors) == 0) {
    descriptors.rlim_cur = descriptors.rlim_max;
    setrlimit(RLIMIT_NOFILE, &descriptors);
  }
}

}  // namespace berth
