// SPDX-License-Identifier: Apache-2.0
// What a start looks up on the host: devices, resolver configuration, memory. Small functions over the host's
// own files; nothing here reads what an image or a container wrote.
#pragma once
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/host_config.h"
#include "oci/runtime_spec.h"

namespace berth::engine {

// --device: the node at path_on_host, or every node below it when it is a directory.
Result<std::vector<oci::Device>> lookup_device(const DeviceMapping& mapping);
std::vector<oci::Device> all_host_devices();  // below /dev, without terminals, shm, mqueue

Result<std::pair<std::int64_t, std::int64_t>> lookup_block_device(const std::string& path);

// The content of a container's resolv.conf: the host's without nameservers that only the host can reach,
// changed by
// --dns, --dns-search and --dns-option.
struct ResolverSettings {
  std::vector<std::string> servers, search, options;
};
std::string make_resolv_conf(const std::string& host_text, const ResolverSettings& settings,
                             bool own_network);
std::string host_resolv_conf();  // systemd-resolved's real list where that is in use

std::string host_name();
std::int64_t host_memory();                       // bytes
std::vector<std::string> machine_capabilities();  // that the kernel has and this process may give
std::string kernel_version();
std::string operating_system();  // PRETTY_NAME of os-release

}  // namespace berth::engine
