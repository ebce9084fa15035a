// SPDX-License-Identifier: Apache-2.0
// `docker commit --change` and `docker import --change`: single Dockerfile instructions that change an
// image's defaults. Exec form (["a", "b"]) and shell form are both understood.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "oci/image_config.h"

namespace berth::oci {

// One of CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR.
// Anything else is refused. On an error `config` is unchanged.
Result<void> apply_change(ContainerConfig& config, std::string_view instruction);

// All of them in order, or none. Each text may hold several lines.
Result<void> apply_changes(ContainerConfig& config, std::span<const std::string> instructions);

}  // namespace berth::oci
