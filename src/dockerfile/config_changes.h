// SPDX-License-Identifier: Apache-2.0
// Instructions that change an image's defaults and nothing else: CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK,
// LABEL, ONBUILD, SHELL, STOPSIGNAL, USER, VOLUME, WORKDIR. In builds, in `docker commit --change` and
// `docker import --change`.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "dockerfile/dockerfile.h"
#include "dockerfile/expand.h"
#include "oci/image_config.h"

namespace berth::dockerfile {

bool changes_config_only(const Instruction& instruction) noexcept;

// Of one build stage, or of one list of changes.
struct ConfigState {
  bool cmd_was_set = false;
};

// Words are expanded first, all of an instruction's by the variables from before it; those of CMD,
// ENTRYPOINT, HEALTHCHECK, ONBUILD and SHELL are not, as in Docker. ENTRYPOINT takes back a CMD that the same
// stage has not set itself. On an error `config` is unchanged. Whether a signal is one is not known on this
// floor.
Result<void> apply(oci::ContainerConfig& config, const Instruction& instruction, const Expansion& expansion,
                   ConfigState& state);

// Of `commit --change` and `import --change`: all of them in order, or none. Each text may hold several
// lines. Variables are those of the configuration itself.
Result<void> apply_changes(oci::ContainerConfig& config, std::span<const std::string> instructions);

// "NAME=value" in a list: replaced where it is, or added at the end.
void set_environment(std::vector<std::string>& environment, std::string_view name, std::string_view value);

// What runs for a command: an exec form's words, or the shell (the configuration's, or /bin/sh -c) with the
// text.
std::vector<std::string> command_words(const Command& command, const oci::ContainerConfig& config);

}  // namespace berth::dockerfile
