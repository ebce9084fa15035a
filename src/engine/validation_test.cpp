// SPDX-License-Identifier: Apache-2.0
#include "engine/validation.h"

#include <gmock/gmock.h>

#include <functional>

#include "engine/modes.h"

namespace berth::engine {
namespace {

using testing::HasSubstr;

struct Request {
  oci::ContainerConfig config;
  HostConfig host;
};

std::string refusal(const std::function<void(Request&)>& change) {
  Request request;
  change(request);
  Result<void> valid = validate(Settings{}, request.config, request.host);
  return valid ? "accepted" : valid.error().message;
}

TEST(Validation, TakesAPlainContainer) {
  EXPECT_EQ(refusal([](Request&) {}), "accepted");
}

TEST(Validation, RefusesWhatMakesNoSenseAndSaysWhy) {
  struct Case {
    std::function<void(Request&)> change;
    std::string_view words;
  };
  const Case cases[] = {
      {[](Request& r) { r.config.working_dir = "srv"; }, "needs to be an absolute path"},
      {[](Request& r) { r.config.env = {"=x"}; }, "invalid environment variable: =x"},
      {[](Request& r) { r.config.env = {""}; }, "invalid environment variable"},
      {[](Request& r) { r.config.env = {std::string("A=b\0c", 5)}; }, "NUL"},
      {[](Request& r) { r.config.cmd = {{std::string("a\0b", 3)}}; }, "NUL"},
      {[](Request& r) { r.config.hostname = "a/b"; }, "invalid hostname"},
      {[](Request& r) { r.config.hostname = "a\n127.0.0.1 evil"; }, "invalid hostname"},
      {[](Request& r) { r.config.hostname = std::string(64, 'a'); }, "invalid hostname"},
      {[](Request& r) { r.config.stop_signal = "SIGNONE"; }, "invalid signal: SIGNONE"},
      {[](Request& r) {
         r.config.healthcheck = {{.test = {"CMD", "x"}, .interval = std::chrono::nanoseconds(10)}};
       },
       "cannot be less than 1ms"},
      {[](Request& r) {
         r.config.healthcheck = {{.test = {"CMD", "x"}, .retries = -1}};
       },
       "cannot be negative"},
      {[](Request& r) {
         r.config.healthcheck = {{.test = {"RUN", "x"}}};
       },
       "unknown type 'RUN'"},
      {[](Request& r) { r.host.restart_name = "sometimes"; }, "unknown policy 'sometimes'"},
      {[](Request& r) { r.host.restart_name = "always", r.host.restart_maximum = 3; },
       "can only be used with 'on-failure'"},
      {[](Request& r) { r.host.restart_name = "on-failure", r.host.restart_maximum = -1; },
       "cannot be negative"},
      {[](Request& r) { r.host.restart_name = "always", r.host.auto_remove = true; },
       "can't create 'AutoRemove' container with restart policy"},
      {[](Request& r) { r.host.pid_mode = "container:"; }, "invalid PID mode"},
      {[](Request& r) { r.host.pid_mode = "shareable"; }, "invalid PID mode"},
      {[](Request& r) { r.host.ipc_mode = "other"; }, "invalid IPC mode"},
      {[](Request& r) { r.host.uts_mode = "container:x"; }, "invalid UTS mode"},
      {[](Request& r) { r.host.cgroupns_mode = "public"; }, "cgroup namespace"},
      {[](Request& r) { r.host.userns_mode = "keep-id"; }, "invalid USER mode"},
      {[](Request& r) { r.host.links = {"db:a\n6.6.6.6 bank"}; }, "bad format for links"},
      {[](Request& r) { r.host.links = {"db"}, r.host.network_mode = "host"; },
       "host type networking can't be used with links"},
      {[](Request& r) { r.host.links = {"db"}, r.host.network_mode = "container:x"; },
       "container type networking can't be used with links"},
      {[](Request& r) { r.host.device_requests = 1; }, "could not select device driver"},
      {[](Request& r) { r.host.runtime = "kata"; }, "unknown or invalid runtime name: kata"},
      {[](Request& r) {
         r.host.storage_options = {{"size", "1G"}};
       },
       "--storage-opt is not supported"},
      {[](Request& r) { r.host.isolation = "hyperv"; }, "invalid isolation"},
      {[](Request& r) { r.host.volume_driver = "nfs"; }, "\"nfs\" is not installed"},
      {[](Request& r) { r.host.extra_hosts = {"nocolon"}; }, "bad format for add-host"},
      {[](Request& r) { r.host.extra_hosts = {"a:1.2.3.4\n6.6.6.6 bank"}; }, "bad format for add-host"},
      {[](Request& r) { r.host.security_options = {"apparmor=strict"}; }, "no AppArmor support"},
      {[](Request& r) { r.host.security_options = {"label=type:x"}; }, "no SELinux support"},
      {[](Request& r) { r.host.security_options = {"magic=1"}; }, "invalid --security-opt: \"magic=1\""},
      {[](Request& r) { r.host.shm_size = -1; }, "SHM size can not be less than 0"},
      {[](Request& r) { r.host.oom_score_adj = 1001; }, "range for oom score adj is [-1000, 1000]"},
      {[](Request& r) {
         r.host.tmpfs = {{"/", ""}};
       },
       "invalid tmpfs mount"},
      {[](Request& r) {
         r.host.tmpfs = {{"tmp", ""}};
       },
       "invalid tmpfs mount"},
      {[](Request& r) {
         r.host.tmpfs = {{"/a/../..", ""}};
       },
       "invalid tmpfs mount"},
      {[](Request& r) { r.host.log_driver = "syslog"; }, "log driver 'syslog' is not supported"},
      {[](Request& r) {
         r.host.log_options = {{"max-file", "0"}};
       },
       "max-file"},
      {[](Request& r) {
         r.host.log_options = {{"colour", "red"}};
       },
       "unknown log opt 'colour'"},
  };
  for (const Case& c : cases) EXPECT_THAT(refusal(c.change), HasSubstr(c.words));
}

TEST(Validation, LimitsHaveDockersBounds) {
  struct Case {
    std::function<void(ResourceLimits&)> change;
    std::string_view words;
  };
  const Case cases[] = {
      {[](ResourceLimits& l) { l.memory = 6 << 20; }, ""},
      {[](ResourceLimits& l) { l.memory = (6 << 20) - 1; }, "Minimum memory limit allowed is 6MB"},
      {[](ResourceLimits& l) { l.memory = -1; }, "Minimum memory limit"},
      {[](ResourceLimits& l) { l.memory = 64 << 20, l.memory_swap = 32 << 20; }, "larger than memory limit"},
      {[](ResourceLimits& l) { l.memory = 64 << 20, l.memory_swap = -1; }, ""},
      {[](ResourceLimits& l) { l.memory_swap = 64 << 20; }, "should always set the Memory limit"},
      {[](ResourceLimits& l) { l.memory = 64 << 20, l.memory_reservation = 65 << 20; }, "reservation"},
      {[](ResourceLimits& l) { l.memory_reservation = 1; }, "reservation allowed is 6MB"},
      {[](ResourceLimits& l) { l.memory_swappiness = 101; }, "swappiness range is 0-100"},
      {[](ResourceLimits& l) { l.nano_cpus = 4'000'000'000; }, ""},
      {[](ResourceLimits& l) { l.nano_cpus = 4'000'000'001; }, "there are only 4 CPUs"},
      {[](ResourceLimits& l) { l.nano_cpus = -1; }, "Range of CPUs"},
      {[](ResourceLimits& l) { l.nano_cpus = 1, l.cpu_quota = 1000; }, "Conflicting options"},
      {[](ResourceLimits& l) { l.cpu_period = 999; }, "CPU cfs period"},
      {[](ResourceLimits& l) { l.cpu_period = 1'000'001; }, "CPU cfs period"},
      {[](ResourceLimits& l) { l.cpu_quota = 999; }, "CPU cfs quota"},
      {[](ResourceLimits& l) { l.cpu_shares = -1; }, "CPU shares"},
      {[](ResourceLimits& l) { l.blkio_weight = 9; }, "blkio weight"},
      {[](ResourceLimits& l) {
         l.ulimits = {{"files", 1, 1}};
       },
       "invalid ulimit type: files"},
      {[](ResourceLimits& l) {
         l.ulimits = {{"nofile", 2, 1}};
       },
       "soft limit must be less than or equal"},
      {[](ResourceLimits& l) {
         l.ulimits = {{"nofile", 2, -1}};
       },
       ""},
      {[](ResourceLimits& l) {
         l.ulimits = {{"nofile", -1, -1}};
       },
       ""},
      {[](ResourceLimits& l) {
         l.ulimits = {{"nofile", -1, 1}};
       },
       "soft limit must be less than or equal"},
      {[](ResourceLimits& l) {
         l.devices = {{"/dev/null", "", "rwx"}};
       },
       "bad mode specified: rwx"},
      {[](ResourceLimits& l) {
         l.devices = {{"null", "", ""}};
       },
       "not an absolute path"},
  };
  for (const Case& c : cases) {
    ResourceLimits limits;
    c.change(limits);
    Result<void> valid = validate_limits(limits, 4);
    if (c.words.empty()) {
      EXPECT_TRUE(valid) << valid.error().message;
    } else {
      EXPECT_THAT(valid ? "accepted" : valid.error().message, HasSubstr(c.words));
    }
  }
}

TEST(Sysctls, OnlyThoseOfTheContainersOwnNamespaces) {
  const HostConfig own;
  for (const char* name : {"net.ipv4.ip_forward", "net.core.somaxconn", "kernel.shmmax", "kernel.msgmnb",
                           "kernel.sem", "fs.mqueue.msg_max"})
    EXPECT_TRUE(check_sysctl(name, own)) << name;
  for (const char* name : {"kernel.core_pattern",
                           "kernel.modprobe",
                           "kernel.shmmax ",
                           "kernel.shmmax.x",
                           "kernel",
                           "vm.swappiness",
                           "net",
                           "NET.ipv4.x",
                           "kernel/core_pattern",
                           "net/../kernel/core_pattern",
                           "net.ipv4/../../kernel/core_pattern",
                           "net...kernel.core_pattern",
                           "net..kernel",
                           "fs.mqueue../x",
                           "fs.mqueue",
                           "kernel.shm_rmid_forced\nx",
                           "net.a b",
                           "net.ipv4.x=1",
                           "",
                           "."})
    EXPECT_FALSE(check_sysctl(name, own)) << name;
  EXPECT_FALSE(check_sysctl(std::string("net.a\0b", 7), own));
}

TEST(Sysctls, NotThoseThatWouldBeTheHosts) {
  HostConfig host;
  host.network_mode = "host";
  EXPECT_THAT(check_sysctl("net.ipv4.ip_forward", host).error().message, HasSubstr("host network namespace"));
  EXPECT_TRUE(check_sysctl("kernel.shmmax", host));
  host = {};
  host.ipc_mode = "host";
  EXPECT_FALSE(check_sysctl("kernel.shmmax", host));
  EXPECT_FALSE(check_sysctl("fs.mqueue.msg_max", host));
  EXPECT_TRUE(check_sysctl("net.ipv4.ip_forward", host));
}

TEST(CleanAbsolute, KnowsNoWayUpAndNoRelativePath) {
  for (auto [text, clean] : {std::pair{"/a/b", "/a/b"},
                             {"/a//b/", "/a/b"},
                             {"/./a/./", "/a"},
                             {"/a/../b", "/b"},
                             {"/../../etc", "/etc"},
                             {"/", "/"},
                             {"//", "/"},
                             {"/a/..", "/"},
                             {"/..a/...", "/..a/..."},
                             {"", ""},
                             {"a", ""},
                             {"../a", ""},
                             {"./", ""}})
    EXPECT_EQ(clean_absolute(text), clean) << text;
  EXPECT_EQ(clean_absolute(std::string_view("/a\0b", 4)), "");
}

std::string parsed(const Request& request, std::vector<MountPoint> lent = {}) {
  Result<std::vector<MountPoint>> points = parse_mounts(request.config, request.host, std::move(lent));
  if (!points) return points.error().message;
  std::string text;
  for (const MountPoint& point : *points)
    text += fmt::format("{}{} {}{}{}->{}{}{}{}{} ", text.empty() ? "" : "| ", point.type, point.name,
                        point.source, point.subpath.empty() ? "" : "!" + point.subpath, point.destination,
                        point.read_only ? (point.read_only_below ? " ro" : " ro-top") : "",
                        point.recursive ? "" : " flat", point.create_source ? " make" : "",
                        point.copy_up ? " copy" : "") +
            (point.propagation.empty() ? "" : point.propagation + " ");
  return text;
}

TEST(Mounts, TheShortForm) {
  struct Case {
    std::string bind, outcome;
  };
  for (const Case& c :
       {Case{"/a:/b", "bind /a->/b make "},
        Case{"/a/../c/:/b//d/", "bind /c->/b/d make "},
        Case{"/a:/b:ro,rslave", "bind /a->/b ro make rslave "},
        Case{"/a:/b:rw,z", "bind /a->/b make "},
        Case{"data:/b", "volume data->/b copy "},
        Case{"data:/b:nocopy,ro", "volume data->/b ro "},
        Case{"/a", "invalid volume specification: '/a'"},
        Case{"/a:", "invalid volume specification: '/a:'"},
        Case{":/b", "invalid volume specification: ':/b'"},
        Case{"/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"},
        Case{"/a:b", "invalid volume specification: '/a:b': invalid mount path: mount path must be absolute"},
        Case{"/a:/", "invalid volume specification: '/a:/': destination can't be '/'"},
        Case{"/a:/b/..", "invalid volume specification: '/a:/b/..': destination can't be '/'"},
        Case{"/a:/b:rx", "invalid mode: rx"},
        Case{"/a:/b:ro,rw", "invalid mode: ro,rw"},
        Case{"/a:/b:nocopy", "invalid mode: nocopy"},
        Case{"data:/b:rslave", "invalid mode: rslave"},
        Case{"/a:/b:z,Z", "invalid mode: z,Z"},
        Case{"/a:/b:", "invalid mode: "},
        Case{"data:/b:Z", "volume data->/b copy "},
        Case{"/a:/b:cached", "bind /a->/b make "}}) {
    Request request;
    request.host.binds = {c.bind};
    EXPECT_EQ(parsed(request), c.outcome) << c.bind;
  }
}

TEST(Mounts, AVolumesNameIsNoPath) {
  for (const char* name :
       {"..", ".", "../x", "a/b", "-rf", "_x", "a b", "x", "a\n", "\xc3\xa9t\xc3\xa9", "~root"}) {
    Request request;
    request.host.binds = {std::string(name) + ":/b"};
    EXPECT_THAT(parsed(request), HasSubstr("invalid characters for a local volume name")) << name;
    request.host.binds.clear();
    request.host.mounts = {{.type = "volume", .source = name, .target = "/b"}};
    EXPECT_THAT(parsed(request), HasSubstr("invalid characters for a local volume name")) << name;
  }
}

TEST(Mounts, TheLongForm) {
  struct Case {
    MountSetting setting;
    std::string_view outcome;
  };
  const Case cases[] = {
      {{.type = "bind", .source = "/a", .target = "/b"}, "bind /a->/b "},
      {{.type = "bind",
        .source = "/a",
        .target = "/b",
        .read_only = true,
        .bind =
            MountSetting::BindOptions{
                .propagation = "shared", .non_recursive = true, .create_mountpoint = true}},
       "bind /a->/b ro flat make shared "},
      {{.type = "bind",
        .source = "/a",
        .target = "/b",
        .read_only = true,
        .bind = MountSetting::BindOptions{.read_only_non_recursive = true}},
       "bind /a->/b ro-top "},
      {{.type = "bind",
        .source = "/a",
        .target = "/b",
        .bind = MountSetting::BindOptions{.read_only_force_recursive = true}},
       "ReadOnlyForceRecursive"},
      {{.type = "bind",
        .source = "/a",
        .target = "/b",
        .bind = MountSetting::BindOptions{.propagation = "loud"}},
       "invalid propagation mode: loud"},
      {{.type = "bind", .target = "/b"}, "field Source must not be empty"},
      {{.type = "bind", .source = "a", .target = "/b"}, "mount path must be absolute"},
      {{.type = "bind", .source = "/a"}, "field Target must not be empty"},
      {{.type = "bind", .source = "/a", .target = "b"}, "mount path must be absolute"},
      {{.type = "bind", .source = "/a", .target = "/x/.."}, "destination can't be '/'"},
      {{.type = "volume", .target = "/b"}, "volume ->/b copy "},
      {{.type = "volume",
        .source = "data",
        .target = "/b",
        .volume = MountSetting::VolumeOptions{.no_copy = true, .subpath = "in"}},
       "volume data!in->/b "},
      {{.type = "volume",
        .source = "data",
        .target = "/b",
        .volume = MountSetting::VolumeOptions{.subpath = "./in/../deep//er/"}},
       "volume data!deep/er->/b copy "},
      {{.type = "volume",
        .source = "data",
        .target = "/b",
        .volume = MountSetting::VolumeOptions{.subpath = "../../.."}},
       "must be a relative path within the volume"},
      {{.type = "volume",
        .source = "data",
        .target = "/b",
        .volume = MountSetting::VolumeOptions{.subpath = "a/../../a"}},
       "must be a relative path within the volume"},
      {{.type = "volume",
        .source = "data",
        .target = "/b",
        .volume = MountSetting::VolumeOptions{.subpath = "/etc"}},
       "must be a relative path within the volume"},
      {{.type = "volume", .target = "/b", .volume = MountSetting::VolumeOptions{.subpath = "in"}},
       "anonymous"},
      {{.type = "volume",
        .source = "data",
        .target = "/b",
        .volume = MountSetting::VolumeOptions{.driver_options = {{"colour", "red"}}}},
       "invalid option: \"colour\""},
      {{.type = "volume",
        .source = "data",
        .target = "/b",
        .volume = MountSetting::VolumeOptions{.driver_name = "nfs"}},
       "\"nfs\" is not installed"},
      {{.type = "tmpfs", .target = "/b"}, ""},
      {{.type = "tmpfs", .source = "/a", .target = "/b"}, "field Source must not be specified"},
      {{.type = "npipe", .source = "a", .target = "/b"}, "mount type unknown: \"npipe\""},
  };
  for (const Case& c : cases) {
    Request request;
    request.host.mounts = {c.setting};
    EXPECT_THAT(parsed(request), HasSubstr(c.outcome));
  }
}

TEST(Mounts, APlaceIsTakenOnceAndImagesVolumesGiveWay) {
  Request request;
  request.config.volumes = {"/data", "/cache/"};
  request.host.binds = {"/a:/data/"};
  EXPECT_EQ(parsed(request), "bind /a->/data make | volume ->/cache copy ");
  request.host.mounts = {{.type = "bind", .source = "/z", .target = "/x/../data"}};
  EXPECT_EQ(parsed(request), "Duplicate mount point: /data");
  request.host.mounts.clear();
  request.host.tmpfs = {{"/cache", ""}};
  EXPECT_EQ(parsed(request), "bind /a->/data make ");
  request.host.tmpfs = {{"/data", ""}};
  EXPECT_EQ(parsed(request), "Duplicate mount point: /data");
  request = {};
  request.config.volumes = {"/.."};
  EXPECT_THAT(parsed(request), HasSubstr("destination can't be '/'"))
      << "an image is no more trusted than a client";
  request.config.volumes = {"etc"};
  EXPECT_THAT(parsed(request), HasSubstr("must be absolute"));
}

TEST(Mounts, WhatOthersLendWinsOverVolumesOfTheImageAndLosesToWhatIsSaid) {
  auto lent = [](const std::string& name, const std::string& destination) {
    return MountPoint{.type = "volume", .name = name, .destination = destination};
  };
  Request request;
  request.config.volumes = {"/data", "/cache"};
  EXPECT_EQ(parsed(request, {lent("theirs", "/data")}), "volume theirs->/data | volume ->/cache copy ");
  EXPECT_EQ(parsed(request, {lent("first", "/data"), lent("later", "/data")}),
            "volume later->/data | volume ->/cache copy ");
  request.host.binds = {"mine:/data"};
  EXPECT_EQ(parsed(request, {lent("theirs", "/data")}), "volume mine->/data copy | volume ->/cache copy ");
  request.host.binds.clear();
  request.host.mounts = {{.type = "tmpfs", .target = "/data"}};
  request.host.tmpfs = {{"/cache", ""}};
  EXPECT_EQ(parsed(request, {lent("theirs", "/data"), lent("theirs", "/cache")}), "");
}

TEST(Modes, Networks) {
  for (auto [mode, kind] : {std::pair{"", NetworkKind::bridge},
                            {"default", NetworkKind::bridge},
                            {"bridge", NetworkKind::bridge},
                            {"none", NetworkKind::none},
                            {"host", NetworkKind::host},
                            {"container:x", NetworkKind::container},
                            {"Host", NetworkKind::other},
                            {"web", NetworkKind::other}})
    EXPECT_EQ(network_kind(mode), kind) << mode;
  EXPECT_EQ(container_of_mode("container:a:b"), "a:b");
  EXPECT_EQ(container_of_mode("host"), std::nullopt);
}

TEST(Modes, NoNewPrivilegesIsAClearYesOrNo) {
  using List = std::vector<std::string>;
  for (const char* yes : {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}) {
    EXPECT_TRUE(check_security_options({yes})) << yes;
    EXPECT_TRUE(wants_no_new_privileges(List{yes})) << yes;
  }
  for (const char* no : {"no-new-privileges:false", "no-new-privileges=false"}) {
    EXPECT_TRUE(check_security_options({no})) << no;
    EXPECT_FALSE(wants_no_new_privileges(List{no}, true)) << no;
  }
  EXPECT_TRUE(wants_no_new_privileges({}, true)) << "the engine's default holds where nothing is said";
  for (const char* unclear : {"no-new-privileges:yes", "no-new-privileges:notfalse", "no-new-privilegesfalse",
                              "no-new-privileges:falsetrue", "no-new-privileges:", "no-new-privilegesx"})
    EXPECT_FALSE(check_security_options({unclear})) << unclear;
}

TEST(Modes, SeccompChoices) {
  using Kind = SeccompChoice::Kind;
  EXPECT_EQ(check_security_options({}).value().kind, Kind::built_in);
  EXPECT_EQ(check_security_options({"seccomp=unconfined"}).value().kind, Kind::unconfined);
  EXPECT_EQ(check_security_options({"seccomp:unconfined"}).value().kind, Kind::unconfined);
  EXPECT_EQ(check_security_options({"seccomp=builtin"}).value().kind, Kind::built_in);
  SeccompChoice custom = check_security_options({R"(seccomp={"a":"b=c:d"})", "label=disable"}).value();
  EXPECT_EQ(custom.kind, Kind::custom);
  EXPECT_EQ(custom.profile, R"({"a":"b=c:d"})");
  EXPECT_TRUE(check_security_options({"apparmor=unconfined"}));
  EXPECT_FALSE(check_security_options({"Seccomp=unconfined"}));
}

TEST(Modes, PropagationOfTheRootFollowsFromTheMounts) {
  auto with = [](std::vector<std::string> words) {
    std::vector<MountPoint> mounts;
    for (std::string& word : words) mounts.push_back({.propagation = std::move(word)});
    return rootfs_propagation_for(mounts);
  };
  EXPECT_EQ(with({}), "");
  EXPECT_EQ(with({"rprivate", ""}), "");
  EXPECT_EQ(with({"rprivate", "slave"}), "rslave");
  EXPECT_EQ(with({"rslave", "shared"}), "rshared");
}

TEST(VolumesFrom, TakesAListOfModes) {
  for (const char* mode : {"ro", "ro,z", "z,ro", "ro,Z", "ro,cached"})
    EXPECT_TRUE(lends_read_only(mode).value()) << mode;
  for (const char* mode : {"", "rw", "rw,z", "z", "Z,rw"})
    EXPECT_FALSE(lends_read_only(mode).value()) << mode;
  for (const char* mode : {"ro,rw", "z,Z", "nocopy", "ro,nocopy", "rslave", "loud", "ro,", ","})
    EXPECT_EQ(lends_read_only(mode).error().message, std::string("invalid mode for volumes-from: ") + mode);
}

}  // namespace
}  // namespace berth::engine
