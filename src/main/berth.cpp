// SPDX-License-Identifier: Apache-2.0
// The command line: `berth run`, `berth ps` and the rest of Docker's grammar.
#include "cli/cli.h"

int main(int argument_count, char** arguments) { return berth::cli::run(argument_count, arguments); }
