// SPDX-License-Identifier: Apache-2.0
#include "oci/platform.h"

#include <sys/utsname.h>

#include <algorithm>

#include "base/text.h"

namespace berth::oci {
namespace {

bool valid_word(std::string_view text) {
  return !text.empty() && text.size() <= 64 && text.front() != '.' && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

bool known_os(std::string_view os) {
  constexpr std::string_view names[] = {"linux",  "windows", "darwin", "freebsd",
                                        "wasip1", "illumos", "macos"};
  return std::ranges::find(names, os) != std::end(names);
}

// An arm machine runs what was made for an older or equal version of its architecture.
int arm_version(std::string_view variant) {
  if (variant.starts_with('v')) variant.remove_prefix(1);
  return parse_integer<int>(split_once(variant, '.').first).value_or(0);
}

}  // namespace

Platform host_platform() {
  Platform platform{.os = "linux"};
  struct utsname machine;
  if (::uname(&machine) == 0) platform.architecture = machine.machine;
  return normalize(std::move(platform));
}

Platform normalize(Platform platform) {
  platform.os = to_lower(platform.os);
  if (platform.os == "macos") platform.os = "darwin";
  std::string& architecture = platform.architecture;
  std::string& variant = platform.variant;
  architecture = to_lower(architecture);
  variant = to_lower(variant);
  if (architecture == "i386" || architecture == "i686" || architecture == "x86") {
    architecture = "386";
    variant.clear();
  } else if (architecture == "x86_64" || architecture == "x86-64" || architecture == "amd64") {
    architecture = "amd64";
    if (variant == "v1") variant.clear();
  } else if (architecture == "aarch64" || architecture == "arm64") {
    architecture = "arm64";
    if (variant == "8" || variant == "v8") variant.clear();
  } else if (architecture == "armhf" || architecture == "armv7l") {
    architecture = "arm";
    variant = "v7";
  } else if (architecture == "armel" || architecture == "armv6l") {
    architecture = "arm";
    variant = "v6";
  } else if (architecture == "arm") {
    if (variant.empty()) variant = "v7";
    if (variant.front() != 'v') variant.insert(0, "v");
  }
  return platform;
}

Result<Platform> parse_platform(std::string_view text) {
  std::vector<std::string_view> parts = split(text, '/');
  if (parts.size() > 3 || !std::ranges::all_of(parts, valid_word))
    return fail(ErrorKind::invalid, "\"{}\" is not a platform; write os/architecture[/variant]",
                text.substr(0, 200));
  Platform host = host_platform();
  if (parts.size() == 1) {
    if (!known_os(to_lower(parts[0])))
      return normalize({.os = host.os, .architecture = std::string(parts[0])});
    host.os = parts[0];
    return normalize(std::move(host));
  }
  return normalize({.os = std::string(parts[0]),
                    .architecture = std::string(parts[1]),
                    .variant = parts.size() == 3 ? std::string(parts[2]) : std::string()});
}

std::string format_platform(const Platform& platform) {
  std::string text = platform.os + "/" + platform.architecture;
  if (!platform.variant.empty()) text += "/" + platform.variant;
  return text;
}

bool runs_on(const Platform& wanted, const Platform& host) {
  Platform image = normalize(wanted);
  Platform machine = normalize(host);
  if (image.os != machine.os) return false;
  bool arm_on_64 = image.architecture == "arm" && machine.architecture == "arm64";
  if (arm_on_64) return arm_version(image.variant) <= 8;
  if (image.architecture == "386" && machine.architecture == "amd64") return true;
  if (image.architecture != machine.architecture) return false;
  if (image.architecture == "arm") return arm_version(image.variant) <= arm_version(machine.variant);
  // amd64/v3 runs on machines that this program does not tell apart: the image's author asked for it.
  return true;
}

}  // namespace berth::oci
