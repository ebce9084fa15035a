// SPDX-License-Identifier: Apache-2.0
// For tar_corpus_test.cpp: the tree that must come of a layer's entries, by the rules (OCI image-spec
// layer.md; a root that nothing leaves), not by the unpacker's code: nodes in memory, so that the two share
// no mistakes.
#pragma once
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "layers/tar_corpus.h"

namespace berth::layers::corpus {

class Model {
 public:
  // Adds an entry; false: the archive must be refused.
  bool add(const Entry& entry) {
    if (entry.kind == Kind::global_header) return true;
    if (written_name(entry).empty()) return false;
    const Path path = cleaned(written_name(entry));
    if (path.empty()) return entry.kind == Kind::directory;
    Node* parent = directory({path.begin(), path.end() - 1});
    if (parent == nullptr) return false;
    const std::string& name = path.back();
    if (entry.kind == Kind::opaque) return parent->opaque = true;
    if (entry.kind == Kind::whiteout) return whiteout(*parent, name.substr(4));
    Shared& place = parent->children[name];
    if (entry.kind == Kind::hard_link) return hard_link(*parent, name, entry);
    if (entry.kind == Kind::directory && place && S_ISDIR(place->mode)) {
      describe(*place, entry);
      return true;
    }
    // A directory in the place of a whiteout begins anew.
    const bool hidden = entry.kind == Kind::directory && place && is_mark(*place);
    place = std::make_shared<Node>();
    describe(*place, entry);
    place->opaque = hidden;
    return true;
  }

  // `marks`: with what overlayfs reads.
  Tree tree(bool marks) const {
    Tree out;
    std::map<const Node*, int> counts;
    count(*root_, counts);
    std::map<const Node*, std::string> first;
    tell(*root_, "", marks, counts, first, out);
    return out;
  }

 private:
  struct Node;
  using Shared = std::shared_ptr<Node>;
  using Path = std::vector<std::string>;
  struct Node {
    mode_t mode = S_IFDIR | 0755;
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::int64_t seconds = INT64_MAX;  // now
    long nanoseconds = 0;
    dev_t device = 0;
    std::string contents;  // or a link's target
    bool attributes = false;
    bool opaque = false;
    std::map<std::string, Shared> children;
  };

  static bool is_mark(const Node& node) { return S_ISCHR(node.mode) && node.device == 0; }

  static Path components(std::string_view path) {
    Path parts;
    for (std::string_view part : split(path, '/'))
      if (!part.empty() && part != ".") parts.emplace_back(part);
    return parts;
  }

  static Path cleaned(std::string_view name) {
    Path kept;
    for (std::string& part : components(name)) {
      if (part != "..")
        kept.push_back(std::move(part));
      else if (!kept.empty())
        kept.pop_back();
    }
    return kept;
  }

  // Follows links inside the root and makes what is missing; nullptr when something else is in the way.
  Node* directory(const Path& path, bool make = true) {
    std::vector<Node*> walk{root_.get()};
    Path rest(path.rbegin(), path.rend());
    for (int links = 0; !rest.empty();) {
      const std::string part = rest.back();
      rest.pop_back();
      if (part == "..") {
        if (walk.size() > 1) walk.pop_back();
        continue;
      }
      Shared& next = walk.back()->children[part];
      if (make && (!next || is_mark(*next))) {
        const bool hidden = next != nullptr;
        next = std::make_shared<Node>();
        next->opaque = hidden;
      }
      if (!next) return nullptr;
      if (S_ISLNK(next->mode)) {
        if (++links > 40) return nullptr;
        if (next->contents.starts_with('/')) walk.resize(1);
        const Path target = components(next->contents);
        rest.insert(rest.end(), target.rbegin(), target.rend());
        continue;
      }
      if (!S_ISDIR(next->mode)) return nullptr;
      walk.push_back(next.get());
    }
    return walk.back();
  }

  bool whiteout(Node& parent, const std::string& name) {
    if (name.empty() || name == "." || name == "..") return false;
    Shared& place = parent.children[name];
    if (!place) {
      place = std::make_shared<Node>();
      place->mode = S_IFCHR;
    } else if (S_ISDIR(place->mode)) {
      place->opaque = true;
    }
    return true;
  }

  bool hard_link(Node& parent, const std::string& name, const Entry& entry) {
    const Path target = cleaned(entry.target);
    if (target.empty()) return false;
    Node* holder = directory({target.begin(), target.end() - 1}, false);
    if (holder == nullptr) return false;
    const Shared wanted = holder->children[target.back()];
    if (!wanted || S_ISDIR(wanted->mode)) return false;
    parent.children[name] = wanted;
    return true;
  }

  static void describe(Node& node, const Entry& entry) {
    node.uid = uid_of(entry);
    node.gid = uid_of(entry) + 1000;
    node.seconds = mtime_of(entry);
    node.nanoseconds = entry.kind == Kind::with_xattrs ? 123'456'789 : 0;
    node.attributes = entry.kind == Kind::with_xattrs;
    mode_t type = S_IFREG;
    if (entry.kind == Kind::directory) type = S_IFDIR;
    if (entry.kind == Kind::fifo) type = S_IFIFO;
    if (entry.kind == Kind::device) type = S_IFCHR;
    if (is_symbolic(entry.kind)) type = S_IFLNK;
    node.mode = type | (is_symbolic(entry.kind) ? 0777 : mode_of(entry));
    if (entry.kind == Kind::device) node.device = makedev(1, 3);
    if (is_symbolic(entry.kind)) node.contents = entry.target;
    if (is_file(entry.kind)) node.contents = contents_of(entry);
  }

  static void count(const Node& node, std::map<const Node*, int>& counts) {
    for (const auto& [name, child] : node.children)
      if (child && ++counts[child.get()] == 1) count(*child, counts);
  }

  static void tell(const Node& node, const std::string& above, bool marks,
                   const std::map<const Node*, int>& counts, std::map<const Node*, std::string>& first,
                   Tree& out) {
    for (const auto& [name, child] : node.children) {
      if (!child) continue;
      const std::string path = above.empty() ? name : above + "/" + name;
      std::string line = told(child->mode, child->uid, child->gid, child->seconds, child->nanoseconds);
      if (S_ISCHR(child->mode)) line += fmt::format(" dev {}", child->device);
      if (S_ISLNK(child->mode)) line += " -> " + child->contents;
      if (S_ISREG(child->mode)) line += told_contents(child->contents);
      if (child->attributes) line += " security.capability=cap user.a=1";
      if (marks && child->opaque) line += " trusted.overlay.opaque";
      const int names = counts.at(child.get());
      if (names > 1)
        line += fmt::format(" = {} ({})", first.try_emplace(child.get(), path).first->second, names);
      out.emplace(path, std::move(line));
      tell(*child, path, marks, counts, first, out);
    }
  }

  Shared root_ = std::make_shared<Node>();
};

// nullopt: the archive must be refused.
inline std::optional<Tree> model(const std::vector<Entry>& entries, bool marks) {
  Model model;
  for (const Entry& entry : entries)
    if (!model.add(entry)) return std::nullopt;
  return model.tree(marks);
}

}  // namespace berth::layers::corpus
