// SPDX-License-Identifier: Apache-2.0
// Docker's profile files: an OCI policy whose rules may depend on capabilities, architecture and kernel.
#include <sys/utsname.h>

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "oci/runtime_spec.h"
#include "sys/seccomp.h"
#include "sys/seccomp_numbers.h"

namespace berth::sys {
namespace {

#if defined(__x86_64__)
constexpr std::string_view kMachine = "amd64";
#elif defined(__aarch64__)
constexpr std::string_view kMachine = "arm64";
#endif

struct Filter {
  std::vector<std::string> capabilities;
  std::vector<std::string> architectures;
  std::string minimum_kernel;  // "4.8"
};

Filter read_filter(ObjectReader& in, std::string_view name) {
  Filter out;
  in.read_object(name, [&](ObjectReader& part) {
    part.read("caps", out.capabilities);
    part.read("arches", out.architectures);
    part.read("minKernel", out.minimum_kernel);
  });
  return out;
}

bool kernel_is_at_least(const std::string& wanted) {
  utsname name{};
  uname(&name);
  auto numbers = [](std::string_view text) {
    auto [major_text, rest] = split_once(text, '.');
    std::string_view minor_text = rest.substr(0, rest.find_first_not_of("0123456789"));
    return std::pair(parse_integer<int>(major_text).value_or(0), parse_integer<int>(minor_text).value_or(0));
  };
  return numbers(name.release) >= numbers(wanted);
}

bool contains(const std::vector<std::string>& list, std::string_view name) {
  return std::ranges::find(list, name) != list.end();
}

// A rule stays when all of its `includes` hold and none of its `excludes`.
bool applies(const Filter& includes, const Filter& excludes, const std::vector<std::string>& capabilities) {
  auto held = [&](const std::string& name) { return contains(capabilities, name); };
  if (!std::ranges::all_of(includes.capabilities, held)) return false;
  if (!includes.architectures.empty() && !contains(includes.architectures, kMachine)) return false;
  if (!includes.minimum_kernel.empty() && !kernel_is_at_least(includes.minimum_kernel)) return false;
  if (std::ranges::any_of(excludes.capabilities, held)) return false;
  if (contains(excludes.architectures, kMachine)) return false;
  return excludes.minimum_kernel.empty() || !kernel_is_at_least(excludes.minimum_kernel);
}

void read_architectures(ObjectReader& in, oci::LinuxSeccomp& policy) {
  in.read_objects("archMap", [&](ObjectReader& entry) {
    std::string main;
    std::vector<std::string> others;
    entry.read("architecture", main);
    entry.read("subArchitectures", others);
    if (main != native_architecture().name) return;
    policy.architectures = {main};
    policy.architectures.insert(policy.architectures.end(), others.begin(), others.end());
  });
}

void read_rule(ObjectReader& in, oci::LinuxSeccomp& policy, const std::vector<std::string>& capabilities) {
  oci::SeccompRule rule;
  std::string name;
  in.read("name", name);
  in.read("names", rule.names);
  if (!name.empty()) rule.names.push_back(name);
  in.read("action", rule.action);
  in.read("errnoRet", rule.errno_return);
  in.read_objects("args", [&](ObjectReader& argument) {
    oci::SeccompArgument& one = rule.args.emplace_back();
    argument.read("index", one.index);
    argument.read("value", one.value);
    argument.read("valueTwo", one.value_two);
    argument.read("op", one.op);
  });
  Filter includes = read_filter(in, "includes");
  Filter excludes = read_filter(in, "excludes");
  if (applies(includes, excludes, capabilities)) policy.syscalls.push_back(std::move(rule));
}

}  // namespace

Result<oci::LinuxSeccomp> read_seccomp_profile(std::string_view text,
                                               const std::vector<std::string>& capabilities) {
  json::value document = TRY(parse_json(text, "the seccomp profile"));
  ObjectReader in(document, "the seccomp profile");
  oci::LinuxSeccomp policy;
  in.read("defaultAction", policy.default_action);
  in.read("defaultErrnoRet", policy.default_errno_return);
  in.read("architectures", policy.architectures);
  in.read("flags", policy.flags);
  in.read("listenerPath", policy.listener_path);
  read_architectures(in, policy);
  in.read_objects("syscalls", [&](ObjectReader& rule) { read_rule(rule, policy, capabilities); });
  TRY(in.finish());
  if (policy.default_action.empty())
    return fail(ErrorKind::invalid, "the seccomp profile has no defaultAction");
  return policy;
}

}  // namespace berth::sys
