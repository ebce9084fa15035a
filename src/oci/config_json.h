// SPDX-License-Identifier: Apache-2.0
// ContainerConfig and HealthCheck as JSON objects, for documents that have them as a part: image configs and
// Docker's API. Include it in sources only: it brings Boost.JSON along.
#pragma once
#include "base/json.h"
#include "oci/image_config.h"

namespace berth::oci {

// Reads the members of Docker's container.Config that ContainerConfig has. Members that are missing keep
// their values. Cmd and Entrypoint may be a string, which stands for a list of one.
void read_container_config(ObjectReader& in, ContainerConfig& config);
void read_health_check(ObjectReader& in, HealthCheck& check);

using berth::to_json;  // for lists and maps, beside the ones below

enum class ConfigForm {
  image,  // what image-spec has, and Docker's extensions where they are set
  api,    // every member that Docker's API always sends
};
json::object to_json(const ContainerConfig& config, ConfigForm form);
json::object to_json(const HealthCheck& check);
json::object to_json(const Platform& platform);

}  // namespace berth::oci
