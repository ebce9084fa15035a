// SPDX-License-Identifier: Apache-2.0
// Containers for real. These need root.
#include "runtime/container.h"

#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include <thread>

#include "runtime/test_support.h"
#include "sys/capabilities.h"
#include "sys/seccomp.h"

namespace berth::runtime {
namespace {

using testing::ContainerTest;
using testing::Outcome;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

TEST_F(ContainerTest, RunsAProgramInNamespacesOfItsOwn) {
  Outcome out =
      run_script("echo pid $$; hostname; cat /proc/self/cgroup | grep -v ':/$' | wc -l; ls /sys/class/net");
  ASSERT_EQ(out.error, "");
  EXPECT_EQ(out.exit_code, 0);
  EXPECT_TRUE(contains(out.output, "pid 1\n")) << out.output;
  EXPECT_TRUE(contains(out.output, "berth\n")) << out.output;
  EXPECT_TRUE(contains(out.output, "\n0\n")) << out.output;  // every cgroup looks like the root
  EXPECT_TRUE(contains(out.output, "lo\n")) << out.output;
}

TEST_F(ContainerTest, PassesExitCodesOn) {
  EXPECT_EQ(run_script("exit 7").exit_code, 7);
  EXPECT_EQ(run_script("kill -9 $$; sleep 1").exit_code, 0);  // init ignores signals from inside
}

TEST_F(ContainerTest, SaysWhyAProgramDoesNotStart) {
  auto refusal = [&](std::vector<std::string> arguments) {
    set_program(std::move(arguments));
    return run();
  };
  Result<Fd> file = open_file(root() + "/plain", O_WRONLY | O_CREAT, 0644);
  ASSERT_TRUE(file);
  EXPECT_EQ(refusal({"nosuch"}).error, "exec: \"nosuch\": executable file not found in $PATH");
  EXPECT_EQ(refusal({"nosuch"}).kind, ErrorKind::not_found);
  EXPECT_EQ(refusal({"/no/such"}).error, "exec: \"/no/such\": stat /no/such: no such file or directory");
  EXPECT_EQ(refusal({"/bin"}).error, "exec: \"/bin\": is a directory");
  EXPECT_EQ(refusal({"/plain"}).error, "exec: \"/plain\": permission denied");
  EXPECT_EQ(refusal({"/plain"}).kind, ErrorKind::denied);
  ASSERT_TRUE(write_all(file->get(), "garbage"));
  ASSERT_EQ(fchmod(file->get(), 0755), 0);
  file->reset();
  EXPECT_EQ(refusal({"/plain"}).error, "exec /plain: exec format error");
  spec_.process->cwd = "/nowhere";
  EXPECT_TRUE(contains(refusal({"true"}).error,
                       "chdir to cwd (\"/nowhere\") set in config.json failed: no such file or directory"));
}

TEST_F(ContainerTest, LeavesNothingBehindWhenItFails) {
  spec_.mounts.push_back({"/data", "bind", "/no/such/source", {"bind"}, {}, {}});
  Outcome out = run_script("true");
  EXPECT_TRUE(contains(out.error, "/no/such/source")) << out.error;
  EXPECT_FALSE(sys::Cgroup::at(spec_.linux_.cgroups_path)->exists());
  spec_.mounts.back() = {"/data", "nosuchfs", "x", {}, {}, {}};
  EXPECT_TRUE(contains(run_script("true").error, "nosuchfs on /data"));
  EXPECT_FALSE(sys::Cgroup::at(spec_.linux_.cgroups_path)->exists());
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1);  // no child is left either
}

TEST_F(ContainerTest, GivesTheUserItsGroupsAndNothingOfTheParents) {
  gid_t parents[] = {4242};
  ASSERT_EQ(setgroups(1, parents), 0);
  spec_.process->user = {1000, 1001, 027, {7, 8}};
  Outcome out = run_script("id; umask; grep Cap /proc/self/status");
  ASSERT_EQ(setgroups(0, nullptr), 0);
  EXPECT_TRUE(contains(out.output, "uid=1000 gid=1001 groups=7,8\n") ||
              contains(out.output, "uid=1000 gid=1001 groups=1001,7,8\n"))
      << out.output;
  EXPECT_TRUE(contains(out.output, "0027")) << out.output;
  EXPECT_TRUE(contains(out.output, "CapEff:\t0000000000000000")) << out.output;
}

TEST_F(ContainerTest, CapabilitiesAreThoseAskedForAndNoneIsInheritable) {
  // The parent has inheritable and ambient ones, which must not reach the program (CVE-2022-24769).
  sys::CapabilitySets before = sys::current_capabilities(), wide = before;
  wide.inheritable = before.permitted;
  ASSERT_EQ(sys::set_capabilities(wide), 0);
  ASSERT_EQ(sys::set_ambient(1), 0);
  Outcome out = run_script("grep Cap /proc/self/status");
  ASSERT_EQ(sys::set_ambient(0), 0);
  ASSERT_EQ(sys::set_capabilities(before), 0);
  EXPECT_TRUE(contains(out.output, "CapInh:\t0000000000000000")) << out.output;
  EXPECT_TRUE(contains(out.output, "CapAmb:\t0000000000000000")) << out.output;
  EXPECT_TRUE(contains(out.output, "CapBnd:\t0000000020000420")) << out.output;
  EXPECT_TRUE(contains(out.output, "CapEff:\t0000000020000420")) << out.output;
}

TEST_F(ContainerTest, AmbientCapabilitiesReachAUserWhenAskedFor) {
  spec_.process->user = {1000, 1000, {}, {}};
  spec_.process->capabilities->inheritable = spec_.process->capabilities->ambient = {"CAP_KILL"};
  Outcome out = run_script("grep Cap /proc/self/status");
  EXPECT_TRUE(contains(out.output, "CapEff:\t0000000000000020")) << out.error << out.output;
}

TEST_F(ContainerTest, LoadsAFilterForAUserWithoutNoNewPrivileges) {
  spec_.process->no_new_privileges = false;
  spec_.process->user = {1000, 1000, {}, {}};
  spec_.linux_.seccomp = sys::default_seccomp({});
  Outcome out = run_script("grep -E 'Seccomp:|NoNewPrivs|CapPrm' /proc/self/status; mkdir /tmp/x");
  EXPECT_TRUE(contains(out.output, "Seccomp:\t2")) << out.error << out.output;
  EXPECT_TRUE(contains(out.output, "NoNewPrivs:\t0")) << out.output;
  EXPECT_TRUE(contains(out.output, "CapPrm:\t0000000000000000")) << out.output;
}

TEST_F(ContainerTest, LoadsAFilterWithNoNewPrivileges) {
  spec_.linux_.seccomp = sys::default_seccomp({});
  Outcome out = run_script("grep -E 'Seccomp:|NoNewPrivs' /proc/self/status; mount -t tmpfs x /tmp");
  EXPECT_TRUE(contains(out.output, "Seccomp:\t2")) << out.error << out.output;
  EXPECT_TRUE(contains(out.output, "NoNewPrivs:\t1")) << out.output;
  EXPECT_TRUE(contains(out.output, "Operation not permitted") || contains(out.output, "permission denied"))
      << out.output;
}

TEST_F(ContainerTest, MasksAndProtectsPaths) {
  spec_.linux_.masked_paths.push_back("/tmp/secret");
  ASSERT_TRUE(open_file(root() + "/tmp/secret", O_WRONLY | O_CREAT, 0644));
  Outcome out = run_script(
      "wc -c < /proc/keys; echo x > /proc/sys/kernel/hostname; ls /sys/firmware | wc -l; stat -c %t:%T "
      "/tmp/secret; touch /sys/x");
  EXPECT_TRUE(contains(out.output, "0\n")) << out.output;
  EXPECT_TRUE(contains(out.output, "Read-only file system")) << out.output;
  EXPECT_TRUE(contains(out.output, "1:3")) << out.output;
}

TEST_F(ContainerTest, BindsDirectoriesAndFiles) {
  ASSERT_EQ(mkdir(path("volume").c_str(), 0755), 0);
  ASSERT_TRUE(open_file(path("hosts"), O_WRONLY | O_CREAT, 0644));
  spec_.mounts.push_back({"/new/deep/place", "bind", path("volume"), {"rbind", "rprivate"}, {}, {}});
  spec_.mounts.push_back({"/readonly", "bind", path("volume"), {"rbind", "ro"}, {}, {}});
  spec_.mounts.push_back({"/etc/hosts", "bind", "hosts", {"bind"}, {}, {}});  // relative to the bundle
  Outcome out = run_script(
      "echo a > /new/deep/place/file && cat /readonly/file; echo b > /readonly/file; echo h > /etc/hosts");
  EXPECT_TRUE(contains(out.output, "a\n")) << out.error << out.output;
  EXPECT_TRUE(contains(out.output, "Read-only file system")) << out.output;
  EXPECT_EQ(*read_file(path("hosts")), "h\n");
  EXPECT_EQ(*read_file(path("volume/file")), "a\n");
  spec_.mounts.back() = {"/etc", "bind", "hosts", {"bind"}, {}, {}};
  Outcome mismatch = run_script("true");
  EXPECT_TRUE(contains(mismatch.error, "not a directory")) << mismatch.error;
}

TEST_F(ContainerTest, BindsWhatLiesBeneathASource) {
  ASSERT_TRUE(make_directories(path("volume/part"), 0755));
  for (const char* name : {"volume/part/file", "volume/alone"})
    ASSERT_TRUE(open_file(path(name), O_WRONLY | O_CREAT, 0644));
  ASSERT_EQ(symlink("part", path("volume/link").c_str()), 0);
  spec_.mounts.push_back({"/part", "bind", path("volume"), {"rbind", "berth.beneath=part"}, {}, {}});
  spec_.mounts.push_back({"/linked", "bind", path("volume"), {"bind", "berth.beneath=link"}, {}, {}});
  spec_.mounts.push_back({"/alone", "bind", path("volume"), {"bind", "berth.beneath=alone"}, {}, {}});
  Outcome out = run_script("ls /part /linked; test -f /alone && echo a file");
  EXPECT_TRUE(contains(out.output, "/linked:\nfile\n")) << out.error << out.output;
  EXPECT_TRUE(contains(out.output, "/part:\nfile\n")) << out.output;
  EXPECT_TRUE(contains(out.output, "a file\n")) << out.output;
  spec_.mounts.back().options.back() = "berth.beneath=missing";
  Outcome missing = run_script("true");
  EXPECT_TRUE(contains(missing.error, "missing: No such file or directory")) << missing.error;
}

TEST_F(ContainerTest, RecursivelyReadOnlyReachesMountsBelow) {
  ASSERT_EQ(mkdir(path("volume").c_str(), 0755), 0);
  spec_.mounts.push_back({"/tree", "bind", "/sys", {"rbind", "rro"}, {}, {}});
  Outcome out = run_script(
      "grep ' /tree' /proc/self/mounts | grep -v ' ro,' | wc -l; grep -c ' /tree/' /proc/self/mounts");
  EXPECT_TRUE(contains(out.output, "0\n")) << out.error << out.output;
  EXPECT_FALSE(out.output.ends_with("\n0\n")) << "there was no mount below: " << out.output;
}

TEST_F(ContainerTest, MountsAnOverlayThatTheHostDoesNotSee) {
  for (const char* name : {"upper", "work", "top"}) ASSERT_EQ(mkdir(path(name).c_str(), 0755), 0);
  ASSERT_TRUE(open_file(path("top/marker"), O_WRONLY | O_CREAT, 0644));
  CreateRequest wanted = request();
  wanted.overlay = OverlayRoot{{path("top"), root()}, path("upper"), path("work"), true};
  set_script("ls /marker; echo new > /file; grep ' / ' /proc/self/mounts");
  Outcome out = run(wanted);
  EXPECT_TRUE(contains(out.output, "/marker\n")) << out.error << out.output;
  EXPECT_TRUE(contains(out.output, "overlay / overlay rw")) << out.output;
  EXPECT_EQ(*read_file(path("upper/file")), "new\n");
  wanted.overlay->lower.push_back("/no/such");
  EXPECT_TRUE(contains(run(wanted).error, "/no/such"));
}

TEST_F(ContainerTest, MakesTheWorkingDirectoryOnlyWhenAsked) {
  spec_.process->cwd = "/work/here";
  CreateRequest wanted = request();
  wanted.create_cwd = true;
  set_script("pwd; stat -c %u:%a /work");
  Outcome out = run(wanted);
  EXPECT_EQ(out.output, "/work/here\n0:755\n") << out.error;
}

TEST_F(ContainerTest, AUserMayNotNeedToSeeTheWorkingDirectory) {
  ASSERT_EQ(mkdir((root() + "/closed").c_str(), 0700), 0);
  spec_.process->cwd = "/closed";
  spec_.process->user = {1000, 1000, {}, {}};
  EXPECT_EQ(run_script("exit 3").exit_code, 3);  // root entered it first
}

TEST_F(ContainerTest, SetsSysctlsInItsOwnNamespaces) {
  spec_.linux_.sysctl = {{"net.ipv4.ip_forward", "1"}, {"kernel.shmmni", "123"}};
  Outcome out = run_script("cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/shmmni");
  EXPECT_EQ(out.output, "1\n123\n") << out.error;
  EXPECT_NE(*read_file("/proc/sys/kernel/shmmni"), "123\n");
}

TEST_F(ContainerTest, LimitsWhatItMayUse) {
  spec_.linux_.resources.memory.emplace().limit = 24 << 20;
  spec_.linux_.resources.memory->swap = 24 << 20;
  spec_.linux_.resources.pids_limit = 10;
  spec_.linux_.resources.cpu.emplace().quota = 50000;
  spec_.linux_.resources.cpu->period = 100000;
  set_script("x=$(head -c 60000000 /dev/zero | tr '\\0' a); echo done");
  Result<CreatedContainer> container = create(request());
  ASSERT_TRUE(container) << container.error().message;
  sys::Cgroup group = *sys::Cgroup::at(spec_.linux_.cgroups_path);
  ASSERT_TRUE(container->start());
  int status = 0;
  ASSERT_EQ(waitpid(container->pid(), &status, 0), container->pid());
  EXPECT_GE(group.out_of_memory_kills().value_or(0), 1u);
  Result<sys::CgroupStatistics> figures = group.statistics();
  ASSERT_TRUE(figures);
  EXPECT_EQ(figures->memory.limit, 24u << 20);
  EXPECT_GT(figures->cpu.total, 0u);
  EXPECT_EQ(figures->pids.limit, 10u);
  EXPECT_TRUE(group.remove());
  EXPECT_FALSE(group.exists());
}

TEST_F(ContainerTest, DevicesThatNobodyAllowedCannotBeOpened) {
  for (auto* set : {&spec_.process->capabilities->bounding, &spec_.process->capabilities->effective,
                    &spec_.process->capabilities->permitted})
    set->push_back("CAP_MKNOD");
  spec_.linux_.devices = {{"/dev/kmsg", "c", 1, 11, 0600, 0, 0}};
  Outcome out = run_script(
      "mknod /dev/mem c 1 1 && echo made; cat /dev/mem; cat /dev/kmsg; head -c 3 /dev/zero | wc -c");
  EXPECT_TRUE(contains(out.output, "made\n")) << out.error << out.output;
  EXPECT_TRUE(contains(out.output, "/dev/mem': Operation not permitted")) << out.output;
  EXPECT_TRUE(contains(out.output, "/dev/kmsg': Operation not permitted")) << out.output;
  EXPECT_TRUE(contains(out.output, "3\n")) << out.output;
}

TEST_F(ContainerTest, ResourceLimitsAreSetOrNamed) {
  spec_.process->rlimits = {{"RLIMIT_NOFILE", 100, 200}};
  EXPECT_EQ(run_script("ulimit -n; ulimit -Hn").output, "100\n200\n");
  spec_.process->rlimits = {{"RLIMIT_NOFILE", 100, 200}, {"RLIMIT_NOFILE", 1, 1}};
  EXPECT_NE(run_script("true").error, "");
  spec_.process->rlimits = {{"RLIMIT_SOMETHING", 1, 1}};
  EXPECT_TRUE(contains(run_script("true").error, "RLIMIT_SOMETHING"));
  rlimit now{};
  getrlimit(RLIMIT_NOFILE, &now);
  spec_.process->rlimits = {{"RLIMIT_NOFILE", now.rlim_max + 1, now.rlim_max + 1}};
  Outcome out = run_script("ulimit -n");
  if (sys::current_capabilities().effective & (1ull << CAP_SYS_RESOURCE))
    EXPECT_EQ(out.output, std::to_string(now.rlim_max + 1) + "\n");
  else
    EXPECT_TRUE(contains(out.error, "cannot set RLIMIT_NOFILE to")) << out.error;
}

TEST_F(ContainerTest, ATerminalIsOfTheContainersOwn) {
  spec_.process->terminal = true;
  spec_.process->console_size = oci::ConsoleSize{33, 77};
  set_script("tty; stty size; [ -c /dev/console ] && echo console; exit 4");
  Result<CreatedContainer> container = create(request());
  ASSERT_TRUE(container) << container.error().message;
  Fd terminal = container->take_terminal();
  ASSERT_TRUE(terminal);
  ASSERT_TRUE(container->start());
  std::string output;
  char buffer[512];
  for (ssize_t got; (got = read(terminal.get(), buffer, sizeof buffer)) > 0;)
    output.append(buffer, static_cast<std::size_t>(got));
  int status = 0;
  ASSERT_EQ(waitpid(container->pid(), &status, 0), container->pid());
  EXPECT_EQ(exit_code_of(status), 4);
  EXPECT_TRUE(contains(output, "/dev/pts/0")) << output;
  EXPECT_TRUE(contains(output, "33 77")) << output;
  EXPECT_TRUE(contains(output, "console\r\n")) << output;
}

TEST_F(ContainerTest, HooksGetTheStateAndAnEmptyEnvironment) {
  ASSERT_EQ(setenv("LD_PRELOAD_PROBE", "leaked", 1), 0);
  const std::string seen = path("seen");
  auto hook = [&](const std::string& name) {
    return oci::Hook{
        "/bin/sh", {"sh", "-c", "(echo " + name + "; export -p; cat; echo) >> " + seen}, {"GIVEN=yes"}, {}};
  };
  spec_.annotations = {{"key", "value"}};
  spec_.hooks.create_runtime = {hook("create_runtime")};
  spec_.hooks.create_container = {hook("create_container")};
  spec_.hooks.start_container = {{"/bin/sh", {"sh", "-c", "echo start > /hook; cat >> /hook"}, {}, {}}};
  Outcome out = run_script("cat /hook; grep -c . /proc/self/mounts");
  unsetenv("LD_PRELOAD_PROBE");
  EXPECT_TRUE(contains(out.output, "start\n{\"ociVersion\"")) << out.error << out.output;
  std::string text = *read_file(seen);
  EXPECT_LT(text.find("create_runtime"), text.find("create_container")) << text;
  EXPECT_TRUE(contains(text, "\"annotations\":{\"key\":\"value\"}")) << text;
  EXPECT_TRUE(contains(text, "GIVEN")) << text;
  EXPECT_FALSE(contains(text, "leaked")) << text;
  spec_.hooks.create_runtime = {{"/bin/false", {}, {}, {}}};
  EXPECT_TRUE(contains(run_script("true").error, "createRuntime hook /bin/false failed"));
  spec_.hooks.create_runtime = {{"/bin/sleep", {"sleep", "10"}, {}, 1}};
  EXPECT_TRUE(contains(run_script("true").error, "took longer than 1 s"));
}

TEST_F(ContainerTest, AUserNamespaceMapsItsRoot) {
  spec_.linux_.namespaces.push_back({"user", ""});
  spec_.linux_.uid_mappings = spec_.linux_.gid_mappings = {{0, 100000, 65536}};
  ASSERT_EQ(chown(root().c_str(), 100000, 100000), 0);
  ASSERT_EQ(chmod(directory_->path().c_str(), 0755), 0);
  Outcome out = run_script("id; cat /proc/self/uid_map; stat -c %u /");
  EXPECT_TRUE(contains(out.output, "uid=0 gid=0")) << out.error << out.output;
  EXPECT_TRUE(contains(out.output, "100000")) << out.output;
}

// Linux 5.10 has no mount_setattr(2): a filter makes this kernel one without it.
TEST_F(ContainerTest, KernelsThatCannotChangeDetachedMountsAreServed) {
  ASSERT_EQ(mkdir(path("volume").c_str(), 0755), 0);
  spec_.mounts.push_back({"/readonly", "bind", path("volume"), {"rbind", "ro", "nosuid"}, {}, {}});
  spec_.mounts.push_back({"/writable", "bind", path("volume"), {"rbind", "rslave"}, {}, {}});
  spec_.root.readonly = true;
  oci::LinuxSeccomp old_kernel;
  old_kernel.default_action = "SCMP_ACT_ALLOW";
  old_kernel.syscalls.push_back({{"mount_setattr"}, "SCMP_ACT_ERRNO", ENOSYS, {}});
  sys::SeccompProgram filter = *sys::compile_seccomp(old_kernel);
  Result<Pipe> pipe = make_pipe();
  pid_t child = fork();
  if (child == 0) {
    if (sys::load_seccomp(filter) != 0) _exit(1);
    Outcome out = run_script(
        "touch /readonly/x; touch /writable/y && echo yes; touch /z; echo a > /proc/sys/kernel/hostname;"
        "touch /sys/fs/cgroup/pids/x; grep -E ' /(readonly|writable)? ' /proc/self/mountinfo; wc -c < "
        "/proc/keys");
    (void)write_all(pipe->write.get(), out.error + out.output);
    _exit(out.exit_code);
  }
  pipe->write.reset();
  std::string output = *read_to_end(pipe->read.get(), 1 << 20);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(exit_code_of(status), 0) << output;
  for (const char* refused : {"/readonly/x: Read-only", "/z: Read-only", "hostname: Read-only"})
    EXPECT_TRUE(contains(output, refused)) << output;
  EXPECT_TRUE(contains(output, "yes\n")) << output;
  EXPECT_TRUE(contains(output, "/readonly ro,nosuid")) << output;
  EXPECT_FALSE(contains(output, "shared:")) << output;
  EXPECT_TRUE(output.ends_with("\n0\n")) << output;
}

class RunningTest : public ContainerTest {
 protected:
  void begin(const std::string& script) {
    set_script(script);
    Result<CreatedContainer> made = create(request());
    ASSERT_TRUE(made) << made.error().message;
    container_.emplace(std::move(*made));
    Result<void> started = container_->start();
    ASSERT_TRUE(started) << started.error().message;
  }
  void TearDown() override {
    if (container_) {
      kill(container_->pid(), SIGKILL);
      waitpid(container_->pid(), nullptr, 0);
    }
    ContainerTest::TearDown();
  }
  Outcome execute(const oci::Process& process) {
    Result<Pipe> pipe = make_pipe();
    ExecRequest wanted{container_->pid(), &spec_, &process, {-1, pipe->write.get(), pipe->write.get()}};
    Result<ExecProcess> started = exec(wanted);
    if (!started) return failed(started.error());
    pipe->write.reset();
    Outcome out;
    out.output = *read_to_end(pipe->read.get(), 1 << 20);
    int status = 0;
    EXPECT_EQ(waitpid(started->pid, &status, 0), started->pid);
    out.exit_code = exit_code_of(status);
    return out;
  }
  Outcome execute(const std::string& script) {
    oci::Process process = *spec_.process;
    process.args = {"sh", "-c", script};
    return execute(process);
  }
  std::optional<CreatedContainer> container_;
};

TEST_F(RunningTest, AnotherProgramJoinsItsNamespacesAndCgroup) {
  begin("sleep 100");
  Outcome out =
      execute("echo $$; hostname; ls /proc | grep -c '^1$'; grep -c -v ':/$' /proc/self/cgroup; exit 5");
  EXPECT_EQ(out.exit_code, 5) << out.error;
  EXPECT_TRUE(contains(out.output, "berth\n1\n0\n")) << out.output;
  EXPECT_EQ(execute("sleep 0.2 & sleep 0.1; cat /sys/fs/cgroup/pids/pids.current /sys/fs/cgroup/pids.current "
                    "2>/dev/null")
                .output,
            "3\n");
  EXPECT_EQ(execute("true").exit_code, 0);
}

TEST_F(RunningTest, ExecSaysWhyItFails) {
  begin("sleep 100");
  oci::Process process = *spec_.process;
  process.args = {"nosuch"};
  EXPECT_EQ(execute(process).error, "exec: \"nosuch\": executable file not found in $PATH");
  process.args = {"true"};
  process.cwd = "/nowhere";
  EXPECT_TRUE(contains(execute(process).error, "chdir to cwd"));
  EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), 0);  // only the container itself is left
}

TEST_F(RunningTest, ExecMayHaveATerminalAndAUser) {
  begin("sleep 100");
  oci::Process process = *spec_.process;
  process.terminal = true;
  process.user = {1000, 1000, {}, {}};
  process.args = {"sh", "-c", "tty; id -u; stat -c %u $(tty)"};
  ExecRequest wanted{container_->pid(), &spec_, &process, {}};
  Result<ExecProcess> started = exec(wanted);
  ASSERT_TRUE(started) << started.error().message;
  std::string output;
  char buffer[512];
  for (ssize_t got; (got = read(started->terminal.get(), buffer, sizeof buffer)) > 0;)
    output.append(buffer, static_cast<std::size_t>(got));
  waitpid(started->pid, nullptr, 0);
  EXPECT_EQ(output, "/dev/pts/0\r\n1000\r\n1000\r\n");
}

TEST_F(RunningTest, IsFrozenThawedUpdatedAndKilled) {
  begin("sleep 100 & sleep 100");
  sys::Cgroup group = *sys::Cgroup::at(spec_.linux_.cgroups_path);
  // The program runs, but its shell need not have come to the second process yet.
  for (int attempt = 0; attempt < 1000 && group.members()->size() < 2; ++attempt) usleep(5000);
  ASSERT_EQ(group.members()->size(), 2u);
  ASSERT_TRUE(group.freeze());
  EXPECT_TRUE(*group.frozen());
  ASSERT_TRUE(group.thaw());
  EXPECT_FALSE(*group.frozen());
  oci::Resources more;
  more.cpu.emplace().shares = 512;  // of a controller that was not wanted before
  more.memory.emplace().limit = 64 << 20;
  Result<void> updated = group.update(more);
  ASSERT_TRUE(updated) << updated.error().message;
  EXPECT_EQ(group.statistics()->memory.limit, 64u << 20);
  more.memory->limit = 128 << 20;
  more.memory->swap = 256 << 20;
  ASSERT_TRUE(group.update(more));
  more.memory->limit = 32 << 20;
  more.memory->swap = 32 << 20;
  ASSERT_TRUE(group.update(more));
  EXPECT_EQ(group.statistics()->memory.limit, 32u << 20);
  ASSERT_TRUE(group.kill());
  int status = 0;
  ASSERT_EQ(waitpid(container_->pid(), &status, 0), container_->pid());
  container_.reset();
  EXPECT_EQ(exit_code_of(status), 137);
  EXPECT_TRUE(group.remove());
}

TEST_F(ContainerTest, AnotherProcessMayStartIt) {
  ASSERT_EQ(mkfifo(path("go").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo(path("outcome").c_str(), 0600), 0);
  for (const char* program : {"true", "nosuch"}) {
    set_program({program});
    Result<Fd> go = open_file(path("go"), O_RDWR), outcome = open_file(path("outcome"), O_RDWR);
    CreateRequest wanted = request();
    wanted.start_channel = StartChannel{go->get(), outcome->get()};
    Result<CreatedContainer> container = create(wanted);
    ASSERT_TRUE(container) << container.error().message;
    Result<Fd> reader = open_file(path("outcome"), O_RDONLY), writer = open_file(path("go"), O_WRONLY);
    go->reset();
    outcome->reset();
    Result<void> started = start_through(writer->get(), reader->get(), *spec_.process);
    if (program == std::string("true"))
      EXPECT_TRUE(started);
    else
      EXPECT_TRUE(contains(started.error().message, "executable file not found in $PATH"));
    waitpid(container->pid(), nullptr, 0);
  }
}

}  // namespace
}  // namespace berth::runtime
