// SPDX-License-Identifier: Apache-2.0
// RUN --device: devices of this host by the names that its CDI specifications give them (Container Device
// Interface, version 1.0). Of a specification, JSON alone, device nodes and variables are done; a device that
// needs more is an error where it is asked for.
#pragma once
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "build/runner.h"

namespace berth::build {

struct CdiDevice {
  std::string kind, name;  // "vendor.com/class", "name"
  bool open = false;       // by its annotation, builds may have it that were not allowed to
  std::vector<StepDevice> nodes;
  std::vector<std::string> environment;
  std::string missing;  // what it needs and is not done: "mounts"

  std::string qualified() const { return kind + "=" + name; }
};

// The devices of one specification.
Result<std::vector<CdiDevice>> read_cdi_specification(std::string_view text);
// Those of all .json files in these directories, of which the later ones win. A file that is wrong is left
// out with a word in the log; a directory that is not there has none.
std::vector<CdiDevice> list_cdi_devices(const std::vector<std::string>& directories);

// "vendor.com/class=name", "vendor.com/class=*" for all and "vendor.com/class" for the first;
// ",required=false".
struct DeviceRequest {
  std::string name;
  bool required = true;
};
Result<DeviceRequest> parse_device_request(std::string_view text);

// What a step gets of it: nothing if it is not there and not required. `allowed` are the build's
// entitlements: "device" is for all, "device=NAME" for one or for a class.
Result<std::vector<CdiDevice>> choose_devices(const std::vector<CdiDevice>& known,
                                              const DeviceRequest& wanted,
                                              const std::set<std::string>& allowed);

}  // namespace berth::build
