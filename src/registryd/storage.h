// SPDX-License-Identifier: Apache-2.0
// Where the registry keeps bytes: blobs by digest, and uploads on their way to become one. The one interface
// between the server and what stores for it (a directory today, an object store some day); all that is known
// about blobs beside their bytes is in the Catalog.
//
// Lifecycle: begin_upload() -> write()... -> commit() -> a Hold on the blob, during which the caller records
// who needs it. Dropped uploads stay and can be resumed by key, also by the next process. What commit() and
// put() returned success for survives a power cut. Thread-safe; an Upload is used by one thread at a time.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"

namespace berth::registryd {

// While it lives the blob is not removed. Null: there is no such blob.
using Hold = std::shared_ptr<const void>;

class Upload {
 public:
  virtual ~Upload() = default;
  virtual std::int64_t offset() const = 0;  // bytes that are there
  virtual Result<void> write(std::string_view bytes) = 0;
  // For reading what was written, by its own offset; stays good after commit() and abandon().
  virtual Result<Fd> open_for_reading() const = 0;
  // ErrorKind::corrupt when the bytes have another digest; they are gone then.
  virtual Result<Hold> commit(const Digest& digest) = 0;
  virtual Result<void> abandon() = 0;
};

// An opened blob, which the server copies into the connection (docs/decisions/0016).
struct Blob {
  Fd file;
  std::int64_t size = 0;  // bytes
};

class Storage {
 public:
  virtual ~Storage() = default;

  virtual Result<std::int64_t> size(const Digest& digest) = 0;  // bytes; ErrorKind::not_found
  virtual Result<Blob> open(const Digest& digest) = 0;
  virtual Result<std::string> read(const Digest& digest, std::size_t limit) = 0;
  virtual Result<Hold> put(std::string_view bytes) = 0;  // a small document
  virtual Hold hold(const Digest& digest) = 0;           // null when it is not there
  virtual Result<void> set_aside(const Digest& digest) = 0;

  virtual Result<std::unique_ptr<Upload>> begin_upload(const std::string& key) = 0;
  virtual Result<std::unique_ptr<Upload>> resume_upload(const std::string& key) = 0;  // ErrorKind::not_found
  virtual Result<std::size_t> sweep_uploads(std::chrono::seconds age) = 0;            // how many it removed
  // Those whose keys begin so, and which nobody holds.
  virtual Result<std::size_t> abandon_uploads(std::string_view prefix) = 0;

  struct Entry {
    Digest digest;
    std::int64_t size = 0;
  };
  virtual Result<std::vector<Entry>> list() = 0;
  // True when it is gone; false when it is held, or `is_needed` says so. Holds of this digest wait meanwhile.
  virtual Result<bool> remove_unless(const Digest& digest,
                                     const std::function<Result<bool>()>& is_needed) = 0;
};

// In a directory that this process alone owns until the Storage is gone (ErrorKind::conflict otherwise).
Result<std::unique_ptr<Storage>> open_file_storage(const std::string& directory,
                                                   std::chrono::milliseconds patience);

}  // namespace berth::registryd
