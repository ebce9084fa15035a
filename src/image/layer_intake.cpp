// SPDX-License-Identifier: Apache-2.0
#include "image/layer_intake.h"

#include <algorithm>

#include "archive/compression.h"
#include "base/buffer.h"
#include "image/image_store.h"
#include "image/store_core.h"

namespace berth::image {
namespace {

constexpr std::uint64_t kEntries = 10'000'000;  // of one layer

Result<void> check_blob(archive::DigestSource& digested, const oci::Descriptor& blob) {
  Buffer rest(64u << 10);
  while (TRY(digested.read(rest)) > 0) {
  }
  const Digest actual = digested.finish();
  if (actual != blob.digest || digested.size() != static_cast<std::uint64_t>(blob.size))
    return fail(ErrorKind::corrupt, "other bytes were sent, those of {}", actual.text());
  return {};
}

}  // namespace

Result<void> take_layer(layers::LayerStore& layers, archive::Source& bytes, const oci::Descriptor& blob,
                        const Digest& diff_id, const std::stop_token& stop, bool& right,
                        const InflationLimit& limit) {
  archive::DigestSource digested(bytes);
  std::unique_ptr<archive::Source> plain = TRY(archive::decompress(digested));
  std::uint64_t inside = 0;
  // A layer becomes visible when its tar ends: that is not before the blob has turned out to be the right
  // one.
  archive::FunctionSource verified([&](std::span<char> buffer) -> Result<std::size_t> {
    const std::size_t size = TRY(plain->read(buffer));
    inside += size;
    if (inside > std::max(limit.least, digested.size() * limit.times))
      return fail(ErrorKind::exhausted, "it holds more than {} times the {} bytes that came", limit.times,
                  digested.size());
    if (size == 0 && !right) TRY(check_blob(digested, blob));
    right = right || size == 0;
    return size;
  });
  archive::ReadAhead ahead(verified);
  // Of sparse files, which are larger than their tar.
  const std::uint64_t claimed = std::min(static_cast<std::uint64_t>(blob.size), UINT64_MAX / limit.times);
  layers::AddOptions options{.expected = diff_id,
                             .max_bytes = std::max(limit.least, claimed * limit.times),
                             .max_entries = kEntries,
                             .stop = stop};
  TRY(layers.add(ahead, options));
  return {};
}

// What was verified is worth knowing: a push finds the blob at the registry, if it came from there.
Result<void> ImageStore::fetch_layer(const LayerFetch& fetch) {
  Busy::Turn turn = TRY(core_->downloads.wait_for(fetch.diff_id, fetch.stop));
  if (core_->layers().has(fetch.diff_id)) return {};
  if (!oci::is_layer(fetch.blob.media_type))
    return fail(ErrorKind::unsupported, "{} is no layer but {}", fetch.blob.digest.text(),
                fetch.blob.media_type.substr(0, 200));
  archive::ProducedSource bytes([&](archive::Sink& sink) { return fetch.read(sink, fetch.stop); });
  bool right = false;
  TRY_AS("layer " + fetch.blob.digest.short_hex(),
         take_layer(core_->layers(), bytes, fetch.blob, fetch.diff_id, fetch.stop, right));
  db::Transaction transaction = TRY(core_->database().begin(Durability::visible));
  TRY(insert_blob(transaction, {fetch.diff_id, fetch.blob.digest, fetch.blob.size, fetch.blob.media_type}));
  return transaction.commit();
}

}  // namespace berth::image
