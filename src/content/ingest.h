// SPDX-License-Identifier: Apache-2.0
// A blob on its way in: bytes that are appended to a partial file, and get a name once their digest is known
// to be right. Made by BlobStore::begin_ingest(); used by one thread at a time.
//
// Lifecycle: write()..., then commit() or abandon(). An Ingest that is dropped without either keeps its
// partial file for whoever begins an ingest of the same key, in this process or the next. What was written is
// not synced before commit(): after a power cut a part of it may be lost or wrong, and commit() finds that.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/write_behind.h"
#include "content/pin.h"

namespace berth::content {

enum class Hashing {
  while_writing,  // commit() verifies
  by_caller,      // costs nothing here: the caller hashes and ends with commit_verified()
};

class Ingest {
 public:
  Ingest(Ingest&& other) noexcept;
  Ingest& operator=(Ingest&& other) noexcept;
  ~Ingest();

  const std::string& key() const noexcept;
  std::int64_t offset() const noexcept;  // bytes that are there; write() appends to them

  Result<void> write(std::string_view bytes);
  void set_page_cache(PageCache cache);  // of what is written from now on; kept unless told otherwise
  // Drops what follows `size` bytes; 0 starts over. Not beyond offset().
  Result<void> truncate(std::int64_t size);
  // Of the bytes so far. With Hashing::while_writing, bytes of an earlier life of this ingest are read once.
  Result<Digest> digest();
  // For reading what was written, by its own offset.
  Result<Fd> open_for_reading() const;

  // Verifies, syncs, and gives the blob its name; the Ingest is over then. ErrorKind::corrupt when digest or
  // size are others: the partial file is gone then, as there is no telling which part of it is wrong. Any
  // other error (a full disk) keeps it.
  Result<Pin> commit(const Digest& expected, std::optional<std::int64_t> expected_size = {});
  // The same for a caller who has verified the bytes already.
  Result<Pin> commit_verified(const Digest& digest);

  Result<void> abandon();  // removes the partial file

 private:
  friend class BlobStore;
  struct State;
  explicit Ingest(std::unique_ptr<State> state);
  Result<void> hash_up_to_offset();
  Result<void> require_open() const;
  std::unique_ptr<State> state_;  // null once it is over
};

}  // namespace berth::content
