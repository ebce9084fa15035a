// SPDX-License-Identifier: Apache-2.0
#include "build/remote_contexts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"
#include "build/download.h"
#include "build/git_fetch.h"

namespace berth::build {
namespace {

// Returns where its files are.
Result<std::string> check_out(const std::string& address, const GitAccess& access) {
  const dockerfile::GitReference reference = TRY(dockerfile::parse_git_reference(address));
  const GitCommit commit = TRY(resolve_git(reference, access));
  return check_out_git(reference, commit, reference.keep_git_directory.value_or(false), access);
}

// As it is, an archive too: what it is called and whether it is unpacked is the same for BuildKit.
Result<std::string> download(const std::string& address, const GitAccess& access) {
  const Download download = TRY(download_url(address, access.directory, access.stop));
  const std::string files = access.directory + "/files";
  TRY(make_directories(files, 0755));
  const std::string nameless = fmt::format("/proc/self/fd/{}", download.file.get());
  const std::string name = files + "/context";
  if (linkat(AT_FDCWD, nameless.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) != 0)
    return fail_errno(errno, "keep {}", address);
  return files;
}

}  // namespace

Result<std::shared_ptr<const Tree>> RemoteContexts::get(const std::string& address,
                                                        const BuildRequest& request,
                                                        const std::stop_token& stop) {
  std::unique_lock finding(mutex_);
  Place& place = places_[address];
  finding.unlock();
  const std::lock_guard lock(place.mutex);
  if (place.tree) return place.tree;
  place.work.reset();  // what a failure has left
  place.work.emplace(TRY(Workspace::create(directory_)));
  const auto agent = request.agents.find("default");
  const GitAccess access{.secrets = request.secrets,
                         .directory = place.work->path(),
                         .stop = stop,
                         .agent = agent == request.agents.end() ? nullptr : &agent->second};
  const std::string files =
      TRY(dockerfile::is_git_reference(address) ? check_out(address, access) : download(address, access));
  auto tree = std::make_shared<Tree>();
  tree->root = TRY(open_file(files, O_RDONLY | O_DIRECTORY));
  place.tree = std::move(tree);
  return place.tree;
}

}  // namespace berth::build
