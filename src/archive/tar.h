// SPDX-License-Identifier: Apache-2.0
// Tar as POSIX.1-2017 (pax, "ustar Interchange Format" and "pax Interchange Format") and GNU tar write it:
// one strict reader for everything that comes in, one writer for everything that goes out. Both stream.
//
// Reader: v7, ustar, pax (path, linkpath, size, uid, gid, mtime, SCHILY.xattr.*), GNU long names, base-256
// numbers, GNU and pax sparse files (expanded). Wrong checksums, negative or overflowing numbers, malformed
// pax records, names with NUL and unknown types are errors (corrupt), never guesses: two readers that
// guess differently are an attack.
//
//   TarReader reader(source);
//   TarEntry entry;
//   while (TRY(reader.next(entry)))
//     for (TarChunk chunk = TRY(reader.read()); !chunk.data.empty(); chunk = TRY(reader.read())) ...
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "archive/stream.h"
#include "base/clock.h"
#include "base/error.h"

namespace berth::archive {

inline constexpr std::size_t kTarBlock = 512;
inline constexpr std::size_t kTarNameLimit = 64u << 10;  // of a name or a link target
inline constexpr std::size_t kTarPaxLimit = 1u << 20;    // of one entry's pax records, xattrs among them

enum class TarType { regular, hard_link, symbolic_link, character_device, block_device, directory, fifo };

struct TarEntry {
  TarType type = TarType::regular;
  std::string name;         // as written: hostile
  std::string link_target;  // of links
  std::uint32_t mode = 0;   // permission bits, setuid, setgid and sticky alone (07777)
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::string user_name;
  std::string group_name;
  std::uint64_t size = 0;  // of a regular file, holes included; 0 for every other type
  Timestamp mtime;
  std::uint32_t device_major = 0;
  std::uint32_t device_minor = 0;
  std::vector<std::pair<std::string, std::string>> xattrs;  // name without "SCHILY.xattr.", value
};

struct TarChunk {
  std::uint64_t offset = 0;  // in the file; a gap before it is a hole
  std::string_view data;     // empty at the end of the file; valid until the next call
};

// Sees the stream's bytes in order as they are consumed, split into the contents of plain regular files and
// everything else (headers, padding, the trailer, what sparse files store).
class TarObserver {
 public:
  virtual ~TarObserver() = default;
  virtual Result<void> framing(std::string_view bytes) = 0;
  virtual Result<void> content(std::string_view bytes) = 0;
};

class TarReader {
 public:
  // Both must outlive the reader.
  explicit TarReader(Source& source, TarObserver* observer = nullptr);
  ~TarReader();

  // The next entry, whatever is left of the one before skipped; false at the end of the archive.
  Result<bool> next(TarEntry& entry);
  // Of the entry that next() returned.
  Result<TarChunk> read();
  // After next() returned false: reads the source to its end (padding of records), for whoever digests it.
  Result<void> drain();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

class TarWriter {
 public:
  explicit TarWriter(Sink& sink, bool subsecond_times = false);

  // The header; entry.size bytes of contents must follow through write().
  Result<void> add(const TarEntry& entry);
  Result<void> write(std::string_view data);
  // The two zero blocks. Does not finish the sink.
  Result<void> finish();

 private:
  Result<void> end_entry();
  Sink& sink_;
  bool subsecond_times_;
  std::uint64_t remaining_ = 0;  // contents of the entry still to come
  std::uint32_t padding_ = 0;    // zeros behind them
};

}  // namespace berth::archive
