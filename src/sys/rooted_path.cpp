// SPDX-License-Identifier: Apache-2.0
#include "sys/rooted_path.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "base/text.h"
#include "sys/remove_deep_tree.h"

namespace berth::sys {
namespace {

constexpr int kLinkBudget = 255;          // links followed in one lookup; the kernel allows 40
constexpr int kStepBudget = 20'000;       // directories opened in one lookup: "a/../a/../..." must end
constexpr int kRaceBudget = 64;           // lookups that another process's renames spoiled
constexpr std::size_t kLinkLimit = 4096;  // PATH_MAX: what a link can hold

std::unexpected<Error> cannot_open(int code, std::string_view path) {
  if (code == EXDEV)
    return fail(ErrorKind::denied, "open {}: it leads out of the directory it must stay in", path);
  return fail_errno(code, "open {}", path);
}

Result<std::string> checked(std::string_view path) {
  if (path.find('\0') != std::string_view::npos)
    return fail(ErrorKind::invalid, "a path must not contain a NUL byte");
  return path.empty() ? std::string(".") : std::string(path);
}

int call_openat2(int root, const char* path, int flags, mode_t mode, std::uint64_t resolve) noexcept {
  struct open_how how = {};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
  if ((flags & O_CREAT) != 0) how.mode = mode & 07777;
  how.resolve = resolve;
  return static_cast<int>(syscall(SYS_openat2, root, path, &how, sizeof how));
}

// Text of a link; nullopt (and errno) when there is none. Links of procfs that are doors into other name
// spaces are refused as RESOLVE_NO_MAGICLINKS does.
std::optional<std::string> read_link(int directory, const char* name) {
  char text[kLinkLimit];
  ssize_t size = readlinkat(directory, name, text, sizeof text);
  if (size < 0) return std::nullopt;
  if (size == static_cast<ssize_t>(sizeof text)) {
    errno = ENAMETOOLONG;
    return std::nullopt;
  }
  return std::string(text, static_cast<std::size_t>(size));
}

bool is_magic_link(int directory, std::string_view name) {
  struct statfs system;
  if (fstatfs(directory, &system) != 0 || system.f_type != PROC_SUPER_MAGIC) return false;
  return name != "self" && name != "thread-self" && name != "mounts" && name != "net" && name != "fs";
}

bool is_link(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISLNK(status.st_mode);
}

Fd open_directory(int directory, const char* name) {
  return Fd(openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// One lookup, component by component. It holds one descriptor; ".." goes down again from the root, because
// the parent of a directory that was moved meanwhile may lie outside.
class Walk {
 public:
  Walk(int root, std::string_view shown, Leaving leaving) : root_(root), shown_(shown), leaving_(leaving) {}

  void make_missing(const NewDirectory& made) { made_ = made; }

  Result<void> start() {
    current_ = open_directory(root_, ".");
    if (!current_) return cannot_open(errno, shown_);
    names_.clear();
    return {};
  }

  Result<Fd> open(std::string_view path, int flags, mode_t mode) {
    TRY(start());
    TRY(push(path));
    const bool keep_link = (flags & O_NOFOLLOW) != 0 || ((flags & O_CREAT) != 0 && (flags & O_EXCL) != 0);
    while (!pending_.empty()) {
      std::string name = pop();
      if (!pending_.empty() || name == ".." || name == ".") {
        TRY(enter(name));
        continue;
      }
      if (!keep_link) {
        if (std::optional<std::string> target = read_link(current_.get(), name.c_str())) {
          TRY(follow(*target, name));
          continue;
        }
        if (errno != EINVAL && errno != ENOENT) return cannot_open(errno, shown_);
      }
      Fd opened(openat(current_.get(), name.c_str(), flags | O_NOFOLLOW | O_CLOEXEC, mode));
      if (opened && !(!keep_link && is_link(opened.get()))) return opened;
      if (!opened && (errno != ELOOP || keep_link)) return cannot_open(errno, shown_);
      TRY(spend_step());  // it became a link after it was looked at
      pending_.push_back(std::move(name));
    }
    Fd opened(openat(current_.get(), ".", flags | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!opened) return cannot_open(errno, shown_);
    return opened;
  }

  // Every component is a directory, or becomes one.
  Result<Fd> open_directories(std::string_view path) {
    TRY(start());
    TRY(push(path));
    while (!pending_.empty()) TRY(enter(pop()));
    return std::move(current_);
  }

  Result<std::string> resolve(std::string_view path) {
    TRY(start());
    TRY(push(path));
    bool real = true;  // false: below something that is not there, where only the text is left
    while (!pending_.empty()) {
      std::string name = pop();
      if (name == ".") continue;
      if (!real) {
        if (name != "..")
          names_.push_back(std::move(name));
        else if (!names_.empty())
          names_.pop_back();
        continue;
      }
      if (std::optional<std::string> target =
              name == ".." ? std::nullopt : read_link(current_.get(), name.c_str())) {
        TRY(follow(*target, name));
        continue;
      }
      Result<void> entered = enter(name);
      if (entered) continue;
      if (entered.error().code != ENOENT && entered.error().code != ENOTDIR)
        return std::unexpected(std::move(entered).error());
      names_.push_back(std::move(name));
      real = false;
    }
    std::string result;
    for (const std::string& name : names_) result.append("/").append(name);
    return result.empty() ? std::string("/") : result;
  }

 private:
  // Puts a path's components before those that are left. A slash at the end asks for a directory, as "/.".
  Result<void> push(std::string_view path) {
    if (!path.empty() && path.front() == '/') {
      if (leaving_ == Leaving::refused) return cannot_open(EXDEV, shown_);
      TRY(start());
    }
    std::vector<std::string_view> parts = split(path, '/');
    const bool directory = !path.empty() && path.back() == '/';
    if (directory) pending_.emplace_back(".");
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
      if (!part->empty()) pending_.emplace_back(*part);
    return {};
  }

  std::string pop() {
    std::string name = std::move(pending_.back());
    pending_.pop_back();
    return name;
  }

  Result<void> spend_step() {
    if (++steps_ > kStepBudget) return cannot_open(ELOOP, shown_);
    return {};
  }

  Result<void> follow(const std::string& target, const std::string& name) {
    if (++links_ > kLinkBudget) return cannot_open(ELOOP, shown_);
    if (is_magic_link(current_.get(), name)) return cannot_open(ELOOP, shown_);
    if (target.empty()) return cannot_open(ENOENT, shown_);
    return push(target);
  }

  Result<void> enter(const std::string& name) {
    TRY(spend_step());
    if (name == ".") return {};
    if (name == "..") return climb();
    Fd next = open_directory(current_.get(), name.c_str());
    if (!next && errno == ENOENT && made_) next = TRY(make(name));
    if (!next) {
      const int code = errno;
      // With O_NOFOLLOW and O_DIRECTORY a link is ENOTDIR, on some file systems ELOOP.
      if (code != ENOTDIR && code != ELOOP) return cannot_open(code, shown_);
      std::optional<std::string> target = read_link(current_.get(), name.c_str());
      if (!target) return cannot_open(ENOTDIR, shown_);
      return follow(*target, name);
    }
    current_ = std::move(next);
    names_.push_back(name);
    return {};
  }

  Result<Fd> make(const std::string& name) {
    const bool ours = mkdirat(current_.get(), name.c_str(), made_->mode & 0777) == 0;
    if (!ours && errno != EEXIST) return fail_errno(errno, "create directory {} of {}", name, shown_);
    if (!ours) return open_directory(current_.get(), name.c_str());
    Fd opened(openat(current_.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!opened) return cannot_open(errno, shown_);
    constexpr auto kKeep = static_cast<uid_t>(-1);
    if ((made_->owner != kKeep || made_->group != kKeep) &&
        fchown(opened.get(), made_->owner, made_->group) != 0)
      return fail_errno(errno, "change the owner of directory {} of {}", name, shown_);
    if (fchmod(opened.get(), made_->mode) != 0)
      return fail_errno(errno, "change the mode of directory {} of {}", name, shown_);
    return open_directory(opened.get(), ".");
  }

  Result<void> climb() {
    if (names_.empty()) {
      if (leaving_ == Leaving::refused) return cannot_open(EXDEV, shown_);
      return {};
    }
    names_.pop_back();
    Fd place = open_directory(root_, ".");
    for (const std::string& name : names_) {
      if (!place) break;
      TRY(spend_step());
      place = open_directory(place.get(), name.c_str());
    }
    if (!place) return cannot_open(errno, shown_);
    current_ = std::move(place);
    return {};
  }

  int root_;
  std::string_view shown_;
  Leaving leaving_;
  std::optional<NewDirectory> made_;
  Fd current_;
  std::vector<std::string> names_;    // from the root to current_, no links among them
  std::vector<std::string> pending_;  // what is left, last component first
  int links_ = 0;
  int steps_ = 0;
};

Result<Fd> open_resolved(int root, std::string_view path, int flags, mode_t mode, Leaving leaving) {
  const std::string name = TRY(checked(path));
  const std::uint64_t scope = leaving == Leaving::confined ? RESOLVE_IN_ROOT : RESOLVE_BENEATH;
  for (int attempt = 0; attempt < kRaceBudget; ++attempt) {
    int fd = call_openat2(root, name.c_str(), flags, mode, scope | RESOLVE_NO_MAGICLINKS);
    if (fd >= 0) return Fd(fd);
    if (errno == EAGAIN || errno == EINTR) continue;  // EAGAIN: something was renamed during the lookup
    // Old seccomp filters answer EPERM to calls they do not know; if it is a real one the walk meets it too.
    if (errno == ENOSYS || errno == EPERM) break;
    return cannot_open(errno, path);
  }
  return walk_in_root(root, path, flags, mode, leaving);
}

}  // namespace

Result<Fd> walk_in_root(int root, std::string_view path, int flags, mode_t mode, Leaving leaving) {
  const std::string name = TRY(checked(path));
  if (name.size() >= kLinkLimit) return cannot_open(ENAMETOOLONG, path);
  return Walk(root, path, leaving).open(name, flags, mode);
}

Result<Fd> open_in_root(int root, std::string_view path, int flags, mode_t mode) {
  return open_resolved(root, path, flags, mode, Leaving::confined);
}

Result<Fd> open_beneath(int root, std::string_view path, int flags, mode_t mode) {
  return open_resolved(root, path, flags, mode, Leaving::refused);
}

Result<Fd> open_regular_in_root(int root, std::string_view path) {
  // First without opening the thing itself: a device could act on being opened.
  Fd place = TRY(open_in_root(root, path, O_PATH));
  struct stat status;
  if (fstat(place.get(), &status) != 0) return fail_errno(errno, "stat {}", path);
  if (S_ISDIR(status.st_mode)) return fail_errno(EISDIR, "open {}", path);
  if (!S_ISREG(status.st_mode)) return fail(ErrorKind::invalid, "{} is not a regular file", path);
  // Through procfs it is this very file, whatever has taken its name meanwhile.
  Fd file(open(fmt::format("/proc/self/fd/{}", place.get()).c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
  if (!file) return fail_errno(errno, "open {}", path);
  return file;
}

Result<std::string> read_file_in_root(int root, std::string_view path, std::size_t limit) {
  Fd file = TRY(open_regular_in_root(root, path));
  return TRY_AS(fmt::format("read {}", path), read_to_end(file.get(), limit));
}

Result<RootedParent> parent_in_root(int root, std::string_view path) {
  std::string_view rest = path;
  while (!rest.empty() && rest.back() == '/') rest.remove_suffix(1);
  const std::size_t slash = rest.find_last_of('/');
  std::string_view name = slash == std::string_view::npos ? rest : rest.substr(slash + 1);
  std::string_view directory = rest.substr(0, slash == std::string_view::npos ? 0 : slash + 1);
  if (name.empty() || name == "." || name == "..") {
    directory = path;
    name = ".";
  }
  if (name.find('\0') != std::string_view::npos)
    return fail(ErrorKind::invalid, "a path must not contain a NUL byte");
  Fd opened = TRY(open_in_root(root, directory, O_PATH | O_DIRECTORY));
  return RootedParent{std::move(opened), std::string(name)};
}

Result<Fd> make_directories_in_root(int root, std::string_view path, const NewDirectory& made) {
  Result<Fd> present = open_in_root(root, path, O_PATH | O_DIRECTORY);
  if (present || present.error().code != ENOENT) return present;
  const std::string name = TRY(checked(path));
  Walk walk(root, path, Leaving::confined);
  walk.make_missing(made);
  return walk.open_directories(name);
}

Result<Fd> make_file_in_root(int root, std::string_view path, mode_t mode, const NewDirectory& parents) {
  auto reopen = [&]() -> Result<Fd> {
    Fd place = TRY(open_in_root(root, path, O_PATH));
    struct stat status;
    if (fstat(place.get(), &status) != 0) return fail_errno(errno, "stat {}", path);
    if (S_ISDIR(status.st_mode)) return fail_errno(EISDIR, "create file {}", path);
    return place;
  };
  Result<Fd> present = reopen();
  if (present || present.error().code != ENOENT) return present;
  const std::size_t slash = path.find_last_of('/');
  if (slash != std::string_view::npos) TRY(make_directories_in_root(root, path.substr(0, slash), parents));
  // Not blocking: it may be a FIFO by now.
  TRY(open_in_root(root, path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY, mode));
  return reopen();
}

Result<struct stat> stat_in_root(int root, std::string_view path, FinalLink link) {
  Fd place = TRY(open_in_root(root, path, O_PATH | (link == FinalLink::keep ? O_NOFOLLOW : 0)));
  struct stat status;
  if (fstat(place.get(), &status) != 0) return fail_errno(errno, "stat {}", path);
  return status;
}

bool exists_in_root(int root, std::string_view path, FinalLink link) noexcept {
  return stat_in_root(root, path, link).has_value();
}

Result<std::string> readlink_in_root(int root, std::string_view path) {
  Fd place = TRY(open_in_root(root, path, O_PATH | O_NOFOLLOW));
  std::optional<std::string> target = read_link(place.get(), "");
  if (!target) return fail_errno(errno == ENOENT ? EINVAL : errno, "read link {}", path);
  return *std::move(target);
}

Result<std::string> resolve_in_root(int root, std::string_view path) {
  const std::string name = TRY(checked(path));
  return Walk(root, path, Leaving::confined).resolve(name);
}

Result<void> remove_in_root(int root, std::string_view path) {
  Result<RootedParent> parent = parent_in_root(root, path);
  if (!parent) {
    if (parent.error().code == ENOENT) return {};
    return std::unexpected(std::move(parent).error());
  }
  if (parent->name == ".")
    return fail(ErrorKind::invalid, "remove {}: a path to remove must end in a name", path);
  return remove_deep_tree(parent->directory.get(), parent->name);
}

std::string clean_relative(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..")
      kept.push_back(part);
    else if (!kept.empty())
      kept.pop_back();
  }
  std::string cleaned;
  cleaned.reserve(path.size());
  for (std::string_view part : kept) {
    if (!cleaned.empty()) cleaned += '/';
    cleaned += part;
  }
  return cleaned;
}

}  // namespace berth::sys
