// SPDX-License-Identifier: Apache-2.0
// A commit of a git repository as files, with those of its submodules.
//
//   GitAccess access{.secrets = .., .directory = work.path(), .stop = stop};
//   GitCommit commit = TRY(resolve_git(reference, access));            // what a result is known by
//   std::string tree = TRY(check_out_git(reference, commit, false, access));
//
// The repository is hostile: what it may do to git is bounded by git_program.h; how large it is, is known
// before anything of it is written; submodules are fetched by this code, and not by git, to the same rules.
#pragma once
#include <map>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/error.h"
#include "build/ssh_forward.h"
#include "dockerfile/git_reference.h"

namespace berth::build {

inline constexpr int kDeepestSubmodule = 16;
inline constexpr std::size_t kMostSubmodules = 1000;

struct GitAccess {
  // GIT_AUTH_TOKEN and GIT_AUTH_HEADER are for the host of the reference; with ".host" at the end they are
  // for that one.
  const std::map<std::string, std::string>& secrets;
  std::string directory;  // of the caller's, for this alone
  std::stop_token stop;
  const SshAgent* agent = nullptr;  // the client's, for repositories behind ssh
};

struct GitCommit {
  std::string id;
  std::string name;  // the ref in full; empty when it was asked for by its id
};

// Asks the server, unless the reference is a commit's id. The checksum, if there is one, is that of the
// commit.
Result<GitCommit> resolve_git(const dockerfile::GitReference& reference, const GitAccess& access);

// Returns the path of the files, below access.directory: of the subdirectory where the reference has one,
// links in which lead nowhere else. Without one `keep_git_directory` keeps .git among them.
Result<std::string> check_out_git(const dockerfile::GitReference& reference, const GitCommit& commit,
                                  bool keep_git_directory, const GitAccess& access);

// What `git ls-remote` says of a ref: branches go before other names, these before tags; a tag is the commit
// that it stands for. "" when there is none.
GitCommit choose_commit(std::string_view listing, std::string_view ref);

// The header that a repository at this origin is asked with ("Authorization: ..."), or "". `asked` is the
// origin of the reference itself.
std::string git_header(const dockerfile::GitReference& reference, std::string_view asked,
                       const std::map<std::string, std::string>& secrets);

}  // namespace berth::build
