// SPDX-License-Identifier: Apache-2.0
// Digests of files' contents and extended attributes, remembered by what the kernel says about the file:
// device, inode, size, and the times of its last change. An unchanged file is not read again. Thread-safe.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/digest.h"
#include "base/error.h"
#include "sys/act_as.h"

namespace berth::build {

// What a file comes to: its bytes and its extended attributes.
using Xattrs = std::vector<std::pair<std::string, std::string>>;
Digest file_digest(const Digest& content, const Xattrs& xattrs);

// Of the regular file `name` in `directory`; no link is followed. `standing` is told its status if it was the
// same before and after. One that grows while it is read, or is not there any more, is ErrorKind::cancelled.
Result<Digest> digest_file(int directory, const std::string& name, std::optional<struct stat>* standing,
                           const std::stop_token& stop);

// Stands for a user with all of his groups; 0 is the engine itself.
using ReaderMark = std::uint64_t;
ReaderMark mark_of(const std::optional<sys::UserIdentity>& reader);

class FileDigests {
 public:
  // Of the regular file `name` in `directory`, whose status the caller has just read; no link is followed.
  // What one reader could read says nothing about another, so each has what is remembered of its own.
  Result<Digest> of(int directory, const std::string& name, const struct stat& status, ReaderMark reader,
                    const std::stop_token& stop);

  std::size_t remembered() const;
  // What is remembered has turned out not to be so: a file can be written to without a change of its times,
  // through a mapping that was made before.
  void forget();

 private:
  struct Key {
    Key(const struct stat& status, ReaderMark reader) noexcept;
    std::uint64_t device = 0, inode = 0, size = 0;
    std::int64_t modified = 0, changed = 0;  // nanoseconds
    ReaderMark reader = 0;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& key) const noexcept;
  };
  void remember(const Key& key, const Digest& digest);

  mutable std::mutex mutex_;
  std::unordered_map<Key, Digest, Hash> known_;
};

}  // namespace berth::build
