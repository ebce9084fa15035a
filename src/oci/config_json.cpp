// SPDX-License-Identifier: Apache-2.0
#include "oci/config_json.h"

namespace berth::oci {
namespace {

// Go's sets: {"80/tcp": {}, ...}
void read_set(ObjectReader& in, std::string_view name, std::set<std::string>& out) {
  const json::value* member = in.find(name);
  if (!member) return;
  if (!member->is_object()) return in.refuse(name, "an object");
  out.clear();
  for (const auto& [key, value] : member->get_object()) out.emplace(key);
}

json::object set_to_json(const std::set<std::string>& set) {
  json::object object;
  for (const std::string& key : set) object[key] = json::object();
  return object;
}

void read_list_or_string(ObjectReader& in, std::string_view name,
                         std::optional<std::vector<std::string>>& out) {
  const json::value* member = in.find(name);
  if (member && member->is_string()) {
    out = {std::string(member->get_string())};
    return;
  }
  in.read(name, out);
}

void read_duration(ObjectReader& in, std::string_view name, std::chrono::nanoseconds& out) {
  std::int64_t count = out.count();
  in.read(name, count);
  out = std::chrono::nanoseconds(count);
}

json::value list_or_null(const std::optional<std::vector<std::string>>& list) {
  if (!list) return nullptr;
  return to_json(*list);
}

}  // namespace

void read_health_check(ObjectReader& in, HealthCheck& check) {
  in.read("Test", check.test);
  read_duration(in, "Interval", check.interval);
  read_duration(in, "Timeout", check.timeout);
  read_duration(in, "StartPeriod", check.start_period);
  read_duration(in, "StartInterval", check.start_interval);
  in.read("Retries", check.retries);
}

void read_container_config(ObjectReader& in, ContainerConfig& config) {
  in.read("Hostname", config.hostname);
  in.read("Domainname", config.domainname);
  in.read("User", config.user);
  in.read("AttachStdin", config.attach_stdin);
  in.read("AttachStdout", config.attach_stdout);
  in.read("AttachStderr", config.attach_stderr);
  read_set(in, "ExposedPorts", config.exposed_ports);
  in.read("Tty", config.tty);
  in.read("OpenStdin", config.open_stdin);
  in.read("StdinOnce", config.stdin_once);
  in.read("Env", config.env);
  read_list_or_string(in, "Cmd", config.cmd);
  in.read_object("Healthcheck", [&](ObjectReader& inner) {
    HealthCheck check;
    read_health_check(inner, check);
    config.healthcheck = std::move(check);
  });
  in.read("ArgsEscaped", config.args_escaped);
  in.read("Image", config.image);
  read_set(in, "Volumes", config.volumes);
  in.read("WorkingDir", config.working_dir);
  read_list_or_string(in, "Entrypoint", config.entrypoint);
  in.read("NetworkDisabled", config.network_disabled);
  in.read("MacAddress", config.mac_address);
  in.read("OnBuild", config.on_build);
  in.read("Labels", config.labels);
  in.read("StopSignal", config.stop_signal);
  in.read("StopTimeout", config.stop_timeout);
  in.read("Shell", config.shell);
}

json::object to_json(const HealthCheck& check) {
  json::object object;
  if (!check.test.empty()) object["Test"] = to_json(check.test);
  if (check.interval.count() != 0) object["Interval"] = check.interval.count();
  if (check.timeout.count() != 0) object["Timeout"] = check.timeout.count();
  if (check.start_period.count() != 0) object["StartPeriod"] = check.start_period.count();
  if (check.start_interval.count() != 0) object["StartInterval"] = check.start_interval.count();
  if (check.retries != 0) object["Retries"] = check.retries;
  return object;
}

json::object to_json(const Platform& platform) {
  json::object object;
  object["architecture"] = platform.architecture;
  object["os"] = platform.os;
  if (!platform.os_version.empty()) object["os.version"] = platform.os_version;
  if (!platform.os_features.empty()) object["os.features"] = to_json(platform.os_features);
  if (!platform.variant.empty()) object["variant"] = platform.variant;
  return object;
}

json::object to_json(const ContainerConfig& config, ConfigForm form) {
  const bool api = form == ConfigForm::api;
  json::object object;
  if (api) {
    object["Hostname"] = config.hostname;
    object["Domainname"] = config.domainname;
  }
  if (api || !config.user.empty()) object["User"] = config.user;
  if (api) {
    object["AttachStdin"] = config.attach_stdin;
    object["AttachStdout"] = config.attach_stdout;
    object["AttachStderr"] = config.attach_stderr;
  }
  if (!config.exposed_ports.empty()) object["ExposedPorts"] = set_to_json(config.exposed_ports);
  if (api) {
    object["Tty"] = config.tty;
    object["OpenStdin"] = config.open_stdin;
    object["StdinOnce"] = config.stdin_once;
  }
  if (api || !config.env.empty()) object["Env"] = to_json(config.env);
  if (api || (config.cmd && !config.cmd->empty())) object["Cmd"] = list_or_null(config.cmd);
  if (config.healthcheck) object["Healthcheck"] = to_json(*config.healthcheck);
  if (config.args_escaped) object["ArgsEscaped"] = true;
  if (api) object["Image"] = config.image;
  if (!config.volumes.empty()) {
    object["Volumes"] = set_to_json(config.volumes);
  } else if (api) {
    object["Volumes"] = nullptr;
  }
  if (api || !config.working_dir.empty()) object["WorkingDir"] = config.working_dir;
  if (api || (config.entrypoint && !config.entrypoint->empty()))
    object["Entrypoint"] = list_or_null(config.entrypoint);
  if (config.network_disabled) object["NetworkDisabled"] = true;
  if (!config.mac_address.empty()) object["MacAddress"] = config.mac_address;
  if (!config.on_build.empty()) {
    object["OnBuild"] = to_json(config.on_build);
  } else if (api) {
    object["OnBuild"] = nullptr;
  }
  if (api || !config.labels.empty()) object["Labels"] = to_json(config.labels);
  if (!config.stop_signal.empty()) object["StopSignal"] = config.stop_signal;
  if (config.stop_timeout) object["StopTimeout"] = *config.stop_timeout;
  if (config.shell && !config.shell->empty()) object["Shell"] = to_json(*config.shell);
  return object;
}

}  // namespace berth::oci
