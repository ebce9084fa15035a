// SPDX-License-Identifier: Apache-2.0
// The command line: Docker's grammar, messages, tables and exit codes over the Docker Engine API.
#pragma once

namespace berth::cli {

// Runs one command and returns the exit code of the program.
int run(int argument_count, char** arguments);

}  // namespace berth::cli
