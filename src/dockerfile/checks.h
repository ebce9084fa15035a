// SPDX-License-Identifier: Apache-2.0
// `berth build --check`: the well-known rules, by their names in Docker's documentation (build checks
// reference): StageNameCasing, FromAsCasing, NoEmptyContinuation, ConsistentInstructionCasing,
// DuplicateStageName, ReservedStageName, JSONArgsRecommended, MaintainerDeprecated, UndefinedArgInFrom,
// WorkdirRelativePath, UndefinedVar, MultipleInstructionsDisallowed, LegacyKeyValueFormat,
// RedundantTargetPlatform, SecretsUsedInArgOrEnv, InvalidDefaultArgInFrom, FromPlatformFlagConstDisallowed,
// InvalidBaseImagePlatform, ExposeProtoCasing, ExposeInvalidFormat; and, where they are asked for, the
// experimental CopyIgnoredFile and InvalidDefinitionDescription. "#
// check=skip=A,B;error=true;experimental=all" is obeyed, or the build argument BUILDKIT_DOCKERFILE_CHECK in
// its place.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "dockerfile/dockerfile.h"
#include "dockerfile/ignore.h"
#include "oci/platform.h"

namespace berth::dockerfile {

struct Warning {
  std::string rule;
  std::string text;  // one sentence
  Position at;
  int last_line = 0;
};

// What there is to know of an image.
struct BaseImage {
  std::vector<std::string> environment;  // "NAME=value"
  oci::Platform platform;
};

struct CheckOptions {
  std::map<std::string, std::string> arguments;   // --build-arg
  const IgnoreRules* ignore = nullptr;            // for CopyIgnoredFile
  oci::Platform platform = oci::host_platform();  // that is built for
  // The image that FROM takes, with the platform of its --platform; nothing where it is not known. Stages on
  // such are not looked through for undefined variables.
  std::function<std::optional<BaseImage>(std::string_view image,
                                         const std::optional<oci::Platform>& platform)>
      image_of;
};

struct CheckReport {
  std::vector<Warning> warnings;  // by place
  bool are_errors = false;        // "error=true": the build is to fail where there is a warning
};
inline constexpr std::size_t kMostWarnings = 1000;  // further ones are left out
// Fails only where what is said of the checks themselves makes no sense.
Result<CheckReport> check(const Dockerfile& file, const CheckOptions& options);

// --call targets and outline, as plain data.
struct TargetLine {
  std::string name;  // or the number
  std::string description;
  bool is_default = false;
};
std::vector<TargetLine> targets(const Dockerfile& file);

struct Outline {
  struct Argument {
    std::string name, value, description;
  };
  struct Needed {
    std::string id;
    bool required = false;
  };
  std::string target;
  std::string description;
  std::vector<Argument> arguments;
  std::vector<Needed> secrets, ssh;
  std::vector<std::string> cache_mounts;  // their ids, or targets
};
// What the target ("" is the last stage; or not_found) and the stages that it needs ask for, with the values
// that they have with these of --build-arg.
Result<Outline> outline(const Dockerfile& file, std::string_view target,
                        const std::map<std::string, std::string>& arguments = {});

}  // namespace berth::dockerfile
