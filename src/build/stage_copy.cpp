// SPDX-License-Identifier: Apache-2.0
// COPY and ADD.
#include <fcntl.h>

#include <algorithm>

#include "archive/xattr.h"
#include "base/file.h"
#include "base/text.h"
#include "build/download.h"
#include "build/git_fetch.h"
#include "build/selection.h"
#include "build/stage.h"
#include "runtime/users.h"
#include "sys/rooted_path.h"

namespace berth::build {
namespace {

bool is_url(std::string_view text) { return text.starts_with("http://") || text.starts_with("https://"); }

// "github.com/..." is a path here.
bool is_git(std::string_view text) {
  return dockerfile::is_git_reference(text) && !text.starts_with("github.com/");
}

// "a/./b/c" of --parents: what comes before "/./" is not part of the destination.
std::string_view without_pivot(std::string_view written) {
  const std::size_t pivot = written.find("/./");
  return pivot == std::string_view::npos ? written : written.substr(pivot + 3);
}

std::string_view parent_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}

Result<Fd> open_archive(const Tree& tree, const Source& source) {
  const ReadingTree reading(tree);
  return sys::open_regular_in_root(tree.root.get(), source.path);
}

}  // namespace

// All words with their values, and what they stand for.
struct StageBuilder::CopyPlan {
  struct Inline {
    std::string name, content;
  };
  struct Repository {
    dockerfile::GitReference reference;
    GitCommit commit;
    bool keep_git_directory = false;
  };
  // A directory of --parents that a source lies in.
  struct Parent {
    std::string destination;
    std::uint32_t mode = 0;
    archive::Owner owner;
  };
  CopyTarget target{};  // without a root
  std::string chmod, checksum;
  std::vector<std::string> exclude_patterns;
  dockerfile::IgnoreRules excludes;
  bool unpacks = false;  // archives of the tree

  std::shared_ptr<const Tree> tree;
  std::vector<std::string> written;       // paths in the tree
  std::vector<Source> sources;            // what they denote
  std::optional<Digest> contents;         // of these
  Amount amount;                          // of them
  std::vector<std::string> destinations;  // of each source
  std::vector<Parent> parents;            // from above
  std::vector<std::string> urls;
  std::vector<Download> downloads;
  std::vector<Repository> repositories;
  std::vector<Inline> inlines;
};

Result<StageBuilder::CopyPlan> StageBuilder::plan_copy(const dockerfile::CopyInstruction& instruction) {
  CopyPlan plan;
  const dockerfile::Expansion expanding = expansion();
  for (const dockerfile::Word& word : instruction.sources) {
    std::string source = TRY(dockerfile::expand_word(word.text, expanding));
    const bool remote = instruction.add && (is_url(source) || is_git(source));
    (remote ? plan.urls : plan.written).push_back(std::move(source));
  }
  for (const dockerfile::Heredoc& heredoc : instruction.heredocs) {
    std::string content = heredoc.content;
    if (heredoc.expand) content = TRY(dockerfile::expand_heredoc(heredoc.content, expanding));
    plan.inlines.push_back({heredoc.name, std::move(content)});
  }
  const std::string destination = TRY(dockerfile::expand_word(instruction.destination.text, expanding));
  plan.target.destination = in_working_directory(destination);
  if (instruction.chmod) {
    plan.chmod = TRY(dockerfile::expand_word(instruction.chmod->text, expanding));
    plan.target.mode = TRY(ModeChange::parse(plan.chmod));
  }
  for (const dockerfile::Word& word : instruction.excludes) {
    std::string pattern = TRY(dockerfile::expand_word(word.text, expanding));
    plan.exclude_patterns.push_back(std::move(pattern));
  }
  plan.excludes = TRY(dockerfile::IgnoreRules::of(plan.exclude_patterns));
  if (instruction.checksum)
    plan.checksum = TRY(dockerfile::expand_word(instruction.checksum->text, expanding));
  plan.unpacks = instruction.add && instruction.unpack.value_or(true);
  return plan;
}

Result<std::optional<archive::Owner>> StageBuilder::owner_of(const std::optional<dockerfile::Word>& chown) {
  if (!chown) return std::optional<archive::Owner>();
  const std::string text = TRY(dockerfile::expand_word(chown->text, expansion()));
  const auto [user, group] = split_once(text, ':');
  // A number alone is the group's as well.
  const bool number = parse_integer<std::uint32_t>(user).has_value() && group.empty();
  const std::shared_ptr<const Tree> tree = TRY(mount_tree(solve_, config_.diff_ids));
  const runtime::AccountFiles accounts = runtime::read_account_files(tree->root.get());
  const runtime::ResolvedUser resolved = TRY_AS(
      "--chown", runtime::resolve_user(accounts, number ? fmt::format("{}:{}", user, user) : text, {}));
  return std::optional(archive::Owner{resolved.user.uid, resolved.user.gid});
}

Result<SourceTree> StageBuilder::source_tree(const std::string& from, const Step& step) {
  if (from.empty()) return SourceTree{solve_.request.context, std::nullopt};
  std::set<std::string> contexts;
  for (const auto& [name, context] : solve_.request.named_contexts) contexts.insert(name);
  const Origin origin = origin_of(solve_.file, contexts, from, planned_.index);
  std::vector<Digest> layers;
  if (const auto* stage = std::get_if<FromStage>(&origin)) {
    StageResult result = TRY(solve_.board.wait(stage->index, solve_.stop));
    layers = std::move(result.config.diff_ids);
  } else if (const auto* context = std::get_if<FromContext>(&origin)) {
    return tree_of_context(context->name, step);
  } else if (const auto* image = std::get_if<FromImage>(&origin)) {
    image::Image found = TRY(base_image(solve_, image->name, std::nullopt, step));
    layers = std::move(found.diff_ids);
  }
  std::shared_ptr<const Tree> tree = TRY(mount_tree(solve_, layers));
  return SourceTree{std::move(tree), std::move(layers)};
}

GitAccess StageBuilder::git_access(const Workspace& work) const {
  const auto agent = solve_.request.agents.find("default");
  return {.secrets = solve_.request.secrets,
          .directory = work.path(),
          .stop = solve_.stop,
          .agent = agent == solve_.request.agents.end() ? nullptr : &agent->second};
}

// What a repository is known by. Its files are fetched when they are needed.
Result<void> StageBuilder::find_commit(CopyPlan& plan, const std::string& url,
                                       const dockerfile::CopyInstruction& instruction) {
  dockerfile::GitReference reference = TRY(dockerfile::parse_git_reference(url));
  if (!reference.user.empty())
    return fail(ErrorKind::invalid,
                "ADD {}: a name or a password in front of the host would be kept in the image's history: use "
                "--secret id=GIT_AUTH_TOKEN",
                reference.url);
  if (!plan.checksum.empty()) {
    TRY(dockerfile::check_git_checksum(plan.checksum));
    if (reference.checksum.empty()) reference.checksum = plan.checksum;
    if (reference.checksum != plan.checksum)
      return fail(ErrorKind::invalid, "{} and --checksum name two commits", reference.url);
  }
  const Workspace work = TRY(Workspace::create(solve_.services.options.directory + "/steps"));
  GitCommit commit = TRY(resolve_git(reference, git_access(work)));
  const bool keep = reference.keep_git_directory.value_or(instruction.keep_git_directory);
  plan.repositories.push_back({std::move(reference), std::move(commit), keep});
  return {};
}

Result<void> StageBuilder::write_repositories(const CopyPlan& plan, const CopyTarget& target) const {
  for (const CopyPlan::Repository& one : plan.repositories) {
    const Workspace work = TRY(Workspace::create(solve_.services.options.directory + "/steps"));
    const std::string files =
        TRY(check_out_git(one.reference, one.commit, one.keep_git_directory, git_access(work)));
    Tree tree;
    tree.root = TRY(open_file(files, O_RDONLY | O_DIRECTORY));
    TRY(copy_source(tree, {"", true}, plan.excludes, target, solve_.stop));
  }
  return {};
}

Result<void> StageBuilder::download(CopyPlan& plan, const dockerfile::CopyInstruction& instruction) {
  for (const std::string& url : plan.urls) {
    if (is_git(url)) {
      TRY(find_commit(plan, url, instruction));
      continue;
    }
    Download download = TRY(download_url(url, solve_.services.options.directory + "/steps", solve_.stop));
    if (!plan.checksum.empty() && download.digest.text() != plan.checksum)
      return fail(ErrorKind::corrupt, "{} has the digest {}, and not {} as --checksum says", url,
                  download.digest.text(), plan.checksum);
    plan.downloads.push_back(std::move(download));
  }
  return {};
}

// Directories that are made for --parents are as they are in the tree.
Result<void> StageBuilder::add_parents(CopyPlan& plan, const Source& source, const std::string& place) {
  const std::string_view whole = source.is_directory ? std::string_view(source.path) : parent_of(source.path);
  if (place.empty() || !whole.ends_with(place)) return {};
  if (plan.parents.empty())
    plan.parents.push_back({plan.target.destination, 0755, plan.target.owner.value_or(archive::Owner{})});
  const std::string_view before = whole.substr(0, whole.size() - place.size());
  const ReadingTree reading(*plan.tree);
  for (std::size_t end = place.find('/');; end = place.find('/', end + 1)) {
    const std::string_view part = std::string_view(place).substr(0, end);
    const struct stat status =
        TRY(sys::stat_in_root(plan.tree->root.get(), fmt::format("{}{}", before, part)));
    CopyPlan::Parent parent{fmt::format("{}/{}", plan.target.destination, part), status.st_mode & 07777, {}};
    if (plan.tree->keeps_owners) parent.owner = {status.st_uid, status.st_gid};
    if (plan.target.owner) parent.owner = *plan.target.owner;
    if (plan.target.mode) parent.mode = plan.target.mode->apply(parent.mode, true);
    plan.parents.push_back(std::move(parent));
    if (end == place.npos) return {};
  }
}

Result<void> StageBuilder::find(CopyPlan& plan, bool parents) {
  for (const std::string& written : plan.written) {
    std::vector<Source> sources = TRY(find_sources(*plan.tree, written));
    for (Source& source : sources) {
      std::string destination = plan.target.destination;
      if (parents) {
        const std::string below =
            sys::clean_relative(dockerfile::has_wildcards(written) ? source.path : without_pivot(written));
        const std::string place(source.is_directory ? std::string_view(below) : parent_of(below));
        TRY(add_parents(plan, source, place));
        destination = fmt::format("{}{}{}/", destination, destination.ends_with('/') ? "" : "/", place);
      }
      plan.sources.push_back(std::move(source));
      plan.destinations.push_back(std::move(destination));
    }
  }
  const std::size_t others = plan.downloads.size() + plan.repositories.size() + plan.inlines.size();
  plan.target.many = plan.sources.size() + others > 1;
  const std::size_t as_written = plan.written.size() + others;
  if (as_written > 1 && !plan.target.destination.ends_with('/'))
    return fail(ErrorKind::invalid,
                "more than one source: the destination must be a directory and end with a /");
  return {};
}

// All that decides what the layer is, but for the contents of what is copied.
PartsDigest StageBuilder::copy_key(const CopyPlan& plan,
                                   const dockerfile::CopyInstruction& instruction) const {
  PartsDigest key = key_of(instruction.add ? "add" : "copy", instruction.link);
  key.add(plan.target.destination)
      .add(plan.chmod)
      .add_number(plan.unpacks)
      .add_number(instruction.unpack.value_or(false));
  key.add_number(plan.target.owner.has_value());
  if (plan.target.owner) key.add_number(plan.target.owner->uid).add_number(plan.target.owner->gid);
  key.add_list(plan.destinations);
  key.add_number(plan.parents.size());
  for (const CopyPlan::Parent& parent : plan.parents)
    key.add(parent.destination)
        .add_number(parent.mode)
        .add_number(parent.owner.uid)
        .add_number(parent.owner.gid);
  key.add_number(plan.downloads.size());
  for (const Download& download : plan.downloads) key.add(download.name).add(download.digest.text());
  key.add_number(plan.inlines.size());
  for (const CopyPlan::Inline& file : plan.inlines) key.add(file.name).add(file.content);
  key.add_number(plan.repositories.size());
  if (!plan.repositories.empty()) key.add_list(plan.exclude_patterns);  // elsewhere they decide the selection
  for (const CopyPlan::Repository& one : plan.repositories)
    key.add("git")
        .add(one.reference.url)
        .add(one.commit.id)
        .add(one.reference.subdirectory)
        .add_number(one.keep_git_directory)
        .add_number(one.reference.submodules)
        .add(one.keep_git_directory ? one.commit.name : "");  // which is in there, too
  return key;
}

// The digest is of what was written, and only for live trees.
Result<Digest> StageBuilder::write_source(const CopyPlan& plan, const Source& source,
                                          const CopyTarget& target) {
  SourceDigest copied(*plan.tree, source);
  const bool may_unpack = plan.unpacks && !source.is_directory;
  SourceDigest looked_at(*plan.tree, source);
  if (may_unpack) {
    const bool unpacked = TRY(write_archive(plan, source, target, looked_at));
    if (unpacked) return looked_at.finish();
  }
  const bool live = plan.tree->live;
  TRY(copy_source(*plan.tree, source, plan.excludes, target, solve_.stop, live ? &copied : nullptr));
  // That it is none was said of bytes that have to be those that were copied.
  const Digest made = copied.finish();
  if (may_unpack && live) TRY(check_copied(looked_at.finish(), made));
  return made;
}

// False when it is none. Of a live tree a copy is looked at, and unpacked, that nobody else can write to.
Result<bool> StageBuilder::write_archive(const CopyPlan& plan, const Source& source, const CopyTarget& target,
                                         SourceDigest& copied) {
  Fd file = TRY(open_archive(*plan.tree, source));
  if (!plan.tree->live) return unpack_archive(file.get(), target, solve_.stop);
  Fd own = TRY(open_file(solve_.services.options.directory + "/steps", O_RDWR | O_TMPFILE, 0600));
  struct stat status;
  if (fstat(file.get(), &status) != 0) return fail_errno(errno, "look at the archive {}", source.path);
  const Digest content = TRY(copy_digested(file.get(), own.get(), source.path, solve_.stop));
  const Xattrs xattrs = TRY(archive::read_xattrs(file.get()));
  copied.add_file({-1, source.path, "", status}, file_digest(content, xattrs));
  return unpack_archive(own.get(), target, solve_.stop);
}

Result<void> StageBuilder::write_copy(const CopyPlan& plan, const dockerfile::CopyInstruction& instruction,
                                      int root) {
  CopyTarget target = plan.target;
  target.root = root;
  for (const CopyPlan::Parent& parent : plan.parents)
    TRY(sys::make_directories_in_root(
        root, parent.destination,
        {.mode = parent.mode, .owner = parent.owner.uid, .group = parent.owner.gid}));
  SourceDigests copied;
  for (std::size_t number = 0; number < plan.sources.size(); ++number) {
    target.destination = plan.destinations[number];
    copied.add(TRY(write_source(plan, plan.sources[number], target)));
  }
  if (plan.tree && plan.tree->live) TRY(check_copied(*plan.contents, copied.finish()));
  target.destination = plan.target.destination;
  for (const CopyPlan::Inline& file : plan.inlines)
    TRY(copy_text({file.name, 0644, solve_.epoch.value_or(now())}, file.content, target));
  for (const Download& download : plan.downloads) {
    if (instruction.unpack.value_or(false)) {
      const bool unpacked = TRY(unpack_archive(download.file.get(), target, solve_.stop));
      if (unpacked) continue;
    }
    TRY(copy_file({download.name, 0600, download.modified}, download.file.get(), target));
  }
  return write_repositories(plan, target);
}

// Nothing where it is not known before: of archives, downloads and repositories.
std::optional<Amount> StageBuilder::amount_of(const CopyPlan& plan) {
  if (plan.unpacks || !plan.downloads.empty() || !plan.repositories.empty()) return std::nullopt;
  Amount amount = plan.amount;
  for (const CopyPlan::Inline& file : plan.inlines) amount.add(file.content.size());
  amount.items += plan.parents.size();
  return amount;
}

Result<StageBuilder::Made> StageBuilder::copy(const dockerfile::CopyInstruction& instruction,
                                              const Step& step) {
  return while_it_changes([&] { return copy_once(instruction, step); });
}

Result<StageBuilder::Made> StageBuilder::copy_once(const dockerfile::CopyInstruction& instruction,
                                                   const Step& step) {
  CopyPlan plan = TRY(plan_copy(instruction));
  plan.target.owner = TRY(owner_of(instruction.chown));
  if (instruction.from || !plan.written.empty()) {
    SourceTree from = TRY(source_tree(instruction.from ? instruction.from->text : "", step));
    plan.tree = std::move(from.tree);
    if (!plan.tree)
      return fail(ErrorKind::invalid, "there is no build context: COPY and ADD find nothing to copy");
  }
  TRY(download(plan, instruction));
  TRY(find(plan, instruction.parents));
  PartsDigest key = copy_key(plan, instruction);
  if (plan.tree) {
    FileDigests* known = plan.tree->stable ? nullptr : &solve_.services.files;
    const SelectionDigest selection =
        TRY(digest_selection(*plan.tree, plan.sources, plan.excludes, known, solve_.stop));
    key.add(selection.contents.text());
    plan.contents = selection.contents;
    plan.amount = selection.amount;
  }
  const Writing writing{.write = [&](int root) { return write_copy(plan, instruction, root); },
                        .on_nothing = instruction.link,
                        .amount = amount_of(plan),
                        .from_live = plan.tree && plan.tree->live};
  return layer_by_writing(key.finish(), step, step.text, writing);
}

}  // namespace berth::build
