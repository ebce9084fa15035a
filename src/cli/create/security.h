// SPDX-License-Identifier: Apache-2.0
// --cap-add, --cap-drop, --security-opt and --device, as members of HostConfig.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace boost::json {
class object;
}

namespace berth::cli {

void add_capabilities(const std::vector<std::string>& added, const std::vector<std::string>& dropped,
                      boost::json::object& host);
// seccomp=FILE is replaced by the file's contents: the engine may be on another machine.
Result<void> add_security_options(const std::vector<std::string>& options, boost::json::object& host);
Result<void> add_devices(const std::vector<std::string>& devices, boost::json::object& host);

std::int64_t cpus_of(const std::string& checked);  // billionths of a CPU
std::string words_of_errno(int code);              // "no such file or directory", as Docker's users read it

}  // namespace berth::cli
