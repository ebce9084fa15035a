// SPDX-License-Identifier: Apache-2.0
// berth-runtime: an OCI runtime with runc's command line.
#include <unistd.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "runtime/command_line.h"
#include "runtime/container.h"

int main(int count, char** arguments) {
  using namespace berth;
  if (Result<void> safe = runtime::protect_own_executable(arguments, environ); !safe) {
    (void)write_all(2, "berth-runtime: " + safe.error().message + "\n");
    return 1;
  }
  return runtime::run_command_line(std::vector<std::string>(arguments + 1, arguments + count));
}
