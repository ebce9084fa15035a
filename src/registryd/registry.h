// SPDX-License-Identifier: Apache-2.0
// The registry: the OCI distribution specification 1.1 (pull, push, content discovery, content management)
// over a directory.
//
//   std::unique_ptr<Registry> registry = TRY(Registry::open(settings, Registry::kPatience));
//   TRY(registry->start());          listens
//   ...
//   registry->stop();                no new connections; running requests get settings.drain_timeout
//
// In settings.root_directory:
//   blobs/          content/blob_store.h
//   journal         repositories and tags, as they changed
//   meta.db         an index over both, made again when it is lost
//   control.sock    of the process that serves: for garbage collection; mode 0600
//
// One process owns the directory. collect_garbage() asks the one that serves, where there is one.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/error.h"
#include "registryd/garbage.h"
#include "registryd/settings.h"

namespace berth::registryd {

class Registry {
 public:
  // How long to wait for another process to let go of the directory: ErrorKind::conflict then.
  static constexpr std::chrono::milliseconds kPatience = std::chrono::seconds(5);
  static Result<std::unique_ptr<Registry>> open(Settings settings,
                                                std::chrono::milliseconds patience = kPatience);
  Registry(const Registry&) = delete;
  Registry& operator=(const Registry&) = delete;
  ~Registry();  // stops

  Result<void> start();
  void stop();  // idempotent
  std::uint16_t port() const noexcept;

  Result<GarbageReport> collect_garbage(const GarbageOptions& options,
                                        const std::function<void(std::string_view)>& say);

 private:
  struct State;
  explicit Registry(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// By the process that serves the directory or, when none does, by this one. `say` gets lines without feeds.
Result<void> collect_garbage(const Settings& settings, const GarbageOptions& options,
                             const std::function<void(std::string_view)>& say);

}  // namespace berth::registryd
