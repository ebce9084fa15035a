// SPDX-License-Identifier: Apache-2.0
// The steps of a plan, one function each. They run between clone and exec; one that fails reports the step
// and does not return.
#pragma once
#include <cstdint>

#include "runtime/container_child.h"
#include "runtime/plan.h"
#include "runtime/program.h"

namespace berth::runtime {

class StepRunner {
 public:
  StepRunner(const ContainerChild& child, const ChildChannel& channel) noexcept
      : child_(child), channel_(channel) {}

  void run_all() noexcept;
  void wait_until_placed() noexcept;
  int terminal() noexcept;  // the master, made if no step has made it; -1 without one

  void operator()(const IsolateMounts& step) noexcept;
  void operator()(const AttachRoot& step) noexcept;
  void operator()(const EnterRoot& step) noexcept;
  void operator()(const MountFilesystem& step) noexcept;
  void operator()(const AttachBind& step) noexcept;
  void operator()(const AttachCgroups& step) noexcept;
  void operator()(const MakeDevice& step) noexcept;
  void operator()(const MakeLink& step) noexcept;
  void operator()(const AttachConsole& step) noexcept;
  void operator()(const MakeDirectory& step) noexcept;
  void operator()(const MaskPath& step) noexcept;
  void operator()(const ProtectPath& step) noexcept;
  void operator()(const WriteSysctl& step) noexcept;
  void operator()(const SetHostname& step) noexcept;
  void operator()(const SetDomainname& step) noexcept;
  void operator()(const UnshareCgroupNamespace& step) noexcept;
  void operator()(const RaiseLoopback& step) noexcept;
  void operator()(const ProtectRoot& step) noexcept;
  void operator()(const SetRootPropagation& step) noexcept;
  void operator()(const AskForHooks& step) noexcept;

 private:
  [[noreturn]] void fail(int code, StepPart part = StepPart::whole) const noexcept;
  // Passes a descriptor or 0 through, ends with the step's failure on a negative errno.
  int check(int result, StepPart part = StepPart::whole) const noexcept {
    if (result < 0) fail(-result, part);
    return result;
  }
  int directory(const char* path) const noexcept;  // found or made
  int directory_without_links(const char* path) const noexcept;
  int file(const char* path) noexcept;                          // found or made, O_PATH
  int parent_of(const char* path, const char*& name) noexcept;  // cached: the next step is mostly a neighbour
  void attach_bind(std::size_t index, int target) noexcept;
  void attach_cgroup(std::size_t index, int target, std::uint64_t attributes) noexcept;
  int null_device() noexcept;
  int empty_directory() noexcept;

  const ContainerChild& child_;
  const ChildChannel& channel_;
  std::uint32_t index_ = 0;
  bool placed_ = false;
  int devpts_ = -1;
  int master_ = -1;
  int null_ = -1;
  int empty_ = -1;
  int parent_ = -1;
  char parent_path_[256] = {};
};

}  // namespace berth::runtime
