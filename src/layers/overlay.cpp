// SPDX-License-Identifier: Apache-2.0
#include "layers/overlay.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "archive/xattr.h"
#include "base/file.h"
#include "base/text.h"

namespace berth::layers {
namespace {

constexpr std::size_t kValueLimit = 255;     // of one fsconfig string
constexpr std::size_t kOptionsLimit = 4095;  // of mount(2)'s options

// glibc 2.36 has them all; seccomp and old kernels answer ENOSYS or EPERM.
Result<void> set(int context, unsigned command, const char* key, const char* value) {
  if (fsconfig(context, command, key, value, 0) != 0)
    return fail_errno(errno, "overlay option {}{}{}", key, value ? "=" : "", value ? value : "");
  return {};
}

// What the kernel says about a failed step, if anything: "e overlay: ...".
std::string kernel_log(int context) {
  char line[512];
  const ssize_t size = read(context, line, sizeof line);
  if (size <= 2) return {};
  std::string_view text = trim(std::string_view(line, static_cast<std::size_t>(size)).substr(2));
  return fmt::format(" ({})", text);
}

// Paths of our own that are too long for one option are named through a descriptor.
class ShortPaths {
 public:
  Result<std::string> of(const std::string& path, std::size_t limit) {
    if (path.size() <= limit && path.find_first_of(",:\\") == std::string::npos) return path;
    Fd opened = TRY(open_file(path, O_PATH | O_DIRECTORY));
    std::string short_path = fmt::format("/proc/self/fd/{}", opened.get());
    kept_.push_back(std::move(opened));
    return short_path;
  }

 private:
  std::vector<Fd> kept_;
};

struct Option {
  std::string key;
  std::string value;  // empty: a flag
};

Result<std::vector<Option>> common_options(const OverlaySpec& spec, ShortPaths& paths) {
  std::vector<Option> options;
  if (spec.upper) {
    options.push_back({"upperdir", TRY(paths.of(spec.upper->upper, kValueLimit))});
    options.push_back({"workdir", TRY(paths.of(spec.upper->work, kValueLimit))});
    if (spec.volatile_upper) options.push_back({"volatile", ""});
  }
  // Redirects and metacopy let an xattr name another file of the layers below: never from hostile trees.
  options.push_back({"redirect_dir", "nofollow"});
  options.push_back({"index", "off"});
  options.push_back({"metacopy", "off"});
  if (spec.user_xattrs) options.push_back({"userxattr", ""});
  return options;
}

// `old_kernel`: it failed because this kernel does not know these calls or options, and older ones may do.
Result<Fd> mount_newest(std::span<const std::string> lower, const OverlaySpec& spec, MountCalls calls,
                        bool& old_kernel) {
  Fd context(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context) {
    old_kernel = errno == ENOSYS;
    return fail_errno(errno, "prepare an overlay mount");
  }
  ShortPaths paths;
  TRY(set(context.get(), FSCONFIG_SET_STRING, "source", "overlay"));
  if (calls == MountCalls::newest) {
    for (const std::string& directory : lower) {
      const std::string path = TRY(paths.of(directory, kValueLimit));
      Result<void> added = set(context.get(), FSCONFIG_SET_STRING, "lowerdir+", path.c_str());
      if (added) continue;
      // Old ones may refuse the first, or any later: what they do not know fills their page of options.
      old_kernel = added.error().code == EINVAL;
      return std::unexpected(std::move(added).error().within("mount" + kernel_log(context.get())));
    }
  } else {
    std::string joined;
    for (const std::string& directory : lower)
      joined.append(joined.empty() ? "" : ":").append(TRY(paths.of(directory, 0)));
    if (joined.size() > kValueLimit) {
      old_kernel = true;
      return fail(ErrorKind::unsupported, "{} layers do not fit one option of this kernel", lower.size());
    }
    TRY(set(context.get(), FSCONFIG_SET_STRING, "lowerdir", joined.c_str()));
  }
  for (const Option& option : TRY(common_options(spec, paths))) {
    const bool flag = option.value.empty();
    TRY(set(context.get(), flag ? FSCONFIG_SET_FLAG : FSCONFIG_SET_STRING, option.key.c_str(),
            flag ? nullptr : option.value.c_str()));
  }
  if (fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    const int code = errno;
    // Before Linux 6.5 an option that overlay does not know is refused only here, and nothing says which.
    old_kernel = calls == MountCalls::newest && code == EINVAL;
    return fail_errno(code, "mount an overlay of {} layers{}", lower.size(), kernel_log(context.get()));
  }
  Fd mount(fsmount(context.get(), FSMOUNT_CLOEXEC, spec.read_only || !spec.upper ? MOUNT_ATTR_RDONLY : 0));
  if (!mount) return fail_errno(errno, "mount an overlay");
  return mount;
}

// The mount of old: attached to a directory for a moment, cloned, and taken off again.
Result<Fd> mount_old(std::span<const std::string> lower, const OverlaySpec& spec) {
  ShortPaths paths;
  std::string text = "lowerdir=";
  for (const std::string& directory : lower)
    text.append(text.back() == '=' ? "" : ":").append(TRY(paths.of(directory, 0)));
  for (const Option& option : TRY(common_options(spec, paths)))
    text.append(",").append(option.key).append(option.value.empty() ? "" : "=").append(option.value);
  if (text.size() > kOptionsLimit)
    return fail(ErrorKind::unsupported, "{} layers are more than this kernel can mount", lower.size());
  TemporaryDirectory place = TRY(TemporaryDirectory::create("berth-overlay"));
  const unsigned long flags = spec.read_only || !spec.upper ? MS_RDONLY : 0;
  if (mount("overlay", place.path().c_str(), "overlay", flags, text.c_str()) != 0)
    return fail_errno(errno, "mount an overlay of {} layers", lower.size());
  Fd clone(open_tree(AT_FDCWD, place.path().c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  const int code = errno;
  if (umount2(place.path().c_str(), MNT_DETACH) != 0) return fail_errno(errno, "take off {}", place.path());
  if (!clone) return fail_errno(code, "detach an overlay mount");
  return clone;
}

// One directory and nothing above it needs no overlay.
Result<Fd> clone_read_only(const std::string& directory) {
  Fd clone(open_tree(AT_FDCWD, directory.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!clone) return fail_errno(errno, "mount {}", directory);
  struct mount_attr attributes = {};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  if (mount_setattr(clone.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0)
    return fail_errno(errno, "make the mount of {} read-only", directory);
  return clone;
}

Result<std::string> make_own_directory(const std::string& above, const char* name, mode_t mode) {
  std::string path = above + "/" + name;
  if (mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
    return fail_errno(errno, "create directory {}", path);
  return path;
}

}  // namespace

Result<Fd> mount_directories_with(std::span<const std::string> lower, const OverlaySpec& spec,
                                  MountCalls calls) {
  if (lower.empty()) return fail(ErrorKind::invalid, "an overlay mount needs a layer");
  if (lower.size() == 1 && !spec.upper) return clone_read_only(lower.front());
  bool old_kernel = false;
  if (calls == MountCalls::newest) {
    Result<Fd> mounted = mount_newest(lower, spec, MountCalls::newest, old_kernel);
    if (mounted || !old_kernel) return mounted;
  }
  if (calls != MountCalls::old) {
    old_kernel = false;
    Result<Fd> mounted = mount_newest(lower, spec, MountCalls::lowerdir_string, old_kernel);
    if (mounted || !old_kernel) return mounted;
  }
  return mount_old(lower, spec);
}

Result<Fd> mount_directories(std::span<const std::string> lower, const OverlaySpec& spec) {
  return mount_directories_with(lower, spec, MountCalls::newest);
}

Result<Fd> mount_detached(const LayerStore& store, const OverlaySpec& spec) {
  std::vector<std::string> lower = spec.extra_lower;
  std::vector<LowerDirectory> held;  // until they are part of the mount
  // The kernel refuses a layer that is there twice (ELOOP), as those of two steps that change nothing are.
  // All that the lower one has the upper one has too.
  for (auto layer = spec.lower.begin(); layer != spec.lower.end(); ++layer) {
    if (std::find(spec.lower.begin(), layer, *layer) != layer) continue;
    held.push_back(TRY(store.lower_directory(*layer)));
    lower.push_back(held.back().path);
  }
  lower.insert(lower.end(), spec.below.begin(), spec.below.end());
  // A layer by itself may have whiteouts, which only overlay hides.
  if (lower.size() == 1 && !spec.upper) lower.push_back(store.empty_path());
  return mount_directories(lower, spec);
}

Result<void> attach(int mount, const std::string& directory) {
  if (move_mount(mount, "", AT_FDCWD, directory.c_str(), MOVE_MOUNT_F_EMPTY_PATH) != 0)
    return fail_errno(errno, "attach a mount to {}", directory);
  return {};
}

Result<void> allow_another_mount(const Upper& upper) {
  TRY_AS("clear the mark of a volatile mount", remove_tree(upper.work + "/work/incompat"));
  return {};
}

Result<Upper> prepare_upper(const std::string& directory, int like) {
  Upper upper;
  upper.upper = TRY(make_own_directory(directory, "upper", 0755));
  upper.work = TRY(make_own_directory(directory, "work", 0700));
  Fd opened = TRY(open_file(upper.upper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  struct stat status;
  if (fstat(like, &status) != 0) return fail_errno(errno, "stat the root of the layers");
  if (fchown(opened.get(), status.st_uid, status.st_gid) != 0)
    return fail_errno(errno, "change the owner of {}", upper.upper);
  if (fchmod(opened.get(), status.st_mode & 07777) != 0)
    return fail_errno(errno, "change the mode of {}", upper.upper);
  const auto xattrs = TRY(archive::read_xattrs(like, "."));
  TRY(archive::write_xattrs(opened.get(), xattrs));
  const struct timespec times[2] = {status.st_mtim, status.st_mtim};
  if (futimens(opened.get(), times) != 0) return fail_errno(errno, "set the times of {}", upper.upper);
  return upper;
}

}  // namespace berth::layers
