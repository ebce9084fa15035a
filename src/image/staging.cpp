// SPDX-License-Identifier: Apache-2.0
#include "image/staging.h"

#include <fcntl.h>

#include <algorithm>

#include "archive/compression.h"
#include "base/file.h"
#include "base/text.h"
#include "oci/manifest.h"

namespace berth::image {
namespace {

constexpr std::size_t kEntries = 100'000;
constexpr std::uint64_t kKeptBytes = 4ull << 30;  // of documents and of layers that were not recognised
constexpr int kLinkDepth = 8;
constexpr std::size_t kHead = 512;

// The contents of the tar entry that the reader stands at. Archives of images have no sparse files; a hole of
// exabytes would keep a reader busy for ever.
class EntrySource final : public archive::Source {
 public:
  EntrySource(archive::TarReader& reader, std::uint64_t size) : reader_(reader), size_(size) {}

  Result<std::size_t> read(std::span<char> buffer) override {
    if (chunk_.empty()) {
      archive::TarChunk chunk = TRY(reader_.read());
      std::uint64_t start = chunk.data.empty() ? size_ : chunk.offset;
      if (start != position_) return fail(ErrorKind::invalid, "the archive has a sparse file");
      chunk_ = chunk.data;
    }
    std::size_t count = std::min(buffer.size(), chunk_.size());
    std::copy_n(chunk_.data(), count, buffer.data());
    chunk_.remove_prefix(count);
    position_ += count;
    return count;
  }

 private:
  archive::TarReader& reader_;
  std::uint64_t size_;
  std::uint64_t position_ = 0;
  std::string_view chunk_;
};

// Gives `head` before the rest of `inner`.
class PrefixedSource final : public archive::Source {
 public:
  PrefixedSource(std::string head, archive::Source& inner) : head_(std::move(head)), inner_(inner) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    if (at_ == head_.size()) return inner_.read(buffer);
    std::size_t count = std::min(buffer.size(), head_.size() - at_);
    std::copy_n(head_.data() + at_, count, buffer.data());
    at_ += count;
    return count;
  }

 private:
  std::string head_;
  archive::Source& inner_;
  std::size_t at_ = 0;
};

Result<std::string> read_head(archive::Source& source) {
  std::string head(kHead, '\0');
  std::size_t filled = 0;
  while (filled < head.size()) {
    std::size_t count = TRY(source.read(std::span(head).subspan(filled)));
    if (count == 0) break;
    filled += count;
  }
  head.resize(filled);
  return head;
}

// A compressed stream, a tar with the POSIX or GNU mark, or an empty tar. An old tar without a mark is kept
// as a file and becomes a layer when an image names it.
bool looks_like_layer(std::string_view head) {
  if (archive::detect_compression(head.substr(0, archive::kMagicSize)) != archive::Compression::none)
    return true;
  if (head.size() < kHead) return false;
  return head.substr(257, 5) == "ustar" || head.find_first_not_of('\0') == std::string_view::npos;
}

// Calls back at most every mebibyte.
class ProgressSource final : public archive::Source {
 public:
  ProgressSource(archive::Source& inner, const LoadRequest& request, std::string layer, std::uint64_t total)
      : inner_(inner), request_(request), layer_(std::move(layer)), total_(total) {}
  Result<std::size_t> read(std::span<char> buffer) override {
    if (request_.stop.stop_requested()) return fail(ErrorKind::cancelled, "the load was cancelled");
    std::size_t count = TRY(inner_.read(buffer));
    done_ += count;
    if (request_.on_progress && (done_ >= due_ || (count == 0 && due_ != 0))) {
      due_ = count == 0 ? 0 : done_ + (1u << 20);
      request_.on_progress({.layer = layer_,
                            .current = static_cast<std::int64_t>(done_),
                            .total = static_cast<std::int64_t>(total_)});
    }
    return count;
  }

 private:
  archive::Source& inner_;
  const LoadRequest& request_;
  std::string layer_;
  std::uint64_t total_;
  std::uint64_t done_ = 0;
  std::uint64_t due_ = 1;
};

// What people see of a layer while it is loaded: the 12 digits of its blob, or of the directory it is in.
std::string display_name(std::string_view name) {
  for (std::string_view part : split(name, '/'))
    if (part.size() >= 64) return std::string(part.substr(0, 12));
  return std::string(name.substr(name.rfind('/') + 1).substr(0, 12));
}

// A link's target as a name in the archive: relative to the directory of the link.
std::optional<std::string> link_target(const archive::TarEntry& entry, std::string_view name) {
  if (entry.type == archive::TarType::hard_link) return clean_entry_name(entry.link_target);
  if (entry.link_target.starts_with('/')) return std::nullopt;
  std::vector<std::string> parts;
  std::size_t slash = name.rfind('/');
  std::string whole =
      slash == std::string_view::npos ? std::string() : std::string(name.substr(0, slash)) + "/";
  whole += entry.link_target;
  for (std::string_view part : split(whole, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") {
      parts.emplace_back(part);
    } else if (parts.empty()) {
      return std::nullopt;
    } else {
      parts.pop_back();
    }
  }
  return parts.empty() ? std::nullopt : std::optional(join(parts, "/"));
}

}  // namespace

std::optional<std::string> clean_entry_name(std::string_view name) {
  if (name.starts_with('/')) return std::nullopt;
  std::vector<std::string> parts;
  for (std::string_view part : split(name, '/')) {
    if (part == "..") return std::nullopt;
    if (!part.empty() && part != ".") parts.emplace_back(part);
  }
  return parts.empty() ? std::nullopt : std::optional(join(parts, "/"));
}

Result<void> Staging::read(archive::Source& source) {
  std::unique_ptr<archive::Source> plain = TRY(archive::decompress(source));
  archive::TarReader reader(*plain);
  archive::TarEntry entry;
  while (TRY(reader.next(entry))) {
    if (request_.stop.stop_requested()) return fail(ErrorKind::cancelled, "the load was cancelled");
    if (entries_.size() + links_.size() >= kEntries)
      return fail(ErrorKind::invalid, "the archive has more than {} entries", kEntries);
    TRY(take(reader, entry));
  }
  // What follows the end of the archive (padding, and the checksum of a compressed stream) is read too.
  return reader.drain();
}

Result<void> Staging::take(archive::TarReader& reader, const archive::TarEntry& entry) {
  if (entry.type == archive::TarType::directory) return {};
  std::optional<std::string> name = clean_entry_name(entry.name);
  if (!name)
    return fail(ErrorKind::invalid, "the archive has an entry with the name \"{}\"",
                entry.name.substr(0, 200));
  if (entry.type == archive::TarType::symbolic_link || entry.type == archive::TarType::hard_link) {
    std::optional<std::string> target = link_target(entry, *name);
    if (!target) return fail(ErrorKind::invalid, "{} in the archive is a link to the outside", *name);
    links_[*name] = std::move(*target);
    return {};
  }
  if (entry.type != archive::TarType::regular)
    return fail(ErrorKind::invalid, "{} in the archive is neither a file, a directory nor a link", *name);
  if (has(*name)) return fail(ErrorKind::invalid, "{} is in the archive twice", *name);
  EntrySource content(reader, entry.size);
  std::string head = TRY(read_head(content));
  bool layer = looks_like_layer(head);
  PrefixedSource whole(std::move(head), content);
  Entry taken = TRY(layer ? add_layer(whole, *name, entry.size) : keep(whole));
  entries_.emplace(*name, std::move(taken));
  return {};
}

Result<Staging::Entry> Staging::keep(archive::Source& content) {
  std::string file = std::to_string(files_++);
  Fd out = TRY(open_file(directory_ + "/" + file, O_WRONLY | O_CREAT | O_EXCL, 0600));
  archive::FdSink sink(out.get());
  archive::DigestSink digest(sink);
  TRY_AS("keep a file of the archive", archive::copy_stream(content, digest, kKeptBytes - kept_));
  kept_ += digest.size();
  return Entry{.digest = digest.digest(), .size = digest.size(), .file = std::move(file)};
}

Result<layers::Layer> Staging::unpack(archive::Source& content, const std::string& name, std::uint64_t size,
                                      std::optional<Digest> expected) {
  ProgressSource progress(content, request_, display_name(name), size);
  std::unique_ptr<archive::Source> plain = TRY(archive::decompress(progress));
  archive::ReadAhead ahead(*plain);
  layers::Layer layer = TRY(layers_.add(ahead, {.expected = std::move(expected), .stop = request_.stop}));
  adding_.added(layer.diff_id);
  return layer;
}

Result<Staging::Entry> Staging::add_layer(archive::Source& content, const std::string& name,
                                          std::uint64_t size) {
  archive::DigestSource digested(content);
  archive::FunctionSink nowhere([](std::string_view) { return Result<void>(); });
  // "blobs/sha256/<diffID>" of a layer that is here already need not be unpacked again.
  Result<Digest> named = Digest::parse("sha256:" + name.substr(name.rfind('/') + 1).substr(0, 64));
  if (named && layers_.has(*named)) {
    TRY(archive::copy_stream(digested, nowhere));
    Entry entry{.digest = digested.finish(), .size = digested.size()};
    if (entry.digest == *named) {
      entry.diff_id = *named;
      adding_.added(*named);
    } else {
      entry.failure = Error{ErrorKind::corrupt, 0, "its digest is " + entry.digest.text()};
    }
    return entry;
  }
  Result<layers::Layer> layer = unpack(digested, name, size, std::nullopt);
  // A failure counts only if an image needs this entry; but a full disk or the end of patience is one now.
  if (!layer && layer.error().kind != ErrorKind::corrupt && layer.error().kind != ErrorKind::invalid)
    return std::unexpected(std::move(layer).error());
  TRY(archive::copy_stream(digested, nowhere));
  Entry entry{.digest = digested.finish(), .size = digested.size()};
  if (layer) {
    entry.diff_id = layer->diff_id;
  } else {
    entry.failure = std::move(layer).error();
  }
  return entry;
}

Result<const Staging::Entry*> Staging::find(std::string_view name) const {
  std::optional<std::string> at = clean_entry_name(name);
  if (!at)
    return fail(ErrorKind::invalid, "the archive refers to a file outside of it: \"{}\"",
                name.substr(0, 200));
  for (int depth = 0; depth < kLinkDepth; ++depth) {
    if (auto entry = entries_.find(*at); entry != entries_.end()) return &entry->second;
    auto link = links_.find(*at);
    if (link == links_.end())
      return fail(ErrorKind::invalid, "the archive refers to {}, which is not in it", name.substr(0, 200));
    at = link->second;
  }
  return fail(ErrorKind::invalid, "{} in the archive is a link to a link to a link", name.substr(0, 200));
}

bool Staging::has(std::string_view name) const { return entries_.contains(name) || links_.contains(name); }

Result<std::string> Staging::document(std::string_view name, std::size_t limit) const {
  const Entry* entry = TRY(find(name));
  if (entry->file.empty())
    return fail(ErrorKind::invalid, "{} in the archive is not a document", name.substr(0, 200));
  if (entry->size > limit)
    return fail(ErrorKind::invalid, "{} in the archive has {} bytes; the limit is {}", name, entry->size,
                limit);
  return read_file(directory_ + "/" + entry->file, limit);
}

Result<void> Staging::verify(std::string_view name, const Digest& digest,
                             std::optional<std::int64_t> size) const {
  const Entry* entry = TRY(find(name));
  if (entry->digest != digest)
    return fail(ErrorKind::corrupt, "{} in the archive has the digest {}, not {}", name, entry->digest.text(),
                digest.text());
  if (size && static_cast<std::uint64_t>(*size) != entry->size)
    return fail(ErrorKind::corrupt, "{} in the archive has {} bytes, not {}", name, entry->size, *size);
  return {};
}

Result<void> Staging::layer(std::string_view name, const Digest& expected,
                            const std::optional<Digest>& blob) {
  if (blob) TRY(verify(name, *blob));
  const Entry* entry = TRY(find(name));
  if (entry->failure) {
    Error failure = *entry->failure;
    return std::unexpected(std::move(failure).within(fmt::format("the layer {}", name)));
  }
  if (!entry->diff_id) {
    Fd file = TRY(open_file(directory_ + "/" + entry->file, O_RDONLY));
    archive::FdSource content(file.get());
    TRY_AS(fmt::format("the layer {}", name), unpack(content, std::string(name), entry->size, expected));
    return {};
  }
  if (*entry->diff_id != expected)
    return fail(ErrorKind::corrupt, "the layer {} has the diffID {}, but the image config says {}", name,
                entry->diff_id->text(), expected.text());
  return {};
}

}  // namespace berth::image
