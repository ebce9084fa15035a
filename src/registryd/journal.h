// SPDX-License-Identifier: Apache-2.0
// What happened to repositories and tags, line by line: the part of the registry's memory that its blobs do
// not hold. The database is an index over the journal and the blobs, and is made again from them when lost.
//
//   berth-registry-journal 1 <generation>
//   <8 hex digits: checksum> <line>
//
// A change is appended within the database's transaction, so both have one order, and it is acknowledged only
// after sync(): one fdatasync for all who wait at the same time. The database itself need not be synced.
//
// One process appends. A line that was torn by a crash fails its checksum: at the end of the file it is cut
// off, elsewhere it is skipped and counted.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/fd.h"

namespace berth::registryd {

class Journal {
 public:
  // Opens or makes `name` in the directory. `existed` says which.
  static Result<std::unique_ptr<Journal>> open(const std::string& directory, const std::string& name);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::string& generation() const noexcept { return generation_; }
  bool existed() const noexcept { return existed_; }
  std::int64_t end() const;  // bytes

  // Calls `line` for each sound one from byte `from` on, which is 0 or an earlier end(). Returns how many
  // were damaged. A damaged tail is cut off.
  Result<std::size_t> replay(std::int64_t from, const std::function<Result<void>(std::string_view)>& line);

  struct Appended {
    std::int64_t begin = 0, end = 0;  // bytes
    std::uint64_t ticket = 0;         // for sync()
  };
  // Lines with their line feeds, in one write, not synced. Appends, cut_back() and rewrite() come one at a
  // time: under the database's lock.
  Result<Appended> append(std::string_view lines_without_checksums);
  Result<void> cut_back(std::int64_t end);  // after an append whose transaction failed
  std::uint64_t last_ticket() const;
  Result<void> sync(std::uint64_t ticket);  // returns once that append is on the disk

  // Replaces the journal by a new generation with what `write` hands to its argument, line by line.
  Result<void> rewrite(
      const std::function<Result<void>(const std::function<Result<void>(std::string_view)>&)>& write);

 private:
  Journal(std::string directory, std::string name)
      : directory_(std::move(directory)), name_(std::move(name)) {}
  Result<void> create();
  Result<void> read_header();
  std::string path() const { return directory_ + "/" + name_; }

  std::string directory_, name_, generation_;
  bool existed_ = false;
  Fd file_;

  mutable std::mutex mutex_;
  std::condition_variable synced_changed_;
  std::int64_t end_ = 0;
  std::uint64_t appended_ = 0, synced_ = 0;  // tickets
  bool syncing_ = false;
  bool broken_ = false;  // a sync failed: nobody knows what is on the disk
};

}  // namespace berth::registryd
