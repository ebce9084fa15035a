// SPDX-License-Identifier: Apache-2.0
// RUN of a Dockerfile: a container for one command, made and run like any other, which no client sees. Its
// record says what it is, so that an engine that was killed in a build ends and removes it at its next start.
#pragma once
#include <memory>
#include <string>

#include "base/error.h"
#include "build/runner.h"
#include "engine/build_policy.h"
#include "engine/container.h"
#include "engine/lifecycle.h"
#include "engine/networks.h"
#include "engine/registry.h"
#include "engine/root_file_system.h"
#include "engine/settings.h"
#include "image/image_store.h"

namespace berth::engine {

class BuildRunner final : public build::StepRunner {
 public:
  BuildRunner(const Settings& settings, const BuildPolicy& policy, Registry& registry,
              image::ImageStore& images, const RootFileSystems& roots, Networks& networks,
              Lifecycle& lifecycle)
      : settings_(settings),
        policy_(policy),
        registry_(registry),
        images_(images),
        roots_(roots),
        networks_(networks),
        lifecycle_(lifecycle) {}

  Result<int> run(const build::StepRequest& request, const OnOutput& output, const OnChanges& changed,
                  const std::stop_token& stop) override;

 private:
  Result<ContainerRecord> make_record(const build::StepRequest& request) const;
  Result<ContainerPointer> create(const build::StepRequest& request);
  Result<int> watch(const ContainerPointer& container, const OnOutput& output, const std::stop_token& stop);

  const Settings& settings_;
  const BuildPolicy& policy_;
  Registry& registry_;
  image::ImageStore& images_;
  const RootFileSystems& roots_;
  Networks& networks_;
  Lifecycle& lifecycle_;
};

}  // namespace berth::engine
