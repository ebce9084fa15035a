// SPDX-License-Identifier: Apache-2.0
// Hooks ("config.md", "POSIX-platform Hooks"): programs of the host that the configuration names. They get
// the container's state on standard input and exactly the environment that the configuration gives them: none
// by default, so that nothing which an image or a client set (LD_PRELOAD) reaches a program that runs as
// root.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "oci/runtime_spec.h"

namespace berth::runtime {

// In order; stops at the first that fails, is killed or takes longer than its timeout (30 s without one).
Result<void> run_hooks(const std::vector<oci::Hook>& hooks, const std::string& state, std::string_view kind);

// A hook as the child between clone and exec can run it.
struct PreparedHook {
  const char* path = nullptr;
  std::vector<char*> arguments;
  std::vector<char*> environment;
};
// The result refers to `hooks`.
std::vector<PreparedHook> prepare_hooks(const std::vector<oci::Hook>& hooks);
// 0, or an errno; ECANCELED for a hook that did not succeed. No allocation.
int run_prepared_hook(const PreparedHook& hook, const std::string& state) noexcept;

}  // namespace berth::runtime
