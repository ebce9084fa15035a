// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <unordered_set>

#include "archive/tar.h"
#include "archive/tar_format.h"
#include "base/text.h"

namespace berth::archive {
namespace {

using namespace tar_format;

constexpr std::size_t kBuffer = 256u << 10;
constexpr std::size_t kSparseMapLimit = 4u << 20;
constexpr std::uint32_t kModeBits = 07777;

template <class... Args>
std::unexpected<Error> corrupt(fmt::format_string<Args...> format, Args&&... arguments) {
  return fail(ErrorKind::corrupt, format, std::forward<Args>(arguments)...);
}

// What extension headers say about the entry that follows them.
struct Extensions {
  std::optional<std::string> gnu_name;
  std::optional<std::string> gnu_link;
  std::optional<PaxRecords> pax;
  bool any() const { return gnu_name || gnu_link || pax; }
};

std::uint64_t padding_of(std::uint64_t size) { return (kTarBlock - size % kTarBlock) % kTarBlock; }

bool all_zero(std::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char byte) { return byte == '\0'; });
}

Result<std::uint64_t> size_in(std::string_view block, Field field) {
  std::optional<std::int64_t> size = number_in(block, field);
  if (!size || *size < 0) return corrupt("the archive has an entry whose size is not a size");
  return static_cast<std::uint64_t>(*size);
}

// 4294967295 is no owner: chown takes it for "leave it as it is", which is root.
Result<std::uint32_t> owner_of(std::optional<std::int64_t> number) {
  if (!number || *number < 0 || *number >= std::numeric_limits<std::uint32_t>::max())
    return corrupt("the archive has an entry whose owner is out of range");
  return static_cast<std::uint32_t>(*number);
}

Result<std::uint32_t> device_in(std::string_view block, Field field) {
  std::optional<std::int64_t> number = number_in(block, field);
  if (!number || *number < 0 || *number > std::numeric_limits<std::uint32_t>::max())
    return corrupt("the archive has a device whose number is out of range");
  return static_cast<std::uint32_t>(*number);
}

Result<TarType> type_of(char flag) {
  switch (flag) {
    case '\0':
    case '0':
    case '7':
    case 'S':
      return TarType::regular;
    case '1':
      return TarType::hard_link;
    case '2':
      return TarType::symbolic_link;
    case '3':
      return TarType::character_device;
    case '4':
      return TarType::block_device;
    case '5':
      return TarType::directory;
    case '6':
      return TarType::fifo;
    default:
      return corrupt("the archive has an entry of an unknown type ({:#04x})",
                     static_cast<unsigned char>(flag));
  }
}

Result<void> apply_header(std::string_view block, TarEntry& entry) {
  const std::string_view magic = block.substr(kMagic.offset, kMagic.size);
  const bool posix = magic.substr(0, 6) == kPosixMagic.substr(0, 6);
  const bool gnu = magic == kGnuMagic;
  entry.name = text_in(block, kName);
  entry.link_target = text_in(block, kLinkName);
  std::optional<std::int64_t> mode = number_in(block, kMode);
  if (!mode || *mode < 0) return corrupt("the archive has an entry whose mode is not a number");
  entry.mode = static_cast<std::uint32_t>(*mode) & kModeBits;
  std::optional<std::int64_t> mtime = number_in(block, kMtime);
  if (!mtime) return corrupt("the archive has an entry whose time is not a number");
  entry.mtime = time_of_seconds(*mtime);
  if (posix || gnu) {
    entry.user_name = text_in(block, kUserName);
    entry.group_name = text_in(block, kGroupName);
    if (entry.type == TarType::character_device || entry.type == TarType::block_device) {
      entry.device_major = TRY(device_in(block, kDeviceMajor));
      entry.device_minor = TRY(device_in(block, kDeviceMinor));
    }
  }
  if (posix) {
    const bool star = block.substr(kStarTrailer.offset, kStarTrailer.size) == std::string_view("tar\0", 4);
    std::string_view prefix = text_in(block, star ? kStarPrefix : kPrefix);
    if (!prefix.empty()) entry.name = std::string(prefix).append("/").append(entry.name);
  }
  return {};
}

// Of those with one name the last counts. A header has room for 40,000: not each is compared with each.
void keep_last(std::vector<std::pair<std::string, std::string>>& xattrs) {
  std::unordered_set<std::string_view> seen;
  std::vector<bool> superseded(xattrs.size());
  for (std::size_t i = xattrs.size(); i-- > 0;) superseded[i] = !seen.insert(xattrs[i].first).second;
  std::vector<std::pair<std::string, std::string>> kept;
  for (std::size_t i = 0; i < xattrs.size(); ++i)
    if (!superseded[i]) kept.push_back(xattrs[i]);
  xattrs = std::move(kept);
}

Result<void> apply_records(const PaxRecords& records, TarEntry& entry, std::optional<std::uint64_t>& stored,
                           std::optional<std::uint32_t>& uid, std::optional<std::uint32_t>& gid) {
  constexpr std::string_view kXattr = "SCHILY.xattr.";
  for (const auto& [key, value] : records) {
    if (key.starts_with(kXattr) && key.size() > kXattr.size()) {
      entry.xattrs.emplace_back(key.substr(kXattr.size()), value);
      continue;
    }
    if (value.empty()) continue;  // means: as in the header
    if (key == "path") {
      entry.name = value;
    } else if (key == "linkpath") {
      entry.link_target = value;
    } else if (key == "size") {
      auto size = parse_integer<std::int64_t>(value);
      if (!size || *size < 0) return corrupt("the archive has an entry whose size is not a size");
      stored = static_cast<std::uint64_t>(*size);
    } else if (key == "uid") {
      uid = TRY(owner_of(parse_integer<std::int64_t>(value)));
    } else if (key == "gid") {
      gid = TRY(owner_of(parse_integer<std::int64_t>(value)));
    } else if (key == "uname") {
      entry.user_name = value;
    } else if (key == "gname") {
      entry.group_name = value;
    } else if (key == "mtime") {
      auto time = parse_pax_time(value);
      if (!time) return corrupt("the archive has an entry whose time is not a number");
      entry.mtime = *time;
    }
  }
  if (entry.xattrs.size() > 1) keep_last(entry.xattrs);
  return {};
}

Result<void> check_name(std::string_view name, bool required) {
  if (required && name.empty()) return corrupt("the archive has an entry without a name");
  if (name.size() > kTarNameLimit)
    return corrupt("the archive has a name of more than {} bytes", kTarNameLimit);
  if (name.find('\0') != std::string_view::npos) return corrupt("the archive has a name with a NUL byte");
  return {};
}

}  // namespace

struct TarReader::State {
  State(Source& from, TarObserver* sees) : source(from), observer(sees) {}

  Source& source;
  TarObserver* observer;
  std::vector<char> buffer = std::vector<char>(kBuffer);
  std::size_t at = 0;
  std::size_t end = 0;
  bool source_ended = false;
  bool archive_ended = false;

  // Of the entry under way.
  std::uint64_t stored = 0;   // bytes in the archive still to come
  std::uint64_t padding = 0;  // behind them
  bool plain = false;         // stored bytes are the file's, one to one
  std::uint64_t offset = 0;   // of a plain file
  SparseFile sparse;
  std::size_t fragment = 0;
  std::uint64_t in_fragment = 0;

  Result<bool> fill() {
    if (source_ended) return false;
    if (at > 0) {
      std::memmove(buffer.data(), buffer.data() + at, end - at);
      end -= at;
      at = 0;
    }
    const std::size_t size = TRY(source.read(std::span<char>(buffer).subspan(end)));
    if (size == 0) source_ended = true;
    end += size;
    return size != 0;
  }

  std::string_view ready() const { return {buffer.data() + at, end - at}; }

  Result<void> consume(std::size_t size, bool content) {
    std::string_view bytes(buffer.data() + at, size);
    if (observer && size > 0) TRY(content ? observer->content(bytes) : observer->framing(bytes));
    at += size;
    return {};
  }

  // One block; nullopt at the end of the source. The view is valid until the next fill.
  Result<std::optional<std::string_view>> peek_block() {
    while (ready().size() < kTarBlock)
      if (!TRY(fill())) {
        if (ready().empty()) return std::nullopt;
        return corrupt("the archive ends in the middle of a header");
      }
    return ready().substr(0, kTarBlock);
  }

  // Up to `size` bytes, at least one.
  Result<std::string_view> peek_some(std::uint64_t size) {
    if (at == end) {
      at = end = 0;
      if (!TRY(fill())) return corrupt("the archive ends in the middle of a file");
    }
    return ready().substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(size, end - at)));
  }

  Result<void> skip(std::uint64_t size, bool content) {
    while (size > 0) {
      const std::size_t part = TRY(peek_some(size)).size();
      TRY(consume(part, content));
      size -= part;
    }
    return {};
  }

  // The body of an extension header.
  Result<std::string> take_text(std::uint64_t size, std::size_t limit) {
    if (size > limit) return corrupt("the archive has an extension header of {} bytes", size);
    std::string text;
    while (text.size() < size) {
      std::string_view part = TRY(peek_some(size - text.size()));
      text.append(part);
      TRY(consume(part.size(), false));
    }
    TRY(skip(padding_of(size), false));
    return text;
  }

  Result<std::string> take_long_name(std::uint64_t size) {
    std::string name = TRY(take_text(size, kTarNameLimit + 1));
    name.resize(std::min(name.size(), name.find('\0')));
    return name;
  }

  Result<void> end_entry() {
    TRY(skip(std::exchange(stored, 0), plain));
    TRY(skip(std::exchange(padding, 0), false));
    return {};
  }

  Result<bool> next(TarEntry& entry) {
    if (archive_ended) return false;
    TRY(end_entry());
    Extensions extensions;
    for (;;) {
      std::optional<std::string_view> peeked = TRY(peek_block());
      if (!peeked || all_zero(*peeked)) {
        if (extensions.any()) return corrupt("the archive ends behind an extension header");
        if (peeked) TRY(take_trailer());
        archive_ended = true;
        return false;
      }
      if (!checksum_matches(*peeked))
        return corrupt("the archive has a damaged header: its checksum is wrong");
      char block[kTarBlock];
      std::memcpy(block, peeked->data(), kTarBlock);
      TRY(consume(kTarBlock, false));
      std::string_view header(block, kTarBlock);
      if (!TRY(take_extension(header, extensions))) {
        TRY(begin_entry(header, extensions, entry));
        return true;
      }
    }
  }

  Result<void> take_trailer() {
    TRY(consume(kTarBlock, false));
    std::optional<std::string_view> second = TRY(peek_block());
    if (!second) return {};
    if (!all_zero(*second)) return corrupt("the archive goes on behind its end");
    return consume(kTarBlock, false);
  }

  // True when the header was one that speaks about the next entry.
  Result<bool> take_extension(std::string_view header, Extensions& extensions) {
    const char flag = header[kType];
    if (flag != 'x' && flag != 'g' && flag != 'L' && flag != 'K' && flag != 'V') return false;
    const std::uint64_t size = TRY(size_in(header, kSize));
    switch (flag) {
      case 'x': {
        if (extensions.pax) return corrupt("the archive has two pax headers for one entry");
        std::string text = TRY(take_text(size, kTarPaxLimit));
        extensions.pax = TRY(parse_pax(text));
        break;
      }
      case 'g': {
        // Comments and defaults that nobody relies on. What would move the boundaries between entries or
        // rename them all is refused rather than read differently from others.
        std::string text = TRY(take_text(size, kTarPaxLimit));
        for (const auto& [key, value] : TRY(parse_pax(text)))
          if (key == "size" || key == "path" || key == "linkpath" || key.starts_with("GNU.sparse."))
            return corrupt("the archive has a global pax header with '{}', which makes no sense", key);
        break;
      }
      case 'L':
        if (extensions.gnu_name) return corrupt("the archive has two long names for one entry");
        extensions.gnu_name = TRY(take_long_name(size));
        break;
      case 'K':
        if (extensions.gnu_link) return corrupt("the archive has two long link targets for one entry");
        extensions.gnu_link = TRY(take_long_name(size));
        break;
      default:  // 'V', GNU's name of the volume
        TRY(skip(size, false));
        TRY(skip(padding_of(size), false));
        break;
    }
    return true;
  }

  Result<void> begin_entry(std::string_view header, const Extensions& extensions, TarEntry& entry) {
    entry = TarEntry{};
    entry.type = TRY(type_of(header[kType]));
    TRY(apply_header(header, entry));
    std::optional<std::uint64_t> pax_size;
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
    if (extensions.pax) TRY(apply_records(*extensions.pax, entry, pax_size, uid, gid));
    // Fields that a pax record replaces may hold anything.
    entry.uid = uid ? *uid : TRY(owner_of(number_in(header, kUid)));
    entry.gid = gid ? *gid : TRY(owner_of(number_in(header, kGid)));
    if (extensions.gnu_name) entry.name = *extensions.gnu_name;
    if (extensions.gnu_link) entry.link_target = *extensions.gnu_link;

    stored = 0;
    if (entry.type == TarType::regular) stored = pax_size ? *pax_size : TRY(size_in(header, kSize));
    padding = padding_of(stored);
    entry.size = stored;
    offset = 0;
    plain = true;
    TRY(begin_sparse(header, extensions, entry));

    // Before ustar had directories, a slash at the end made one.
    if (header[kType] == '\0' && entry.name.ends_with('/')) {
      if (stored > 0) return corrupt("the archive has a directory with contents");
      entry.type = TarType::directory;
    }
    const bool link = entry.type == TarType::hard_link || entry.type == TarType::symbolic_link;
    if (!link) entry.link_target.clear();
    TRY(check_name(entry.name, true));
    return check_name(entry.link_target, link);
  }

  Result<void> begin_sparse(std::string_view header, const Extensions& extensions, TarEntry& entry) {
    sparse = {};
    fragment = 0;
    in_fragment = 0;
    if (entry.type != TarType::regular) return {};
    if (header[kType] == 'S') {
      TRY(take_gnu_map(header));
    } else if (extensions.pax && is_sparse_1_0(*extensions.pax)) {
      TRY(take_map_lines(*extensions.pax));
    } else if (extensions.pax) {
      std::optional<SparseFile> file = TRY(sparse_in_records(*extensions.pax));
      if (!file) return {};
      sparse = *std::move(file);
    } else {
      return {};
    }
    plain = false;
    TRY(check_sparse(sparse, stored));
    entry.size = sparse.real_size;
    if (extensions.pax)
      if (std::optional<std::string> name = sparse_name(*extensions.pax)) entry.name = *std::move(name);
    return {};
  }

  Result<void> take_gnu_map(std::string_view header) {
    sparse.real_size = TRY(size_in(header, kGnuRealSize));
    TRY(append_gnu_entries(header, kGnuSparse, kGnuSparseEntries, sparse.fragments));
    bool more = header[kGnuIsExtended] != '\0';
    while (more) {
      std::optional<std::string_view> block = TRY(peek_block());
      if (!block) return corrupt("the archive ends in the middle of a sparse file's map");
      const std::size_t before = sparse.fragments.size();
      TRY(append_gnu_entries(*block, 0, kGnuExtensionEntries, sparse.fragments));
      more = (*block)[kGnuExtensionIsExtended] != '\0';
      if (more && sparse.fragments.size() == before)
        return corrupt("the archive has a sparse map without an end");
      TRY(consume(kTarBlock, false));
    }
    return {};
  }

  Result<void> take_map_lines(const PaxRecords& records) {
    std::optional<std::uint64_t> real_size = sparse_real_size(records);
    if (!real_size) return corrupt("the archive has a sparse file without a size");
    sparse.real_size = *real_size;
    std::string text;
    std::uint64_t lines = 0;
    for (;;) {
      if (text.size() >= kSparseMapLimit || stored < kTarBlock)
        return corrupt("the archive has a sparse file without a map");
      std::optional<std::string_view> block = TRY(peek_block());
      if (!block) return corrupt("the archive ends in the middle of a sparse file's map");
      text.append(*block);
      lines += static_cast<std::uint64_t>(std::count(block->begin(), block->end(), '\n'));
      TRY(consume(kTarBlock, false));
      stored -= kTarBlock;
      // The first line says how many pairs of lines follow; parsed once they are all there.
      auto pairs = parse_integer<std::uint64_t>(std::string_view(text).substr(0, text.find('\n')));
      if (!pairs || *pairs > kFragmentLimit) return corrupt("the archive has a sparse file without a map");
      if (lines < 1 + 2 * *pairs) continue;
      auto fragments = TRY(parse_sparse_lines(text));
      if (!fragments) return corrupt("the archive has a sparse file without a map");
      sparse.fragments = *std::move(fragments);
      return {};
    }
  }

  Result<TarChunk> read() {
    if (stored == 0) return TarChunk{};
    if (plain) {
      std::string_view data = TRY(take_content(stored));
      TarChunk chunk{offset, data};
      offset += data.size();
      return chunk;
    }
    while (fragment < sparse.fragments.size() && in_fragment == sparse.fragments[fragment].size) {
      ++fragment;
      in_fragment = 0;
    }
    if (fragment == sparse.fragments.size())
      return corrupt("the archive has a sparse file that does not add up");
    const Fragment& place = sparse.fragments[fragment];
    std::string_view data = TRY(take_content(std::min(stored, place.size - in_fragment)));
    TarChunk chunk{place.offset + in_fragment, data};
    in_fragment += data.size();
    return chunk;
  }

  Result<std::string_view> take_content(std::uint64_t limit) {
    std::string_view data = TRY(peek_some(limit));
    TRY(consume(data.size(), plain));
    stored -= data.size();
    return data;
  }

  Result<void> drain() {
    for (;;) {
      if (at == end) {
        at = end = 0;
        if (!TRY(fill())) return {};
      }
      TRY(consume(end - at, false));
    }
  }
};

TarReader::TarReader(Source& source, TarObserver* observer)
    : state_(std::make_unique<State>(source, observer)) {}
TarReader::~TarReader() = default;

Result<bool> TarReader::next(TarEntry& entry) { return state_->next(entry); }
Result<TarChunk> TarReader::read() { return state_->read(); }
Result<void> TarReader::drain() { return state_->drain(); }

}  // namespace berth::archive
