// SPDX-License-Identifier: Apache-2.0
// Making, filling and removing groups. Their limits are cgroup_limits.cpp's, their figures
// cgroup_statistics.cpp's.
#include "sys/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <thread>

#include "base/file.h"
#include "base/text.h"
#include "oci/runtime_spec.h"
#include "sys/cgroup_limits.h"
#include "sys/device_rules.h"

namespace berth::sys {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// What a container needs from the start even without a limit: figures, devices, a bound on processes.
// Everything else is made when a limit asks for it, because each v1 hierarchy costs a directory, an attach
// and a removal.
bool always_wanted(const CgroupHierarchy& hierarchy) {
  static constexpr std::string_view kAlways[] = {"memory", "cpuacct", "pids", "devices", "blkio"};
  return hierarchy.unified || std::ranges::any_of(hierarchy.controllers, [](const std::string& controller) {
           return std::ranges::find(kAlways, controller) != std::end(kAlways);
         });
}

// The caller's own group in every hierarchy, by the hierarchy's directory name ("" for v2).
std::map<std::string, std::string> own_groups() {
  std::map<std::string, std::string> out;
  Result<std::string> text = read_file("/proc/self/cgroup");
  if (!text) return out;
  for (std::string_view line : split(*text, '\n')) {
    auto [number, rest] = split_once(line, ':');
    auto [name, path] = split_once(rest, ':');
    if (name.starts_with("name=")) name.remove_prefix(5);
    if (!path.empty()) out.emplace(name, path);
  }
  return out;
}

// Whether a process that stays where the caller is would be under someone else's limits there, or be killed
// together with the caller's service.
bool must_leave(const CgroupHierarchy& hierarchy, const std::map<std::string, std::string>& own) {
  auto found = own.find(hierarchy.name);
  return found != own.end() && found->second != "/";
}

Result<void> write_control(const std::string& directory, const std::string& file, std::string_view value) {
  Result<void> written = write_existing(directory + "/" + file, value);
  if (written) return {};
  return fail_errno(written.error().code, "cannot write \"{}\" to {}/{}", value, directory, file);
}

std::string read_trimmed(const std::string& path) {
  Result<std::string> text = read_file(path);
  return text ? std::string(trim(*text)) : std::string();
}

// Every directory from the hierarchy's root down to `path`, nearest the root first.
std::vector<std::string> chain(const std::string& path) {
  std::vector<std::string> out;
  for (std::size_t end = path.find('/', 1); end != std::string::npos; end = path.find('/', end + 1))
    out.push_back(path.substr(0, end));
  out.push_back(path);
  return out;
}

// A v1 cpuset takes no processes until it has processors and memory nodes; a new one has none.
Result<void> inherit_cpuset(const std::string& parent, const std::string& child) {
  for (const char* file : {"cpuset.cpus", "cpuset.mems"})
    if (read_trimmed(child + "/" + file).empty())
      TRY(write_control(child, file, read_trimmed(parent + "/" + file)));
  return {};
}

// Children of a v2 group have the controllers that it hands down. One that cannot be handed down is left out
// here; a limit that needs it fails later, by name.
void hand_down_controllers(const CgroupHierarchy& unified, const std::string& directory) {
  std::string have = " " + read_trimmed(directory + "/cgroup.subtree_control") + " ";
  for (const std::string& controller : unified.controllers)
    if (have.find(" " + controller + " ") == std::string::npos)
      (void)write_existing(directory + "/cgroup.subtree_control", "+" + controller);
}

// Whether a new v2 directory got every controller that there is.
bool has_all_controllers(const CgroupHierarchy& unified, const std::string& directory) {
  std::string have = " " + read_trimmed(directory + "/cgroup.controllers") + " ";
  return std::ranges::all_of(unified.controllers, [&](const std::string& controller) {
    return have.find(" " + controller + " ") != std::string::npos;
  });
}

// The usual case: everything above is there from the container before. False when it is not.
bool make_leaf(const CgroupHierarchy& hierarchy, const std::string& path) {
  std::string directory = hierarchy.mount + path;
  if (mkdir(directory.c_str(), 0755) != 0) return false;
  return !hierarchy.unified || hierarchy.controllers.empty() || has_all_controllers(hierarchy, directory);
}

Result<void> make_in(const CgroupHierarchy& hierarchy, const std::string& path) {
  const bool cpuset = std::ranges::find(hierarchy.controllers, "cpuset") != hierarchy.controllers.end();
  if (!cpuset && make_leaf(hierarchy, path)) return {};
  std::string parent = hierarchy.mount;
  for (const std::string& step : chain(path)) {
    std::string directory = hierarchy.mount + step;
    if (hierarchy.unified && !hierarchy.controllers.empty()) hand_down_controllers(hierarchy, parent);
    if (mkdir(directory.c_str(), 0755) != 0 && errno != EEXIST)
      return fail_errno(errno, "cannot create the control group {}", directory);
    if (cpuset && !hierarchy.unified) TRY(inherit_cpuset(parent, directory));
    parent = std::move(directory);
  }
  return {};
}

// v1 checks each of the two memory limits against the other: raising both needs the wider one first.
Result<void> write_memory_limits_v1(const std::string& directory, const std::vector<CgroupWrite>& writes) {
  auto value_of = [&](std::string_view file) -> const CgroupWrite* {
    for (const CgroupWrite& write : writes)
      if (write.file == file) return &write;
    return nullptr;
  };
  const CgroupWrite* limit = value_of("memory.limit_in_bytes");
  const CgroupWrite* both = value_of("memory.memsw.limit_in_bytes");
  if (limit && limit->value == "-1" && !both)
    (void)write_existing(directory + "/memory.memsw.limit_in_bytes", "-1");
  if (limit && both && write_existing(directory + "/" + limit->file, limit->value)) return {};
  if (limit && both) (void)write_existing(directory + "/" + both->file, both->value);
  if (limit) {
    Result<void> written = write_control(directory, limit->file, limit->value);
    if (!written && written.error().code == EBUSY)
      return fail(ErrorKind::conflict,
                  "cannot set the memory limit to {}: the container uses more, and it cannot be reclaimed",
                  limit->value);
    if (!written) return written;
  }
  return {};
}

Result<void> apply_writes(const CgroupLayout& layout, const std::string& path,
                          const std::vector<CgroupWrite>& writes) {
  for (const CgroupWrite& write : writes) {
    const CgroupHierarchy* hierarchy =
        write.controller.empty() ? layout.unified() : layout.of(write.controller);
    std::string directory = hierarchy->mount + path;
    if (write.file == "memory.limit_in_bytes") {
      TRY(write_memory_limits_v1(directory, writes));
      continue;
    }
    Result<void> written = write_control(directory, write.file, write.value);
    if (!written &&
        !(write.optional && (written.error().code == ENOENT || written.error().code == EOPNOTSUPP)))
      return written;
  }
  return {};
}

// One rule a write, that is how the kernel takes them.
Result<void> write_device_rules(const std::string& directory,
                                const std::vector<DevicePermission>& permissions) {
  const std::string allow_path = directory + "/devices.allow", deny_path = directory + "/devices.deny";
  Fd allow = TRY(open_file(allow_path, O_WRONLY)), deny = TRY(open_file(deny_path, O_WRONLY));
  for (const DevicePermission& permission : permissions) {
    const std::string rule = to_v1_rule(permission);
    if (::write((permission.allow ? allow : deny).get(), rule.data(), rule.size()) < 0)
      return fail_errno(errno, "cannot write \"{}\" to {}", rule, permission.allow ? allow_path : deny_path);
  }
  return {};
}

Result<void> apply_devices(const CgroupLayout& layout, const std::string& path,
                           const std::vector<DevicePermission>& permissions, bool fresh,
                           std::vector<std::string>* warnings) {
  const bool all = permissions.size() == 1 && permissions[0].allow;
  if (const CgroupHierarchy* devices = layout.of("devices"); devices && !devices->unified) {
    if (all && fresh) return {};
    return write_device_rules(devices->mount + path, permissions);
  }
  if (all) return {};
  if (const CgroupHierarchy* unified = layout.unified(); unified && layout.pure_unified()) {
    Fd directory = TRY(open_file(unified->mount + path, O_RDONLY | O_DIRECTORY));
    return attach_device_filter(directory.get(), permissions);
  }
  if (warnings)
    warnings->push_back("this machine has no devices cgroup controller: access to devices is not limited");
  return {};
}

Result<std::vector<pid_t>> read_members(const std::string& directory) {
  std::vector<pid_t> out;
  std::string text = TRY(read_file(directory + "/cgroup.procs"));
  for (std::string_view line : split(text, '\n'))
    if (std::optional<pid_t> process = parse_integer<pid_t>(line); process && *process > 0)
      out.push_back(*process);
  return out;
}

std::vector<std::string> subgroups(const std::string& directory) {
  std::vector<std::string> out;
  std::unique_ptr<DIR, int (*)(DIR*)> stream(opendir(directory.c_str()), closedir);
  if (!stream) return out;
  while (dirent* entry = readdir(stream.get()))
    if (entry->d_type == DT_DIR && entry->d_name[0] != '.') out.push_back(directory + "/" + entry->d_name);
  return out;
}

void collect_members(const std::string& directory, std::vector<pid_t>& out) {
  if (Result<std::vector<pid_t>> here = read_members(directory))
    out.insert(out.end(), here->begin(), here->end());
  for (const std::string& child : subgroups(directory)) collect_members(child, out);
}

// 0, or the errno of what stands in the way.
int remove_directory(const std::string& directory) {
  if (rmdir(directory.c_str()) == 0 || errno == ENOENT) return 0;
  if (errno != EBUSY) return errno;
  for (const std::string& child : subgroups(directory)) remove_directory(child);
  return rmdir(directory.c_str()) == 0 || errno == ENOENT ? 0 : errno;
}

Result<void> wait_until(const std::string& file, std::string_view wanted, std::string_view what) {
  const auto deadline = steady_clock::now() + milliseconds(2000);
  for (milliseconds pause(1);; pause = std::min(pause * 2, milliseconds(20))) {
    std::string text = TRY(read_file(file));
    for (std::string_view line : split(text, '\n'))
      if (line == wanted) return {};
    if (steady_clock::now() > deadline)
      return fail(ErrorKind::timeout, "the container's processes do not {}", what);
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

Result<Cgroup> Cgroup::at(std::string_view path) {
  CgroupLayout layout = TRY(CgroupLayout::detect());
  return at(path, std::move(layout));
}

Result<Cgroup> Cgroup::at(std::string_view path, CgroupLayout layout) {
  if (path.size() < 2 || path[0] != '/' || path.size() > 3000 || path.find('\0') != std::string_view::npos ||
      path.find('\n') != std::string_view::npos)
    return fail(ErrorKind::invalid, "\"{}\" is not the path of a control group: it must begin with a slash",
                path);
  std::string clean;
  for (std::string_view part : split(path, '/')) {
    if (part.empty()) continue;
    if (part == "." || part == "..")
      return fail(ErrorKind::invalid, "\"{}\" is not the path of a control group: it has \"{}\" in it", path,
                  part);
    clean.append("/").append(part);
  }
  if (clean.empty()) return fail(ErrorKind::invalid, "the root control group cannot be a container's");
  return Cgroup(std::move(clean), std::move(layout));
}

Result<void> Cgroup::create(const oci::Resources& resources, std::vector<std::string>* warnings) const {
  std::vector<CgroupWrite> writes = TRY(cgroup_writes(resources, layout_));
  std::vector<DevicePermission> permissions = TRY(effective_device_permissions(resources.devices));
  const std::map<std::string, std::string> own = own_groups();
  auto asked_for = [&](const CgroupHierarchy& hierarchy) {
    return std::ranges::any_of(
        writes, [&](const CgroupWrite& write) { return layout_.of(write.controller) == &hierarchy; });
  };
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies)
    if (&hierarchy == &principal() || always_wanted(hierarchy) || asked_for(hierarchy) ||
        must_leave(hierarchy, own))
      TRY(make_in(hierarchy, path_));
  TRY(apply_writes(layout_, path_, writes));
  return apply_devices(layout_, path_, permissions, true, warnings);
}

Result<void> Cgroup::update(const oci::Resources& resources) const {
  std::vector<CgroupWrite> writes = TRY(cgroup_writes(resources, layout_));
  if (!exists()) return fail(ErrorKind::not_found, "there is no control group {}", path_);
  for (const CgroupWrite& write : writes) {
    const CgroupHierarchy* hierarchy = layout_.of(write.controller);
    if (!hierarchy || berth::exists(directory_in(*hierarchy))) continue;
    TRY(make_in(*hierarchy, path_));
    // Members may fork while they are moved: until a pass finds nobody new.
    for (std::size_t before = 0, round = 0; round < 100; ++round) {
      std::vector<pid_t> processes = TRY(members());
      for (pid_t process : processes)
        (void)write_existing(directory_in(*hierarchy) + "/cgroup.procs", std::to_string(process));
      std::vector<pid_t> moved;
      collect_members(directory_in(*hierarchy), moved);
      if (moved.size() >= processes.size() && moved.size() == before) break;
      before = moved.size();
    }
  }
  TRY(apply_writes(layout_, path_, writes));
  if (resources.devices.empty()) return {};
  std::vector<DevicePermission> permissions = TRY(effective_device_permissions(resources.devices));
  return apply_devices(layout_, path_, permissions, false, nullptr);
}

Result<std::vector<Fd>> Cgroup::open_tasks_files() const {
  std::vector<Fd> out;
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
    if (hierarchy.unified) continue;
    Fd file(open((directory_in(hierarchy) + "/tasks").c_str(), O_WRONLY | O_CLOEXEC));
    if (file)
      out.push_back(std::move(file));
    else if (errno != ENOENT)
      return fail_errno(errno, "cannot open {}/tasks", directory_in(hierarchy));
  }
  return out;
}

Result<void> Cgroup::add(pid_t process) const {
  bool anywhere = false;
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) {
    Result<void> written = write_existing(directory_in(hierarchy) + "/cgroup.procs", std::to_string(process));
    if (!written && written.error().code == ENOENT) continue;
    if (!written)
      return fail_errno(written.error().code, "cannot move process {} into the control group {}", process,
                        path_);
    anywhere = true;
  }
  if (!anywhere) return fail(ErrorKind::not_found, "there is no control group {}", path_);
  return {};
}

Result<Fd> Cgroup::open_unified() const {
  const CgroupHierarchy* unified = layout_.unified();
  if (!unified) return Fd();
  return open_file(directory_in(*unified), O_RDONLY | O_DIRECTORY);
}

// The hierarchy that knows the members: every group of ours is in it.
const CgroupHierarchy& Cgroup::principal() const {
  if (const CgroupHierarchy* unified = layout_.unified()) return *unified;
  for (const CgroupHierarchy& one : layout_.hierarchies)
    if (always_wanted(one)) return one;
  return layout_.hierarchies.front();
}

bool Cgroup::exists() const { return berth::exists(directory_in(principal())); }

Result<std::vector<pid_t>> Cgroup::members() const {
  if (!exists()) return fail(ErrorKind::not_found, "there is no control group {}", path_);
  std::vector<pid_t> out;
  collect_members(directory_in(principal()), out);
  return out;
}

Result<void> Cgroup::freeze() const {
  if (const CgroupHierarchy* unified = layout_.unified();
      unified && berth::exists(directory_in(*unified) + "/cgroup.freeze")) {
    TRY(write_control(directory_in(*unified), "cgroup.freeze", "1"));
    return wait_until(directory_in(*unified) + "/cgroup.events", "frozen 1", "stand still");
  }
  const CgroupHierarchy* freezer = layout_.of("freezer");
  if (!freezer)
    return fail(ErrorKind::unsupported, "this machine has no freezer cgroup controller: it cannot pause");
  std::string directory = directory_in(*freezer);
  if (!berth::exists(directory)) {
    TRY(make_in(*freezer, path_));
    std::vector<pid_t> processes = TRY(members());
    for (pid_t process : processes)
      (void)write_existing(directory + "/cgroup.procs", std::to_string(process));
  }
  TRY(write_control(directory, "freezer.state", "FROZEN"));
  return wait_until(directory + "/freezer.state", "FROZEN", "stand still");
}

Result<void> Cgroup::thaw() const {
  if (const CgroupHierarchy* unified = layout_.unified();
      unified && berth::exists(directory_in(*unified) + "/cgroup.freeze")) {
    TRY(write_control(directory_in(*unified), "cgroup.freeze", "0"));
    return wait_until(directory_in(*unified) + "/cgroup.events", "frozen 0", "go on");
  }
  const CgroupHierarchy* freezer = layout_.of("freezer");
  if (!freezer || !berth::exists(directory_in(*freezer))) return {};
  TRY(write_control(directory_in(*freezer), "freezer.state", "THAWED"));
  return wait_until(directory_in(*freezer) + "/freezer.state", "THAWED", "go on");
}

Result<bool> Cgroup::frozen() const {
  if (const CgroupHierarchy* unified = layout_.unified();
      unified && berth::exists(directory_in(*unified) + "/cgroup.freeze"))
    return read_trimmed(directory_in(*unified) + "/cgroup.freeze") == "1";
  const CgroupHierarchy* freezer = layout_.of("freezer");
  return freezer && read_trimmed(directory_in(*freezer) + "/freezer.state").starts_with("FR");
}

Result<void> Cgroup::signal(int number) const {
  std::vector<pid_t> processes = TRY(members());
  for (pid_t process : processes)
    if (::kill(process, number) != 0 && errno != ESRCH)
      return fail_errno(errno, "cannot send signal {} to process {}", number, process);
  return {};
}

Result<void> Cgroup::kill() const {
  if (!exists()) return {};
  if (const CgroupHierarchy* unified = layout_.unified();
      unified && write_existing(directory_in(*unified) + "/cgroup.kill", "1"))
    return {};
  // Frozen members cannot fork away between the list and the signal.
  bool held = freeze().has_value();
  Result<void> sent = signal(SIGKILL);
  if (held) return thaw();
  for (int round = 0; sent && round < 100; ++round) {
    std::vector<pid_t> left = TRY(members());
    if (left.empty()) break;
    sent = signal(SIGKILL);
    std::this_thread::sleep_for(milliseconds(1));
  }
  return sent;
}

Result<void> Cgroup::remove() const {
  std::vector<std::string> left;
  for (const CgroupHierarchy& hierarchy : layout_.hierarchies) left.push_back(directory_in(hierarchy));
  const auto deadline = steady_clock::now() + milliseconds(1000);
  for (auto pause = std::chrono::microseconds(100);;
       pause = std::min<std::chrono::microseconds>(pause * 2, milliseconds(50))) {
    int code = 0;
    std::erase_if(left, [&](const std::string& directory) {
      int one = remove_directory(directory);
      if (one) code = one;
      return one == 0;
    });
    if (left.empty()) return {};
    if (code != EBUSY || steady_clock::now() > deadline)
      return fail_errno(code, "cannot remove the control group {}", left.front());
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace berth::sys
