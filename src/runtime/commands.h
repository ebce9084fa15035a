// SPDX-License-Identifier: Apache-2.0
// berth-runtime's commands. Each takes the words after its name and returns the exit code.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "base/fd.h"
#include "runtime/store.h"

namespace berth::runtime {

Result<int> run_command(const Store& store, const std::string& name, std::vector<std::string> words);

Result<int> command_create(const Store& store, std::vector<std::string> words);
Result<int> command_run(const Store& store, std::vector<std::string> words);
Result<int> command_start(const Store& store, std::vector<std::string> words);
Result<int> command_exec(const Store& store, std::vector<std::string> words);
Result<int> command_state(const Store& store, std::vector<std::string> words);
Result<int> command_list(const Store& store, std::vector<std::string> words);
Result<int> command_ps(const Store& store, std::vector<std::string> words);
Result<int> command_kill(const Store& store, std::vector<std::string> words);
Result<int> command_pause(const Store& store, std::vector<std::string> words);
Result<int> command_resume(const Store& store, std::vector<std::string> words);
Result<int> command_update(const Store& store, std::vector<std::string> words);
Result<int> command_delete(const Store& store, std::vector<std::string> words);
Result<int> command_spec(const Store& store, std::vector<std::string> words);
Result<int> command_features(const Store& store, std::vector<std::string> words);

// Shared by the commands that end a container.
Result<void> remove_container(const Store& store, const Record& record, const oci::RuntimeSpec& spec,
                              bool force);

// Waits for a child in the foreground: passes signals on, and with a terminal relays it. Its exit code as a
// shell reports it.
Result<int> attend(pid_t process, int pidfd, Fd terminal);
// Hands a terminal's master to whoever listens at the path ("--console-socket").
Result<void> send_terminal(const std::string& socket_path, Fd terminal);
Result<void> write_pid_file(const std::string& path, pid_t process);
Result<int> signal_number(std::string_view name);  // "TERM", "SIGTERM", "15"

}  // namespace berth::runtime
