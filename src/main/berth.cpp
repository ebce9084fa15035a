// SPDX-License-Identifier: Apache-2.0
// The command line: `berth run`, `berth ps` and the rest of Docker's grammar.
#include <malloc.h>

#include "cli/cli.h"

int main(int argument_count, char** arguments) {
  mallopt(M_ARENA_MAX,
          1);  // its threads move bytes and hardly allocate: an arena each would be work for nothing
  return berth::cli::run(argument_count, arguments);
}
