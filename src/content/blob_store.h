// SPDX-License-Identifier: Apache-2.0
// Blobs by digest in one directory: what the engine pulled and what the registry serves.
//
//   <directory>/lock                 held by the process that owns the directory
//   <directory>/sha256/<hex>         whole blobs, mode 0600, verified before they got their name
//   <directory>/ingest/<key>.part    partial ones, resumable by key; <n>.put of put(), swept by open()
//   <directory>/damaged/<hex>.<time> blobs that were set aside
//
//   std::unique_ptr<BlobStore> store = TRY(BlobStore::open("/var/lib/berth/blobs"));
//   Ingest ingest = TRY(store->begin_ingest("layer-1"));
//   ... TRY(ingest.write(bytes)) ...            from ingest.offset() on
//   Pin pin = TRY(ingest.commit(digest));       on the disk, named, and not collected while `pin` lives
//   ... record somewhere durable who needs pin.digest() ...
//
// Lifecycle of a blob: absent -> partial (Ingest) -> whole -> absent (remove) or damaged (set_aside). What
// commit() and put() returned success for is still there after a power cut. kill -9 at any moment leaves
// nothing, a partial ingest, or a whole blob.
//
// Garbage and new references cannot race. Who wants to refer to a blob holds a Pin, records the reference,
// and drops the Pin. Who collects asks remove_unless() with a predicate that looks for recorded references: a
// pinned blob is left alone, and whoever asks for a pin meanwhile waits for the verdict on that one digest.
//
// Thread-safe. A store outlives its Pins and Ingests.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "content/ingest.h"
#include "content/pin.h"

namespace berth::content {

struct StoreCore;

struct BlobInfo {
  Digest digest;
  std::int64_t size = 0;   // bytes
  Timestamp committed_at;  // of its (last) commit, by the file system's clock
};

struct IngestInfo {
  std::string key;
  std::int64_t size = 0;  // bytes so far
  Timestamp written_at;
  bool open = false;  // someone holds the Ingest
};

class BlobStore {
 public:
  // Makes what is missing (mode 0700), takes the lock and sweeps what put() left behind. When another process
  // owns the directory for longer than `patience`: ErrorKind::conflict.
  static Result<std::unique_ptr<BlobStore>> open(
      const std::string& directory, std::chrono::milliseconds patience = std::chrono::seconds(5));
  BlobStore(const BlobStore&) = delete;
  BlobStore& operator=(const BlobStore&) = delete;
  ~BlobStore();

  bool has(const Digest& digest) const noexcept;
  Result<std::int64_t> size(const Digest& digest) const;  // bytes; ErrorKind::not_found
  Result<Fd> open_blob(const Digest& digest) const;       // for reading; ErrorKind::not_found
  Result<std::string> read(const Digest& digest, std::size_t limit) const;  // a longer one is an error
  Result<std::vector<BlobInfo>> list() const;                               // sorted by digest
  // Reads it all: ErrorKind::corrupt when the bytes have another digest. Nothing is changed.
  Result<void> verify(const Digest& digest) const;

  // A small document. Success also when it is there already.
  Result<Pin> put(std::string_view bytes);

  // `key` is [A-Za-z0-9._-]{1,128}: one partial file a key. What survived of an earlier ingest of that key is
  // kept: see offset(). While another Ingest of the key lives: ErrorKind::conflict.
  Result<Ingest> begin_ingest(const std::string& key, Hashing hashing = Hashing::while_writing);
  // The same, but only if there is something to resume: otherwise ErrorKind::not_found.
  Result<Ingest> resume_ingest(const std::string& key, Hashing hashing = Hashing::while_writing);
  Result<std::vector<IngestInfo>> ingests() const;
  // Removes partial files that nobody holds and that were last written to so long ago. Returns how many.
  Result<std::size_t> sweep_ingests(std::chrono::seconds age);

  // Keeps remove() away from the digest, whether it is there or not.
  Pin pin(const Digest& digest);
  // A pin of what is there; nothing otherwise.
  std::optional<Pin> pin_if_present(const Digest& digest);

  // True when the blob is gone (or never was), false when it is pinned and stays.
  Result<bool> remove(const Digest& digest);
  // The same, and false when `is_needed` says so. It is asked while pins of this digest wait: it must not pin
  // that digest, nor wait for a thread that may be about to.
  Result<bool> remove_unless(const Digest& digest, const std::function<Result<bool>()>& is_needed);
  // Moves a damaged blob out of sight, pinned or not, so that it can be fetched again. Missing is success.
  Result<void> set_aside(const Digest& digest);

 private:
  explicit BlobStore(std::shared_ptr<StoreCore> core);
  Result<Ingest> open_ingest(const std::string& key, Hashing hashing, bool create);
  std::shared_ptr<StoreCore> core_;
};

}  // namespace berth::content
