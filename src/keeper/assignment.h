// SPDX-License-Identifier: Apache-2.0
// A keeper is started before anybody knows for which container: starting a program takes longer than all that
// a container's start needs of it. It waits on its control socket until the engine gives it one.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth::keeper {

struct Assignment {
  std::string run_directory;  // paths.h says what is in it
  Fd network;                 // the network namespace to join; empty: the configuration says which
  std::vector<Fd> layers;     // mounts that OverlaySettings::lower names by their numbers here
};

// The message's body; the network's descriptor, if there is one, and then those of the layers go along.
std::string encode_assignment(const std::string& run_directory, std::size_t layers);

// Whether one is there already.
bool is_assigned(int control);

// Blocks. Nothing when the engine has gone, or has no use for another keeper.
Result<std::optional<Assignment>> wait_for_assignment(int control);

// Lets lists of processes show the run directory in the place of `argument`, one of main's, which is as long.
void show_in_process_list(char* argument, const std::string& run_directory);

// What the keeper says on standard error is in the run directory from now on.
Result<void> open_error_log(const std::string& run_directory);

}  // namespace berth::keeper
