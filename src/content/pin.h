// SPDX-License-Identifier: Apache-2.0
// "This blob is about to be referred to": while a Pin of its digest lives, a BlobStore does not remove the
// blob. In memory alone: a process that dies has nothing left to refer with.
#pragma once
#include <memory>
#include <utility>

#include "base/digest.h"

namespace berth::content {

class PinTable;

class Pin {
 public:
  Pin(Pin&& other) noexcept : table_(std::exchange(other.table_, nullptr)), digest_(other.digest_) {}
  Pin& operator=(Pin&& other) noexcept {
    std::swap(table_, other.table_);
    std::swap(digest_, other.digest_);
    return *this;
  }
  ~Pin();
  const Digest& digest() const noexcept { return digest_; }

 private:
  friend class BlobStore;
  friend class Ingest;
  Pin(std::shared_ptr<PinTable> table, const Digest& digest);  // waits while the digest is being removed
  std::shared_ptr<PinTable> table_;
  Digest digest_;
};

}  // namespace berth::content
