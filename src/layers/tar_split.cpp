// SPDX-License-Identifier: Apache-2.0
#include "layers/tar_split.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "archive/tar.h"
#include "archive/tree_walk.h"
#include "archive/unpack.h"
#include "base/file.h"
#include "layers/framing.h"
#include "sys/rooted_path.h"

namespace berth::layers {
namespace {

constexpr const char* kTree = "fs";
constexpr const char* kReplaced = "replaced";
constexpr const char* kFraming = "framing";

// Writes the framing while the unpacker works: it sees every byte of the tar once, and is told which file the
// contents went to. A file that has to make room for a later entry of the same name is kept aside, since the
// tar cannot be given back without it.
class Splitter final : public archive::TarObserver, public archive::UnpackObserver {
 public:
  Splitter(int layer, FramingWriter& out) : layer_(layer), out_(out) {}

  Result<void> framing(std::string_view bytes) override {
    TRY(close_contents());
    return out_.framing(bytes);
  }

  Result<void> content(std::string_view bytes) override {
    if (!in_file_) return out_.framing(bytes);  // of an entry that made no file, a whiteout say
    current_.size += bytes.size();
    return {};
  }

  Result<void> wrote(const std::string& path, const struct stat& status) override {
    in_file_ = true;
    current_ = {
        .contents = true, .bytes = {}, .size = 0, .inode = status.st_ino, .place = Place::tree, .path = path};
    return {};
  }

  Result<void> implied_directory(const std::string& path) override {
    implied_.append(path).push_back('\0');
    return {};
  }

  Result<void> displace(int directory, const std::string& name, const struct stat& status) override {
    if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) {
      moved_ = true;
      return keep_aside(directory, name);
    }
    moved_ = moved_ || S_ISLNK(status.st_mode);  // paths that led through it lead elsewhere now
    if (unlinkat(directory, name.c_str(), 0) != 0 && errno != ENOENT)
      return fail_errno(errno, "remove {}", name);
    return {};
  }

  Result<void> finish() {
    TRY(close_contents());
    return out_.finish();
  }

  bool moved() const { return moved_; }
  const std::string& implied() const { return implied_; }

 private:
  Result<void> close_contents() {
    if (!std::exchange(in_file_, false) || current_.size == 0) return {};
    return out_.contents(current_);
  }

  Result<void> keep_aside(int directory, const std::string& name) {
    if (!replaced_) {
      if (mkdirat(layer_, kReplaced, 0700) != 0) return fail_errno(errno, "create a directory");
      replaced_ = TRY(open_at(layer_, kReplaced, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    }
    const std::string number = std::to_string(count_++);
    if (renameat(directory, name.c_str(), replaced_.get(), number.c_str()) != 0)
      return fail_errno(errno, "move {} aside", name);
    return {};
  }

  int layer_;
  FramingWriter& out_;
  bool in_file_ = false;
  FramingRecord current_;
  std::string implied_;
  Fd replaced_;
  std::uint64_t count_ = 0;
  bool moved_ = false;
};

struct Found {
  Place place;
  std::string path;
};
using FoundFiles = std::unordered_map<std::uint64_t, Found>;

Result<void> find_files(int layer, const char* below, Place place, FoundFiles& found) {
  Fd directory = TRY(open_at(layer, below, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return archive::walk_tree(directory.get(), [&](const archive::WalkItem& item) -> Result<archive::Descend> {
    if (S_ISREG(item.status.st_mode))
      found.try_emplace(item.status.st_ino, Found{place, std::string(item.path)});
    return archive::Descend::yes;
  });
}

// What was put aside counts as a name of a file that has others, and containers would see that number. The
// last name stays, wherever it is.
Result<void> drop_spare_names(int layer) {
  Fd directory = TRY(open_at(layer, kReplaced, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
  return archive::walk_tree(directory.get(), [&](const archive::WalkItem& item) -> Result<archive::Descend> {
    if (!S_ISDIR(item.status.st_mode) && item.status.st_nlink > 1 &&
        unlinkat(item.directory, item.name.c_str(), 0) != 0)
      return fail_errno(errno, "remove {}", item.path);
    return archive::Descend::yes;
  });
}

// After entries replaced one another: says for all contents where they are now, by the files' inodes.
Result<void> rewrite_places(int layer) {
  FoundFiles found;
  const bool replaced = faccessat(layer, kReplaced, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  if (replaced) TRY(drop_spare_names(layer));
  TRY(find_files(layer, kTree, Place::tree, found));
  if (replaced) TRY(find_files(layer, kReplaced, Place::replaced, found));
  const std::string next = std::string(kFraming) + ".new";
  Fd old_file = TRY(open_at(layer, kFraming, O_RDONLY));
  Fd new_file = TRY(open_at(layer, next, O_WRONLY | O_CREAT | O_EXCL, 0600));
  std::unique_ptr<FramingReader> in = TRY(FramingReader::create(old_file.get()));
  std::unique_ptr<FramingWriter> out = TRY(FramingWriter::create(new_file.get()));
  FramingRecord record;
  while (TRY(in->next(record))) {
    if (!record.contents) {
      TRY(out->framing(record.bytes));
      continue;
    }
    auto place = found.find(record.inode);
    if (place == found.end()) return fail(ErrorKind::corrupt, "the contents of {} are lost", record.path);
    record.place = place->second.place;
    record.path = place->second.path;
    TRY(out->contents(record));
  }
  TRY(out->finish());
  if (renameat(layer, next.c_str(), layer, kFraming) != 0) return fail_errno(errno, "replace the framing");
  return {};
}

// Framing and files in turn, digested as they go out.
class JoinedTar final : public archive::Source {
 public:
  JoinedTar(Fd layer, const Digest& diff_id) : layer_(std::move(layer)), diff_id_(diff_id) {}

  Result<void> start() {
    tree_ = TRY(open_at(layer_.get(), kTree, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    framing_ = TRY(open_at(layer_.get(), kFraming, O_RDONLY | O_NOFOLLOW));
    reader_ = TRY(FramingReader::create(framing_.get()));
    return {};
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    if (buffer.empty()) return std::size_t{0};
    while (!ended_) {
      const std::size_t size = TRY(record_.contents ? read_file(buffer) : take_bytes(buffer));
      if (size > 0) {
        digest_.update({buffer.data(), size});
        return size;
      }
      TRY(advance());
    }
    return std::size_t{0};
  }

 private:
  Result<std::size_t> take_bytes(std::span<char> buffer) {
    const std::size_t size = std::min(buffer.size(), record_.bytes.size() - at_);
    std::memcpy(buffer.data(), record_.bytes.data() + at_, size);
    at_ += size;
    return size;
  }

  Result<std::size_t> read_file(std::span<char> buffer) {
    const std::uint64_t left = record_.size - at_;
    if (left == 0) return std::size_t{0};
    if (buffer.size() > left) buffer = buffer.first(static_cast<std::size_t>(left));
    const std::size_t size = TRY_AS("read " + record_.path, read_some(file_.get(), buffer));
    if (size == 0)
      return fail(ErrorKind::corrupt, "{} of layer {} is shorter than it was", record_.path, diff_id_.text());
    at_ += size;
    return size;
  }

  Result<void> advance() {
    at_ = 0;
    if (!TRY(reader_->next(record_))) {
      ended_ = true;
      if (digest_.finish() != diff_id_)
        return fail(ErrorKind::corrupt, "the files of layer {} are not what they were", diff_id_.text());
      return {};
    }
    if (!record_.contents) return {};
    if (record_.place == Place::replaced && !replaced_)
      replaced_ = TRY(open_at(layer_.get(), kReplaced, O_PATH | O_DIRECTORY | O_NOFOLLOW));
    const int root = record_.place == Place::tree ? tree_.get() : replaced_.get();
    // The file may have mode 0: root reads it all the same, and in a user namespace it is ours.
    file_ = TRY(sys::open_in_root(root, record_.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    return {};
  }

  Fd layer_;
  Digest diff_id_;
  Fd tree_;
  Fd replaced_;
  Fd framing_;
  std::unique_ptr<FramingReader> reader_;
  FramingRecord record_;
  std::uint64_t at_ = 0;  // in the record
  Fd file_;
  Sha256 digest_;
  bool ended_ = false;
};

}  // namespace

Result<MadeLayer> split_tar(archive::Source& tar, int layer, const AddOptions& options) {
  Fd tree = TRY(open_at(layer, kTree, O_PATH | O_DIRECTORY | O_NOFOLLOW));
  Fd framing = TRY(open_at(layer, kFraming, O_WRONLY | O_CREAT | O_EXCL, 0600));
  std::unique_ptr<FramingWriter> writer = TRY(FramingWriter::create(framing.get()));
  Splitter splitter(layer, *writer);

  // Three threads: whoever makes the tar (inflating it), the digest, the files.
  ProgressSource counted(tar, options.progress);
  archive::ReadAhead made(counted);
  archive::DigestSource digested(made);
  archive::UnpackReport report;
  {
    archive::ReadAhead ahead(digested);
    archive::UnpackOptions unpacking;
    unpacking.whiteouts = archive::Whiteouts::overlay;
    unpacking.max_bytes = options.max_bytes;
    unpacking.max_entries = options.max_entries;
    unpacking.observer = &splitter;
    unpacking.tar_observer = &splitter;
    unpacking.stop = options.stop;
    report = TRY(archive::unpack(ahead, tree.get(), unpacking));
  }
  TRY(splitter.finish());
  if (splitter.moved()) TRY(rewrite_places(layer));
  if (!splitter.implied().empty())
    TRY(write_file_atomically(layer, kImpliedFile, splitter.implied(), 0600, Durability::visible));
  return MadeLayer{digested.finish(), report.bytes, digested.size()};
}

Result<std::unique_ptr<archive::Source>> join_tar(Fd layer, const Digest& diff_id) {
  auto joined = std::make_unique<JoinedTar>(std::move(layer), diff_id);
  TRY(joined->start());
  return joined;
}

}  // namespace berth::layers
