// SPDX-License-Identifier: Apache-2.0
// berth-keeper TITLE: started by berthd, one a container. It is told its container over its control
// descriptor (keeper/assignment.h), whose run directory then takes the place of TITLE in lists of processes.
#include "base/log.h"
#include "keeper/assignment.h"
#include "keeper/keeper.h"
#include "keeper/paths.h"
#include "keeper/warm_up.h"
#include "runtime/container.h"

namespace berth {
namespace {

Result<void> run(char** arguments, char** environment) {
  TRY(runtime::protect_own_executable(arguments, environment));
  Fd control(keeper::kControlDescriptor);
  sys::SeccompCache filters;
  if (!keeper::is_assigned(control.get())) keeper::warm_up(filters);
  std::optional<keeper::Assignment> assignment = TRY(keeper::wait_for_assignment(control.get()));
  if (!assignment) return {};
  keeper::show_in_process_list(arguments[1], assignment->run_directory);
  TRY(keeper::open_error_log(assignment->run_directory));
  auto keeper = TRY(keeper::Keeper::open(*std::move(assignment), std::move(control), std::move(filters)));
  return keeper->run();
}

}  // namespace
}  // namespace berth

int main(int argc, char** argv, char** environment) {
  if (argc != 2) {
    berth::log_error("keeper", "usage: berth-keeper TITLE; it is started by berthd");
    return 2;
  }
  if (berth::Result<void> end = berth::run(argv, environment); !end) {
    berth::log_error("keeper", "{}", end.error().message);
    return 1;
  }
  return 0;
}
