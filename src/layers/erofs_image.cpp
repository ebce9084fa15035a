// SPDX-License-Identifier: Apache-2.0
#include "layers/erofs_image.h"

#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace berth::layers {
namespace {

// --- the format ---

template <class Integer>
void append(std::string& out, std::type_identity_t<Integer> value) {
  for (std::size_t i = 0; i < sizeof(Integer); ++i)
    out.push_back(static_cast<char>((static_cast<std::uint64_t>(value) >> (8 * i)) & 0xff));
}

constexpr std::uint32_t kMagic = 0xe0f5e1e2;
constexpr std::uint64_t kSuperBlockAt = 1024;
constexpr std::uint64_t kSuperBlockSize = 128;
constexpr std::uint64_t kDeviceSlotSize = 128;
constexpr std::uint64_t kInodesAt = kSuperBlockAt + kErofsBlock;  // two devices fit before
constexpr std::uint64_t kInodeSize = 64;                          // extended
constexpr std::uint64_t kInodeSlot = 32;                          // what inodes' numbers count in
constexpr std::uint64_t kChunkIndexSize = 8;
constexpr std::uint64_t kXattrHeaderSize = 12;
constexpr std::size_t kDirentSize = 12;
constexpr std::uint32_t kCompatMtime = 0x2;
constexpr std::uint32_t kIncompatChunkedFile = 0x4;
constexpr std::uint32_t kIncompatDeviceTable = 0x8;
constexpr std::uint16_t kChunkIndexes = 0x20;   // in a chunk format
constexpr std::size_t kPieceSize = 256u << 10;  // written at a time
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr int kMaximumChunkBits = 31;
constexpr std::uint64_t kMaximumBlocks = UINT32_MAX;  // of a device; the last address stands for a hole
constexpr std::uint16_t kTarDevice = 1;
constexpr std::uint16_t kExtraDevice = 2;

enum class DataLayout : std::uint16_t { plain = 0, in_line = 2, chunks = 4 };

struct XattrPrefix {
  std::string_view text;
  std::uint8_t index;
};
constexpr XattrPrefix kXattrPrefixes[] = {{"user.", 1}, {"trusted.", 4}, {"security.", 6}};

std::uint64_t round_up(std::uint64_t value, std::uint64_t unit) { return (value + unit - 1) / unit * unit; }
std::uint64_t blocks_of(std::uint64_t bytes) { return (bytes + kErofsBlock - 1) / kErofsBlock; }

std::uint8_t directory_entry_type(std::uint32_t mode) {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return 1;
    case S_IFDIR:
      return 2;
    case S_IFCHR:
      return 3;
    case S_IFBLK:
      return 4;
    case S_IFIFO:
      return 5;
    default:
      return 7;  // a symbolic link
  }
}

std::uint32_t device_number(const TreeNode& node) {
  return (node.device_minor & 0xff) | (node.device_major << 8) | ((node.device_minor & ~0xffu) << 12);
}

// The kernel's: unknown prefixes cannot come, since only these travel with a layer.
std::string xattr_entry(std::string_view name, std::string_view value) {
  std::uint8_t index = 0;
  for (const XattrPrefix& prefix : kXattrPrefixes)
    if (name.starts_with(prefix.text)) {
      index = prefix.index;
      name.remove_prefix(prefix.text.size());
      break;
    }
  std::string entry;
  append<std::uint8_t>(entry, name.size());
  append<std::uint8_t>(entry, index);
  append<std::uint16_t>(entry, value.size());
  entry.append(name).append(value);
  entry.resize(round_up(entry.size(), 4));
  return entry;
}

std::string xattr_body(const TreeNode& node) {
  if (node.xattrs.empty() && !node.opaque) return {};
  std::string body(kXattrHeaderSize, '\0');  // no filter, nothing shared
  if (node.opaque) body += xattr_entry("trusted.overlay.opaque", "y");
  for (const auto& [name, value] : node.xattrs) body += xattr_entry(name, value);
  return body;
}

struct Chunks {
  int bits = 0;  // of a chunk's size in blocks
  std::uint64_t count = 0;
};

// One chunk, if it can be that large: a file's contents lie in one piece.
Chunks chunks_of(std::uint64_t size) {
  const std::uint64_t blocks = blocks_of(size);
  const int bits = std::min<int>(kMaximumChunkBits, static_cast<int>(std::bit_width(blocks - 1)));
  return {bits, (blocks + (std::uint64_t{1} << bits) - 1) >> bits};
}

// --- directories ---

// The names of a directory with "." and "..", in the order of their bytes: the kernel searches them by
// halves.
class Names {
 public:
  explicit Names(TreeNode& directory) {
    entries_.reserve(directory.children->size() + 2);
    for (const auto& [name, node] : *directory.children) entries_.emplace_back(name, node);
    insert(".", directory);
    insert("..", directory.parent ? *directory.parent : directory);
  }

  // Of all blocks; the last one may be short.
  std::uint64_t size() const {
    std::uint64_t full_blocks = 0;
    std::size_t used = 0;
    for (const auto& [name, node] : entries_) {
      const std::size_t need = kDirentSize + name.size();
      if (used + need > kErofsBlock) {
        ++full_blocks;
        used = 0;
      }
      used += need;
    }
    return full_blocks * kErofsBlock + used;
  }

  // Each block has its entries first and then their names.
  std::string bytes() const {
    std::string out;
    for (auto first = entries_.begin(); first != entries_.end();) {
      out.resize(round_up(out.size(), kErofsBlock));
      auto last = first;
      std::size_t used = 0;
      while (last != entries_.end() && used + kDirentSize + last->first.size() <= kErofsBlock)
        used += kDirentSize + (last++)->first.size();
      std::size_t name_at = static_cast<std::size_t>(last - first) * kDirentSize;
      for (auto entry = first; entry != last; ++entry) {
        append<std::uint64_t>(out, entry->second->position / kInodeSlot);
        append<std::uint16_t>(out, name_at);
        append<std::uint8_t>(out, directory_entry_type(entry->second->mode));
        append<std::uint8_t>(out, 0);
        name_at += entry->first.size();
      }
      for (; first != last; ++first) out.append(first->first);
    }
    return out;
  }

 private:
  void insert(std::string_view name, TreeNode& node) {
    auto place =
        std::lower_bound(entries_.begin(), entries_.end(), name,
                         [](const auto& entry, std::string_view wanted) { return entry.first < wanted; });
    entries_.emplace(place, name, &node);
  }

  std::vector<std::pair<std::string_view, TreeNode*>> entries_;
};

// --- the image ---

class ImageWriter {
 public:
  ImageWriter(LayerTree& tree, const ErofsDevices& devices, archive::Sink& sink)
      : tree_(tree), devices_(devices), sink_(sink), device_count_(devices.extra_size > 0 ? 2 : 1) {}

  Result<void> run() {
    if (blocks_of(devices_.tar_size) > kMaximumBlocks || blocks_of(devices_.extra_size) > kMaximumBlocks)
      return fail(ErrorKind::unsupported, "a layer of more than 2 TiB needs the overlay driver");
    place_inodes();
    if (blocks_ > kMaximumBlocks)
      return fail(ErrorKind::unsupported, "a layer with so many files needs the overlay driver");
    TRY(emit(std::string(kSuperBlockAt, '\0')));
    TRY(emit(head()));
    for (TreeNode* node : inodes_) {
      TRY(pad_to(node->position));
      TRY(emit(inode(*node)));
    }
    for (TreeNode* node : in_blocks_) {
      TRY(pad_to(node->block * kErofsBlock));
      TRY(emit(data_of(*node)));
    }
    TRY(pad_to(blocks_ * kErofsBlock));
    return flush();
  }

 private:
  // Directory by directory, what is in one close together. The root is first: its number has 16 bits.
  void place_inodes() {
    forget_places();
    next_ = kInodesAt;
    place(tree_.root());
    for (std::size_t i = 0; i < inodes_.size(); ++i) {
      TreeNode& directory = *inodes_[i];
      if (!directory.is_directory()) continue;
      directory.links += 2;
      for (auto& [name, node] : *directory.children) {
        if (node->is_directory()) ++directory.links;
        if (node->position == 0) place(*node);
        if (!node->is_directory()) ++node->links;
      }
    }
    blocks_ = blocks_of(next_);
    for (TreeNode* node : in_blocks_) {
      node->block = blocks_;
      blocks_ += blocks_of(node->size);
    }
  }

  // A tree may be written more than once.
  void forget_places() {
    std::vector<TreeNode*> pending{&tree_.root()};
    while (!pending.empty()) {
      TreeNode& node = *pending.back();
      pending.pop_back();
      node.position = node.block = node.links = 0;
      if (node.is_directory())
        for (auto& [name, below] : *node.children) pending.push_back(below);
    }
  }

  void place(TreeNode& node) {
    if (node.is_directory()) node.size = Names(node).size();
    if (node.is_link()) node.size = node.target.size();
    const std::uint64_t body = kInodeSize + xattr_body(node).size();
    std::uint64_t length = body;
    next_ = round_up(next_, kInodeSlot);
    switch (layout_of(node)) {
      case DataLayout::chunks:
        length =
            round_up(next_ + body, kChunkIndexSize) - next_ + chunks_of(node.size).count * kChunkIndexSize;
        break;
      case DataLayout::in_line:
        length += node.size;
        // What is inside an inode's block must not reach into the next.
        if (next_ / kErofsBlock != (next_ + length - 1) / kErofsBlock) next_ = round_up(next_, kErofsBlock);
        break;
      case DataLayout::plain:
        if (node.size > 0) in_blocks_.push_back(&node);
        break;
    }
    node.position = next_;
    next_ += length;
    inodes_.push_back(&node);
  }

  static DataLayout layout_of(const TreeNode& node) {
    if (node.is_regular()) return node.size > 0 ? DataLayout::chunks : DataLayout::plain;
    if (!node.is_directory() && !node.is_link()) return DataLayout::plain;
    const std::uint64_t length = kInodeSize + xattr_body(node).size() + node.size;
    return length <= kErofsBlock ? DataLayout::in_line : DataLayout::plain;
  }

  static std::string data_of(TreeNode& node) {
    return node.is_directory() ? Names(node).bytes() : node.target;
  }

  // The superblock's block. Without a checksum: fsck.erofs 1.8 crashes on one with blocks as small as these,
  // and mkfs.erofs --tar=i writes none. A damaged index is found by LayerDriver::verify.
  std::string head() const {
    std::string block;
    append<std::uint32_t>(block, kMagic);
    append<std::uint32_t>(block, 0);  // no checksum
    append<std::uint32_t>(block, kCompatMtime);
    append<std::uint8_t>(block, static_cast<unsigned>(std::countr_zero(kErofsBlock)));
    append<std::uint8_t>(block, 0);  // no more than these 128 bytes
    append<std::uint16_t>(block, tree_.root().position / kInodeSlot);
    append<std::uint64_t>(block, inodes_.size());
    append<std::uint64_t>(block, 0);  // the time of inodes that have none, and there are none
    append<std::uint32_t>(block, 0);
    append<std::uint32_t>(block, blocks_);
    append<std::uint32_t>(block, 0);  // inodes count from the beginning
    append<std::uint32_t>(block, 0);  // nothing is shared
    block.append(devices_.identity.begin(), devices_.identity.end());
    block.append(16, '\0');  // the volume's name
    append<std::uint32_t>(block, kIncompatChunkedFile | kIncompatDeviceTable);
    append<std::uint16_t>(block, 0);  // no compression
    append<std::uint16_t>(block, device_count_);
    append<std::uint16_t>(block, (kSuperBlockAt + kSuperBlockSize) / kDeviceSlotSize);
    block.resize(kSuperBlockSize);
    append_device(block, devices_.tar_size);
    if (device_count_ > 1) append_device(block, devices_.extra_size);
    block.resize(kInodesAt - kSuperBlockAt);
    return block;
  }

  static void append_device(std::string& block, std::uint64_t size) {
    block.append(64, '\0');  // its tag
    append<std::uint32_t>(block, blocks_of(size));
    block.resize(round_up(block.size(), kDeviceSlotSize));  // not mapped into the first device's addresses
  }

  static std::string inode(TreeNode& node) {
    const DataLayout layout = layout_of(node);
    const std::string xattrs = xattr_body(node);
    std::string out;
    append<std::uint16_t>(out, 1u | static_cast<unsigned>(layout) << 1);  // extended
    append<std::uint16_t>(out, xattrs.empty() ? 0 : (xattrs.size() - kXattrHeaderSize) / 4 + 1);
    append<std::uint16_t>(out, node.mode);
    append<std::uint16_t>(out, 0);
    append<std::uint64_t>(out, node.size);
    append<std::uint32_t>(out, place_of_data(node, layout));
    append<std::uint32_t>(out, node.position / kInodeSlot);
    append<std::uint32_t>(out, node.uid);
    append<std::uint32_t>(out, node.gid);
    const bool before = node.mtime % kSecond < 0;  // the epoch, and not a whole second
    append<std::uint64_t>(out, static_cast<std::uint64_t>(node.mtime / kSecond - (before ? 1 : 0)));
    append<std::uint32_t>(out, static_cast<std::uint64_t>(node.mtime % kSecond + (before ? kSecond : 0)));
    append<std::uint32_t>(out, node.links);
    out.resize(kInodeSize);
    out += xattrs;
    if (layout == DataLayout::in_line) out += data_of(node);
    if (layout == DataLayout::chunks) append_chunks(out, node);
    return out;
  }

  static std::uint32_t place_of_data(const TreeNode& node, DataLayout layout) {
    if (S_ISCHR(node.mode) || S_ISBLK(node.mode)) return device_number(node);
    if (layout == DataLayout::chunks) return kChunkIndexes | static_cast<unsigned>(chunks_of(node.size).bits);
    return static_cast<std::uint32_t>(node.block);
  }

  static void append_chunks(std::string& out, const TreeNode& node) {
    out.resize(round_up(node.position + out.size(), kChunkIndexSize) - node.position);
    const Chunks chunks = chunks_of(node.size);
    for (std::uint64_t i = 0; i < chunks.count; ++i) {
      append<std::uint16_t>(out, 0);
      append<std::uint16_t>(out, node.place == ContentPlace::tar ? kTarDevice : kExtraDevice);
      append<std::uint32_t>(out, node.content / kErofsBlock + (i << chunks.bits));
    }
  }

  // --- what goes out ---

  Result<void> emit(std::string_view bytes) {
    pending_.append(bytes);
    written_ += bytes.size();
    return pending_.size() < kPieceSize ? Result<void>{} : flush();
  }

  Result<void> pad_to(std::uint64_t position) {
    return emit(std::string(static_cast<std::size_t>(position - written_), '\0'));
  }

  Result<void> flush() {
    TRY(sink_.write(pending_));
    pending_.clear();
    return {};
  }

  LayerTree& tree_;
  const ErofsDevices& devices_;
  archive::Sink& sink_;
  const std::uint64_t device_count_;
  std::vector<TreeNode*> inodes_;     // in the order of their positions
  std::vector<TreeNode*> in_blocks_;  // those of them whose data has blocks of its own
  std::uint64_t next_ = 0;
  std::uint64_t blocks_ = 0;
  std::string pending_;
  std::uint64_t written_ = 0;
};

}  // namespace

Result<void> write_erofs_image(LayerTree& tree, const ErofsDevices& devices, archive::Sink& sink) {
  return ImageWriter(tree, devices, sink).run();
}

}  // namespace berth::layers
