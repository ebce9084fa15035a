// SPDX-License-Identifier: Apache-2.0
// Namespaces by their OCI names, and processes by descriptor.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace berth::sys {

// One kind of namespace: its name in OCI ("network"), its file in /proc/<pid>/ns ("net"), its clone flag.
struct NamespaceKind {
  std::string_view name;
  std::string_view file;
  std::uint64_t flag;
};

const NamespaceKind* namespace_kind(std::string_view name);  // null when unknown
const NamespaceKind* namespace_kind_of_flag(std::uint64_t flag);

// Opens a namespace file that someone else named and checks that it is one of this kind.
Result<Fd> open_namespace(const std::string& path, const NamespaceKind& kind);
Result<void> check_namespace(int descriptor, const NamespaceKind& kind);

Result<Fd> open_pidfd(pid_t process);
// A process that is gone already is not an error for `missing_ok`.
Result<void> send_signal(int pidfd, int signal);

// The start time of a process in clock ticks since boot ("starttime" in proc(5)): with the pid it names a
// process for good. not_found when there is none.
Result<std::uint64_t> process_start_time(pid_t process);

}  // namespace berth::sys
