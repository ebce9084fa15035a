// SPDX-License-Identifier: Apache-2.0
#include "runtime/steps_child.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "sys/mounts.h"

namespace berth::runtime {
namespace {

constexpr std::uint64_t kDirectory = O_PATH | O_DIRECTORY;

// 0 or a negative errno, from a call that sets errno.
int result_of(long result) noexcept { return result < 0 ? -errno : 0; }

// mkdir -p inside the root: returns the last directory. Each step starts from a descriptor, so a link that is
// swapped in meanwhile can lead to another place in the root, never out of it.
int make_directories(int root, const char* path) noexcept {
  char prefix[PATH_MAX];
  std::size_t used = 0;
  int current = sys::raw_open_in_root(root, ".", kDirectory);
  while (current >= 0) {
    while (*path == '/') ++path;
    if (*path == 0) return current;
    std::size_t length = strcspn(path, "/");
    if (length > NAME_MAX || used + length + 2 > sizeof prefix) {
      close(current);
      return -ENAMETOOLONG;
    }
    char name[NAME_MAX + 1];
    std::memcpy(name, path, length);
    name[length] = 0;
    prefix[used++] = '/';
    std::memcpy(prefix + used, name, length + 1);
    used += length;
    path += length;
    int next = sys::raw_open_in_root(root, prefix, kDirectory);
    if (next == -ENOENT) {
      next = result_of(mkdirat(current, name, 0755));
      if (next == 0 || next == -EEXIST)
        next = openat(current, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (next < 0) next = -errno;
    }
    close(current);
    current = next;
  }
  return current;
}

}  // namespace

void StepRunner::fail(int code, StepPart part) const noexcept {
  channel_.fail(Stage::step, code, index_, part);
}

void StepRunner::run_all() noexcept {
  for (const Step& step : child_.plan->steps) {
    std::visit(*this, step);
    ++index_;
  }
}

void StepRunner::wait_until_placed() noexcept {
  if (placed_ || !child_.will_be_placed) return;
  channel_.wait_for(ParentSays::placed);
  placed_ = true;
}

int StepRunner::terminal() noexcept {
  if (!child_.program->process().terminal) return -1;
  if (master_ < 0) {
    if (devpts_ < 0) devpts_ = sys::raw_open_in_root(child_.root(), "dev/pts", O_RDONLY | O_DIRECTORY);
    master_ = child_.program->take_terminal(channel_, devpts_);
  }
  return master_;
}

int StepRunner::directory(const char* path) const noexcept {
  int found = sys::raw_open_in_root(child_.root(), path, kDirectory);
  if (found == -ENOENT) found = make_directories(child_.root(), path);
  return check(found, StepPart::find_target);
}

int StepRunner::directory_without_links(const char* path) const noexcept {
  int found = sys::raw_open_without_links(child_.root(), path, kDirectory);
  if (found == -ENOENT) {
    int made = make_directories(child_.root(), path);
    if (made >= 0) close(made);
    found = sys::raw_open_without_links(child_.root(), path, kDirectory);
  }
  if (found == -ELOOP || found == -ENOTDIR) fail(ENOTDIR, StepPart::target_is_link);
  return check(found, StepPart::find_target);
}

int StepRunner::parent_of(const char* path, const char*& name) noexcept {
  const char* slash = std::strrchr(path, '/');
  name = slash ? slash + 1 : path;
  if (*name == 0 || std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0)
    fail(EINVAL, StepPart::find_target);
  std::size_t length = slash ? static_cast<std::size_t>(slash - path) : 0;
  if (length + 2 > sizeof parent_path_) fail(ENAMETOOLONG, StepPart::find_target);
  if (parent_ >= 0 && std::strlen(parent_path_) == length && std::memcmp(parent_path_, path, length) == 0)
    return parent_;
  if (parent_ >= 0) close(parent_);
  std::memcpy(parent_path_, path, length);
  parent_path_[length] = 0;
  parent_ = directory(length ? parent_path_ : "/");
  return parent_;
}

int StepRunner::file(const char* path) noexcept {
  int found = sys::raw_open_in_root(child_.root(), path, O_PATH);
  if (found != -ENOENT) return check(found, StepPart::find_target);
  const char* name = nullptr;
  int parent = parent_of(path, name);
  int made = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
  if (made < 0) fail(errno, StepPart::find_target);
  close(made);
  made = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (made < 0) fail(errno, StepPart::find_target);
  return made;
}

void StepRunner::operator()(const IsolateMounts& step) noexcept {
  check(result_of(mount(nullptr, "/", nullptr, step.propagation, nullptr)));
}

void StepRunner::operator()(const AttachRoot&) noexcept {
  int target = open(child_.attach_root_at.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (target < 0) fail(errno, StepPart::find_target);
  check(sys::raw_attach(child_.root(), target), StepPart::attach);
  close(target);
}

void StepRunner::operator()(const EnterRoot& step) noexcept {
  if (!step.pivot) {
    check(result_of(fchdir(child_.root())));
    check(result_of(chroot(".")));
    return;
  }
  int host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (host < 0) fail(errno);
  check(result_of(fchdir(child_.root())));
  // The old root lands on top of the new one, which is why "." names both; it is taken off at once.
  check(result_of(syscall(SYS_pivot_root, ".", ".")));
  check(result_of(fchdir(host)));
  check(result_of(umount2(".", MNT_DETACH)));
  check(result_of(chdir("/")));
  close(host);
}

void StepRunner::operator()(const MountFilesystem& step) noexcept {
  const char* path = step.destination.c_str();
  int target = step.refuse_links ? directory_without_links(path) : directory(path);
  int context = check(sys::raw_new_context(step.type.c_str()), StepPart::new_filesystem);
  sys::raw_set_parameter(context, "source", step.source.empty() ? "none" : step.source.c_str());
  for (const sys::MountOptions::Parameter& one : step.parameters)
    check(sys::raw_set_parameter(context, one.key.c_str(), one.flag ? nullptr : one.value.c_str()),
          StepPart::parameter);
  int made = check(sys::raw_create_mount(context, step.attributes), StepPart::new_filesystem);
  check(sys::raw_attach(made, target), StepPart::attach);
  if (step.propagation) {
    const unsigned long kind = step.propagation & ~static_cast<unsigned long>(MS_REC);
    check(sys::raw_set_attributes(made, 0, 0, kind, (step.propagation & MS_REC) != 0));
  }
  close(context);
  close(target);
  if (step.type == "devpts")
    devpts_ = made;
  else
    close(made);
}

void StepRunner::operator()(const AttachBind& step) noexcept {
  const char* path = step.destination.c_str();
  const bool wants_directory = child_.bind_is_directory[step.bind] != 0;
  int target = wants_directory ? directory(path) : file(path);
  struct stat info {};
  if (!wants_directory && (fstat(target, &info) != 0 || S_ISDIR(info.st_mode)))
    fail(ENOTDIR, StepPart::find_target);
  attach_bind(step.bind, target);
  close(target);
}

void StepRunner::attach_bind(std::size_t index, int target) noexcept {
  const int tree = child_.bind(index);
  check(sys::raw_attach(tree, target), StepPart::attach);
  if (!child_.plan->change_attached_mounts) return;  // the parent did it
  const PlannedBind& bind = child_.plan->binds[index];
  const unsigned long kind = bind.propagation & ~static_cast<unsigned long>(MS_REC);
  check(sys::raw_set_attributes(tree, bind.set, bind.clear, kind, (bind.propagation & MS_REC) != 0));
}

void StepRunner::attach_cgroup(std::size_t index, int target, std::uint64_t attributes) noexcept {
  check(sys::raw_attach(child_.cgroup(index), target), StepPart::attach);
  if (child_.plan->change_attached_mounts)
    check(sys::raw_set_attributes(child_.cgroup(index), attributes, 0, MS_PRIVATE, false));
}

void StepRunner::operator()(const AttachCgroups& step) noexcept {
  int target = directory(step.destination.c_str());
  if (child_.cgroups.size() == 1 && child_.cgroups[0].name.empty()) {  // v2 as the host has it
    attach_cgroup(0, target, step.attributes);
    close(target);
    return;
  }
  int context = check(sys::raw_new_context("tmpfs"), StepPart::new_filesystem);
  check(sys::raw_set_parameter(context, "mode", "755"), StepPart::parameter);
  const std::uint64_t writable = step.attributes & ~static_cast<std::uint64_t>(MOUNT_ATTR_RDONLY);
  int top = check(sys::raw_create_mount(context, writable), StepPart::new_filesystem);
  close(context);
  check(sys::raw_attach(top, target), StepPart::attach);
  close(target);
  for (std::size_t i = 0; i < child_.cgroups.size(); ++i) {
    const CgroupView& view = child_.cgroups[i];
    check(result_of(mkdirat(top, view.name.c_str(), 0755)));
    int place = openat(top, view.name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (place < 0) fail(errno);
    attach_cgroup(i, place, step.attributes);
    close(place);
    for (const std::string& link : view.links)
      check(result_of(symlinkat(view.name.c_str(), top, link.c_str())));
  }
  if (writable != step.attributes) check(sys::raw_set_attributes(top, MOUNT_ATTR_RDONLY, 0, 0, false));
  close(top);
}

void StepRunner::operator()(const MakeDevice& step) noexcept {
  if (step.bind >= 0) {
    int target = file(step.path.c_str());
    attach_bind(static_cast<std::size_t>(step.bind), target);
    close(target);
    return;
  }
  const char* name = nullptr;
  int parent = parent_of(step.path.c_str(), name);
  const dev_t number = makedev(step.major, step.minor);
  int code = result_of(mknodat(parent, name, step.type | step.mode, number));
  if (code == -EEXIST) {  // what the image put there is not to be trusted
    check(result_of(unlinkat(parent, name, 0)));
    code = result_of(mknodat(parent, name, step.type | step.mode, number));
  }
  check(code);
  if (step.uid || step.gid) check(result_of(fchownat(parent, name, step.uid, step.gid, AT_SYMLINK_NOFOLLOW)));
}

void StepRunner::operator()(const MakeLink& step) noexcept {
  const char* name = nullptr;
  int parent = parent_of(step.path.c_str(), name);
  int code = result_of(symlinkat(step.target.c_str(), parent, name));
  if (code == -EEXIST && unlinkat(parent, name, 0) == 0)
    code = result_of(symlinkat(step.target.c_str(), parent, name));
  if (code != -EEXIST) check(code);  // a directory in its place stays
}

void StepRunner::operator()(const AttachConsole&) noexcept {
  terminal();
  const char* name = nullptr;
  int parent = parent_of("/dev/console", name);
  int made = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (made >= 0)
    close(made);
  else if (errno != EEXIST)
    fail(errno, StepPart::find_target);
  int target = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  struct stat info {};
  if (target < 0 || fstat(target, &info) != 0) fail(errno, StepPart::find_target);
  if (S_ISLNK(info.st_mode) || S_ISDIR(info.st_mode)) fail(ELOOP, StepPart::target_is_link);
  int console = check(sys::raw_clone_mount(0, "", false));
  check(sys::raw_attach(console, target), StepPart::attach);
  close(console);
  close(target);
}

void StepRunner::operator()(const MakeDirectory& step) noexcept {
  // A file in its place is chdir's to report.
  int found = sys::raw_open_in_root(child_.root(), step.path.c_str(), O_PATH);
  if (found == -ENOENT) found = make_directories(child_.root(), step.path.c_str());
  if (found >= 0) close(found);
  if (found < 0 && found != -ENOTDIR) fail(-found);
}

// A mask is only as good as what it is made of: an image can bring its own file named /dev/null.
int StepRunner::null_device() noexcept {
  if (null_ >= 0) return null_;
  null_ = sys::raw_open_without_links(child_.root(), "dev/null", O_PATH);
  struct stat info {};
  if (null_ < 0 || fstat(null_, &info) != 0 || !S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3))
    fail(EPERM, StepPart::not_null);
  return null_;
}

int StepRunner::empty_directory() noexcept {
  if (empty_ >= 0) {
    return check(sys::raw_clone_mount(empty_, "", false));
  }
  int context = check(sys::raw_new_context("tmpfs"), StepPart::new_filesystem);
  check(sys::raw_set_parameter(context, "nr_inodes", "1"), StepPart::parameter);
  check(sys::raw_set_parameter(context, "mode", "755"), StepPart::parameter);
  constexpr std::uint64_t kInert =
      MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  empty_ = check(sys::raw_create_mount(context, kInert), StepPart::new_filesystem);
  close(context);
  return empty_;  // the first one is attached itself, later ones are clones of it
}

void StepRunner::operator()(const MaskPath& step) noexcept {
  int target = sys::raw_open_in_root(child_.root(), step.path.c_str(), O_PATH);
  if (target == -ENOENT || target == -ENOTDIR) return;
  check(target, StepPart::find_target);
  struct stat info {};
  if (fstat(target, &info) != 0) fail(errno);
  int cover =
      S_ISDIR(info.st_mode) ? empty_directory() : check(sys::raw_clone_mount(null_device(), "", false));
  check(sys::raw_attach(cover, target), StepPart::attach);
  if (cover != empty_) close(cover);
  close(target);
}

void StepRunner::operator()(const ProtectPath& step) noexcept {
  int target = sys::raw_open_in_root(child_.root(), step.path.c_str(), O_PATH);
  if (target == -ENOENT || target == -ENOTDIR) return;
  check(target, StepPart::find_target);
  int cover = check(sys::raw_clone_mount(target, "", true));
  // Before it is attached, so that it is never to be seen writable, where the kernel can do that.
  const bool late = child_.plan->change_attached_mounts;
  if (!late) check(sys::raw_set_attributes(cover, MOUNT_ATTR_RDONLY, 0, 0, true));
  check(sys::raw_attach(cover, target), StepPart::attach);
  if (late) check(sys::raw_set_attributes(cover, MOUNT_ATTR_RDONLY, 0, 0, true));
  close(cover);
  close(target);
}

// Through a procfs that nobody else has seen: the container's /proc may be a volume, a link or a fake by now.
void StepRunner::operator()(const WriteSysctl& step) noexcept {
  int context = check(sys::raw_new_context("proc"), StepPart::new_filesystem);
  int proc = check(sys::raw_create_mount(context, 0), StepPart::new_filesystem);
  close(context);
  struct statfs info {};
  if (fstatfs(proc, &info) != 0 || info.f_type != PROC_SUPER_MAGIC) fail(EPERM, StepPart::not_procfs);
  int top = openat(proc, "sys", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (top < 0) fail(errno);
  int opened = check(sys::raw_open_without_links(top, step.file.c_str(), O_WRONLY));
  if (write(opened, step.value.data(), step.value.size()) < 0) fail(errno);
  close(opened);
  close(top);
  close(proc);
}

void StepRunner::operator()(const SetHostname& step) noexcept {
  check(result_of(sethostname(step.name.data(), step.name.size())));
}

void StepRunner::operator()(const SetDomainname& step) noexcept {
  check(result_of(setdomainname(step.name.data(), step.name.size())));
}

void StepRunner::operator()(const UnshareCgroupNamespace&) noexcept {
  wait_until_placed();
  check(result_of(unshare(CLONE_NEWCGROUP)));
}

void StepRunner::operator()(const RaiseLoopback&) noexcept {
  int any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (any < 0) fail(errno);
  ifreq request{};
  std::memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP | IFF_RUNNING;
  check(result_of(ioctl(any, SIOCSIFFLAGS, &request)));
  close(any);
}

void StepRunner::operator()(const ProtectRoot&) noexcept {
  check(sys::raw_set_attributes(child_.root(), MOUNT_ATTR_RDONLY, 0, 0, false));
}

void StepRunner::operator()(const SetRootPropagation& step) noexcept {
  const unsigned long kind = step.propagation & ~static_cast<unsigned long>(MS_REC);
  check(sys::raw_set_attributes(child_.root(), 0, 0, kind, (step.propagation & MS_REC) != 0));
}

void StepRunner::operator()(const AskForHooks& step) noexcept {
  channel_.tell({step.in_container ? ChildSays::hooks_in_container : ChildSays::hooks_before_pivot,
                 Stage::step, index_, 0, 0});
  wait_until_placed();
  channel_.wait_for(ParentSays::hooks_done);
}

}  // namespace berth::runtime
