// SPDX-License-Identifier: Apache-2.0
#include "build/git_fetch.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"
#include "build/git_program.h"
#include "build/tree.h"
#include "sys/rooted_path.h"

namespace berth::build {
namespace {

using dockerfile::GitReference;

constexpr std::string_view kGitlink = "160000";
constexpr std::size_t kLongestLine = 1u << 20;

std::string agent_place(const GitAccess& access) { return access.directory + "/agent"; }

// While it lives, ssh reaches the client's agent. Nothing where the client has given none.
Result<std::unique_ptr<SshForward>> forward_agent(const GitAccess& access) {
  if (!access.agent) return nullptr;
  ::unlink(agent_place(access).c_str());  // of an earlier time
  return SshForward::start(agent_place(access), *access.agent, {});
}

GitSurroundings surroundings_for(const GitReference& reference, std::string_view asked,
                                 const GitAccess& access) {
  GitSurroundings surroundings{.home = access.directory + "/home",
                               .settings = {},
                               .stop = access.stop,
                               .agent = access.agent ? agent_place(access) : ""};
  if (const std::string header = git_header(reference, asked, access.secrets); !header.empty()) {
    surroundings.settings["http." + reference.origin + ".extraHeader"] = header;
    // It would go to wherever the server says.
    surroundings.settings["http." + reference.origin + ".followRedirects"] = "false";
  }
  return surroundings;
}

std::string_view host_of(std::string_view origin) {
  origin.remove_prefix(std::min(origin.find("://") + 3, origin.size()));
  return origin.substr(0, origin.find('/'));
}

Result<void> check_commit(const GitReference& reference, const GitCommit& commit) {
  if (commit.id.starts_with(reference.checksum)) return {};
  return fail(ErrorKind::corrupt, "it is the commit {}, and not {} as it should be", commit.id,
              reference.checksum);
}

// A commit's files, before any of them is written.
struct Contents {
  struct Submodule {
    std::string path, commit;
  };
  std::vector<Submodule> submodules;
  std::uint64_t bytes = 0, entries = 0;
};

// Of `git ls-tree -r -l -z`: "mode type id size\tpath\0".
class ContentsReader {
 public:
  explicit ContentsReader(Contents& contents) : contents_(contents) {}
  Result<void> feed(std::string_view data) {
    while (!data.empty()) {
      const std::size_t end = data.find('\0');
      line_ += data.substr(0, end);
      if (line_.size() > kLongestLine) return fail(ErrorKind::exhausted, "a path in it has no end");
      if (end == data.npos) return {};
      TRY(take(line_));
      line_.clear();
      data.remove_prefix(end + 1);
    }
    return {};
  }

 private:
  Result<void> take(std::string_view line) {
    const auto [head, path] = split_once(line, '\t');
    std::vector<std::string_view> words;
    for (const std::string_view word : split(head, ' '))
      if (!word.empty()) words.push_back(word);
    if (words.size() != 4) return fail(ErrorKind::corrupt, "git lists files in a way that is not known");
    contents_.bytes += parse_integer<std::uint64_t>(words[3]).value_or(0);
    if (words[0] == kGitlink) contents_.submodules.push_back({std::string(path), std::string(words[2])});
    if (++contents_.entries > kMostContextEntries || contents_.bytes > kLargestContext)
      return fail(ErrorKind::exhausted, "it has more than {} files or {} bytes", kMostContextEntries,
                  kLargestContext);
    return {};
  }

  Contents& contents_;
  std::string line_;
};

// One repository and those in it. All of them share the bounds.
class Checkout {
 public:
  Checkout(const GitReference& asked, const GitAccess& access, bool keep)
      : asked_(asked), access_(access), keep_(keep) {}

  Result<void> run(const GitCommit& commit, const std::string& tree) {
    TRY(make_directories(access_.directory + "/home", 0700));
    const std::unique_ptr<SshForward> agent = TRY(forward_agent(access_));
    return check_out(asked_, commit, tree, "", 0);
  }

 private:
  struct Repository {
    const GitReference& reference;
    GitSurroundings surroundings;
    std::string directory;  // its .git
    std::string id;

    Result<std::string> git(const std::vector<std::string>& arguments) const {
      std::vector<std::string> words{"--git-dir=" + directory};
      words.insert(words.end(), arguments.begin(), arguments.end());
      return git_says(surroundings, words);
    }
  };

  // Into `below` of the tree: a clean path in which there is no link.
  Result<void> check_out(const GitReference& reference, const GitCommit& commit, const std::string& tree,
                         const std::string& below, int depth) {
    const std::string place = below.empty() ? tree : tree + "/" + below;
    Repository repository = TRY(create(reference, commit, place));
    TRY(fetch(repository, commit));
    const Contents contents = TRY(look_at(repository));
    TRY(repository.git(
        {"--work-tree=" + place, "checkout", "--progress", "--force", "--detach", repository.id, "--"}));
    if (asked_.submodules && !contents.submodules.empty())
      TRY(add_submodules(repository, contents, tree, below, depth));
    if (!keep_) TRY(remove_tree(repository.directory));
    return {};
  }

  Result<Repository> create(const GitReference& reference, const GitCommit& commit,
                            const std::string& place) {
    Repository repository{
        .reference = reference,
        .surroundings = surroundings_for(reference, asked_.origin, access_),
        .directory = keep_ ? place + "/.git" : fmt::format("{}/git-{}", access_.directory, number_++),
        .id = commit.id};
    TRY(make_directories(place, 0755));
    std::vector<std::string> words{"init", "--quiet", "--template="};
    if (commit.id.size() == 64) words.emplace_back("--object-format=sha256");
    if (!keep_) words.emplace_back("--bare");
    words.insert(words.end(), {"--", keep_ ? place : repository.directory});
    TRY(git_says(repository.surroundings, words));
    if (keep_) TRY(repository.git({"remote", "add", "--", "origin", reference.url}));
    return repository;
  }

  // The one commit; all of the repository from a server that cannot do that.
  Result<void> fetch(const Repository& repository, const GitCommit& commit) {
    const std::string& name = commit.name;
    std::string kept = name;
    if (kept.starts_with("refs/heads/")) kept.replace(0, 11, "refs/remotes/origin/");
    const std::string one = name.empty()     ? commit.id
                            : name == "HEAD" ? name
                                             : fmt::format("+{}:{}", name, kept);
    Result<void> fetched = fetch_refs(repository, {"--depth=1"}, {one});
    // It has moved since it was asked for.
    if (fetched && !has(repository)) fetched = fetch_refs(repository, {"--depth=1"}, {commit.id});
    if (!fetched && says_cannot(fetched.error()))
      fetched =
          fetch_refs(repository, {}, {"+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"});
    TRY(std::move(fetched));
    if (has(repository)) return {};
    return fail(ErrorKind::not_found, "{} has no commit {}", repository.reference.url, commit.id);
  }

  static Result<void> fetch_refs(const Repository& repository, const std::vector<std::string>& options,
                                 const std::vector<std::string>& refs) {
    std::vector<std::string> words{"fetch",        "--progress",      "--no-tags", "--no-recurse-submodules",
                                   "--no-auto-gc", "--update-head-ok"};
    words.insert(words.end(), options.begin(), options.end());
    words.insert(words.end(), {"--", repository.reference.url});
    words.insert(words.end(), refs.begin(), refs.end());
    TRY(repository.git(words));
    return {};
  }

  static bool says_cannot(const Error& error) {
    return std::ranges::any_of(
        std::initializer_list<std::string_view>{"shallow", "not our ref", "unadvertised"},
        [&](std::string_view words) { return error.message.find(words) != std::string::npos; });
  }

  static bool has(const Repository& repository) {
    return repository.git({"cat-file", "-e", repository.id + "^{commit}"}).has_value();
  }

  Result<Contents> look_at(const Repository& repository) {
    Contents contents{.submodules = {}, .bytes = bytes_, .entries = entries_};
    ContentsReader reader(contents);
    GitOutput listed = TRY(run_git(repository.surroundings,
                                   {"--git-dir=" + repository.directory, "ls-tree", "-r", "-l", "-z",
                                    "--full-tree", repository.id, "--"},
                                   [&](std::string_view data) { return reader.feed(data); }));
    if (listed.exit_code != 0) return std::unexpected(git_error(listed));
    bytes_ = contents.bytes;
    entries_ = contents.entries;
    return contents;
  }

  Result<void> add_submodules(const Repository& repository, const Contents& contents, const std::string& tree,
                              const std::string& below, int depth) {
    if (depth == kDeepestSubmodule)
      return fail(ErrorKind::exhausted, "submodules are more than {} deep", kDeepestSubmodule);
    submodules_ += contents.submodules.size();
    if (submodules_ > kMostSubmodules)
      return fail(ErrorKind::exhausted, "there are more than {} submodules", kMostSubmodules);
    const std::vector<Listed> listed = TRY(listed_submodules(repository));
    for (const Contents::Submodule& one : contents.submodules) {
      const auto found = std::ranges::find(listed, one.path, &Listed::path);
      if (found == listed.end() || found->address.empty())
        return fail(ErrorKind::invalid, "the submodule {} has no url in .gitmodules", one.path);
      if (found->update == "none") continue;
      TRY_AS("the submodule " + one.path, add_submodule(repository, *found, one.commit, tree, below, depth));
    }
    return {};
  }

  struct Listed {
    std::string path, address, update;
  };

  static Result<std::vector<Listed>> listed_submodules(const Repository& repository) {
    const std::string text =
        TRY_AS(".gitmodules", repository.git({"config", "--no-includes", "--null", "--list",
                                              "--blob=" + repository.id + ":.gitmodules"}));
    std::map<std::string, Listed> by_name;
    for (const std::string_view entry : split(text, '\0')) {
      const auto [key, value] = split_once(entry, '\n');
      const std::size_t dot = key.find_last_of('.');
      if (!key.starts_with("submodule.") || dot <= 9) continue;
      Listed& one = by_name[std::string(key.substr(10, dot - 10))];
      const std::string_view what = key.substr(dot + 1);
      if (what == "path") one.path = value;
      if (what == "url") one.address = value;
      if (what == "update") one.update = value;
    }
    std::vector<Listed> all;
    for (auto& [name, one] : by_name) all.push_back(std::move(one));
    return all;
  }

  Result<void> add_submodule(const Repository& parent, const Listed& listed, const std::string& id,
                             const std::string& tree, const std::string& below, int depth) {
    const GitReference reference = TRY(dockerfile::submodule_reference(parent.reference, listed.address));
    const std::string place = below.empty() ? listed.path : below + "/" + listed.path;
    Fd root = TRY(open_file(tree, O_RDONLY | O_DIRECTORY));
    const std::string resolved = TRY(sys::resolve_in_root(root.get(), place));
    if (sys::clean_relative(place) != place || resolved != "/" + place)
      return fail(ErrorKind::denied, "its place is reached by a link");
    return check_out(reference, {id, ""}, tree, place, depth + 1);
  }

  const GitReference& asked_;
  const GitAccess& access_;
  const bool keep_;
  int number_ = 0;
  std::uint64_t bytes_ = 0, entries_ = 0;
  std::size_t submodules_ = 0;
};

Result<GitCommit> ask(const GitReference& reference, const GitAccess& access) {
  const std::string& ref = reference.ref;
  std::vector<std::string> words{"ls-remote", "--quiet", "--", reference.url};
  if (ref.empty() || ref == "HEAD") {
    words.emplace_back("HEAD");
  } else {
    for (const std::string_view directory : {"refs/heads/", "refs/tags/", "refs/", ""}) {
      if (directory.empty() && !ref.starts_with("refs/")) continue;
      words.push_back(std::string(directory) + ref);
      words.push_back(words.back() + "^{}");
    }
  }
  TRY(make_directories(access.directory + "/home", 0700));
  const std::unique_ptr<SshForward> agent = TRY(forward_agent(access));
  const std::string listing = TRY(git_says(surroundings_for(reference, reference.origin, access), words));
  GitCommit commit = choose_commit(listing, ref);
  if (commit.id.empty())
    return fail(ErrorKind::not_found, "it has no branch, tag or whole commit \"{}\"",
                ref.empty() ? "HEAD" : ref);
  return commit;
}

}  // namespace

GitCommit choose_commit(std::string_view listing, std::string_view ref) {
  std::map<std::string_view, std::string_view> ids;
  for (const std::string_view line : split(listing, '\n')) {
    const auto [id, name] = split_once(line, '\t');
    if (dockerfile::is_git_commit(id)) ids[name] = id;
  }
  std::vector<std::string> names;
  if (ref.empty() || ref == "HEAD") {
    names = {"HEAD"};
  } else {
    if (ref.starts_with("refs/")) names.emplace_back(ref);
    for (const std::string_view directory : {"refs/heads/", "refs/", "refs/tags/"})
      names.push_back(std::string(directory) + std::string(ref));
  }
  for (const std::string& name : names) {
    const std::string peeled = name + "^{}";
    for (const std::string& one : {peeled, name})
      if (const auto found = ids.find(one); found != ids.end()) return {std::string(found->second), name};
  }
  return {};
}

std::string git_header(const GitReference& reference, std::string_view asked,
                       const std::map<std::string, std::string>& secrets) {
  if (reference.origin.empty()) return "";
  auto secret = [&](const std::string& name) -> std::string {
    // A submodule does not say that a token goes over the network in clear text.
    const bool open = reference.origin.starts_with("http://") && reference.origin != asked;
    auto found = open ? secrets.end() : secrets.find(name + "." + std::string(host_of(reference.origin)));
    if (found == secrets.end() && reference.origin == asked) found = secrets.find(name);
    const std::string value = found == secrets.end() ? "" : std::string(trim(found->second));
    // A second line would be a header of its own.
    return value.find_first_of(std::string_view("\r\n\0", 3)) == value.npos ? value : "";
  };
  if (!reference.user.empty()) return "Authorization: Basic " + to_base64(reference.user);
  if (const std::string header = secret("GIT_AUTH_HEADER"); !header.empty())
    return "Authorization: " + header;
  if (const std::string token = secret("GIT_AUTH_TOKEN"); !token.empty())
    return "Authorization: Basic " + to_base64("x-access-token:" + token);
  return "";
}

Result<GitCommit> resolve_git(const GitReference& reference, const GitAccess& access) {
  GitCommit commit{reference.ref, ""};
  if (!dockerfile::is_git_commit(reference.ref)) commit = TRY_AS(reference.url, ask(reference, access));
  TRY_AS(reference.url, check_commit(reference, commit));
  return commit;
}

Result<std::string> check_out_git(const GitReference& reference, const GitCommit& commit,
                                  bool keep_git_directory, const GitAccess& access) {
  const std::string tree = access.directory + "/tree";
  const bool keep = keep_git_directory && reference.subdirectory.empty();
  TRY_AS(reference.url, Checkout(reference, access, keep).run(commit, tree));
  if (reference.subdirectory.empty()) return tree;
  Fd root = TRY(open_file(tree, O_RDONLY | O_DIRECTORY));
  const Result<Fd> found = sys::open_in_root(root.get(), reference.subdirectory, O_RDONLY | O_DIRECTORY);
  if (!found)
    return fail(ErrorKind::not_found, "{} has no directory \"{}\"", reference.url, reference.subdirectory);
  // No link is left in it, and nobody else writes there.
  const std::string resolved = TRY(sys::resolve_in_root(root.get(), reference.subdirectory));
  return tree + resolved;
}

}  // namespace berth::build
