// SPDX-License-Identifier: Apache-2.0
// New containers: the client's configuration merged with the image's, checked, and recorded.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/container.h"
#include "engine/lifecycle.h"
#include "engine/networks.h"
#include "engine/registry.h"
#include "engine/root_file_system.h"
#include "engine/settings.h"
#include "engine/volumes.h"
#include "image/image_store.h"

namespace berth::engine {

struct NewContainer {
  std::string name;  // "": one is made up
  oci::ContainerConfig config;
  HostConfig host_config;
  std::string platform;                               // "": the image's
  std::map<std::string, EndpointSettings> endpoints;  // by network
};

struct CreatedContainer {
  std::string id;
  std::vector<std::string> warnings;
};

class Creator {
 public:
  Creator(const Settings& settings, Registry& registry, image::ImageStore& images,
          const RootFileSystems& roots, Volumes& volumes, Networks& networks, Lifecycle& lifecycle)
      : settings_(settings),
        registry_(registry),
        images_(images),
        roots_(roots),
        volumes_(volumes),
        networks_(networks),
        lifecycle_(lifecycle) {}

  Result<CreatedContainer> create(NewContainer request);

 private:
  Result<std::vector<MountPoint>> collect_mounts(const oci::ContainerConfig& config,
                                                 const HostConfig& host) const;
  Result<std::vector<MountPoint>> mounts_of_others(const HostConfig& host) const;

  const Settings& settings_;
  Registry& registry_;
  image::ImageStore& images_;
  const RootFileSystems& roots_;
  Volumes& volumes_;
  Networks& networks_;
  Lifecycle& lifecycle_;
};

// The image's defaults where the client said nothing, by Docker's rules. Pure.
void merge_image_defaults(oci::ContainerConfig& config, const oci::ContainerConfig& image);

}  // namespace berth::engine
