// SPDX-License-Identifier: Apache-2.0
// Mounts by descriptor (fsopen(2), fsmount(2), open_tree(2), move_mount(2), mount_setattr(2)). A new mount is
// attached nowhere until move_mount puts it onto a descriptor, so no path is looked up twice and nothing
// shows in the host's mount table before it is wanted.
//
// (This header is not called mount.h: <sys/mount.h> would then find it.)
//
// The functions that take plain C strings and return a number (a descriptor or 0, or a negative errno)
// allocate nothing: they may run between clone and exec.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/fd.h"

namespace berth::sys {

// What a mount's option list says, sorted by who is told ("nosuid" the mount, "size=64m" the file system).
struct MountOptions {
  std::uint64_t set = 0;            // MOUNT_ATTR_*
  std::uint64_t clear = 0;          // MOUNT_ATTR_*, what "rw", "suid", "dev", "exec" ask for
  std::uint64_t recursive_set = 0;  // "rro", "rnosuid", ...
  std::uint64_t recursive_clear = 0;
  bool bind = false;
  bool recursive = false;         // rbind
  unsigned long propagation = 0;  // MS_PRIVATE, MS_SLAVE, MS_SHARED, MS_UNBINDABLE
  bool propagation_recursive = false;
  struct Parameter {
    std::string key;
    std::string value;
    bool flag = false;  // without "="
  };
  std::vector<Parameter> parameters;  // the file system's own
};
Result<MountOptions> parse_mount_options(const std::vector<std::string>& options);

// MS_PRIVATE and so on, with MS_REC for a leading "r", from "rprivate"; nothing when the word is another.
std::optional<unsigned long> propagation_flag(std::string_view word);

// The kernel's own words for a failed fsopen context, e.g. "overlay: Unknown parameter 'x'"; empty when it
// has none.
std::string context_messages(int context);

// A new overlay, attached nowhere. `lower` has the top layer first; `upper` and `work` both empty for a
// read-only one.
Result<Fd> mount_overlay(const std::vector<std::string>& lower, const std::string& upper,
                         const std::string& work, bool volatile_upper);

// The same in the way of kernels that take all layers as one option; mount_overlay uses it where it must.
// Public so that tests hold both to the same meaning.
Result<Fd> mount_overlay_before_6_5(const std::vector<std::string>& lower, const std::string& upper,
                                    const std::string& work, bool volatile_upper);

// A copy of the mount at `path` of the host, attached nowhere: what a bind mount is made of.
Result<Fd> clone_mount(const std::string& path, bool recursive);

// Whether something is mounted on what lies at `path`, which is no link that is followed. Nothing is asked of
// the file system there, which may be that of a server that no longer answers.
Result<bool> is_mount_point(const std::string& path);

// Whether a mount that is attached nowhere can be changed: mount_setattr(2), since Linux 5.12. Without it
// raw_set_attributes remounts by name, which works on attached mounts alone, needs /proc to be the kernel's,
// and for attributes reaches one mount, not those below it.
bool can_change_detached_mounts() noexcept;

// Attributes and propagation (MS_*; 0: leave) of the mount behind a descriptor.
Result<void> set_mount_attributes(int mount, std::uint64_t set, std::uint64_t clear,
                                  unsigned long propagation, bool recursive);

// --- between clone and exec -------------------------------------------------------------------------------
int raw_new_context(const char* type) noexcept;
int raw_set_parameter(int context, const char* key, const char* value) noexcept;  // value null: a flag
int raw_create_mount(int context, std::uint64_t attributes) noexcept;             // the mount's descriptor
int raw_clone_mount(int directory, const char* path, bool recursive) noexcept;
int raw_attach(int mount, int target) noexcept;  // move_mount onto the descriptor
int raw_set_attributes(int mount, std::uint64_t set, std::uint64_t clear, unsigned long propagation,
                       bool recursive) noexcept;

// openat2 with RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS, EAGAIN retried.
int raw_open_in_root(int root, const char* path, std::uint64_t flags, std::uint64_t mode = 0) noexcept;
// The same, refusing every symbolic link on the way (ELOOP).
int raw_open_without_links(int root, const char* path, std::uint64_t flags) noexcept;

}  // namespace berth::sys
