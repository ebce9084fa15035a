// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "layers/tree.h"

namespace berth::layers {
namespace {

using archive::kTarBlock;
using archive::TarChunk;
using archive::TarEntry;
using archive::TarReader;
using archive::TarType;

// Counts the tar's bytes as the reader consumes them: between two calls of its, this is where they stand.
class Position final : public archive::TarObserver {
 public:
  explicit Position(std::vector<TreeNode*>& unclean) : unclean_(unclean) {}

  Result<void> framing(std::string_view bytes) override {
    at_ += bytes.size();
    in_contents_ = false;
    if (padding_ > 0) check_padding(bytes);
    return {};
  }

  Result<void> content(std::string_view bytes) override {
    at_ += bytes.size();
    in_contents_ = true;
    return {};
  }

  std::uint64_t at() const { return at_; }
  bool in_contents() const { return in_contents_; }

  // The contents of `node` begin here and lie in one piece.
  void file_in_one_piece(TreeNode& node) {
    node_ = &node;
    padding_ = (kTarBlock - node.size % kTarBlock) % kTarBlock;
  }

 private:
  void check_padding(std::string_view bytes) {
    const std::string_view padding = bytes.substr(0, padding_);
    padding_ -= padding.size();
    if (padding.find_first_not_of('\0') == std::string_view::npos) return;
    padding_ = 0;
    unclean_.push_back(node_);
  }

  std::vector<TreeNode*>& unclean_;
  std::uint64_t at_ = 0;
  bool in_contents_ = false;
  TreeNode* node_ = nullptr;
  std::size_t padding_ = 0;
};

class TreeBuilder {
 public:
  TreeBuilder(archive::Source& tar, LayerTree& tree, ExtraContents& extra, const TreeLimits& limits)
      : position_(report_.unclean), reader_(tar, &position_), tree_(tree), extra_(extra), limits_(limits) {}

  Result<TreeReport> run() {
    TarEntry entry;
    while (TRY(reader_.next(entry))) {
      TRY(check_stop());
      if (++report_.entries > limits_.max_entries)
        return fail(ErrorKind::exhausted, "the archive has more than {} entries", limits_.max_entries);
      Result<void> taken = take(entry);
      if (!taken) return std::unexpected(std::move(taken).error().within("unpack " + entry.name));
    }
    TRY(reader_.drain());
    return std::move(report_);
  }

 private:
  Result<void> check_stop() const {
    if (limits_.stop.stop_requested()) return fail(ErrorKind::cancelled, "unpacking was cancelled");
    return {};
  }

  Result<void> take(const TarEntry& entry) {
    TreeNode* node = TRY(tree_.apply(entry));
    if (!node) return {};
    if (entry.size > limits_.max_bytes - report_.bytes)
      return fail(ErrorKind::exhausted, "the archive has more than {} bytes of contents", limits_.max_bytes);
    report_.bytes += entry.size;
    if (entry.size == 0) return {};
    return take_contents(*node);
  }

  Result<void> take_contents(TreeNode& node) {
    const std::uint64_t begin = position_.at();
    TarChunk chunk = TRY(reader_.read());
    if (!chunk.data.empty() && position_.in_contents()) {  // the rest is skipped by next()
      if (begin % kTarBlock != 0) return fail(ErrorKind::corrupt, "its contents begin inside a block");
      node.place = ContentPlace::tar;
      node.content = begin;
      position_.file_in_one_piece(node);
      return {};
    }
    node.place = ContentPlace::extra;
    node.content = TRY(extra_.reserve(node.size));
    for (; !chunk.data.empty(); chunk = TRY(reader_.read())) {
      TRY(check_stop());
      TRY(extra_.write(node.content + chunk.offset, chunk.data));
    }
    return {};
  }

  TreeReport report_;
  Position position_;
  TarReader reader_;
  LayerTree& tree_;
  ExtraContents& extra_;
  const TreeLimits& limits_;
};

}  // namespace

Result<TreeReport> read_tree(archive::Source& tar, LayerTree& tree, ExtraContents& extra,
                             const TreeLimits& limits) {
  return TreeBuilder(tar, tree, extra, limits).run();
}

}  // namespace berth::layers
