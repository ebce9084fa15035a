// SPDX-License-Identifier: Apache-2.0
#include "cli/create/request.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/create/json_forms.h"
#include "cli/create/mount.h"
#include "cli/create/networks.h"
#include "cli/create/ports.h"
#include "cli/create/security.h"

namespace berth::cli {
namespace {

Result<std::vector<std::string>> environment(const Flags& flags) {
  std::vector<std::string> all;
  for (const std::string& path : flags.list("env-file")) {
    std::vector<std::string> lines = TRY(read_settings_file(path, true));
    all.insert(all.end(), lines.begin(), lines.end());
  }
  all.insert(all.end(), flags.list("env").begin(), flags.list("env").end());
  return all;
}

Result<json::object> labels(const Flags& flags) {
  std::vector<std::string> all;
  for (const std::string& path : flags.list("label-file")) {
    std::vector<std::string> lines = TRY(read_settings_file(path, false));
    all.insert(all.end(), lines.begin(), lines.end());
  }
  all.insert(all.end(), flags.list("label").begin(), flags.list("label").end());
  return pairs(all);
}

// "./x:/y" names a directory here; a name without a dot is a volume's.
std::string absolute_source(const std::string& bind) {
  auto [source, rest] = split_once(bind, ':');
  if (!source.starts_with('.')) return bind;
  std::error_code ignored;
  std::string full = (std::filesystem::current_path(ignored) / source).lexically_normal().string();
  while (full.size() > 1 && full.ends_with('/')) full.pop_back();
  return full + ":" + std::string(rest);
}

Result<void> add_volumes(const Flags& flags, json::object& config, json::object& host) {
  json::object volumes;
  std::vector<std::string> binds;
  for (const std::string& volume : flags.list("volume")) {
    if (volume.find(':') == volume.npos)
      volumes[volume] = json::object();
    else
      binds.push_back(absolute_source(volume));
  }
  config["Volumes"] = std::move(volumes);
  host["Binds"] = list_or_null(binds);
  host["VolumesFrom"] = list_or_null(flags.list("volumes-from"));
  host["VolumeDriver"] = flags.text("volume-driver");
  json::array mounts;
  for (const std::string& text : flags.list("mount")) {
    json::object mount = TRY(parse_mount(text));
    mounts.push_back(std::move(mount));
  }
  if (!mounts.empty()) host["Mounts"] = std::move(mounts);
  json::object tmpfs;
  for (const std::string& mount : flags.list("tmpfs")) {
    auto [path, options] = split_once(mount, ':');
    tmpfs[path] = options;
  }
  if (!tmpfs.empty()) host["Tmpfs"] = std::move(tmpfs);
  return {};
}

Result<json::object> restart_policy(const Flags& flags) {
  std::string text = flags.text("restart");
  auto [name, count] = split_once(text, ':');
  std::int64_t retries = 0;
  if (!count.empty()) {
    auto number = parse_integer<std::int32_t>(count);
    if (!number)
      return fail(ErrorKind::invalid,
                  "invalid restart policy format: maximum retry count must be an integer");
    retries = *number;
  }
  if (flags.on("rm") && !name.empty() && name != "no")
    return fail(ErrorKind::invalid, "conflicting options: cannot specify both --restart and --rm");
  return json::object{{"Name", name}, {"MaximumRetryCount", retries}};
}

Result<std::optional<json::object>> healthcheck(const Flags& flags) {
  static constexpr std::string_view names[] = {
      "health-cmd",          "health-interval",       "health-timeout",
      "health-start-period", "health-start-interval", "health-retries"};
  bool any = std::ranges::any_of(names, [&](std::string_view name) { return flags.given(name); });
  json::object check;
  if (flags.on("no-healthcheck")) {
    if (any) return fail(ErrorKind::invalid, "--no-healthcheck conflicts with --health-* options");
    check["Test"] = json::array{"NONE"};
    return check;
  }
  if (!any) return std::nullopt;
  if (flags.given("health-cmd")) check["Test"] = json::array{"CMD-SHELL", flags.text("health-cmd")};
  struct Member {
    std::string_view name;
    std::string_view flag;
  };
  for (auto [name, flag] :
       {Member{"Interval", "health-interval"}, Member{"Timeout", "health-timeout"},
        Member{"StartPeriod", "health-start-period"}, Member{"StartInterval", "health-start-interval"}}) {
    std::int64_t time = flags.nanoseconds(flag);
    if (time < 0) return fail(ErrorKind::invalid, "--{} cannot be negative", flag);
    if (time > 0) check[name] = time;
  }
  if (flags.integer("health-retries") < 0)
    return fail(ErrorKind::invalid, "--health-retries cannot be negative");
  if (flags.integer("health-retries") > 0) check["Retries"] = flags.integer("health-retries");
  return check;
}

json::array device_numbers(const std::vector<std::string>& list, std::string_view name, bool sizes) {
  json::array out;
  for (const std::string& item : list) {
    auto [path, number] = split_once(item, ':');
    auto value = sizes ? *parse_size(number) : parse_integer<std::int64_t>(number).value_or(0);
    out.push_back(json::object{{"Path", path}, {name, value}});
  }
  return out;
}

Result<void> add_resources(const Flags& flags, json::object& host) {
  std::int64_t swappiness = flags.integer("memory-swappiness");
  if (swappiness != -1 && (swappiness < 0 || swappiness > 100))
    return fail(ErrorKind::invalid, "invalid value: {}. Valid memory swappiness range is 0-100", swappiness);
  std::string cpus = flags.text("cpus");
  host["CpuShares"] = flags.integer("cpu-shares");
  host["Memory"] = flags.bytes("memory");
  host["NanoCpus"] = cpus.empty() ? 0 : cpus_of(cpus);
  host["CgroupParent"] = flags.text("cgroup-parent");
  host["BlkioWeight"] = flags.integer("blkio-weight");
  host["BlkioWeightDevice"] = device_numbers(flags.list("blkio-weight-device"), "Weight", false);
  host["BlkioDeviceReadBps"] = device_numbers(flags.list("device-read-bps"), "Rate", true);
  host["BlkioDeviceWriteBps"] = device_numbers(flags.list("device-write-bps"), "Rate", true);
  host["BlkioDeviceReadIOps"] = device_numbers(flags.list("device-read-iops"), "Rate", false);
  host["BlkioDeviceWriteIOps"] = device_numbers(flags.list("device-write-iops"), "Rate", false);
  host["CpuPeriod"] = flags.integer("cpu-period");
  host["CpuQuota"] = flags.integer("cpu-quota");
  host["CpuRealtimePeriod"] = flags.integer("cpu-rt-period");
  host["CpuRealtimeRuntime"] = flags.integer("cpu-rt-runtime");
  host["CpusetCpus"] = flags.text("cpuset-cpus");
  host["CpusetMems"] = flags.text("cpuset-mems");
  TRY(add_devices(flags.list("device"), host));
  host["DeviceCgroupRules"] = list_or_null(flags.list("device-cgroup-rule"));
  host["MemoryReservation"] = flags.bytes("memory-reservation");
  host["MemorySwap"] = flags.bytes("memory-swap");
  host["MemorySwappiness"] = swappiness;
  host["OomKillDisable"] = flags.on("oom-kill-disable");
  host["PidsLimit"] = flags.integer("pids-limit");
  host["Ulimits"] = ulimits(flags.list("ulimit"));
  host["CpuCount"] = 0;
  host["CpuPercent"] = 0;
  host["IOMaximumIOps"] = 0;
  host["IOMaximumBandwidth"] = 0;
  return {};
}

Result<void> add_namespaces(const Flags& flags, json::object& host) {
  std::string pid = flags.text("pid");
  if (!pid.empty() && pid != "host" && !(pid.starts_with("container:") && pid.size() > 10))
    return fail(ErrorKind::invalid, "--pid: invalid PID mode");
  auto one_of = [](const std::string& mode, std::initializer_list<std::string_view> modes) {
    return mode.empty() || std::ranges::find(modes, mode) != modes.end();
  };
  if (!one_of(flags.text("uts"), {"host"})) return fail(ErrorKind::invalid, "--uts: invalid UTS mode");
  if (!one_of(flags.text("userns"), {"host"})) return fail(ErrorKind::invalid, "--userns: invalid USER mode");
  if (!one_of(flags.text("cgroupns"), {"host", "private"}))
    return fail(ErrorKind::invalid, "--cgroupns: invalid CGROUP mode");
  host["CgroupnsMode"] = flags.text("cgroupns");
  host["IpcMode"] = flags.text("ipc");
  host["PidMode"] = pid;
  host["UTSMode"] = flags.text("uts");
  host["UsernsMode"] = flags.text("userns");
  return {};
}

Result<json::object> log_configuration(const Flags& flags) {
  if (flags.text("log-driver") == "none" && !flags.list("log-opt").empty())
    return fail(ErrorKind::invalid, "invalid logging opts for driver none");
  return json::object{{"Type", flags.text("log-driver")}, {"Config", pairs(flags.list("log-opt"))}};
}

Result<json::object> host_configuration(const Flags& flags, json::object& config, json::object& endpoints,
                                        ConsoleSize console) {
  json::object host;
  host["ContainerIDFile"] = flags.text("cidfile");
  TRY(add_volumes(flags, config, host));
  host["LogConfig"] = TRY(log_configuration(flags));
  host["NetworkMode"] = TRY(add_networks(flags, endpoints));
  json::object exposed, bindings;
  TRY(add_published_ports(flags.list("publish"), exposed, bindings));
  TRY(add_exposed_ports(flags.list("expose"), exposed));
  host["PortBindings"] = std::move(bindings);
  if (!exposed.empty()) config["ExposedPorts"] = std::move(exposed);
  host["RestartPolicy"] = TRY(restart_policy(flags));
  host["AutoRemove"] = flags.on("rm");
  host["ConsoleSize"] = json::array{console.rows, console.columns};
  add_capabilities(flags.list("cap-add"), flags.list("cap-drop"), host);
  host["Dns"] = to_json(flags.list("dns"));
  host["DnsOptions"] = to_json(flags.list("dns-option"));
  host["DnsSearch"] = to_json(flags.list("dns-search"));
  host["ExtraHosts"] = list_or_null(flags.list("add-host"));
  host["GroupAdd"] = list_or_null(flags.list("group-add"));
  TRY(add_namespaces(flags, host));
  host["Cgroup"] = "";
  host["Links"] = list_or_null(flags.list("link"));
  host["OomScoreAdj"] = flags.integer("oom-score-adj");
  host["Privileged"] = flags.on("privileged");
  host["PublishAllPorts"] = flags.on("publish-all");
  host["ReadonlyRootfs"] = flags.on("read-only");
  TRY(add_security_options(flags.list("security-opt"), host));
  host["ShmSize"] = flags.bytes("shm-size");
  host["Isolation"] = flags.text("isolation");
  if (flags.given("runtime")) host["Runtime"] = flags.text("runtime");
  if (flags.given("init")) host["Init"] = flags.on("init");
  if (!flags.list("sysctl").empty()) host["Sysctls"] = pairs(flags.list("sysctl"));
  if (!flags.list("annotation").empty()) host["Annotations"] = pairs(flags.list("annotation"));
  for (const std::string& option : flags.list("storage-opt"))
    if (option.find('=') == option.npos) return fail(ErrorKind::invalid, "invalid storage option");
  if (!flags.list("storage-opt").empty()) host["StorageOpt"] = pairs(flags.list("storage-opt"));
  TRY(add_resources(flags, host));
  return host;
}

void add_streams(const Flags& flags, bool detached, CreateRequest& request, json::object& config) {
  const auto& attach = flags.list("attach");
  auto named = [&](std::string_view stream) { return std::ranges::find(attach, stream) != attach.end(); };
  bool interactive = flags.on("interactive");
  request.attach_input = !detached && (interactive || named("stdin"));
  request.attach_output = !detached && (attach.empty() || named("stdout"));
  request.attach_error = !detached && (attach.empty() || named("stderr"));
  request.terminal = flags.on("tty");
  config["AttachStdin"] = request.attach_input;
  config["AttachStdout"] = request.attach_output;
  config["AttachStderr"] = request.attach_error;
  config["Tty"] = request.terminal;
  config["OpenStdin"] = interactive;
  config["StdinOnce"] = interactive && request.attach_input;
}

// An address of the host's loopback is the container's own loopback in there.
std::vector<std::string> warnings_of(const Flags& flags) {
  for (const std::string& server : flags.list("dns"))
    if (server.starts_with("127.") || server == "::1")
      return {fmt::format("Localhost DNS ({}) may fail in containers.", server)};
  return {};
}

}  // namespace

Result<std::vector<std::string>> read_settings_file(const std::string& path, bool from_environment) {
  Result<std::string> text = read_file(path);
  if (!text) return fail(ErrorKind::invalid, "open {}: {}", path, words_of_errno(text.error().code));
  std::vector<std::string> settings;
  std::string_view rest = *text;
  if (rest.starts_with("\xef\xbb\xbf")) rest.remove_prefix(3);
  for (std::string_view line : split(rest, '\n')) {
    line.remove_prefix(std::min(line.find_first_not_of(" \t\r\v\f"), line.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line[0] == '#') continue;
    std::string_view name = line.substr(0, line.find('='));
    if (name.find_first_of(" \t") != name.npos)
      return fail(ErrorKind::invalid, "invalid env file ({}): variable '{}' contains whitespaces", path,
                  name);
    if (name.empty())
      return fail(ErrorKind::invalid, "invalid env file ({}): no variable name on line '{}'", path, line);
    if (line.size() > name.size())
      settings.emplace_back(line);
    else if (const char* here = std::getenv(std::string(name).c_str()); here && from_environment)
      settings.push_back(std::string(name) + "=" + here);
  }
  return settings;
}

Result<CreateRequest> make_create_request(const Flags& flags, std::span<const std::string> words,
                                          bool detached, ConsoleSize console) {
  CreateRequest request;
  request.image = words[0];
  request.name = flags.text("name");
  request.platform = flags.text("platform");
  request.warnings = warnings_of(flags);
  auto body = std::make_shared<json::object>();
  json::object& config = *body;
  json::object endpoints;
  config["Hostname"] = flags.text("hostname");
  config["Domainname"] = flags.text("domainname");
  config["User"] = flags.text("user");
  add_streams(flags, detached, request, config);
  std::vector<std::string> variables = TRY(environment(flags));
  config["Env"] = list_or_null(variables);
  config["Cmd"] = list_or_null({words.begin() + 1, words.end()});
  config["Image"] = request.image;
  config["WorkingDir"] = flags.text("workdir");
  config["Entrypoint"] =
      flags.given("entrypoint") ? json::value(json::array{flags.text("entrypoint")}) : json::value(nullptr);
  config["OnBuild"] = nullptr;
  config["Labels"] = TRY(labels(flags));
  if (flags.given("stop-signal")) config["StopSignal"] = flags.text("stop-signal");
  if (flags.given("stop-timeout")) config["StopTimeout"] = flags.integer("stop-timeout");
  if (auto check = TRY(healthcheck(flags))) config["Healthcheck"] = std::move(*check);
  json::object host = TRY(host_configuration(flags, config, endpoints, console));
  config["HostConfig"] = std::move(host);
  config["NetworkingConfig"] = json::object{{"EndpointsConfig", std::move(endpoints)}};
  request.body = std::move(body);
  return request;
}

}  // namespace berth::cli
