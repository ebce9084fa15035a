// SPDX-License-Identifier: Apache-2.0
#include "cli/create/security.h"

#include <cstring>
#include <set>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/flags/checks.h"

namespace berth::cli {
namespace {

std::set<std::string> normalized(const std::vector<std::string>& names) {
  std::set<std::string> all;
  for (const std::string& name : names) {
    std::string upper = to_upper(trim(name));
    if (upper != "ALL" && !upper.starts_with("CAP_")) upper = "CAP_" + upper;
    all.insert(upper);
  }
  if (all.contains("ALL")) return {"ALL"};
  return all;
}

json::value list_or_null(const std::set<std::string>& names) {
  if (names.empty()) return nullptr;
  return json::value(json::array(names.begin(), names.end()));
}

bool valid_mode(std::string_view mode) {
  return !mode.empty() && mode.size() <= 3 && mode.find_first_not_of("rwm") == mode.npos &&
         std::set<char>(mode.begin(), mode.end()).size() == mode.size();
}

// vendor.com/class=name of the Container Device Interface.
bool names_interface_device(std::string_view text) {
  auto [kind, name] = split_once(text, '=');
  auto [vendor, device_class] = split_once(kind, '/');
  return !text.starts_with('/') && !name.empty() && !vendor.empty() && !device_class.empty() &&
         device_class.find('/') == device_class.npos;
}

Result<json::object> parse_device(const std::string& text) {
  auto parts = split(text, ':');
  std::string_view source = parts[0], target = source, mode = "rwm";
  if (parts.size() > 3 || source.empty())
    return fail(ErrorKind::invalid, "invalid device specification: {}", text);
  if (parts.size() == 3) target = parts[1], mode = parts[2];
  if (parts.size() == 2) (valid_mode(parts[1]) ? mode : target) = parts[1];
  if (!valid_mode(mode)) return fail(ErrorKind::invalid, "bad mode specified: {}", mode);
  return json::object{{"PathOnHost", source}, {"PathInContainer", target}, {"CgroupPermissions", mode}};
}

// The profile on one line, so that it is one option.
Result<std::string> read_profile(const std::string& path) {
  Result<std::string> text = read_file(path);
  if (!text)
    return fail(ErrorKind::invalid, "opening seccomp profile ({}) failed: open {}: {}", path, path,
                words_of_errno(text.error().code));
  Result<json::value> profile = parse_json(*text, path);
  if (!profile)
    return fail(ErrorKind::invalid, "compacting json for seccomp profile ({}) failed: {}", path,
                profile.error().message);
  return json::serialize(*profile);
}

}  // namespace

std::int64_t cpus_of(const std::string& checked) { return parse_cpus(checked).value_or(0); }

std::string words_of_errno(int code) {
  std::string words = std::strerror(code);
  if (!words.empty()) words[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(words[0])));
  return words;
}

void add_capabilities(const std::vector<std::string>& added, const std::vector<std::string>& dropped,
                      json::object& host) {
  std::set<std::string> add = normalized(added), drop = normalized(dropped);
  for (const std::string& name : add)
    if (name != "ALL") drop.erase(name);
  host["CapAdd"] = list_or_null(add);
  host["CapDrop"] = list_or_null(drop);
}

Result<void> add_security_options(const std::vector<std::string>& options, json::object& host) {
  json::array kept;
  host["MaskedPaths"] = nullptr;
  host["ReadonlyPaths"] = nullptr;
  for (const std::string& option : options) {
    char separator = option.find('=') != option.npos ? '=' : ':';
    auto [name, value] = split_once(option, separator);
    if (option.find(separator) == option.npos && name != "no-new-privileges")
      return fail(ErrorKind::invalid, "Invalid --security-opt: \"{}\"", option);
    if (option == "systempaths=unconfined") {
      host["MaskedPaths"] = json::array();
      host["ReadonlyPaths"] = json::array();
    } else if (name == "seccomp" && value != "unconfined" && value != "builtin") {
      std::string profile = TRY(read_profile(std::string(value)));
      kept.emplace_back("seccomp=" + profile);
    } else {
      kept.emplace_back(option);
    }
  }
  host["SecurityOpt"] = options.empty() ? json::value(nullptr) : json::value(std::move(kept));
  return {};
}

Result<void> add_devices(const std::vector<std::string>& devices, json::object& host) {
  json::array nodes, interface_names;
  for (const std::string& device : devices) {
    if (names_interface_device(device))
      interface_names.emplace_back(device);
    else {
      json::object node = TRY(parse_device(device));
      nodes.push_back(std::move(node));
    }
  }
  host["Devices"] = std::move(nodes);
  host["DeviceRequests"] = nullptr;
  if (!interface_names.empty())
    host["DeviceRequests"] = json::array{json::object{{"Driver", "cdi"},
                                                      {"Count", 0},
                                                      {"DeviceIDs", std::move(interface_names)},
                                                      {"Capabilities", nullptr},
                                                      {"Options", nullptr}}};
  return {};
}

}  // namespace berth::cli
