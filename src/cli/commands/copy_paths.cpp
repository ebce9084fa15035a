// SPDX-License-Identifier: Apache-2.0
#include "cli/commands/copy_paths.h"

#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>
#include <filesystem>

#include "cli/create/security.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;
constexpr int kLinkLimit = 40;

std::string clean(const std::string& path) {
  std::string cleaned = fs::path(path).lexically_normal().string();
  while (cleaned.size() > 1 && cleaned.ends_with('/')) cleaned.pop_back();
  return cleaned.empty() ? "." : cleaned;
}

bool ends_in_dot(const std::string& path) { return path == "." || path.ends_with("/."); }

std::string keep_end(const std::string& original, std::string cleaned) {
  if (ends_in_dot(original) && !ends_in_dot(cleaned)) return cleaned + (cleaned == "/" ? "." : "/.");
  if (original.ends_with('/') && !cleaned.ends_with('/')) return cleaned + "/";
  return cleaned;
}

std::optional<std::string> real_path(const std::string& path) {
  char resolved[PATH_MAX];
  if (!::realpath(path.c_str(), resolved)) return std::nullopt;
  return std::string(resolved);
}

std::unexpected<Error> refuse(std::string_view action, const std::string& path) {
  return fail(ErrorKind::not_found, "{} {}: {}", action, path, words_of_errno(errno));
}

}  // namespace

CopyArgument parse_copy_argument(const std::string& text) {
  if (text.starts_with('/')) return {"", text};
  std::size_t colon = text.find(':');
  if (colon == text.npos || text.starts_with('.')) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

bool asserts_directory(const std::string& path) {
  return path.empty() || path.ends_with('/') || ends_in_dot(path);
}

SplitPath split_directory_entry(const std::string& path) {
  std::string cleaned = clean(path);
  if (ends_in_dot(path)) return {cleaned, "."};
  std::size_t slash = cleaned.rfind('/');
  if (slash == cleaned.npos) return {".", cleaned};
  if (cleaned == "/") return {"/", "/"};
  return {slash == 0 ? "/" : cleaned.substr(0, slash), cleaned.substr(slash + 1)};
}

std::string absolute_keeping_end(const std::string& path) {
  std::error_code ignored;
  return keep_end(path, clean((fs::current_path(ignored) / path).string()));
}

Result<CopyPlan> plan_copy(const CopySource& source, const CopyDestination& destination) {
  SplitPath from = split_directory_entry(source.path), to = split_directory_entry(destination.path);
  std::string top = source.rebase.empty() ? from.base : source.rebase;
  if (destination.exists && destination.directory) return CopyPlan{destination.path, top, std::nullopt};
  if (destination.exists && source.directory) return fail(ErrorKind::conflict, "cannot copy directory");
  if (!destination.exists && !source.directory && asserts_directory(destination.path))
    return fail(ErrorKind::not_found, "no such directory");
  return CopyPlan{to.directory, top, to.base};
}

Result<CopySource> look_at_source(const std::string& path, bool follow) {
  std::string looked_at = path;
  CopySource source{path, false, {}};
  if (follow || asserts_directory(path)) {
    std::optional<std::string> real = real_path(path);
    if (!real && errno == ENOTDIR) return fail(ErrorKind::invalid, "not a directory");
    if (!real) return refuse("lstat", clean(path));
    looked_at = keep_end(path, *real);
    source.path = looked_at;
    std::string asked = split_directory_entry(path).base;
    if (asked != "." && asked != split_directory_entry(looked_at).base) source.rebase = asked;
  }
  struct stat status {};
  if (::lstat(clean(looked_at).c_str(), &status) != 0) return refuse("lstat", clean(looked_at));
  source.directory = S_ISDIR(status.st_mode);
  if (asserts_directory(path) && !source.directory) return fail(ErrorKind::invalid, "not a directory");
  return source;
}

Result<CopyDestination> look_at_destination(const std::string& path) {
  CopyDestination destination{path, false, false};
  std::string at = clean(path);
  struct stat status {};
  for (int links = 0; ::lstat(at.c_str(), &status) == 0 && S_ISLNK(status.st_mode); ++links) {
    if (links == kLinkLimit) return fail(ErrorKind::invalid, "too many symbolic links: {}", path);
    std::error_code problem;
    fs::path target = fs::read_symlink(at, problem);
    if (problem) return refuse("readlink", at);
    at = clean((fs::path(at).parent_path() / target).string());
    destination.path = keep_end(path, at);
  }
  if (::stat(at.c_str(), &status) == 0) {
    destination.exists = true;
    destination.directory = S_ISDIR(status.st_mode);
    if (asserts_directory(path) && !destination.directory) return fail(ErrorKind::invalid, "not a directory");
    return destination;
  }
  std::string parent = split_directory_entry(at).directory;
  if (::stat(parent.c_str(), &status) != 0)
    return fail(ErrorKind::not_found, "invalid output path: directory \"{}\" does not exist", parent);
  if (!S_ISDIR(status.st_mode)) return fail(ErrorKind::invalid, "not a directory");
  return destination;
}

}  // namespace berth::cli
