// SPDX-License-Identifier: Apache-2.0
// --build-context name=ADDRESS: the files of a Git repository, or one that an HTTP server has, which is
// called "context". Fetched when the first instruction takes from it, and once in a build. Only for this
// room's sources.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "base/error.h"
#include "build/request.h"
#include "build/tree.h"
#include "build/workspace.h"

namespace berth::build {

class RemoteContexts {
 public:
  explicit RemoteContexts(std::string directory) : directory_(std::move(directory)) {}  // of workspaces

  // Its files are there until this goes. Thread-safe.
  Result<std::shared_ptr<const Tree>> get(const std::string& address, const BuildRequest& request,
                                          const std::stop_token& stop);

 private:
  struct Place {
    std::mutex mutex;  // held while it is fetched: others wait
    std::optional<Workspace> work;
    std::shared_ptr<const Tree> tree;
  };
  const std::string directory_;
  std::mutex mutex_;
  std::map<std::string, Place> places_;
};

}  // namespace berth::build
