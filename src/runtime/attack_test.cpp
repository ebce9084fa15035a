// SPDX-License-Identifier: Apache-2.0
// Hostile roots, configurations and programs. Each test is an attack that runtimes have fallen to; it fails
// when the defence is taken out.
#include <grp.h>
#include <signal.h>

#include <atomic>
#include <cstring>
#include <thread>

#include "runtime/container.h"
#include "runtime/test_support.h"

namespace berth::runtime {
namespace {

using testing::ContainerTest;
using testing::Outcome;

bool contains(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

class HostileRoot : public ContainerTest {
 protected:
  void replace_with_link(const std::string& name, const std::string& target) {
    ASSERT_EQ(rmdir((root() + name).c_str()), 0);
    ASSERT_EQ(symlink(target.c_str(), (root() + name).c_str()), 0);
  }
};

// CVE-2019-19921, CVE-2023-27561: what the runtime writes to /proc lands where the image wants.
TEST_F(HostileRoot, ProcThatIsALinkIsRefused) {
  ASSERT_EQ(mkdir((root() + "/fake").c_str(), 0755), 0);
  replace_with_link("/proc", "/fake");
  Outcome out = run_script("true");
  EXPECT_TRUE(contains(out.error, "mount proc on /proc")) << out.error;
  EXPECT_TRUE(contains(out.error, "taken by a link")) << out.error;
}

TEST_F(HostileRoot, SysThatIsAFileIsRefused) {
  ASSERT_EQ(rmdir((root() + "/sys").c_str()), 0);
  ASSERT_TRUE(open_file(root() + "/sys", O_WRONLY | O_CREAT, 0644));
  EXPECT_TRUE(contains(run_script("true").error, "mount sysfs on /sys"));
}

// CVE-2025-52881: the sysctl must be written to the kernel although /proc is a directory of the attacker's.
TEST_F(HostileRoot, SysctlsReachTheKernelThoughProcIsFake) {
  std::string fake = path("fake");
  for (const char* name : {"", "/sys", "/sys/net", "/sys/net/ipv4"})
    ASSERT_EQ(mkdir((fake + name).c_str(), 0755), 0);
  ASSERT_TRUE(open_file(fake + "/sys/net/ipv4/ip_forward", O_WRONLY | O_CREAT, 0644));
  spec_.mounts[0] = {"/proc", "bind", fake, {"bind"}, {}, {}};
  spec_.mounts.push_back({"/real", "proc", "proc", {}, {}, {}});
  spec_.linux_.sysctl = {{"net.ipv4.ip_forward", "1"}};
  Outcome out = run_script("cat /real/sys/net/ipv4/ip_forward");
  EXPECT_EQ(out.output, "1\n") << out.error;
  EXPECT_EQ(*read_file(fake + "/sys/net/ipv4/ip_forward"), "");
}

// CVE-2021-30465 and kin: a mount's target that leads out of the root.
TEST_F(HostileRoot, MountTargetsCannotLeaveTheRoot) {
  const std::string outside = path("outside");
  ASSERT_EQ(mkdir(outside.c_str(), 0755), 0);
  ASSERT_EQ(mkdir(path("volume").c_str(), 0755), 0);
  ASSERT_TRUE(open_file(path("volume/inside"), O_WRONLY | O_CREAT, 0644));
  const std::string up = "../../../../../../../..";
  int number = 0;
  for (const std::string& target :
       {outside, up + outside, std::string("/proc/1/root") + outside, std::string("/proc/self/cwd")}) {
    std::string link = "/link" + std::to_string(number++);
    ASSERT_EQ(symlink(target.c_str(), (root() + link).c_str()), 0);
    // Before /proc is mounted, so that a magic link would be the host's.
    oci::RuntimeSpec before = spec_;
    spec_.mounts.insert(spec_.mounts.begin() + 1, {link + "/data", "bind", path("volume"), {"bind"}, {}, {}});
    Outcome out = run_script("ls " + link + "/data");
    EXPECT_TRUE(out.error != "" || contains(out.output, "inside"))
        << target << ": " << out.error << out.output;
    EXPECT_EQ(list_directory(outside)->size(), 0u) << "reached the host through " << target;
    spec_ = before;
  }
}

TEST_F(HostileRoot, DevThatIsALinkStaysInTheRoot) {
  const std::string outside = path("outside");
  ASSERT_EQ(mkdir(outside.c_str(), 0755), 0);
  replace_with_link("/dev", outside);
  Outcome out = run_script("true");
  EXPECT_EQ(list_directory(outside)->size(), 0u);
  // Without a mount there, the devices are made where the link leads inside the root.
  spec_.mounts.erase(spec_.mounts.begin() + 1, spec_.mounts.begin() + 5);
  out = run_script("true");
  EXPECT_EQ(list_directory(outside)->size(), 0u);
}

// A process of another container that shares the volume swaps the target for a link, again and again.
TEST_F(HostileRoot, ATargetThatIsSwappedWhileMountingCannotLeaveTheRoot) {
  const std::string outside = path("outside");
  for (const std::string& name : {outside, path("volume"), root() + "/swap"})
    ASSERT_EQ(mkdir(name.c_str(), 0755), 0);
  ASSERT_EQ(symlink(outside.c_str(), (root() + "/swap.link").c_str()), 0);
  ASSERT_TRUE(open_file(path("volume/inside"), O_WRONLY | O_CREAT, 0644));
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    while (!done)
      renameat2(AT_FDCWD, (root() + "/swap").c_str(), AT_FDCWD, (root() + "/swap.link").c_str(),
                RENAME_EXCHANGE);
  });
  spec_.mounts.push_back({"/swap/data", "bind", path("volume"), {"bind"}, {}, {}});
  for (int round = 0; round < 20; ++round) {
    (void)run_script("true");
    EXPECT_EQ(list_directory(outside)->size(), 0u);
  }
  done = true;
  swapper.join();
}

// CVE-2023-5528 and its kin: a part of a volume that the container itself replaces by a link to the host.
TEST_F(HostileRoot, APartOfAVolumeThatIsALinkCannotLeaveIt) {
  const std::string outside = path("outside");
  ASSERT_TRUE(make_directories(path("volume/part"), 0755));
  ASSERT_EQ(mkdir(outside.c_str(), 0755), 0);
  ASSERT_TRUE(open_file(outside + "/secret", O_WRONLY | O_CREAT, 0644));
  for (const auto& [name, target] :
       {std::pair{"absolute", outside}, {"relative", "../outside"}, {"up", ".."}})
    ASSERT_EQ(symlink(target.c_str(), path("volume/" + std::string(name)).c_str()), 0);
  spec_.mounts.push_back({"/part", "bind", path("volume"), {"bind", ""}, {}, {}});
  for (const char* name : {"absolute", "relative", "up", "..", "../outside", "part/../../outside", "/"}) {
    spec_.mounts.back().options.back() = std::string("berth.beneath=") + name;
    Outcome out = run_script("ls /part");
    EXPECT_NE(out.error, "") << name;
    EXPECT_FALSE(contains(out.output, "secret")) << name;
  }
}

TEST_F(HostileRoot, APartOfAVolumeThatIsSwappedWhileMountingCannotLeaveIt) {
  const std::string outside = path("outside"), part = path("volume/part"), link = path("volume/link");
  ASSERT_TRUE(make_directories(part, 0755));
  ASSERT_EQ(mkdir(outside.c_str(), 0755), 0);
  ASSERT_TRUE(open_file(outside + "/secret", O_WRONLY | O_CREAT, 0644));
  ASSERT_EQ(symlink(outside.c_str(), link.c_str()), 0);
  std::atomic<bool> done = false;
  std::thread swapper([&] {
    while (!done) renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, link.c_str(), RENAME_EXCHANGE);
  });
  spec_.mounts.push_back({"/part", "bind", path("volume"), {"bind", "berth.beneath=part"}, {}, {}});
  for (int round = 0; round < 20; ++round) EXPECT_FALSE(contains(run_script("ls /part").output, "secret"));
  done = true;
  swapper.join();
}

// CVE-2025-31133: masks made of a file that the attacker put at /dev/null.
TEST_F(HostileRoot, MasksAreMadeOfTheRealNullDevice) {
  std::string fake = path("fakedev");
  ASSERT_EQ(mkdir(fake.c_str(), 0755), 0);
  ASSERT_TRUE(open_file(fake + "/null", O_WRONLY | O_CREAT, 0666));
  oci::RuntimeSpec before = spec_;
  spec_.mounts = {spec_.mounts[0], {"/dev", "bind", fake, {"bind"}, {}, {}}};
  EXPECT_TRUE(contains(run_script("true").error, "not the null device")) << run_script("true").error;
  // As a link to something that may be bound.
  ASSERT_EQ(unlink((fake + "/null").c_str()), 0);
  ASSERT_EQ(symlink("/proc/sys/kernel/core_pattern", (fake + "/null").c_str()), 0);
  EXPECT_TRUE(contains(run_script("true").error, "not the null device"));
  // In an image, without any mount at /dev, the runtime puts its own there.
  spec_ = before;
  spec_.mounts.erase(spec_.mounts.begin() + 1, spec_.mounts.begin() + 5);
  ASSERT_TRUE(open_file(root() + "/dev/null", O_WRONLY | O_CREAT, 0666));
  EXPECT_EQ(run_script("stat -c %t:%T /dev/null /proc/keys").output, "1:3\n1:3\n");
}

// CVE-2025-52565: the terminal's mount on /dev/console, through a link.
TEST_F(HostileRoot, TheConsoleIsNotMountedThroughALink) {
  ASSERT_EQ(symlink("/proc/sys/kernel/core_pattern", (root() + "/dev/console").c_str()), 0);
  std::erase_if(spec_.mounts, [](const oci::Mount& mount) { return mount.destination == "/dev"; });
  spec_.process->terminal = true;
  EXPECT_TRUE(contains(run_script("true").error, "console"));
}

TEST_F(HostileRoot, ATerminalIsNotTakenFromSomethingThatIsNoDevpts) {
  std::erase_if(spec_.mounts, [](const oci::Mount& mount) { return mount.destination.starts_with("/dev"); });
  spec_.mounts.push_back({"/dev/pts", "devpts", "devpts", {"newinstance", "ptmxmode=0666"}, {}, {}});
  spec_.mounts.push_back({"/dev", "bind", path("rootfs/tmp"), {"bind"}, {}, {}});
  ASSERT_EQ(mkdir((root() + "/tmp/pts").c_str(), 0755), 0);
  ASSERT_TRUE(open_file(root() + "/tmp/pts/ptmx", O_WRONLY | O_CREAT, 0666));
  spec_.process->terminal = true;
  spec_.linux_.masked_paths.clear();
  set_script("true");
  Result<CreatedContainer> made = create(request());  // on the devpts that it mounted itself, by descriptor
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_TRUE(made->take_terminal());
  kill(made->pid(), SIGKILL);
  waitpid(made->pid(), nullptr, 0);
}

// CVE-2016-9962, CVE-2024-21626: a descriptor of the host's that the runtime leaks becomes the working
// directory.
TEST_F(HostileRoot, HostDescriptorsReachNeitherTheProgramNorItsWorkingDirectory) {
  std::vector<int> leaks;
  for (int i = 0; i < 10; ++i) leaks.push_back(open("/", O_RDONLY | O_DIRECTORY));  // not close-on-exec
  for (int number = 3; number < 24; ++number) {
    spec_.process->cwd = "/proc/self/fd/" + std::to_string(number);
    Outcome out = run_script("pwd; ls");
    EXPECT_NE(out.error, "") << number << ": " << out.output;
  }
  spec_.process->cwd = "/";
  Outcome out = run_script("for f in /proc/self/fd/*; do echo $f $(readlink $f); done");
  for (int number = 3; number < 60; ++number)
    EXPECT_FALSE(contains(out.output, "/fd/" + std::to_string(number) + " /")) << out.output;
  for (int leak : leaks) close(leak);
}

TEST_F(HostileRoot, PreservedDescriptorsAreTheOnlyOnes) {
  int first = open("/etc", O_RDONLY | O_DIRECTORY);
  if (first != 3) GTEST_SKIP() << "the test program was started with more descriptors";
  CreateRequest wanted = request();
  wanted.preserved_descriptors = 1;
  set_script("readlink /proc/self/fd/3; readlink /proc/self/fd/4 || echo none");
  Outcome out = run(wanted);
  EXPECT_EQ(out.output, "/etc\nnone\n");
  close(first);
}

// The path of a control group, ids and namespaces from a configuration are not to be believed either.
TEST_F(HostileRoot, CgroupPathsCannotClimb) {
  for (const char* bad : {"/../x", "/a/../../x", "/", "/a/./b", "/berth-test/../x"}) {
    spec_.linux_.cgroups_path = bad;
    EXPECT_NE(run_script("true").error, "") << bad;
  }
  spec_.linux_.cgroups_path = "/berth-test/x";
}

TEST_F(HostileRoot, ANamespacePathThatIsSomethingElseIsRefused) {
  for (const char* path : {"/etc/passwd", "/proc/self/ns/uts", "/dev/zero", "/no/such"}) {
    std::erase_if(spec_.linux_.namespaces, [](const oci::Namespace& one) { return one.type == "network"; });
    spec_.linux_.namespaces.push_back({"network", path});
    EXPECT_NE(run_script("true").error, "") << path;
  }
}

TEST_F(HostileRoot, IdsThatMeanLeaveAsItIsAreRefused) {
  spec_.process->user.uid = 0xffffffff;
  EXPECT_NE(run_script("id").error, "");
  spec_.process->user = {0, 0xffffffff, {}, {}};
  EXPECT_NE(run_script("id").error, "");
  spec_.process->user = {0, 0, {}, {0xffffffff}};
  EXPECT_NE(run_script("id").error, "");
}

TEST_F(HostileRoot, RelativePathEntriesAreNotSearched) {
  ASSERT_EQ(symlink("/bin/busybox", (root() + "/evil").c_str()), 0);
  spec_.process->env = {"PATH=:.:bin:"};
  set_program({"sh", "-c", "true"});
  EXPECT_TRUE(contains(run().error, "executable file not found in $PATH"));
}

// CVE-2019-5736. The probe is a copy of this test program: it protects itself, or does not, and waits. An
// attacker takes hold of its file through /proc/<pid>/exe and writes once it runs no longer.
TEST(OwnExecutable, DISABLED_Probe) {
  if (!std::getenv("BERTH_PROBE")) return;
  if (std::getenv("BERTH_PROBE") == std::string("protected")) {
    std::string words = *read_file("/proc/self/cmdline");
    std::vector<char*> arguments;
    for (std::size_t at = 0; at < words.size(); at += std::strlen(words.c_str() + at) + 1)
      arguments.push_back(words.data() + at);
    arguments.push_back(nullptr);
    if (!protect_own_executable(arguments.data(), environ)) _exit(90);
  }
  (void)write_all(2, "ready");
  char end;
  _exit(read(0, &end, 1) == 0 ? 0 : 91);
}

TEST(OwnExecutable, CannotBeWrittenThroughProcOnceProtected) {
  Result<TemporaryDirectory> directory = TemporaryDirectory::create("berth-own-executable");
  ASSERT_TRUE(directory);
  const std::string copy = directory->path() + "/probe";
  ASSERT_EQ(run_program({"cp", "/proc/" + std::to_string(getpid()) + "/exe", copy})->exit_code, 0);
  auto attack = [&](const char* how) {
    Result<Pipe> hold = make_pipe(), ready = make_pipe();
    SpawnRequest request;
    request.arguments = {copy, "--gtest_filter=OwnExecutable.*", "--gtest_also_run_disabled_tests"};
    request.environment = {std::string("BERTH_PROBE=") + how};
    Fd safe;
    if (how == std::string("by descriptor")) {
      safe = std::move(*protected_executable(copy));
      request.arguments[0] = "/proc/self/fd/" + std::to_string(safe.get());
    }
    request.standard_input = hold->read.get();
    request.standard_error = ready->write.get();
    Result<Process> process = Process::spawn(request);
    ready->write.reset();
    char word[5];
    EXPECT_TRUE(read_exactly(ready->read.get(), word));
    Fd file(open(("/proc/" + std::to_string(process->pid()) + "/exe").c_str(), O_PATH | O_CLOEXEC));
    EXPECT_TRUE(file);
    hold->write.reset();
    EXPECT_EQ(*process->wait(), 0);
    Fd writable(open(("/proc/self/fd/" + std::to_string(file.get())).c_str(), O_WRONLY | O_CLOEXEC));
    return writable ? 0 : errno;
  };
  EXPECT_EQ(attack("plain"), 0) << "the attack itself no longer works: it shows nothing";
  EXPECT_EQ(attack("protected"), EROFS);
  EXPECT_EQ(attack("by descriptor"), EROFS);
}

// While it waits, the child is a copy of the keeper. An unprivileged process with the same user id must not
// reach it: that is what not being dumpable does.
TEST_F(HostileRoot, TheWaitingChildIsOutOfReachForItsOwnUser) {
  spec_.process->user = {1000, 1000, {}, {}};
  set_script("true");
  Result<CreatedContainer> made = create(request());
  ASSERT_TRUE(made) << made.error().message;
  const std::string memory = "/proc/" + std::to_string(made->pid()) + "/mem";
  pid_t attacker = fork();
  if (attacker == 0) {
    if (setgroups(0, nullptr) != 0 || setgid(1000) != 0 || setuid(1000) != 0) _exit(2);
    _exit(open(memory.c_str(), O_RDWR) < 0 && errno == EACCES ? 0 : 1);
  }
  int status = 0;
  waitpid(attacker, &status, 0);
  EXPECT_EQ(status, 0);
  kill(made->pid(), SIGKILL);
  waitpid(made->pid(), nullptr, 0);
}

}  // namespace
}  // namespace berth::runtime
