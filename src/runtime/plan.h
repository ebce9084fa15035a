// SPDX-License-Identifier: Apache-2.0
// From a runtime configuration to the list of what is to be done: pure, no kernel asked, so that golden tests
// hold it without root. container.cpp prepares what needs the host (bind sources, the root, the cgroup) and
// the child then does the steps one after the other.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/error.h"
#include "oci/runtime_spec.h"
#include "sys/mounts.h"

namespace berth::runtime {

// --- the steps, in the child ------------------------------------------------------------------------------
// Every path is one inside the container unless it says otherwise, and is reached from the root's descriptor.

struct IsolateMounts {  // the propagation of everything in the new mount namespace
  unsigned long propagation = 0;
};
struct AttachRoot {};  // the prepared root becomes a mount of this namespace
struct EnterRoot {     // "/" is the prepared root from here on, and the host's is gone
  bool pivot = true;   // false: move and chroot, for hosts that run from an initramfs
};
struct MountFilesystem {
  std::string type;
  std::string source;
  std::string destination;
  std::uint64_t attributes = 0;  // MOUNT_ATTR_*
  std::vector<sys::MountOptions::Parameter> parameters;
  bool refuse_links = false;  // procfs and sysfs: a link in their place would aim our own writes elsewhere
  unsigned long propagation = 0;
};
struct AttachBind {
  std::string destination;
  std::size_t bind = 0;  // index in Plan::binds
};
struct AttachCgroups {  // of a host with v1 hierarchies: a tmpfs with each of them bound below it
  std::string destination;
  std::uint64_t attributes = 0;
};
struct MakeDevice {
  std::string path;
  std::uint32_t type = 0;  // S_IFCHR, S_IFBLK, S_IFIFO
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t mode = 0666;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  int bind = -1;  // index in Plan::binds: the host's device, where mknod is not ours to use
};
struct MakeLink {
  std::string path;
  std::string target;
};
struct AttachConsole {};  // the terminal at /dev/console
struct MakeDirectory {    // unless something is there
  std::string path;
};
struct MaskPath {
  std::string path;
};
struct ProtectPath {  // read-only
  std::string path;
};
struct WriteSysctl {
  std::string file;  // "net/ipv4/ip_forward", below /proc/sys
  std::string value;
};
struct SetHostname {
  std::string name;
};
struct SetDomainname {
  std::string name;
};
struct UnshareCgroupNamespace {};  // after the process is in its cgroup, which becomes the namespace's root
struct RaiseLoopback {};
struct ProtectRoot {};  // read-only
struct SetRootPropagation {
  unsigned long propagation = 0;
};
struct AskForHooks {          // the parent runs them while the child waits
  bool in_container = false;  // createContainer, else prestart and createRuntime
};

using Step = std::variant<IsolateMounts, AttachRoot, EnterRoot, MountFilesystem, AttachBind, AttachCgroups,
                          MakeDevice, MakeLink, AttachConsole, MakeDirectory, MaskPath, ProtectPath,
                          WriteSysctl, SetHostname, SetDomainname, UnshareCgroupNamespace, RaiseLoopback,
                          ProtectRoot, SetRootPropagation, AskForHooks>;

// --- what the parent prepares -----------------------------------------------------------------------------

struct PlannedBind {
  std::string source;  // a path of the host, absolute
  std::string destination;
  bool recursive = false;
  std::uint64_t set = 0, clear = 0;                      // MOUNT_ATTR_*
  std::uint64_t recursive_set = 0, recursive_clear = 0;  // for the mounts below it too
  unsigned long propagation = 0;                         // MS_*
  // What is bound lies here below `source`, where a container may have put links: none may lead out of it.
  std::string beneath = {};
};

struct PlannedJoin {
  std::uint64_t flag = 0;  // CLONE_NEW*
  std::string name;        // "network"
  std::string path;        // empty: a descriptor from the request
};

struct Plan {
  std::uint64_t new_namespaces = 0;  // CLONE_NEW*, without the cgroup one, which has a step
  std::vector<PlannedJoin> joins;
  std::vector<PlannedBind> binds;
  std::vector<Step> steps;
  bool user_namespace = false;  // a new one
  // Mounts are changed only once they are attached, by the child, while the host's /proc is there (Linux
  // < 5.12).
  bool change_attached_mounts = false;
};

struct PlanOptions {
  std::string bundle;                             // absolute; the base of relative bind sources
  std::vector<std::string> joined_by_descriptor;  // OCI names of namespaces
  bool unified_cgroups = true;                    // the host has cgroup v2 alone
  bool no_pivot = false;
  bool create_cwd = false;
  bool change_attached_mounts = false;  // sys::can_change_detached_mounts says no
  std::vector<std::string>* warnings = nullptr;
};

// An option of bind mounts that the OCI specification does not have: "berth.beneath=PATH" binds what lies at
// PATH below the source, looked up when the process is made, and refuses a link there that leads out of it.
inline constexpr std::string_view kBeneathOption = "berth.beneath";

Result<Plan> make_plan(const oci::RuntimeSpec& spec, const PlanOptions& options);

// One line a step, for golden tests and for `--debug`.
std::string to_text(const Plan& plan);
std::string to_text(const Step& step);

}  // namespace berth::runtime
