// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/info.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/template/value.h"

namespace berth::cli {
namespace {

class Block {
 public:
  explicit Block(const json::value& info) : info_(info) {}

  void line(std::string_view name, const std::string& value) {
    out_ += fmt::format(" {}: {}\n", name, value);
  }
  void text(std::string_view name, std::string_view member) { line(name, text_of(info_, member)); }
  void text_if_any(std::string_view name, std::string_view member) {
    if (std::string value = text_of(info_, member); !value.empty()) line(name, value);
  }
  void number(std::string_view name, std::string_view member) {
    line(name, std::to_string(number_of(info_, member)));
  }
  void flag(std::string_view name, std::string_view member) {
    line(name, flag_of(info_, member) ? "true" : "false");
  }
  void raw(const std::string& lines) { out_ += lines; }
  std::string take() { return std::move(out_); }

 private:
  const json::value& info_;
  std::string out_;
};

std::vector<std::string> strings(const json::value& list) {
  std::vector<std::string> all;
  if (const json::array* items = list.if_array())
    for (const json::value& item : *items)
      if (item.is_string()) all.emplace_back(item.get_string());
  return all;
}

std::string driver_status(const json::value& info) {
  std::string out;
  if (const json::array* pairs = member_of(info, "DriverStatus").if_array())
    for (const json::value& pair : *pairs) {
      std::vector<std::string> parts = strings(pair);
      if (parts.size() == 2) out += fmt::format("  {}: {}\n", parts[0], parts[1]);
    }
  return out;
}

std::string plugins(const json::value& info) {
  const json::value& all = member_of(info, "Plugins");
  std::string out = " Plugins:\n";
  for (std::string_view kind : {"Volume", "Network"})
    out += fmt::format("  {}: {}\n", kind, join(strings(member_of(all, kind)), " "));
  if (std::vector<std::string> authorization = strings(member_of(all, "Authorization"));
      !authorization.empty())
    out += fmt::format("  Authorization: {}\n", join(authorization, " "));
  return out + fmt::format("  Log: {}\n", join(strings(member_of(all, "Log")), " "));
}

std::string runtimes(const json::value& info) {
  std::vector<std::string> names;
  if (const json::object* all = member_of(info, "Runtimes").if_object())
    for (const auto& runtime : *all) names.emplace_back(runtime.key());
  std::ranges::sort(names);
  return join(names, " ");
}

// "name=seccomp,profile=builtin" as a line and its details below.
std::string security_options(const json::value& info) {
  std::vector<std::string> options = strings(member_of(info, "SecurityOptions"));
  if (options.empty()) return {};
  std::string out = " Security Options:\n";
  for (const std::string& option : options) {
    std::string details;
    std::string name;
    for (std::string_view part : split(option, ',')) {
      auto [key, value] = split_once(part, '=');
      if (key == "name")
        name = value;
      else if (key == "profile")
        details += fmt::format("   Profile: {}\n", value);
      else
        details += fmt::format("   {}: {}\n", key, value);
    }
    out += "  " + name + "\n" + details;
  }
  return out;
}

std::string insecure_registries(const json::value& info) {
  const json::value& registries = member_of(info, "RegistryConfig");
  std::vector<std::string> names;
  if (const json::object* all = member_of(registries, "IndexConfigs").if_object())
    for (const auto& registry : *all)
      if (!flag_of(registry.value(), "Secure")) names.emplace_back(registry.key());
  for (const std::string& range : strings(member_of(registries, "InsecureRegistryCIDRs")))
    names.push_back(range);
  if (names.empty()) return {};
  std::string out = " Insecure Registries:\n";
  for (const std::string& name : names) out += "  " + name + "\n";
  return out;
}

std::string list_block(std::string_view title, const std::vector<std::string>& items) {
  if (items.empty()) return {};
  std::string out = fmt::format(" {}:\n", title);
  for (const std::string& item : items) out += "  " + item + "\n";
  return out;
}

}  // namespace

std::string client_block(const json::value& client) {
  return fmt::format("Client:\n Version:    {}\n Context:    default\n Debug Mode: {}\n",
                     text_of(client, "Version"), flag_of(client, "Debug") ? "true" : "false");
}

std::string server_block(const json::value& info) {
  Block block(info);
  block.raw("\nServer:\n");
  block.number("Containers", "Containers");
  for (std::string_view state : {"Running", "Paused", "Stopped"})
    block.raw(fmt::format("  {}: {}\n", state, number_of(info, "Containers" + std::string(state))));
  block.number("Images", "Images");
  block.text_if_any("Server Version", "ServerVersion");
  block.text("Storage Driver", "Driver");
  block.raw(driver_status(info));
  block.text_if_any("Logging Driver", "LoggingDriver");
  block.text_if_any("Cgroup Driver", "CgroupDriver");
  block.text_if_any("Cgroup Version", "CgroupVersion");
  block.raw(plugins(info));
  block.raw(list_block("CDI spec directories", strings(member_of(info, "CDISpecDirs"))));
  std::string swarm = text_of(member_of(info, "Swarm"), "LocalNodeState");
  block.line("Swarm", swarm.empty() ? "inactive" : swarm);
  if (member_of(info, "Runtimes").is_object()) {
    block.line("Runtimes", runtimes(info));
    block.text("Default Runtime", "DefaultRuntime");
  }
  block.text("Init Binary", "InitBinary");
  block.line("containerd version", text_of(member_of(info, "ContainerdCommit"), "ID"));
  block.line("runc version", text_of(member_of(info, "RuncCommit"), "ID"));
  block.line("init version", text_of(member_of(info, "InitCommit"), "ID"));
  block.raw(security_options(info));
  block.text_if_any("Kernel Version", "KernelVersion");
  block.text_if_any("Operating System", "OperatingSystem");
  block.text_if_any("OSType", "OSType");
  block.text_if_any("Architecture", "Architecture");
  block.number("CPUs", "NCPU");
  block.line("Total Memory", format_size_binary(static_cast<double>(number_of(info, "MemTotal"))));
  block.text_if_any("Name", "Name");
  block.text_if_any("ID", "ID");
  block.text("Docker Root Dir", "DockerRootDir");
  block.flag("Debug Mode", "Debug");
  if (flag_of(info, "Debug")) {
    block.raw(
        fmt::format("  File Descriptors: {}\n  Goroutines: {}\n  System Time: {}\n  EventsListeners: {}\n",
                    number_of(info, "NFd"), number_of(info, "NGoroutines"), text_of(info, "SystemTime"),
                    number_of(info, "NEventsListener")));
  }
  block.text_if_any("HTTP Proxy", "HttpProxy");
  block.text_if_any("HTTPS Proxy", "HttpsProxy");
  block.text_if_any("No Proxy", "NoProxy");
  block.raw(list_block("Labels", strings(member_of(info, "Labels"))));
  block.flag("Experimental", "ExperimentalBuild");
  block.raw(insecure_registries(info));
  block.raw(list_block("Registry Mirrors", strings(member_of(member_of(info, "RegistryConfig"), "Mirrors"))));
  block.flag("Live Restore Enabled", "LiveRestoreEnabled");
  block.text_if_any("Product License", "ProductLicense");
  block.raw("\n");
  return block.take();
}

std::string info_warnings(const json::value& info) {
  std::string out;
  for (const std::string& warning : strings(member_of(info, "Warnings"))) out += warning + "\n";
  return out;
}

}  // namespace berth::cli
