// SPDX-License-Identifier: Apache-2.0
// berth-keeper RUN-DIRECTORY [--no-network-descriptor]: started by berthd, one a container. keeper/paths.h
// says what it finds in its directory and which descriptors it is given.
#include <cstring>

#include "base/log.h"
#include "keeper/keeper.h"
#include "keeper/paths.h"
#include "runtime/container.h"

int main(int argc, char** argv, char** environment) {
  using namespace berth;
  if (argc < 2) {
    log_error("keeper", "usage: berth-keeper RUN-DIRECTORY; it is started by berthd");
    return 2;
  }
  if (Result<void> safe = runtime::protect_own_executable(argv, environment); !safe) {
    log_error("keeper", "{}", safe.error().message);
    return 1;
  }
  const bool has_network = argc < 3 || std::strcmp(argv[2], "--no-network-descriptor") != 0;
  auto keeper = keeper::Keeper::open(argv[1], Fd(keeper::kControlDescriptor),
                                     Fd(has_network ? keeper::kNetworkDescriptor : -1));
  Result<void> end = keeper ? (*keeper)->run() : std::unexpected(keeper.error());
  if (!end) {
    log_error("keeper", "{}", end.error().message);
    return 1;
  }
  return 0;
}
