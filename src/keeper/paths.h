// SPDX-License-Identifier: Apache-2.0
// What lies below the exec root, for one container. The engine writes the first three before it starts a
// keeper; everything else is the keeper's, and the engine only reads it.
//
//   <exec-root>/containers/<id>/
//     config.json     OCI runtime configuration of the container
//     keeper.json     what the keeper itself needs: log, restart policy, root file system (settings.h)
//     hostname, hosts, resolv.conf are NOT here: they outlive a reboot and lie below the data root
//     state.json      observed state, replaced atomically at every change (state.h)
//     keeper.sock     where an engine connects after a restart (protocol.h)
//     keeper.log      what the keeper had to say on standard error; normally empty
#pragma once
#include <string>

namespace berth::keeper {

inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kSettingsFile = "keeper.json";
inline constexpr const char* kStateFile = "state.json";
inline constexpr const char* kSocketFile = "keeper.sock";
inline constexpr const char* kErrorLogFile = "keeper.log";

// The descriptor that a keeper is started with: connected to the engine that started it.
inline constexpr int kControlDescriptor = 3;

}  // namespace berth::keeper
