// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <span>

#include "base/file.h"

namespace berth::sys {
namespace {

struct AttributeWord {
  std::string_view word;
  std::uint64_t set;
  std::uint64_t clear;
};

// The access time modes are one field of the attributes: setting one clears the field first.
constexpr std::array<AttributeWord, 20> kAttributes = {{
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
    {"defaults", 0, 0},
    {"async", 0, 0},
}};

const AttributeWord* attribute_word(std::string_view word) {
  for (const AttributeWord& one : kAttributes)
    if (one.word == word) return &one;
  return nullptr;
}

void apply(const AttributeWord& word, std::uint64_t& set, std::uint64_t& clear) {
  set = (set & ~word.clear) | word.set;
  clear = (clear & ~word.set) | word.clear;
}

Result<void> check_path_of_ours(const std::string& path) {
  if (path.empty() || path[0] != '/') return fail(ErrorKind::invalid, "\"{}\" is not an absolute path", path);
  return {};
}

// What layers say about redirects and metadata copies is not to be believed: they came from an image. The
// index would tie the layers to this machine.
constexpr std::array<std::pair<const char*, const char*>, 3> kOverlaySafety = {
    {{"redirect_dir", "nofollow"}, {"metacopy", "off"}, {"index", "off"}}};

// Kernels before 6.5 have one option for all layers, and fsconfig takes no more than 255 bytes of it: there
// it is mount(2) with a page of options, in which directories are named by descriptors to be short. That call
// attaches what it makes, so a child does it in a mount namespace of its own, and hands over a copy that is
// attached nowhere through the descriptors that it shares.
struct NamedDirectory {
  std::string path;
  Fd descriptor;
};

struct OverlayChild {
  const std::vector<NamedDirectory>& directories;
  const char* place = nullptr;
  const char* options = nullptr;
  int report = -1;

  // An overlay takes directories of its maker's mount namespace alone, so each is opened again in the new
  // one, under the number that the options name.
  bool open_again() const noexcept {
    for (const NamedDirectory& directory : directories) {
      int opened = open(directory.path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (opened < 0 || dup3(opened, directory.descriptor.get(), O_CLOEXEC) < 0) return false;
      close(opened);
    }
    return true;
  }

  [[noreturn]] void run() const noexcept {
    int result = -1;
    if (mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) == 0 && open_again() &&
        mount("overlay", place, "overlay", 0, options) == 0)
      result = open_tree(AT_FDCWD, place, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (result < 0) result = -errno;
    (void)!write(report, &result, sizeof result);
    _exit(0);
  }
};

Result<Fd> mount_overlay_with_options(const std::vector<NamedDirectory>& directories,
                                      const std::string& options) {
  const std::string& place = directories.front().path;  // any directory does, nobody else will see it
  Pipe report = TRY(make_pipe());
  const OverlayChild body{directories, place.c_str(), options.c_str(), report.write.get()};
  // No signal at its end: whoever watches for children that end did not start this one.
  long child = syscall(SYS_clone, CLONE_NEWNS | CLONE_FILES, nullptr, nullptr, nullptr, 0);
  if (child == 0) body.run();
  if (child < 0) return fail_errno(errno, "cannot start a process to mount an overlay");
  int result = -EIO;
  Result<void> heard = [&]() -> Result<void> {
    int status = 0;
    while (waitpid(static_cast<pid_t>(child), &status, __WALL) < 0 && errno == EINTR) {
    }
    if (!WIFEXITED(status)) return fail(ErrorKind::system, "the process that mounts an overlay was killed");
    return read_exactly(report.read.get(), std::span(reinterpret_cast<char*>(&result), sizeof result));
  }();
  if (!heard) return std::unexpected(heard.error());
  if (result < 0) return fail_errno(-result, "cannot mount an overlay on {}", place);
  return Fd(result);
}

// Nothing when this kernel does not know how to take layers one by one: kernels before 6.5 notice that only
// when the mount is made.
Result<std::optional<Fd>> mount_overlay_by_context(const std::vector<std::string>& lower,
                                                   const std::string& upper, const std::string& work,
                                                   bool volatile_upper) {
  Fd context(fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context) return fail_errno(errno, "this kernel has no overlay file system");
  int code = 0;
  std::string what = "lowerdir";
  auto option = [&](const char* key, const char* value) {
    if (code < 0) return;
    what = value ? value : key;
    code = raw_set_parameter(context.get(), key, value);
  };
  option("source", "overlay");
  for (const std::string& directory : lower) option("lowerdir+", directory.c_str());
  if (!upper.empty()) {
    option("upperdir", upper.c_str());
    option("workdir", work.c_str());
    if (volatile_upper) option("volatile", nullptr);
  }
  for (const auto& [key, value] : kOverlaySafety) option(key, value);
  if (code == 0) {
    what = upper.empty() ? lower.front() : upper;
    code = raw_create_mount(context.get(), 0);
  }
  if (code >= 0) return Fd(code);
  std::string words = context_messages(context.get());
  // The old parser refuses the word itself, or says nothing at all, or that many layers overflow its page:
  // "VFS: Legacy: Cumulative options too large".
  if (code == -EINVAL && (words.empty() || words.find("lowerdir+") != std::string::npos ||
                          words.find("Legacy") != std::string::npos))
    return std::nullopt;
  return fail_errno(-code, "cannot mount an overlay: {}{}{}", what, words.empty() ? "" : ": ", words);
}

}  // namespace

std::optional<unsigned long> propagation_flag(std::string_view word) {
  unsigned long recursive = 0;
  if (word.size() > 1 && word[0] == 'r') {
    recursive = MS_REC;
    word.remove_prefix(1);
  }
  if (word == "private") return MS_PRIVATE | recursive;
  if (word == "slave") return MS_SLAVE | recursive;
  if (word == "shared") return MS_SHARED | recursive;
  if (word == "unbindable") return MS_UNBINDABLE | recursive;
  return std::nullopt;
}

Result<MountOptions> parse_mount_options(const std::vector<std::string>& options) {
  MountOptions out;
  for (const std::string& option : options) {
    if (option.empty()) continue;
    if (option.find('\0') != std::string::npos)
      return fail(ErrorKind::invalid, "a mount option has a NUL byte");
    if (option == "bind" || option == "rbind") {
      out.bind = true;
      out.recursive = option == "rbind";
    } else if (std::optional<unsigned long> propagation = propagation_flag(option)) {
      out.propagation = *propagation & ~static_cast<unsigned long>(MS_REC);
      out.propagation_recursive = (*propagation & MS_REC) != 0;
    } else if (const AttributeWord* word = attribute_word(option)) {
      apply(*word, out.set, out.clear);
    } else if (word = option[0] == 'r' ? attribute_word(std::string_view(option).substr(1)) : nullptr; word) {
      apply(*word, out.recursive_set, out.recursive_clear);
    } else {
      std::size_t equals = option.find('=');
      if (equals == std::string::npos)
        out.parameters.push_back({option, "", true});
      else
        out.parameters.push_back({option.substr(0, equals), option.substr(equals + 1), false});
    }
  }
  return out;
}

std::string context_messages(int context) {
  std::string all;
  char line[512];
  ssize_t length;
  while ((length = read(context, line, sizeof line)) > 2) {
    if (!all.empty()) all += "; ";
    std::string_view text(line + 2, static_cast<std::size_t>(length) - 2);  // after "e " or "w "
    while (!text.empty() && text.back() == '\n') text.remove_suffix(1);
    all += text;
  }
  return all;
}

Result<Fd> mount_overlay_before_6_5(const std::vector<std::string>& lower, const std::string& upper,
                                    const std::string& work, bool volatile_upper) {
  std::vector<NamedDirectory> directories;
  auto name = [&](const std::string& directory) -> Result<std::string> {
    directories.push_back({directory, TRY(open_file(directory, O_PATH | O_DIRECTORY))});
    return "/proc/self/fd/" + std::to_string(directories.back().descriptor.get());
  };
  std::string options = "lowerdir=";
  for (const std::string& directory : lower) {
    if (&directory != &lower.front()) options += ':';
    options += TRY(name(directory));
  }
  if (!upper.empty()) {
    options += ",upperdir=" + TRY(name(upper));
    options += ",workdir=" + TRY(name(work));
    if (volatile_upper) options += ",volatile";
  }
  for (const auto& [key, value] : kOverlaySafety) options.append(",").append(key).append("=").append(value);
  if (options.size() >= 4096)
    return fail(ErrorKind::unsupported, "{} layers are more than this kernel can mount", lower.size());
  return mount_overlay_with_options(directories, options);
}

Result<Fd> mount_overlay(const std::vector<std::string>& lower, const std::string& upper,
                         const std::string& work, bool volatile_upper) {
  if (lower.empty()) return fail(ErrorKind::invalid, "an overlay needs at least one layer");
  for (const std::string& directory : lower) TRY(check_path_of_ours(directory));
  if (!upper.empty()) {
    TRY(check_path_of_ours(upper));
    TRY(check_path_of_ours(work));
  }
  std::optional<Fd> made = TRY(mount_overlay_by_context(lower, upper, work, volatile_upper));
  if (made) return std::move(*made);
  return mount_overlay_before_6_5(lower, upper, work, volatile_upper);
}

Result<Fd> clone_mount(const std::string& path, bool recursive) {
  int mount = raw_clone_mount(AT_FDCWD, path.c_str(), recursive);
  if (mount == -ENOENT) return fail(ErrorKind::not_found, "stat {}: no such file or directory", path);
  if (mount < 0) return fail_errno(-mount, "cannot bind {}", path);
  return Fd(mount);
}

Result<bool> is_mount_point(const std::string& path) {
  struct statx status {};
  constexpr int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  if (statx(AT_FDCWD, path.c_str(), flags, 0, &status) != 0) return fail_errno(errno, "stat {}", path);
  return (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
}

Result<void> set_mount_attributes(int mount, std::uint64_t set, std::uint64_t clear,
                                  unsigned long propagation, bool recursive) {
  int code = raw_set_attributes(mount, set, clear, propagation, recursive);
  if (code < 0) return fail_errno(-code, "cannot change a mount's attributes");
  return {};
}

int raw_new_context(const char* type) noexcept {
  int context = fsopen(type, FSOPEN_CLOEXEC);
  return context < 0 ? -errno : context;
}

int raw_set_parameter(int context, const char* key, const char* value) noexcept {
  unsigned command = value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
  return fsconfig(context, command, key, value, 0) == 0 ? 0 : -errno;
}

int raw_create_mount(int context, std::uint64_t attributes) noexcept {
  if (fsconfig(context, FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return -errno;
  int mount = fsmount(context, FSMOUNT_CLOEXEC, static_cast<unsigned>(attributes));
  return mount < 0 ? -errno : mount;
}

int raw_clone_mount(int directory, const char* path, bool recursive) noexcept {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_NO_AUTOMOUNT;
  if (recursive) flags |= AT_RECURSIVE;
  if (*path == 0) flags |= AT_EMPTY_PATH;
  int mount = open_tree(directory, path, flags);
  return mount < 0 ? -errno : mount;
}

int raw_attach(int mount, int target) noexcept {
  return move_mount(mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0 ? 0
                                                                                                   : -errno;
}

bool can_change_detached_mounts() noexcept {
  return mount_setattr(-1, "", AT_EMPTY_PATH, nullptr, 0) == 0 || errno != ENOSYS;
}

namespace {

struct SameFlag {
  std::uint64_t attribute;  // mount_setattr's
  unsigned long status;     // statfs'
  unsigned long mount;      // mount(2)'s
};
constexpr std::array<SameFlag, 7> kSameFlags = {{
    {MOUNT_ATTR_RDONLY, ST_RDONLY, MS_RDONLY},
    {MOUNT_ATTR_NOSUID, ST_NOSUID, MS_NOSUID},
    {MOUNT_ATTR_NODEV, ST_NODEV, MS_NODEV},
    {MOUNT_ATTR_NOEXEC, ST_NOEXEC, MS_NOEXEC},
    {MOUNT_ATTR_NODIRATIME, ST_NODIRATIME, MS_NODIRATIME},
    {MOUNT_ATTR_NOATIME, ST_NOATIME, MS_NOATIME},
    {0, ST_RELATIME, MS_RELATIME},
}};

constexpr unsigned long kRecursive = MS_REC;

int remount(int mounted, std::uint64_t set, std::uint64_t clear, unsigned long propagation,
            bool recursive) noexcept {
  char path[32] = "/proc/self/fd/";
  *std::to_chars(path + std::strlen(path), path + sizeof path - 1, mounted).ptr = 0;
  if (propagation && mount(nullptr, path, nullptr, propagation | (recursive ? kRecursive : 0), nullptr) != 0)
    return -errno;
  if (!set && !clear) return 0;
  struct statfs info {};
  if (fstatfs(mounted, &info) != 0) return -errno;
  unsigned long flags = MS_REMOUNT | MS_BIND;
  for (const SameFlag& one : kSameFlags) {
    bool on = (static_cast<unsigned long>(info.f_flags) & one.status) != 0;
    if (one.attribute && (clear & one.attribute)) on = false;
    if (one.attribute && (set & one.attribute)) on = true;
    if (on) flags |= one.mount;
  }
  return mount(nullptr, path, nullptr, flags, nullptr) == 0 ? 0 : -errno;
}

}  // namespace

int raw_set_attributes(int mount, std::uint64_t set, std::uint64_t clear, unsigned long propagation,
                       bool recursive) noexcept {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation;
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
  if (mount_setattr(mount, "", flags, &attributes, sizeof attributes) == 0) return 0;
  if (errno != ENOSYS) return -errno;
  return remount(mount, set, clear, propagation, recursive);
}

namespace {
int raw_open2(int root, const char* path, std::uint64_t flags, std::uint64_t mode,
              std::uint64_t resolve) noexcept {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.mode = mode;
  how.resolve = resolve;
  // EAGAIN: a rename somewhere on the machine made the kernel unsure whether ".." stayed inside.
  for (int attempt = 0; attempt < 128; ++attempt) {
    long opened = syscall(SYS_openat2, root, path, &how, sizeof how);
    if (opened >= 0) return static_cast<int>(opened);
    if (errno != EAGAIN && errno != EINTR) return -errno;
  }
  return -EAGAIN;
}
}  // namespace

int raw_open_in_root(int root, const char* path, std::uint64_t flags, std::uint64_t mode) noexcept {
  return raw_open2(root, path, flags, mode, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int raw_open_without_links(int root, const char* path, std::uint64_t flags) noexcept {
  return raw_open2(root, path, flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS);
}

}  // namespace berth::sys
