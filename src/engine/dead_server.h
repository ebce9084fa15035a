// SPDX-License-Identifier: Apache-2.0
// For tests: a file system whose server answers nothing, as a share whose machine is down. Whoever asks
// anything of it waits until the server hangs up.
#pragma once
#include <fcntl.h>
#include <sys/mount.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "base/file.h"

namespace berth::engine {

// Long enough for any machine to ask the kernel something.
inline constexpr auto kServersPatience = std::chrono::seconds(20);

class DeadServer {
 public:
  // Null where the kernel has no such file systems.
  static std::unique_ptr<DeadServer> mounted_on(const std::string& directory) {
    Result<Fd> device = open_file("/dev/fuse", O_RDWR);
    if (!device) return nullptr;
    const std::string options = fmt::format("fd={},rootmode=40000,user_id=0,group_id=0", device->get());
    if (mount("dead-server", directory.c_str(), "fuse", 0, options.c_str()) != 0) return nullptr;
    return std::unique_ptr<DeadServer>(new DeadServer(std::move(*device)));
  }
  void hang_up() { device_ = Fd(); }  // whoever waits is given an error

 private:
  explicit DeadServer(Fd device) : device_(std::move(device)) {}
  Fd device_;
};

}  // namespace berth::engine
