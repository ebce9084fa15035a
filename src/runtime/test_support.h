// SPDX-License-Identifier: Apache-2.0
// Containers for tests: a root made of busybox, and a way to run one program in it and look at what it said.
#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "base/process.h"
#include "base/text.h"
#include "oci/runtime_spec.h"
#include "runtime/container.h"
#include "sys/cgroup.h"

namespace berth::runtime::testing {

struct Outcome {
  std::string error;  // of create or start; empty when the program ran
  ErrorKind kind = ErrorKind::system;
  int exit_code = -1;
  std::string output;  // standard output and error together
};

class ContainerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Result<TemporaryDirectory> made = TemporaryDirectory::create("berth-runtime-test");
    ASSERT_TRUE(made) << made.error().message;
    directory_.emplace(std::move(*made));
    make_root(root());
    spec_ = plain_spec();
    mounts_before_ = host_mounts();
  }

  void TearDown() override {
    EXPECT_EQ(host_mounts(), mounts_before_) << "a mount was left on the host";
    Result<sys::Cgroup> group = sys::Cgroup::at(spec_.linux_.cgroups_path);
    if (group && group->exists()) {
      (void)group->kill();
      EXPECT_TRUE(group->remove());
    }
    if (Result<sys::Cgroup> parent = sys::Cgroup::at("/berth-test")) (void)parent->remove();
  }

  std::string path(const std::string& name) const { return directory_->path() + "/" + name; }
  std::string root() const { return path("rootfs"); }

  static void make_root(const std::string& root) {
    for (const char* name : {"", "/bin", "/tmp", "/etc", "/proc", "/sys", "/dev"})
      ASSERT_EQ(mkdir((root + name).c_str(), 0755), 0);
    std::string busybox = *read_file("/bin/busybox");
    Result<Fd> file = open_file(root + "/bin/busybox", O_WRONLY | O_CREAT, 0755);
    ASSERT_TRUE(file && write_all(file->get(), busybox));
    for (const char* name : {"sh",    "true", "cat",      "ls",     "id", "mount", "echo", "sleep",
                             "mknod", "stat", "readlink", "head",   "tr", "pwd",   "tty",  "hostname",
                             "grep",  "env",  "touch",    "umount", "wc", "stty",  "dd",   "mkdir"})
      ASSERT_EQ(symlink("busybox", (root + "/bin/" + name).c_str()), 0);
  }

  oci::RuntimeSpec plain_spec() {
    oci::RuntimeSpec spec = oci::default_runtime_spec();
    spec.process->terminal = false;
    spec.process->rlimits.clear();
    spec.root = {root(), false};
    spec.linux_.cgroups_path = "/berth-test/" + random_identifier().substr(0, 16);
    return spec;
  }

  void set_program(std::vector<std::string> arguments) { spec_.process->args = std::move(arguments); }
  void set_script(const std::string& script) { set_program({"sh", "-c", script}); }

  CreateRequest request() {
    CreateRequest out;
    out.spec = &spec_;
    out.id = "test";
    out.bundle = directory_->path();
    return out;
  }

  Outcome run() { return run(request()); }
  Outcome run_script(const std::string& script) {
    set_script(script);
    return run();
  }

  // Creates, starts, waits, and removes the cgroup.
  Outcome run(CreateRequest wanted) {
    Outcome out;
    Result<Pipe> pipe = make_pipe();
    wanted.streams.output = wanted.streams.error = pipe->write.get();
    Result<CreatedContainer> container = create(wanted);
    if (!container) return failed(container.error());
    pipe->write.reset();
    Result<void> started = container->start();
    if (!started) out = failed(started.error());
    out.output = *read_to_end(pipe->read.get(), 1 << 20);
    int status = 0;
    EXPECT_EQ(waitpid(container->pid(), &status, 0), container->pid());
    if (out.error.empty()) out.exit_code = exit_code_of(status);
    Result<void> removed = sys::Cgroup::at(spec_.linux_.cgroups_path)->remove();
    EXPECT_TRUE(removed) << removed.error().message;
    return out;
  }

  static Outcome failed(const Error& error) { return {error.message, error.kind, -1, ""}; }

  static std::string host_mounts() {
    Result<std::string> text = read_file("/proc/self/mountinfo");
    return text ? *text : "";
  }

  std::optional<TemporaryDirectory> directory_;
  oci::RuntimeSpec spec_;
  std::string mounts_before_;
};

}  // namespace berth::runtime::testing
