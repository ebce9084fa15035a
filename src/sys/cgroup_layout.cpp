// SPDX-License-Identifier: Apache-2.0
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "sys/cgroup.h"

namespace berth::sys {
namespace {

bool has_type(const std::string& path, unsigned long magic) {
  struct statfs info {};
  return statfs(path.c_str(), &info) == 0 && static_cast<unsigned long>(info.f_type) == magic;
}

std::vector<std::string> words(std::string_view text) {
  std::vector<std::string> out;
  for (std::string_view word : split(trim(text), ' '))
    if (!word.empty()) out.emplace_back(word);
  return out;
}

CgroupHierarchy unified_at(const std::string& mount) {
  CgroupHierarchy out{mount, {}, "", true};
  if (Result<std::string> controllers = read_file(mount + "/cgroup.controllers"))
    out.controllers = words(*controllers);
  return out;
}

}  // namespace

Result<CgroupLayout> CgroupLayout::detect(const std::string& directory) {
  CgroupLayout layout;
  if (has_type(directory, CGROUP2_SUPER_MAGIC)) {
    layout.hierarchies.push_back(unified_at(directory));
    return layout;
  }
  Result<std::vector<std::string>> names = list_directory(directory);
  if (!names) return fail(ErrorKind::unsupported, "no control groups are mounted at {}", directory);
  for (const std::string& name : *names) {
    std::string path = directory + "/" + name;
    struct stat info {};
    // "cpu" is often a link to "cpu,cpuacct": the directory alone counts.
    if (lstat(path.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) continue;
    if (has_type(path, CGROUP_SUPER_MAGIC)) {
      CgroupHierarchy one{path, {}, name, false};
      for (std::string_view controller : split(name, ',')) one.controllers.emplace_back(controller);
      layout.hierarchies.push_back(std::move(one));
    } else if (has_type(path, CGROUP2_SUPER_MAGIC)) {
      layout.hierarchies.push_back(unified_at(path));
    }
  }
  if (layout.hierarchies.empty())
    return fail(ErrorKind::unsupported, "no control groups are mounted at {}", directory);
  return layout;
}

const CgroupHierarchy* CgroupLayout::unified() const {
  for (const CgroupHierarchy& one : hierarchies)
    if (one.unified) return &one;
  return nullptr;
}

const CgroupHierarchy* CgroupLayout::of(std::string_view controller) const {
  for (const CgroupHierarchy& one : hierarchies)
    if (std::ranges::find(one.controllers, controller) != one.controllers.end()) return &one;
  return nullptr;
}

}  // namespace berth::sys
