// SPDX-License-Identifier: Apache-2.0
// Blobs: distribution-spec, "Pulling blobs" and "Deleting Blobs".
#include "base/log.h"
#include "registryd/service.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kOctets = "application/octet-stream";

std::unexpected<ApiError> unknown_blob(const Digest& digest) {
  return refuse(Code::blob_unknown, "the repository has no such blob", digest.text());
}

// Fetches a blob that is not here into storage, and links it.
ApiResult<std::int64_t> fetch(Service& service, const std::string& repository, const Digest& digest) {
  // By its digest: whoever comes second while the first fetches waits for the same bytes.
  Result<std::unique_ptr<Upload>> begun = service.storage->begin_upload("proxy-" + digest.hex());
  if (!begun && begun.error().kind == ErrorKind::conflict)
    return refuse(Code::too_many_requests, "this blob is being fetched; try again in a moment",
                  digest.text());
  std::unique_ptr<Upload> upload = API_TRY(std::move(begun));
  if (upload->offset() > 0) {  // of a fetch that was cut off: its owner is gone
    API_TRY(upload->abandon());
    upload = API_TRY(service.storage->begin_upload("proxy-" + digest.hex()));
  }
  Result<void> got = service.upstream->blob(repository, digest,
                                            [&](std::string_view bytes) { return upload->write(bytes); });
  if (!got) {
    (void)upload->abandon();
    if (got.error().kind == ErrorKind::not_found) return unknown_blob(digest);
    return std::unexpected(internal_error(got.error()));
  }
  const std::int64_t size = upload->offset();
  Hold hold = API_TRY(upload->commit(digest));
  API_TRY(service.catalog->link(repository, digest, size));
  return size;
}

// The blob's size, if the repository shows it.
ApiResult<std::int64_t> visible_size(Call& call, const Digest& digest) {
  Service& service = call.service;
  std::optional<std::int64_t> linked = API_TRY(service.catalog->linked_size(call.route.repository, digest));
  if (linked) return *linked;
  if (service.upstream) return fetch(service, call.route.repository, digest);
  return unknown_blob(digest);
}

// A blob that is shorter or longer than it was is damaged. Nothing is said for what cannot be seen from here.
ApiResult<Blob> open_whole(Service& service, const Digest& digest, std::int64_t size) {
  Result<Blob> blob = service.storage->open(digest);
  if (!blob && blob.error().kind == ErrorKind::not_found) {
    log_error("registry", "the blob {} is in the catalog and not in the storage; push it again",
              digest.text());
    return unknown_blob(digest);
  }
  Blob opened = API_TRY(std::move(blob));
  if (opened.size != size) {
    log_error("registry", "the blob {} has {} bytes and not {}; push it again", digest.text(), opened.size,
              size);
    API_TRY(service.storage->set_aside(digest));
    return unknown_blob(digest);
  }
  return opened;
}

void send(Call& call, const Blob& blob, const Digest& digest, const std::optional<ByteRange>& range) {
  const auto size = static_cast<std::uint64_t>(blob.size);
  const ByteRange part = range.value_or(ByteRange{0, size});
  http::Headers headers{{"Content-Type", std::string(kOctets)},
                        {"Docker-Content-Digest", digest.text()},
                        {"Accept-Ranges", "bytes"},
                        {"Cache-Control", "max-age=31536000"},
                        {"ETag", "\"" + digest.text() + "\""},
                        {"Content-Length", std::to_string(part.length)}};
  if (range)
    headers.add("Content-Range",
                fmt::format("bytes {}-{}/{}", part.begin, part.begin + part.length - 1, size));
  call.begin(range ? 206 : 200, std::move(headers));
  if (!call.exchange.write_file(blob.file.get(), part.begin, part.length)) return;
  (void)call.exchange.finish();
  if (!call.is("HEAD")) call.service.metrics.sent(part.length);
}

ApiResult<void> get_blob(Call& call, const Digest& digest) {
  const std::int64_t size = API_TRY(visible_size(call, digest));
  if (call.request().headers.get_or("If-None-Match", "") == "\"" + digest.text() + "\"") {
    call.respond(304, {{"Docker-Content-Digest", digest.text()}, {"ETag", "\"" + digest.text() + "\""}});
    return {};
  }
  Blob blob = API_TRY(open_whole(call.service, digest, size));
  if (call.is("HEAD") && API_TRY(call.service.catalog->is_idle_link(call.route.repository, digest)))
    call.service.vouched.add(digest);
  std::optional<ByteRange> range;
  if (auto header = call.request().headers.get("Range"); header && call.is("GET")) {
    auto parsed = parse_range(*header, static_cast<std::uint64_t>(size));
    if (!parsed) {
      call.refuse(parsed.error(), {{"Content-Range", fmt::format("bytes */{}", size)}});
      return {};
    }
    range = *parsed;
  }
  send(call, blob, digest, range);
  if (call.is("GET")) call.notify("pull", digest.text(), kOctets, size);
  return {};
}

ApiResult<void> delete_blob(Call& call, const Digest& digest) {
  if (!API_TRY(call.service.catalog->unlink(call.route.repository, digest))) return unknown_blob(digest);
  call.respond(202, {{"Docker-Content-Digest", digest.text()}});
  call.notify("delete", digest.text(), kOctets, 0);
  return {};
}

}  // namespace

ApiResult<void> serve_blob(Call& call) {
  Result<Digest> digest = Digest::parse(call.route.reference);
  if (!digest) return refuse(Code::digest_invalid, digest.error().message, call.route.reference);
  if (call.is_read()) return get_blob(call, *digest);
  if (call.is("DELETE")) return delete_blob(call, *digest);
  return no_such_method(call);
}

}  // namespace berth::registryd
