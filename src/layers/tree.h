// SPDX-License-Identifier: Apache-2.0
// A layer's files in memory, without their contents: what archive::unpack would have made of a tar, entry by
// entry and refusal by refusal (archive/unpack.cpp is the original, with Whiteouts::overlay and every
// default), but written nowhere. The last entry of a name wins, links are followed inside the root,
// directories that no entry describes are implied.
//
// What a hostile tar can make this hold is bounded by kTreeMemoryLimit: more is an error (exhausted).
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/error.h"

namespace berth::layers {

inline constexpr std::uint64_t kTreeMemoryLimit = 1u << 30;  // bytes, about four million files

// Where a regular file's contents lie. Offsets are multiples of a tar's block of 512 bytes.
enum class ContentPlace : std::uint8_t {
  none,   // it has none
  tar,    // in the tar, as they are
  extra,  // the tar does not hold them in one piece: they were copied
};

using XattrList = std::vector<std::pair<std::string, std::string>>;  // by name

struct TreeNode {
  using Children = std::map<std::string, TreeNode*, std::less<>>;  // in the order of their bytes

  std::uint32_t mode = 0;  // type and permissions, as st_mode
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::int64_t mtime = 0;     // nanoseconds since the epoch
  std::uint64_t size = 0;     // of a regular file
  std::uint64_t content = 0;  // offset in its place
  ContentPlace place = ContentPlace::none;
  bool implied = false;                // a directory that no entry describes
  bool opaque = false;                 // a directory that hides those of the layers below
  std::string target;                  // of a symbolic link
  TreeNode* parent = nullptr;          // of a directory; the root has none
  std::unique_ptr<Children> children;  // a directory has it
  XattrList xattrs;

  // Whoever writes the tree down (erofs_image.h) notes here where.
  std::uint32_t links = 0;
  std::uint64_t position = 0;
  std::uint64_t block = 0;

  bool is_directory() const noexcept { return children != nullptr; }
  bool is_link() const noexcept;
  bool is_regular() const noexcept;
  bool is_whiteout() const noexcept;  // as overlayfs sees it: a character device 0:0
};

class LayerTree {
 public:
  LayerTree();
  LayerTree(const LayerTree&) = delete;
  LayerTree& operator=(const LayerTree&) = delete;

  TreeNode& root() noexcept { return *root_; }
  const TreeNode& root() const noexcept { return *root_; }

  // One entry of the tar. The regular file that its contents are for, or nothing: then they mean nothing.
  Result<TreeNode*> apply(const archive::TarEntry& entry);

  // The directory at a path without links; nothing if there is none.
  TreeNode* find_directory(std::string_view path) noexcept;

  // All directories that no entry describes, sorted; "" stands for the root.
  std::vector<std::string> implied_directories() const;

 private:
  enum class Missing { is_an_error, is_made };
  Result<TreeNode*> walk(std::string_view path, Missing missing);
  Result<TreeNode*> directory(std::string_view path);
  Result<TreeNode*> find_or_make(std::string_view path);
  Result<TreeNode*> new_node(std::uint32_t mode);
  Result<TreeNode*> new_directory(TreeNode& parent, std::string_view name);
  Result<void> put(TreeNode& parent, std::string_view name, TreeNode& node);
  Result<void> charge(std::size_t bytes);
  void take_away(TreeNode& parent, std::string_view name);
  void set_attributes(TreeNode& node, const archive::TarEntry& entry) const;
  Result<void> set_xattrs(TreeNode& node, const archive::TarEntry& entry);

  Result<TreeNode*> apply_to_root(const archive::TarEntry& entry);
  Result<TreeNode*> add_file(TreeNode& parent, std::string_view name, const archive::TarEntry& entry);
  Result<void> add_directory(TreeNode& parent, std::string_view name, const archive::TarEntry& entry);
  Result<void> add_link(TreeNode& parent, std::string_view name, const archive::TarEntry& entry);
  Result<void> add_hard_link(TreeNode& parent, std::string_view name, const archive::TarEntry& entry);
  Result<void> add_node(TreeNode& parent, std::string_view name, const archive::TarEntry& entry);
  Result<void> add_whiteout(std::string_view above, std::string_view name);

  std::deque<TreeNode> nodes_;  // what was replaced stays among them: something may be linked to it
  TreeNode* root_;
  std::uint64_t memory_ = 0;
  std::int64_t entry_mtime_ = 0;  // what is implied by an entry has its time
  std::string entry_path_;
  std::string cached_path_;  // archives go directory by directory
  TreeNode* cached_ = nullptr;
};

// Takes the contents of files that the tar does not hold in one piece (sparse files).
class ExtraContents {
 public:
  virtual ~ExtraContents() = default;
  // Room for `size` bytes, zeros so far; its offset, a multiple of 512.
  virtual Result<std::uint64_t> reserve(std::uint64_t size) = 0;
  virtual Result<void> write(std::uint64_t offset, std::string_view data) = 0;
};

struct TreeLimits {
  std::uint64_t max_bytes = UINT64_MAX;  // of all contents
  std::uint64_t max_entries = UINT64_MAX;
  std::stop_token stop;
};

struct TreeReport {
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;  // contents of regular files, as they were written
  // Files whose last block in the tar has something behind their end. A memory mapping would show it.
  std::vector<TreeNode*> unclean;
};

// Reads a plain tar to its end into an empty tree.
Result<TreeReport> read_tree(archive::Source& tar, LayerTree& tree, ExtraContents& extra,
                             const TreeLimits& limits);

}  // namespace berth::layers
