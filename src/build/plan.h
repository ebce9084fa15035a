// SPDX-License-Identifier: Apache-2.0
// Which stages a build needs, and what each begins with. Pure.
#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "base/error.h"
#include "dockerfile/dockerfile.h"
#include "oci/platform.h"

namespace berth::build {

// What a name in FROM, COPY --from or a mount's from= stands for.
struct FromStage {
  std::size_t index = 0;
};
struct FromContext {
  std::string name;
};  // --build-context
struct FromImage {
  std::string name;
};
struct FromScratch {};
using Origin = std::variant<FromScratch, FromStage, FromContext, FromImage>;

struct PlannedStage {
  std::size_t index = 0;  // in the Dockerfile
  Origin base;
  std::optional<oci::Platform> platform;  // of --platform; missing: the build's
  std::size_t first_step = 0;             // number of its FROM, from 1
  // Of FROM and of each instruction the place among those that may take time, from 1; 0 for the others.
  std::vector<std::size_t> work_numbers;
  std::size_t works = 0;  // how many these are
};

struct PlanInput {
  std::map<std::string, std::string> arguments;
  std::set<std::string> contexts;  // of --build-context, by context_name()
  std::string target;
  oci::Platform platform;
};

struct Plan {
  std::vector<PlannedStage> stages;  // in the order of the file: each comes after all that it needs
  std::size_t target = 0;            // index in the file
  std::size_t steps = 0;
  std::size_t works = 0;                                // of all stages
  std::map<std::string, std::string> global_arguments;  // of before the first FROM
  std::set<std::string> used_arguments;                 // of PlanInput::arguments
};

Result<Plan> make_plan(const dockerfile::Dockerfile& file, const PlanInput& input);

// RUN, COPY, ADD and WORKDIR; others change the configuration alone.
bool makes_files(const dockerfile::Instruction& instruction) noexcept;

// One form for all ways to write a context's name, which may be an image's: "alpine" for "alpine:latest" and
// "docker.io/library/alpine".
std::string context_name(std::string_view written);

// The name in the instruction of stage `before`. A context replaces a stage of its name (but not one that is
// asked for by its number), and an image.
Origin origin_of(const dockerfile::Dockerfile& file, const std::set<std::string>& contexts,
                 std::string_view name, std::size_t before);

// TARGETPLATFORM, BUILDARCH and their like.
std::map<std::string, std::string> platform_arguments(const oci::Platform& target);
// HTTP_PROXY and its like: steps have them without a declaration, and results do not depend on them.
bool is_proxy_argument(std::string_view name) noexcept;

}  // namespace berth::build
