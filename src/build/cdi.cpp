// SPDX-License-Identifier: Apache-2.0
#include "build/cdi.h"

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

namespace berth::build {
namespace {

constexpr std::string_view kOpenAnnotation = "org.mobyproject.buildkit.device.autoallow";

bool is_plain_path(std::string_view path) {
  return path.starts_with('/') && path.find("/../") == path.npos && !path.ends_with("/..") &&
         path.find('\0') == path.npos;
}

void read_node(ObjectReader& in, CdiDevice& device) {
  StepDevice node;
  in.read("path", node.inside);
  in.read("hostPath", node.host);
  in.read("permissions", node.permissions);
  if (node.host.empty()) node.host = node.inside;
  if (node.permissions.empty()) node.permissions = "rwm";
  if (!is_plain_path(node.inside)) return in.refuse("path", "an absolute path");
  if (!is_plain_path(node.host)) return in.refuse("hostPath", "an absolute path");
  if (node.permissions.find_first_not_of("rwm") != node.permissions.npos)
    return in.refuse("permissions", "letters of \"rwm\"");
  device.nodes.push_back(std::move(node));
}

void read_edits(ObjectReader& in, CdiDevice& device) {
  std::vector<std::string> environment;
  in.read("env", environment);
  device.environment.insert(device.environment.end(), environment.begin(), environment.end());
  in.read_objects("deviceNodes", [&](ObjectReader& node) { read_node(node, device); });
  for (const char* other : {"mounts", "hooks", "intelRdt", "additionalGids", "netDevices"})
    if (in.find(other)) device.missing = other;
}

bool is_open(ObjectReader& in) {
  std::map<std::string, std::string> annotations;
  in.read("annotations", annotations);
  const auto found = annotations.find(std::string(kOpenAnnotation));
  return found != annotations.end() && (found->second == "true" || found->second == "1");
}

bool allows(const std::set<std::string>& allowed, const CdiDevice& device) {
  return device.open || allowed.contains("device") || allowed.contains("device=" + device.kind) ||
         allowed.contains("device=" + device.qualified());
}

}  // namespace

Result<std::vector<CdiDevice>> read_cdi_specification(std::string_view text) {
  const json::value document = TRY(parse_json(text, "the CDI specification"));
  ObjectReader in(document, "");
  CdiDevice common;
  in.read("kind", common.kind);
  if (common.kind.find('/') == std::string::npos) in.refuse("kind", "\"vendor/class\"");
  common.open = is_open(in);
  in.read_object("containerEdits", [&](ObjectReader& edits) { read_edits(edits, common); });
  std::vector<CdiDevice> devices;
  in.read_objects("devices", [&](ObjectReader& one) {
    CdiDevice device = common;
    one.read("name", device.name);
    if (device.name.empty()) one.refuse("name", "a name");
    device.open = device.open || is_open(one);
    one.read_object("containerEdits", [&](ObjectReader& edits) { read_edits(edits, device); });
    devices.push_back(std::move(device));
  });
  TRY(in.finish());
  return devices;
}

std::vector<CdiDevice> list_cdi_devices(const std::vector<std::string>& directories) {
  std::vector<CdiDevice> all;
  for (const std::string& directory : directories) {
    for (const std::string& name : list_directory(directory).value_or(std::vector<std::string>())) {
      if (!name.ends_with(".json")) continue;
      const std::string path = directory + "/" + name;
      const Result<std::string> text = read_file(path);
      Result<std::vector<CdiDevice>> devices =
          text ? read_cdi_specification(*text) : std::unexpected(text.error());
      if (!devices) {
        log_warning("build", "{}: {}", path, devices.error().message);
        continue;
      }
      for (CdiDevice& device : *devices) {
        std::erase_if(all, [&](const CdiDevice& other) { return other.qualified() == device.qualified(); });
        all.push_back(std::move(device));
      }
    }
  }
  return all;
}

Result<DeviceRequest> parse_device_request(std::string_view text) {
  DeviceRequest request;
  for (const std::string_view field : split(text, ',')) {
    const auto [key, value] = split_once(field, '=');
    if (key == "required") {
      if (value != "" && value != "true" && value != "1" && value != "false" && value != "0")
        return fail(ErrorKind::invalid, "--device: required is true or false, not \"{}\"", value);
      request.required = value != "false" && value != "0";
    } else if (request.name.empty()) {
      request.name = key == "name" ? value : field;
    } else {
      return fail(ErrorKind::invalid, "--device: unexpected field \"{}\"", field);
    }
  }
  if (request.name.find('/') == std::string::npos)
    return fail(ErrorKind::invalid, "--device: \"{}\" is no device's name (vendor.com/class=name)",
                request.name);
  return request;
}

Result<std::vector<CdiDevice>> choose_devices(const std::vector<CdiDevice>& known,
                                              const DeviceRequest& wanted,
                                              const std::set<std::string>& allowed) {
  const auto [kind, name] = split_once(wanted.name, '=');
  std::vector<CdiDevice> chosen;
  for (const CdiDevice& device : known)
    if (device.kind == kind && (name == "*" || device.name == name || (name.empty() && chosen.empty())))
      chosen.push_back(device);
  if (chosen.empty() && wanted.required)
    return fail(ErrorKind::not_found, "this host's CDI specifications (*.json) have no device {}",
                wanted.name);
  for (const CdiDevice& device : chosen) {
    if (!allows(allowed, device))
      return fail(
          ErrorKind::denied,
          "RUN --device={} is not allowed: a build that may have the device is begun with --allow device={}",
          wanted.name, device.qualified());
    if (!device.missing.empty())
      return fail(ErrorKind::unsupported, "the device {} needs {}, which steps of builds cannot have",
                  device.qualified(), device.missing);
  }
  return chosen;
}

}  // namespace berth::build
