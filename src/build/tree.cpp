// SPDX-License-Identifier: Apache-2.0
#include "build/tree.h"

#include <fcntl.h>
#include <unistd.h>

#include <optional>

#include "archive/tree_walk.h"
#include "base/text.h"
#include "sys/rooted_path.h"

namespace berth::build {
namespace {

std::string joined(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  if (name.empty()) return std::string(directory);
  return fmt::format("{}/{}", directory, name);
}

// Names that wildcards are held against. Links in directories make more paths than there are files.
constexpr std::size_t kMostCandidates = 2'000'000;

std::unexpected<Error> missing(std::string_view written) {
  return fail(ErrorKind::not_found, "\"{}\" is not in the build context, or .dockerignore leaves it out",
              written);
}

// Where a path leads, below the root.
Result<std::string> without_links(const Tree& tree, const std::string& path) {
  return sys::clean_relative(TRY(sys::resolve_in_root(tree.root.get(), path)));
}

// Nothing when it is not there.
Result<std::optional<Source>> look_up(const Tree& tree, const std::string& path) {
  Result<struct stat> status = sys::stat_in_root(tree.root.get(), path);
  if (!status) {
    if (status.error().kind == ErrorKind::not_found || status.error().code == ENOTDIR)
      return std::optional<Source>();
    return std::unexpected(std::move(status).error());
  }
  const bool directory = S_ISDIR(status->st_mode);
  const auto is_there = [&](const std::string& place) {
    return place.empty() || !tree.ignore.excluded(place) ||
           (directory && tree.ignore.may_include_below(place));
  };
  // What is ignored is not there, by whatever links it is reached.
  if (!is_there(path) || !is_there(TRY(without_links(tree, path)))) return std::optional<Source>();
  return std::optional<Source>(Source{path, directory});
}

// The next component of the pattern, everywhere where those before were found.
Result<std::vector<std::string>> step_into(const Tree& tree, const std::vector<std::string>& parents,
                                           std::string_view component, std::size_t& candidates) {
  std::vector<std::string> found;
  for (const std::string& parent : parents) {
    if (!dockerfile::has_wildcards(component)) {
      found.push_back(joined(parent, component));
      continue;
    }
    Result<Fd> directory = sys::open_in_root(tree.root.get(), parent, O_RDONLY | O_DIRECTORY);
    if (!directory) continue;  // it is none, or it is not there
    std::vector<std::string> names = TRY(archive::names_in(directory->get()));
    candidates += names.size() + 1;
    if (candidates > kMostCandidates)
      return fail(ErrorKind::exhausted, "wildcards are compared with more than {} names", kMostCandidates);
    for (const std::string& name : names)
      if (dockerfile::matches(component, name)) found.push_back(joined(parent, name));
  }
  return found;
}

bool may_hold(const dockerfile::IgnoreRules& rules, std::string_view directory) {
  return !rules.excluded(directory) || rules.may_include_below(directory);
}

// Walks with the rules applied. Directories that are ignored wait until something below them is not.
class Walk {
 public:
  // `place` is where the source is, without links.
  Walk(const Tree& tree, const Source& source, std::string place, const dockerfile::IgnoreRules& excludes,
       const std::function<Result<void>(const TreeItem&)>& visit)
      : tree_(tree),
        source_(source),
        place_(std::move(place)),
        linked_(place_ != source_.path),
        excludes_(excludes),
        visit_(visit) {}

  Result<void> run(int start) {
    return archive::walk_tree(start, [&](const archive::WalkItem& item) { return enter(start, item); });
  }

 private:
  Result<archive::Descend> enter(int start, const archive::WalkItem& item) {
    using archive::Descend;
    if (S_ISSOCK(item.status.st_mode)) return Descend::no;
    const bool directory = S_ISDIR(item.status.st_mode);
    if (directory && item.status.st_ino == tree_.hidden.inode && item.status.st_dev == tree_.hidden.device)
      return Descend::no;
    const std::string whole = joined(source_.path, item.path);
    const std::string real = linked_ ? joined(place_, item.path) : std::string();
    const bool ignored = tree_.ignore.excluded(whole) || (linked_ && tree_.ignore.excluded(real));
    const bool wanted = !ignored && !excludes_.excluded(item.path);
    if (!wanted) {
      const bool below = directory && may_hold(tree_.ignore, whole) &&
                         (!linked_ || may_hold(tree_.ignore, real)) && may_hold(excludes_, item.path);
      if (below) waiting_.push_back({std::string(item.path), item.status});
      return below ? Descend::yes : Descend::no;
    }
    TRY(visit_waiting(start, item.path));
    TRY(visit_({item.directory, item.name, item.path, item.status}));
    return Descend::yes;
  }

  // Those that `path` is in; the others turned out to be empty.
  Result<void> visit_waiting(int start, std::string_view path) {
    for (const Waiting& one : std::exchange(waiting_, {})) {
      if (!path.starts_with(one.path + "/")) continue;
      sys::RootedParent parent = TRY(sys::parent_in_root(start, one.path));
      TRY(visit_({parent.directory.get(), parent.name, one.path, one.status}));
    }
    return {};
  }

  struct Waiting {
    std::string path;
    struct stat status;
  };
  const Tree& tree_;
  const Source& source_;
  const std::string place_;
  const bool linked_;
  const dockerfile::IgnoreRules& excludes_;
  const std::function<Result<void>(const TreeItem&)>& visit_;
  std::vector<Waiting> waiting_;
};

}  // namespace

Result<std::vector<Source>> find_sources(const Tree& tree, std::string_view written) {
  const ReadingTree reading(tree);
  const std::string clean = sys::clean_relative(written);
  std::vector<std::string> paths{""};
  std::size_t candidates = 0;
  for (std::string_view component : split(clean, '/'))
    if (!component.empty()) paths = TRY(step_into(tree, paths, component, candidates));
  std::vector<Source> sources;
  for (const std::string& path : paths) {
    std::optional<Source> source = TRY(look_up(tree, path));
    if (source) sources.push_back(std::move(*source));
  }
  if (sources.empty()) return missing(written);
  return sources;
}

Result<Source> find_source(const Tree& tree, std::string_view path) {
  const ReadingTree reading(tree);
  std::optional<Source> source = TRY(look_up(tree, sys::clean_relative(path)));
  if (!source) return missing(path);
  return std::move(*source);
}

Result<void> walk_source(const Tree& tree, const Source& source, const dockerfile::IgnoreRules& excludes,
                         const std::function<Result<void>(const TreeItem&)>& visitor) {
  const ReadingTree reading(tree);
  const sys::UserIdentity engine{.uid = geteuid(), .gid = getegid(), .groups = {}};
  const std::function<Result<void>(const TreeItem&)> visit = [&](const TreeItem& item) {
    const sys::ActAs acting(tree.reader ? &engine : nullptr);
    return visitor(item);
  };
  // The start may be reached over links; opened once, it is what everything else is relative to.
  Fd start = TRY(sys::open_in_root(tree.root.get(), source.path, O_PATH));
  struct stat status;
  if (fstat(start.get(), &status) != 0) return fail_errno(errno, "look at \"{}\"", source.path);
  if (!S_ISDIR(status.st_mode)) {
    const std::string resolved = TRY(sys::resolve_in_root(tree.root.get(), source.path));
    sys::RootedParent parent = TRY(sys::parent_in_root(tree.root.get(), resolved));
    return visit({parent.directory.get(), parent.name, "", status});
  }
  Fd directory = TRY(sys::open_in_root(tree.root.get(), source.path, O_RDONLY | O_DIRECTORY));
  static const std::string kItself = ".";
  TRY(visit({directory.get(), kItself, "", status}));
  std::string place = TRY(without_links(tree, source.path));
  return Walk(tree, source, std::move(place), excludes, visit).run(directory.get());
}

}  // namespace berth::build
