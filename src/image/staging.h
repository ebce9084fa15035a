// SPDX-License-Identifier: Apache-2.0
// An image archive that is being read. Its entries come in any order, and which are layers is only known from
// documents that may come last. So what looks like a layer goes straight into the LayerStore (one pass over
// the stream, nothing written twice), everything else into numbered files. Names in the archive are keys of a
// map and never become paths.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "archive/stream.h"
#include "archive/tar.h"
#include "base/digest.h"
#include "base/error.h"
#include "base/fd.h"
#include "image/image.h"
#include "image/image_store.h"
#include "layers/layer_store.h"

namespace berth::image {

class Staging {
 public:
  // `directory` is empty and belongs to this object. Layers are announced to `adding`.
  Staging(std::string directory, layers::LayerStore& layers, ImageStore::Adding& adding,
          const LoadRequest& request)
      : directory_(std::move(directory)), layers_(layers), adding_(adding), request_(request) {}

  // Reads the whole archive, compressed or not.
  Result<void> read(archive::Source& source);

  bool has(std::string_view name) const;
  // A document of at most `limit` bytes.
  Result<std::string> document(std::string_view name, std::size_t limit) const;
  // The layer with that name as a tar, compressed or not. `expected` is the diffID that it must have, `blob`
  // what the digest of the bytes in the archive must be.
  Result<void> layer(std::string_view name, const Digest& expected, const std::optional<Digest>& blob);
  // That the entry's bytes have this digest, and this size where one is given.
  Result<void> verify(std::string_view name, const Digest& digest,
                      std::optional<std::int64_t> size = {}) const;

 private:
  struct Entry {
    Digest digest;  // of its bytes in the archive
    std::uint64_t size = 0;
    std::string file = {};               // in the directory, where it was kept
    std::optional<Digest> diff_id = {};  // where it was added as a layer
    std::optional<Error> failure = {};   // where it looked like a layer and was none
  };

  Result<void> take(archive::TarReader& reader, const archive::TarEntry& entry);
  Result<Entry> keep(archive::Source& content);
  Result<Entry> add_layer(archive::Source& content, const std::string& name, std::uint64_t size);
  Result<layers::Layer> unpack(archive::Source& content, const std::string& name, std::uint64_t size,
                               std::optional<Digest> expected);
  Result<const Entry*> find(std::string_view name) const;  // links followed

  std::string directory_;
  layers::LayerStore& layers_;
  ImageStore::Adding& adding_;
  const LoadRequest& request_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::map<std::string, std::string, std::less<>> links_;
  std::uint64_t files_ = 0;
  std::uint64_t kept_ = 0;  // bytes in them
};

// "a/./b", "./a/b" -> "a/b"; absolute, "..", empty: nothing.
std::optional<std::string> clean_entry_name(std::string_view name);

}  // namespace berth::image
