// SPDX-License-Identifier: Apache-2.0
#include "sys/mounts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

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

// Before 6.5 all lower directories are one option, whose value the kernel limits to a page, with colons
// between: so colons, commas and backslashes in a name need a backslash in front.
std::string joined_lower(const std::vector<std::string>& lower) {
  std::string value;
  for (const std::string& directory : lower) {
    if (!value.empty()) value += ':';
    for (char c : directory) {
      if (c == ':' || c == '\\') value += '\\';
      value += c;
    }
  }
  return value;
}

Result<void> set_lower(int context, const std::vector<std::string>& lower) {
  bool one_by_one = true;
  for (const std::string& directory : lower) {
    int code = raw_set_parameter(context, "lowerdir+", directory.c_str());
    if (code == 0) continue;
    if (code != -EINVAL || &directory != &lower.front())
      return fail_errno(-code, "cannot use {} as a layer of an overlay", directory);
    one_by_one = false;
    break;
  }
  if (one_by_one) return {};
  std::string value = joined_lower(lower);
  int code = raw_set_parameter(context, "lowerdir", value.c_str());
  if (code < 0)
    return fail_errno(-code, "cannot use {} directories as the layers of an overlay", lower.size());
  return {};
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

Result<Fd> mount_overlay(const std::vector<std::string>& lower, const std::string& upper,
                         const std::string& work, bool volatile_upper) {
  if (lower.empty()) return fail(ErrorKind::invalid, "an overlay needs at least one layer");
  for (const std::string& directory : lower) TRY(check_path_of_ours(directory));
  Fd context(raw_new_context("overlay"));
  if (!context) return fail_errno(errno, "this kernel has no overlay file system");
  auto explain = [&](int code, std::string_view what) {
    std::string words = context_messages(context.get());
    return fail_errno(-code, "cannot {}{}{}", what, words.empty() ? "" : ": ", words);
  };
  TRY(set_lower(context.get(), lower));
  int code = 0;
  auto option = [&](const char* key, const std::string& value) {
    if (code == 0) code = raw_set_parameter(context.get(), key, value.c_str());
  };
  raw_set_parameter(context.get(), "source", "overlay");
  if (!upper.empty()) {
    TRY(check_path_of_ours(upper));
    TRY(check_path_of_ours(work));
    option("upperdir", upper);
    option("workdir", work);
    if (volatile_upper && code == 0) code = raw_set_parameter(context.get(), "volatile", nullptr);
  }
  if (code < 0) return explain(code, "set up an overlay on " + (upper.empty() ? lower.front() : upper));
  // What layers say about redirects and metadata copies is not to be believed: they came from an image.
  // Kernels built without these options refuse the words, and then have nothing to switch off.
  raw_set_parameter(context.get(), "redirect_dir", "nofollow");
  raw_set_parameter(context.get(), "metacopy", "off");
  raw_set_parameter(context.get(), "index", "off");
  int mount = raw_create_mount(context.get(), 0);
  if (mount < 0) return explain(mount, "mount an overlay on " + (upper.empty() ? lower.front() : upper));
  return Fd(mount);
}

Result<Fd> clone_mount(const std::string& path, bool recursive) {
  int mount = raw_clone_mount(AT_FDCWD, path.c_str(), recursive);
  if (mount == -ENOENT) return fail(ErrorKind::not_found, "stat {}: no such file or directory", path);
  if (mount < 0) return fail_errno(-mount, "cannot bind {}", path);
  return Fd(mount);
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

int raw_set_attributes(int mount, std::uint64_t set, std::uint64_t clear, unsigned long propagation,
                       bool recursive) noexcept {
  mount_attr attributes{};
  attributes.attr_set = set;
  attributes.attr_clr = clear;
  attributes.propagation = propagation;
  unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0u);
  return mount_setattr(mount, "", flags, &attributes, sizeof attributes) == 0 ? 0 : -errno;
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
