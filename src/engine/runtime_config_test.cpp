// SPDX-License-Identifier: Apache-2.0
#include "engine/runtime_config.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

#include "base/file.h"

namespace berth::engine {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using List = std::vector<std::string>;

const std::string kData = std::string(BERTH_SOURCE_DIR) + "/src/engine/testdata/runtime_config/";

const List kAllCapabilities{
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER",     "CAP_FSETID",           "CAP_KILL",
    "CAP_SETGID",  "CAP_SETUID",       "CAP_SETPCAP",    "CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_SYS_MODULE",   "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",       "CAP_SYS_ADMIN",
    "CAP_MKNOD",   "CAP_AUDIT_WRITE",  "CAP_SETFCAP"};

// BERTH_UPDATE_GOLDEN=1 writes what the configuration is now, to be read before it is committed.
void expect_golden(const std::string& name, std::string text) {
  if (!text.ends_with('\n')) text += '\n';
  if (std::getenv("BERTH_UPDATE_GOLDEN")) {
    Result<Fd> directory = open_file(kData, O_RDONLY | O_DIRECTORY);
    ASSERT_TRUE(directory);
    ASSERT_TRUE(write_file_atomically(directory->get(), name, text, 0644, Durability::visible));
  }
  Result<std::string> golden = read_file(kData + name);
  ASSERT_TRUE(golden) << golden.error().message;
  EXPECT_EQ(text, *golden);
}

struct Input {
  Settings settings;
  ContainerRecord record;
  StartFacts facts;
};

Input plain() {
  Input in;
  in.record.id = "0123456789ab" + std::string(52, 'c');
  in.record.name = "web";
  in.record.arguments = {"sleep", "60"};
  in.facts.user.home = "/root";
  in.facts.container_directory = "/data/containers/web";
  in.facts.resolved_hostname = "0123456789ab";
  in.facts.network_by_descriptor = true;
  in.facts.all_capabilities = kAllCapabilities;
  in.facts.seccomp =
      oci::LinuxSeccomp{.default_action = "SCMP_ACT_ERRNO",
                        .syscalls = {{.names = {"read", "write"}, .action = "SCMP_ACT_ALLOW"}}};
  in.facts.host_memory = 8ll << 30;
  return in;
}

oci::RuntimeSpec config_of(const Input& in) {
  Result<oci::RuntimeSpec> spec = make_runtime_config(in.settings, in.record, in.facts);
  EXPECT_TRUE(spec) << spec.error().message;
  return spec ? std::move(*spec) : oci::RuntimeSpec{};
}

std::string error_of(const Input& in) {
  Result<oci::RuntimeSpec> spec = make_runtime_config(in.settings, in.record, in.facts);
  return spec ? "accepted" : spec.error().message;
}

void expect_golden(const std::string& name, const Input& in) {
  expect_golden(name, oci::to_text(config_of(in), true));
}

std::size_t place_of(const oci::RuntimeSpec& spec, std::string_view destination) {
  std::size_t found = spec.mounts.size(), count = 0;
  for (std::size_t i = 0; i < spec.mounts.size(); ++i)
    if (spec.mounts[i].destination == destination) found = i, ++count;
  EXPECT_EQ(count, 1u) << destination;
  return found;
}

TEST(RuntimeConfig, APlainContainer) { expect_golden("plain.json", plain()); }

TEST(RuntimeConfig, APrivilegedContainer) {
  Input in = plain();
  in.record.host_config.privileged = true;
  in.facts.seccomp.reset();
  in.facts.host_devices = {
      {.path = "/dev/sda", .type = "b", .major = 8, .minor = 0, .file_mode = 0660, .uid = 0, .gid = 6},
      {.path = "/dev/kmsg", .type = "c", .major = 1, .minor = 11}};
  in.facts.devices = {{.path = "/dev/kmsg", .type = "c", .major = 1, .minor = 11},
                      {.path = "/dev/disk", .type = "b", .major = 8, .minor = 0}};
  in.facts.device_permissions = {"rwm", "r"};
  expect_golden("privileged.json", in);
}

TEST(RuntimeConfig, AReadOnlyRootWithTmpfsBindsAndVolumes) {
  Input in = plain();
  HostConfig& host = in.record.host_config;
  host.readonly_rootfs = true;
  host.tmpfs = {{"/run", "exec,size=1m"}, {"/tmp", ""}};
  host.mounts = {{.type = "tmpfs",
                  .target = "/scratch",
                  .read_only = true,
                  .tmpfs = MountSetting::TmpfsOptions{
                      .size_bytes = 65536, .mode = 01777, .options = {{"exec"}, {"uid", "7"}}}}};
  in.record.mounts = {
      {.type = "bind", .source = "/srv", .destination = "/data/deep/er", .read_only = true},
      {.type = "bind", .source = "/top", .destination = "/top", .read_only = true, .read_only_below = false},
      {.type = "volume", .name = "v", .source = "/data/volumes/v/_data", .destination = "/data"},
      {.type = "bind",
       .source = "/flat",
       .destination = "/flat",
       .propagation = "rslave",
       .recursive = false},
      {.type = "bind", .source = "/my/hosts", .destination = "/etc/hosts"},
      {.type = "bind", .source = "/my/etc", .destination = "/etc"},
      {.type = "bind", .source = "/my/shm", .destination = "/dev/shm"}};
  in.facts.init_program = "/usr/libexec/berth-init";
  expect_golden("mounts.json", in);
}

TEST(RuntimeConfig, AVolumesSubpathIsLookedUpWhenItIsMounted) {
  Input in = plain();
  in.record.mounts = {{.type = "volume",
                       .name = "v",
                       .source = "/data/volumes/v/_data",
                       .destination = "/data",
                       .subpath = "a/b"}};
  oci::RuntimeSpec spec = make_runtime_config(in.settings, in.record, in.facts).value();
  auto found = std::find_if(spec.mounts.begin(), spec.mounts.end(),
                            [](const oci::Mount& mount) { return mount.destination == "/data"; });
  ASSERT_NE(found, spec.mounts.end());
  EXPECT_EQ(found->source, "/data/volumes/v/_data");
  EXPECT_EQ(found->options.back(), "berth.beneath=a/b");
}

TEST(RuntimeConfig, TheHostsNamespaces) {
  Input in = plain();
  HostConfig& host = in.record.host_config;
  host.network_mode = host.pid_mode = host.ipc_mode = host.uts_mode = host.cgroupns_mode = "host";
  in.facts.resolved_hostname = "machine";
  in.facts.network_by_descriptor = false;
  in.facts.shared_shm = "/dev/shm";
  expect_golden("host_namespaces.json", in);
}

TEST(RuntimeConfig, AnotherContainersNamespaces) {
  Input in = plain();
  HostConfig& host = in.record.host_config;
  host.network_mode = host.pid_mode = host.ipc_mode = "container:db";
  in.facts.network_by_descriptor = false;
  in.facts.shared_namespaces = {
      {"network", "/proc/7/ns/net"}, {"pid", "/proc/7/ns/pid"}, {"ipc", "/proc/7/ns/ipc"}};
  in.facts.shared_shm = "/proc/7/root/dev/shm";
  in.facts.container_directory = "/data/containers/db";
  expect_golden("container_namespaces.json", in);
}

TEST(RuntimeConfig, NoNetworkAndNoSharedMemory) {
  Input in = plain();
  in.record.host_config.network_mode = "none";
  in.record.host_config.ipc_mode = "none";
  oci::RuntimeSpec spec = config_of(in);
  EXPECT_TRUE(spec.find_namespace("network"));
  for (const oci::Mount& mount : spec.mounts) EXPECT_NE(mount.destination, "/dev/shm");
}

TEST(RuntimeConfig, Limits) {
  Input in = plain();
  ResourceLimits& limits = in.record.host_config.resources;
  limits.memory = 512 << 20, limits.memory_reservation = 256 << 20, limits.memory_swappiness = 10;
  limits.oom_kill_disable = true, limits.nano_cpus = 1'500'000'000, limits.cpu_shares = 512;
  limits.cpuset_cpus = "0-1", limits.cpuset_mems = "0", limits.pids_limit = 100;
  limits.cgroup_parent = "batch", limits.blkio_weight = 300;
  limits.blkio_weight_device = {{"/dev/sda", 200}};
  limits.blkio_device_read_bps = {{"/dev/sda", 1 << 20}};
  limits.blkio_device_write_iops = {{"/dev/sda", 100}};
  limits.ulimits = {{"nofile", 1024, 2048}, {"core", -1, -1}};
  limits.device_cgroup_rules = {"c 10:200 rw", "b *:* r", "a 1:* m"};
  in.settings.default_ulimits = {{"nofile", 1, 2}, {"nproc", 10, 20}};
  in.facts.block_devices = {{"/dev/sda", {8, 0}}};
  expect_golden("limits.json", in);
}

TEST(RuntimeConfig, EverythingSet) {
  Input in = plain();
  oci::ContainerConfig& config = in.record.config;
  config.hostname = "host", config.domainname = "example.com", config.tty = true, config.working_dir = "/srv";
  config.env = {"A=1", "PATH=/bin", "B", "TERM=vt100", "A=2"};
  HostConfig& host = in.record.host_config;
  host.console_size = {24, 80};
  host.annotations = {{"org.example", "x"}};
  host.cap_add = {"net_admin", "CAP_SYS_PTRACE"}, host.cap_drop = {"MKNOD", "cap_net_raw"};
  host.oom_score_adj = 500, host.shm_size = 1 << 20;
  host.sysctls = {{"net.ipv4.ip_forward", "1"}};
  host.security_options = {"no-new-privileges"};
  host.masked_paths = {{"/proc/keys"}}, host.readonly_paths = List{};
  host.resources.devices = {{"/dev/snd", "", "rw"}, {"/dev/fuse", "/dev/f", ""}};
  in.facts.resolved_hostname = "host";
  in.facts.user.user = {.uid = 1000, .gid = 1001, .additional_gids = {4, 29}};
  in.facts.user.home = "/home/web";
  in.facts.devices = {
      {.path = "/dev/snd/a", .type = "c", .major = 116, .minor = 1, .file_mode = 0660, .uid = 0, .gid = 29},
      {.path = "/dev/snd/b", .type = "c", .major = 116, .minor = 2},
      {.path = "/dev/f", .type = "c", .major = 10, .minor = 229}};
  in.facts.device_permissions = {"rw", "rw", ""};
  in.record.mounts = {{.type = "bind", .source = "/s", .destination = "/s", .propagation = "rshared"}};
  expect_golden("everything.json", in);
}

TEST(RuntimeConfig, AnExecsProcess) {
  Input in = plain();
  in.record.config.env = {"A=1", "HOME=/container"};
  in.record.config.working_dir = "/srv";
  in.record.host_config.resources.ulimits = {{"nofile", 100, 200}};
  in.record.host_config.cap_drop = {"ALL"}, in.record.host_config.cap_add = {"CHOWN"};
  in.record.host_config.oom_score_adj = 7;
  in.settings.no_new_privileges = true;
  runtime::ResolvedUser user{.user = {.uid = 5, .gid = 6, .additional_gids = {7}}, .home = "/five"};
  ExecOptions options{.arguments = {"sh", "-c", "x"},
                      .environment = {"A=2", "B=3"},
                      .working_directory = "",
                      .terminal = true,
                      .console_size = oci::ConsoleSize{10, 20}};
  expect_golden("exec.json",
                oci::to_text(make_exec_process(in.settings, in.record, user, options, kAllCapabilities)));
}

TEST(RuntimeConfig, AnExecIsHeldAsItsContainerIs) {
  Input in = plain();
  in.settings.no_new_privileges = true;
  oci::Process process =
      make_exec_process(in.settings, in.record, {}, {.arguments = {"sh"}}, kAllCapabilities);
  EXPECT_TRUE(process.no_new_privileges);
  in.record.host_config.security_options = {"no-new-privileges:false"};
  process = make_exec_process(in.settings, in.record, {}, {.arguments = {"sh"}}, kAllCapabilities);
  EXPECT_FALSE(process.no_new_privileges);
  EXPECT_THAT(process.capabilities->bounding, Not(Contains("CAP_SYS_ADMIN")));
  process = make_exec_process(in.settings, in.record, {}, {.arguments = {"sh"}, .privileged = true},
                              kAllCapabilities);
  EXPECT_EQ(process.capabilities->bounding, kAllCapabilities);
  EXPECT_TRUE(process.capabilities->inheritable.empty() && process.capabilities->ambient.empty());
}

TEST(RuntimeConfig, InheritableAndAmbientSetsAreAlwaysEmpty) {
  for (bool privileged : {false, true}) {
    Input in = plain();
    in.record.host_config.privileged = privileged;
    in.record.host_config.cap_add = {"ALL"};
    oci::RuntimeSpec spec = config_of(in);
    EXPECT_TRUE(spec.process->capabilities->inheritable.empty());
    EXPECT_TRUE(spec.process->capabilities->ambient.empty());
    EXPECT_EQ(spec.process->capabilities->bounding, kAllCapabilities);
  }
}

TEST(Capabilities, AddAndDrop) {
  auto names = [](List add, List drop) {
    HostConfig config;
    config.cap_add = std::move(add), config.cap_drop = std::move(drop);
    return effective_capabilities(config, {"CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"});
  };
  EXPECT_THAT(names({}, {}).value(), ElementsAre("CAP_CHOWN", "CAP_KILL"));
  EXPECT_THAT(names({"sys_admin"}, {}).value(), ElementsAre("CAP_CHOWN", "CAP_KILL", "CAP_SYS_ADMIN"));
  EXPECT_THAT(names({}, {"Cap_Kill"}).value(), ElementsAre("CAP_CHOWN"));
  EXPECT_THAT(names({}, {"all"}).value(), ElementsAre());
  EXPECT_THAT(names({"KILL"}, {"ALL"}).value(), ElementsAre("CAP_KILL"));
  EXPECT_THAT(names({"ALL"}, {"SYS_ADMIN"}).value(), ElementsAre("CAP_CHOWN", "CAP_KILL"));
  EXPECT_THAT(names({"SYS_ADMN"}, {}).error().message, HasSubstr("invalid capability: SYS_ADMN"));
  EXPECT_THAT(names({}, {""}).error().message, HasSubstr("invalid capability"));
  HostConfig privileged;
  privileged.privileged = true;
  privileged.cap_drop = {"ALL"};
  EXPECT_EQ(effective_capabilities(privileged, {"CAP_X"}).value(), List{"CAP_X"});
}

TEST(RuntimeConfig, ACustomSeccompProfileHoldsInAPrivilegedContainer) {
  Input in = plain();  // whoever gathers the facts leaves the default profile out of privileged containers
  in.record.host_config.privileged = true;
  EXPECT_TRUE(config_of(in).linux_.seccomp);
}

TEST(RuntimeConfig, PortsAndPingAreForEverybodyInANetworkOfItsOwn) {
  Input in = plain();
  in.record.host_config.sysctls = {{"net.ipv4.ip_unprivileged_port_start", "1024"}};
  EXPECT_EQ(config_of(in).linux_.sysctl.at("net.ipv4.ip_unprivileged_port_start"), "1024")
      << "the client's word wins";
  EXPECT_TRUE(config_of(in).linux_.sysctl.contains("net.ipv4.ping_group_range"));
  for (const char* mode : {"host", "container:db"}) {
    in = plain();
    in.record.host_config.network_mode = mode;
    EXPECT_TRUE(config_of(in).linux_.sysctl.empty()) << mode;
  }
}

TEST(RuntimeConfig, DeviceRulesAreChecked) {
  for (const char* rule : {"", "c", "c 1:3", "d 1:3 r", "c 1 r", "c 1: r", "c :3 r", "c -1:3 r", "c 1:3 x",
                           "c 1:3 ", "c 1:3 r w", "c 4294967296:0 r", "cc 1:3 r", "c  1:3 r", "c 1:3:4 r"}) {
    Input in = plain();
    in.record.host_config.resources.device_cgroup_rules = {rule};
    EXPECT_EQ(error_of(in), fmt::format("invalid device cgroup rule format: '{}'", rule));
  }
}

TEST(RuntimeConfig, WhatOneDeviceMayDoIsNotWhatAnotherMay) {
  Input in = plain();
  in.record.host_config.resources.devices = {{"/dev/snd", "", "r"}, {"/dev/fuse", "", "rwm"}};
  in.facts.devices = {{.path = "/dev/snd/a", .type = "c", .major = 116, .minor = 1},
                      {.path = "/dev/snd/b", .type = "c", .major = 116, .minor = 2},
                      {.path = "/dev/fuse", .type = "c", .major = 10, .minor = 229}};
  in.facts.device_permissions = {"r", "r", "rwm"};
  std::map<std::pair<std::int64_t, std::int64_t>, std::string> allowed;
  for (const oci::DeviceRule& rule : config_of(in).linux_.resources.devices)
    if (rule.allow && rule.major && rule.minor) allowed[{*rule.major, *rule.minor}] = rule.access;
  EXPECT_EQ((allowed[{116, 1}]), "r");
  EXPECT_EQ((allowed[{116, 2}]), "r");
  EXPECT_EQ((allowed[{10, 229}]), "rwm");
  EXPECT_FALSE((allowed.contains({10, 200})));
}

TEST(RuntimeConfig, AVolumeOnEtcDoesNotHideTheNamesFiles) {
  Input in = plain();
  in.record.mounts = {{.type = "bind", .source = "/my/etc", .destination = "/etc"}};
  oci::RuntimeSpec spec = config_of(in);
  for (const char* file : {"/etc/hosts", "/etc/hostname", "/etc/resolv.conf"})
    EXPECT_GT(place_of(spec, file), place_of(spec, "/etc")) << file;
}

TEST(RuntimeConfig, AUsersMountTakesThePlaceOfOurs) {
  Input in = plain();
  in.record.mounts = {{.type = "bind", .source = "/my/hosts", .destination = "/etc/hosts"}};
  in.record.host_config.tmpfs = {{"/dev/shm", "size=1m"}};
  oci::RuntimeSpec spec = config_of(in);
  EXPECT_EQ(spec.mounts[place_of(spec, "/etc/hosts")].source, "/my/hosts");
  EXPECT_THAT(spec.mounts[place_of(spec, "/dev/shm")].options, Contains("size=1m"));
}

TEST(RuntimeConfig, MemorysSwapDoesNotWrap) {
  ResourceLimits limits;
  limits.memory = INT64_MAX;
  EXPECT_EQ(make_resources(limits, {}).memory->swap, -1);
  limits.memory = 64 << 20;
  EXPECT_EQ(make_resources(limits, {}).memory->swap, 128 << 20);
  limits.memory_swap = -1;
  EXPECT_EQ(make_resources(limits, {}).memory->swap, -1);
  EXPECT_FALSE(make_resources({}, {}).memory);
}

TEST(RuntimeConfig, TheControlGroupLiesBelowItsParent) {
  Input in = plain();
  EXPECT_EQ(cgroup_path(in.settings, in.record), "/berth/" + in.record.id);
  in.record.host_config.resources.cgroup_parent = "batch";
  EXPECT_EQ(cgroup_path(in.settings, in.record), "/batch/" + in.record.id);
  in.record.host_config.resources.cgroup_parent = "/batch/x";
  EXPECT_EQ(cgroup_path(in.settings, in.record), "/batch/x/" + in.record.id);
}

TEST(RuntimeConfig, EnvironmentKeepsDockersOrderAndTheClientsWord) {
  Input in = plain();
  EXPECT_THAT(config_of(in).process->env,
              ElementsAre("PATH=" + std::string(kDefaultPath), "HOSTNAME=0123456789ab", "HOME=/root"));
  in.record.config.env = {"X=1", "HOME=/h", "PATH", "HOSTNAME=h", "X=2"};
  EXPECT_THAT(config_of(in).process->env, ElementsAre("HOSTNAME=h", "X=2", "HOME=/h"));
}

}  // namespace
}  // namespace berth::engine
