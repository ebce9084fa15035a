// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>

#include "base/json.h"
#include "base/text.h"
#include "cli/build/flags.h"
#include "cli/create/json_forms.h"
#include "oci/platform.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

Result<void> refuse_what_cannot_be_had(const Flags& flags) {
  struct Refusal {
    std::string_view flag;
    std::string_view instead;
  };
  static constexpr Refusal refusals[] = {
      {"security-opt", " for builds"},
      {"squash", ""},
  };
  for (const Refusal& refusal : refusals)
    if (flags.given(refusal.flag) && flags.text(refusal.flag) != "false")
      return fail(ErrorKind::unsupported, "--{} is not available in this version{}", refusal.flag,
                  refusal.instead);
  return {};
}

// Scripts say so by default, where builders would make some otherwise.
bool asks_for_no_attestation(std::string_view text) {
  return std::ranges::any_of(split(text, ','), [](std::string_view field) {
    const std::string word = to_lower(field);
    return word == "false" || word == "0" || word == "disabled=true" || word == "mode=min";
  });
}

Result<void> refuse_attestations(const Flags& flags) {
  auto check = [](std::string_view flag, const std::string& text) -> Result<void> {
    if (asks_for_no_attestation(text)) return {};
    return fail(ErrorKind::unsupported, "--{}={}: this version makes no attestations", flag, text);
  };
  for (const std::string_view flag : {"provenance", "sbom"})
    if (flags.given(flag)) TRY(check(flag, flags.text(flag)));
  for (const std::string& text : flags.list("attest")) TRY(check("attest", text));
  return {};
}

// There is one of each.
Result<void> refuse_other_builders(const Flags& flags) {
  for (const std::string_view flag : {"builder", "isolation"})
    if (const std::string name = flags.text(flag); !name.empty() && name != "default")
      return fail(ErrorKind::unsupported, "--{} {}: there is none but the default", flag, name);
  return {};
}

Result<void> add_names(const std::vector<std::string>& names, http::Query& query) {
  for (const std::string& name : names) {
    const Result<oci::Reference> reference = oci::Reference::parse(name);
    if (!reference)
      return fail(ErrorKind::invalid, "invalid tag \"{}\": {}", name, reference.error().message);
    query.add("t", name);
  }
  return {};
}

// NAME alone takes the value from here; null says that there is none.
Result<json::object> arguments(const Flags& flags) {
  json::object all;
  auto from_environment = [](const std::string& name) -> json::value {
    const char* value = std::getenv(name.c_str());
    return value ? json::value(value) : json::value(nullptr);
  };
  if (json::value epoch = from_environment("SOURCE_DATE_EPOCH");
      epoch.is_string() && !epoch.get_string().empty())
    all["SOURCE_DATE_EPOCH"] = std::move(epoch);
  for (const std::string& item : flags.list("build-arg")) {
    const auto [name, value] = split_once(item, '=');
    if (name.empty()) return fail(ErrorKind::invalid, "invalid --build-arg \"{}\": it has no name", item);
    all[name] = item.find('=') == item.npos ? from_environment(item) : json::value(value);
  }
  return all;
}

void add_limits(const Flags& flags, http::Query& query) {
  struct Member {
    std::string_view flag, parameter;
  };
  static constexpr Member sizes[] = {
      {"memory", "memory"}, {"memory-swap", "memswap"}, {"shm-size", "shmsize"}};
  static constexpr Member numbers[] = {
      {"cpu-period", "cpuperiod"}, {"cpu-quota", "cpuquota"}, {"cpu-shares", "cpushares"}};
  static constexpr Member texts[] = {
      {"cgroup-parent", "cgroupparent"}, {"cpuset-cpus", "cpusetcpus"}, {"cpuset-mems", "cpusetmems"}};
  for (const Member& member : sizes)
    if (flags.given(member.flag)) query.add(member.parameter, std::to_string(flags.bytes(member.flag)));
  for (const Member& member : numbers)
    if (flags.given(member.flag)) query.add(member.parameter, std::to_string(flags.integer(member.flag)));
  for (const Member& member : texts)
    if (flags.given(member.flag)) query.add(member.parameter, flags.text(member.flag));
  if (flags.given("ulimit")) query.add("ulimits", json::serialize(ulimits(flags.list("ulimit"))));
}

}  // namespace

Result<http::Query> build_query(const Flags& flags, const std::vector<std::string>& names) {
  TRY(refuse_what_cannot_be_had(flags));
  TRY(refuse_attestations(flags));
  TRY(refuse_other_builders(flags));
  http::Query query;
  TRY(add_names(names, query));
  if (json::object all = TRY(arguments(flags)); !all.empty()) query.add("buildargs", json::serialize(all));
  if (flags.given("label")) query.add("labels", json::serialize(pairs(flags.list("label"))));
  if (flags.given("target")) query.add("target", flags.text("target"));
  if (flags.on("no-cache")) query.add("nocache", "1");
  if (flags.on("pull")) query.add("pull", "1");
  if (flags.given("network")) query.add("networkmode", flags.text("network"));
  for (const std::string& host : flags.list("add-host")) query.add("extrahosts", host);
  if (flags.given("platform")) {
    const std::string platform = flags.text("platform");
    if (platform.find(',') != platform.npos)
      return fail(ErrorKind::unsupported, "--platform {}: an image is built for one platform at a time",
                  platform);
    TRY_AS("--platform", oci::parse_platform(platform));
    query.add("platform", platform);
  }
  add_limits(flags, query);
  return query;
}

}  // namespace berth::cli
