// SPDX-License-Identifier: Apache-2.0
#include "build/workspace.h"

#include <fcntl.h>
#include <sys/mount.h>

#include "base/fd.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "sys/remove_deep_tree.h"

namespace berth::build {
namespace {

void take_off(const std::string& place) {
  while (umount2(place.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
  }
}

Result<void> remove_workspace(const std::string& parent, const std::string& name) {
  Fd directory = TRY(open_file(parent, O_RDONLY | O_DIRECTORY));
  return sys::remove_deep_tree(directory.get(), name);
}

}  // namespace

Result<Workspace> Workspace::create(const std::string& parent) {
  std::string name = random_identifier().substr(0, 20);
  TRY(make_directories(parent + "/" + name, 0700));
  return Workspace(parent, std::move(name));
}

Workspace::~Workspace() {
  if (name_.empty()) return;
  if (Result<void> removed = remove_workspace(parent_, name_); !removed)
    log_warning("build", "{} stays until the next start: {}", path(), removed.error().message);
}

Attached::~Attached() {
  if (!path_.empty()) take_off(path_);
}

Result<void> clear_workspaces(const std::string& parent) {
  TRY(make_directories(parent, 0700));
  const std::vector<std::string> names = TRY(list_directory(parent));
  for (const std::string& name : names) {
    const std::string work = parent + "/" + name;
    for (const std::string& place : list_directory(work).value_or(std::vector<std::string>())) {
      take_off(work + "/" + place);
      for (const std::string& inner : list_directory(work + "/" + place).value_or(std::vector<std::string>()))
        take_off(work + "/" + place + "/" + inner);
    }
    if (Result<void> removed = remove_workspace(parent, name); !removed)
      log_warning("build", "what a crash has left stays: {}", removed.error().message);
  }
  return {};
}

}  // namespace berth::build
