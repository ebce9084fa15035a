// SPDX-License-Identifier: Apache-2.0
#include "layers/tree.h"

#include <limits.h>
#include <linux/capability.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <map>

#include "archive/xattr.h"
#include "base/text.h"
#include "sys/rooted_path.h"

namespace berth::layers {
namespace {

using archive::TarEntry;
using archive::TarType;

constexpr std::string_view kWhiteout = ".wh.";
constexpr std::string_view kWhiteoutMeta = ".wh..wh.";
constexpr std::string_view kOpaque = ".wh..wh..opq";
constexpr std::uint32_t kImpliedMode = S_IFDIR | 0755;
constexpr int kLinkBudget = 40;             // links that the kernel follows in one lookup
constexpr int kMakingLinkBudget = 255;      // sys::make_directories_in_root's
constexpr int kStepBudget = 20'000;         // its other one
constexpr std::size_t kXattrLimit = 65535;  // of a value; EROFS has 16 bits for its size
// Of all of a file: EROFS counts them in 16 bits, in words of four bytes.
constexpr std::size_t kXattrsLimit = 4 * 65'000;

std::string_view directory_of(std::string_view path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string_view::npos ? std::string_view{} : path.substr(0, slash);
}

TreeNode* child(const TreeNode& directory, std::string_view name) {
  auto found = directory.children->find(name);
  return found == directory.children->end() ? nullptr : found->second;
}

// What setxattr(2) asks of a capability's value (security/commoncap.c, cap_convert_nscap).
bool is_capability(std::string_view value) {
  if (value.empty()) return true;
  std::uint32_t magic = 0;
  if (value.size() < sizeof magic) return false;
  std::memcpy(&magic, value.data(), sizeof magic);
  magic = le32toh(magic) & ~static_cast<std::uint32_t>(VFS_CAP_FLAGS_EFFECTIVE);
  return (value.size() == XATTR_CAPS_SZ_2 && magic == VFS_CAP_REVISION_2) ||
         (value.size() == XATTR_CAPS_SZ_3 && magic == VFS_CAP_REVISION_3);
}

}  // namespace

bool TreeNode::is_link() const noexcept { return S_ISLNK(mode); }
bool TreeNode::is_regular() const noexcept { return S_ISREG(mode); }
bool TreeNode::is_whiteout() const noexcept {
  return S_ISCHR(mode) && device_major == 0 && device_minor == 0;
}

LayerTree::LayerTree() : root_(&nodes_.emplace_back()) {
  root_->mode = kImpliedMode;
  root_->implied = true;
  root_->children = std::make_unique<TreeNode::Children>();
}

Result<void> LayerTree::charge(std::size_t bytes) {
  memory_ += bytes;
  if (memory_ > kTreeMemoryLimit)
    return fail(ErrorKind::exhausted, "the archive has more files than a layer may have");
  return {};
}

Result<TreeNode*> LayerTree::new_node(std::uint32_t mode) {
  TRY(charge(sizeof(TreeNode)));
  TreeNode& node = nodes_.emplace_back();
  node.mode = mode;
  return &node;
}

Result<void> LayerTree::put(TreeNode& parent, std::string_view name, TreeNode& node) {
  if (name.size() > NAME_MAX) return fail_errno(ENAMETOOLONG, "create '{}...'", name.substr(0, 64));
  TRY(charge(sizeof(TreeNode::Children::value_type) + 4 * sizeof(void*) + name.size()));
  parent.children->insert_or_assign(std::string(name), &node);
  return {};
}

Result<TreeNode*> LayerTree::new_directory(TreeNode& parent, std::string_view name) {
  TreeNode* made = TRY(new_node(kImpliedMode));
  made->children = std::make_unique<TreeNode::Children>();
  made->parent = &parent;
  made->mtime = entry_mtime_;
  TRY(put(parent, name, *made));
  return made;
}

// --- where things go ---

// As openat2(2) with RESOLVE_IN_ROOT and O_DIRECTORY looks a path up, or, with what is missing made, as
// sys::make_directories_in_root does.
Result<TreeNode*> LayerTree::walk(std::string_view path, Missing missing) {
  const bool makes = missing == Missing::is_made;
  auto stop = [&](int code) { return fail_errno(code, "open {}", path); };
  if (path.size() >= PATH_MAX) return stop(ENAMETOOLONG);
  std::vector<std::string_view> pending;  // last component first
  auto push = [&](std::string_view more) {
    const std::vector<std::string_view> parts = split(more, '/');
    for (auto part = parts.rbegin(); part != parts.rend(); ++part)
      if (!part->empty()) pending.push_back(*part);
  };
  push(path);
  TreeNode* at = root_;
  int links = 0;
  int steps = 0;
  while (!pending.empty()) {
    const std::string_view name = pending.back();
    pending.pop_back();
    if (makes && ++steps > kStepBudget) return stop(ELOOP);
    if (name == ".") continue;
    if (name == "..") {
      if (at->parent) at = at->parent;
      continue;
    }
    if (name.size() > NAME_MAX) return stop(ENAMETOOLONG);
    TreeNode* next = child(*at, name);
    if (!next && !makes) return stop(ENOENT);
    if (!next) next = TRY(new_directory(*at, name));
    if (next->is_link()) {
      if (++links > (makes ? kMakingLinkBudget : kLinkBudget)) return stop(ELOOP);
      if (next->target.starts_with('/')) at = root_;
      push(next->target);  // nodes stay where they are, and so does this text
    } else if (!next->is_directory()) {
      return stop(ENOTDIR);
    } else {
      at = next;
    }
  }
  return at;
}

Result<TreeNode*> LayerTree::directory(std::string_view path) {
  if (path.empty()) return root_;
  if (cached_ && cached_path_ == path) return cached_;
  cached_ = TRY(find_or_make(path));
  cached_path_ = path;
  return cached_;
}

Result<TreeNode*> LayerTree::find_or_make(std::string_view path) {
  Result<TreeNode*> present = walk(path, Missing::is_an_error);
  if (present || (present.error().code != ENOENT && present.error().code != ENOTDIR)) return present;
  const std::string_view above = directory_of(path);
  TreeNode* parent = above.empty() ? root_ : TRY(find_or_make(above));
  const std::string_view name = path.substr(above.empty() ? 0 : above.size() + 1);
  TreeNode* in_the_way = child(*parent, name);
  const bool opaque = in_the_way && in_the_way->is_whiteout();
  if (in_the_way && !opaque) {  // a link that leads nowhere yet
    Result<TreeNode*> again = walk(path, Missing::is_an_error);
    if (again || again.error().code != ENOENT) return again;
    return walk(path, Missing::is_made);
  }
  TreeNode* made = TRY(new_directory(*parent, name));
  made->opaque = opaque;
  made->implied = true;
  return made;
}

TreeNode* LayerTree::find_directory(std::string_view path) noexcept {
  TreeNode* at = root_;
  while (!path.empty() && at && at->is_directory()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    at = child(*at, path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  return at && at->is_directory() ? at : nullptr;
}

// --- one entry ---

Result<TreeNode*> LayerTree::apply(const TarEntry& entry) {
  entry_mtime_ = entry.mtime.nanoseconds;
  if (nodes_.size() == 1 && root_->implied) root_->mtime = entry_mtime_;
  entry_path_ = sys::clean_relative(entry.name);
  if (entry_path_.empty()) return apply_to_root(entry);
  const std::string_view path = entry_path_;
  const std::string_view above = directory_of(path);
  const std::string_view name = path.substr(above.empty() ? 0 : above.size() + 1);
  if (name.starts_with(kWhiteout)) {
    TRY(add_whiteout(above, name));
    return nullptr;
  }
  TreeNode& parent = *TRY(directory(above));
  switch (entry.type) {
    case TarType::regular:
      return add_file(parent, name, entry);
    case TarType::directory:
      TRY(add_directory(parent, name, entry));
      break;
    case TarType::symbolic_link:
      TRY(add_link(parent, name, entry));
      break;
    case TarType::hard_link:
      TRY(add_hard_link(parent, name, entry));
      break;
    case TarType::character_device:
    case TarType::block_device:
    case TarType::fifo:
      TRY(add_node(parent, name, entry));
      break;
  }
  return nullptr;
}

Result<TreeNode*> LayerTree::apply_to_root(const TarEntry& entry) {
  if (entry.type != TarType::directory)
    return fail(ErrorKind::corrupt, "the archive's own directory is not a directory in it");
  set_attributes(*root_, entry);
  TRY(set_xattrs(*root_, entry));
  root_->implied = false;
  return nullptr;
}

Result<TreeNode*> LayerTree::add_file(TreeNode& parent, std::string_view name, const TarEntry& entry) {
  TreeNode* node = TRY(new_node(S_IFREG));
  set_attributes(*node, entry);
  TRY(set_xattrs(*node, entry));
  node->size = entry.size;
  take_away(parent, name);
  TRY(put(parent, name, *node));
  return node;
}

Result<void> LayerTree::add_directory(TreeNode& parent, std::string_view name, const TarEntry& entry) {
  TreeNode* node = child(parent, name);
  if (!node || !node->is_directory()) {
    // A whiteout and then a directory: what lies below is gone, and this begins anew.
    const bool opaque = node && node->is_whiteout();
    take_away(parent, name);
    node = TRY(new_directory(parent, name));
    node->opaque = opaque;
  }
  set_attributes(*node, entry);
  TRY(set_xattrs(*node, entry));
  node->implied = false;
  cached_path_ = entry_path_;
  cached_ = node;
  return {};
}

Result<void> LayerTree::add_link(TreeNode& parent, std::string_view name, const TarEntry& entry) {
  if (entry.link_target.size() >= PATH_MAX) return fail_errno(ENAMETOOLONG, "create the link");
  TRY(charge(entry.link_target.size()));
  TreeNode* node = TRY(new_node(S_IFLNK));
  set_attributes(*node, entry);
  node->mode = S_IFLNK | 0777;  // as every file system shows a link
  node->target = entry.link_target;
  take_away(parent, name);
  return put(parent, name, *node);
}

Result<void> LayerTree::add_hard_link(TreeNode& parent, std::string_view name, const TarEntry& entry) {
  const std::string target = sys::clean_relative(entry.link_target);
  if (target.empty()) return fail(ErrorKind::corrupt, "a hard link to the archive's own directory");
  const std::string_view above = directory_of(target);
  TreeNode* place = TRY_AS("hard link to " + target, walk(above, Missing::is_an_error));
  const std::string_view target_name = std::string_view(target).substr(above.empty() ? 0 : above.size() + 1);
  if (target_name.size() > NAME_MAX) return fail_errno(ENAMETOOLONG, "hard link to {}", entry.link_target);
  TreeNode* wanted = child(*place, target_name);
  if (!wanted) return fail_errno(ENOENT, "hard link to {}", entry.link_target);
  if (wanted->is_directory()) return fail(ErrorKind::corrupt, "a hard link to the directory {}", target);
  if (child(parent, name) == wanted) return {};  // linked already
  take_away(parent, name);
  return put(parent, name, *wanted);
}

Result<void> LayerTree::add_node(TreeNode& parent, std::string_view name, const TarEntry& entry) {
  // mknod(2) has 12 and 20 bits for them.
  if (entry.device_major > 0xfff || entry.device_minor > 0xfffff)
    return fail_errno(EINVAL, "create the device or FIFO");
  const std::uint32_t type = entry.type == TarType::fifo               ? S_IFIFO
                             : entry.type == TarType::character_device ? S_IFCHR
                                                                       : S_IFBLK;
  TreeNode* node = TRY(new_node(type));
  set_attributes(*node, entry);
  if (entry.type != TarType::fifo) {
    node->device_major = entry.device_major;
    node->device_minor = entry.device_minor;
  }
  take_away(parent, name);
  return put(parent, name, *node);
}

Result<void> LayerTree::add_whiteout(std::string_view above, std::string_view name) {
  if (name == kOpaque) {
    TreeNode* place = TRY(directory(above));
    place->opaque = true;
    return {};
  }
  if (name.starts_with(kWhiteoutMeta)) return {};  // AUFS kept its own records under such names
  const std::string_view hidden = name.substr(kWhiteout.size());
  if (hidden.empty() || hidden == "." || hidden == "..")
    return fail(ErrorKind::corrupt, "a whiteout of '{}' makes no sense", hidden);
  TreeNode& parent = *TRY(directory(above));
  // A whiteout speaks about the layers below: what this layer has itself stays, without their contents.
  if (TreeNode* present = child(parent, hidden)) {
    if (present->is_directory()) present->opaque = true;
    return {};
  }
  TreeNode* node = TRY(new_node(S_IFCHR));
  node->mtime = entry_mtime_;
  return put(parent, hidden, *node);
}

// --- attributes ---

void LayerTree::set_attributes(TreeNode& node, const TarEntry& entry) const {
  node.mode = (node.mode & S_IFMT) | (entry.mode & 07777);
  node.uid = entry.uid;
  node.gid = entry.gid;
  node.mtime = entry.mtime.nanoseconds;
}

Result<void> LayerTree::set_xattrs(TreeNode& node, const TarEntry& entry) {
  if (entry.xattrs.empty()) return {};
  for (const auto& [name, value] : entry.xattrs) {
    if (!archive::travels(name)) continue;
    int refused = 0;
    if (name.size() > 255) refused = ERANGE;
    if (value.size() > kXattrLimit) refused = E2BIG;
    if (name == "security.capability" && !is_capability(value)) refused = EINVAL;
    if (refused) return fail_errno(refused, "set the extended attribute {}", name.substr(0, 255));
    TRY(charge(sizeof(XattrList::value_type) + name.size() + value.size()));
    node.xattrs.emplace_back(name, value);
  }
  // A directory may be described more than once: what came last counts.
  std::map<std::string, std::string> last;
  for (auto& [name, value] : node.xattrs) last.insert_or_assign(std::move(name), std::move(value));
  node.xattrs.assign(std::make_move_iterator(last.begin()), std::make_move_iterator(last.end()));
  std::size_t total = 0;
  for (const auto& [name, value] : node.xattrs) total += 8 + name.size() + value.size();
  if (total > kXattrsLimit) return fail_errno(ENOSPC, "set extended attributes of {} bytes", total);
  return {};
}

void LayerTree::take_away(TreeNode& parent, std::string_view name) {
  auto found = parent.children->find(name);
  if (found == parent.children->end()) return;
  // A directory that was reached through it is another one from now on.
  if (found->second->is_directory() || found->second->is_link()) cached_ = nullptr;
  parent.children->erase(found);
}

std::vector<std::string> LayerTree::implied_directories() const {
  std::vector<std::string> paths;
  std::vector<std::pair<const TreeNode*, std::string>> pending{{root_, ""}};
  while (!pending.empty()) {
    auto [node, path] = std::move(pending.back());
    pending.pop_back();
    if (node->implied) paths.push_back(path);
    for (const auto& [name, below] : *node->children)
      if (below->is_directory()) pending.emplace_back(below, path.empty() ? name : path + "/" + name);
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace berth::layers
