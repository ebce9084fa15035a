// SPDX-License-Identifier: Apache-2.0
// Uploads: distribution-spec, "Pushing blobs": monolithic, in chunks, and mounted from another repository.
#include "base/buffer.h"
#include "base/log.h"
#include "registryd/names.h"
#include "registryd/service.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kReadSize = 128u << 10;
constexpr std::int64_t kBlobLimit = std::int64_t{1} << 40;  // bytes

ApiResult<Digest> digest_parameter(const Call& call) {
  auto text = call.request().query.get("digest");
  if (!text) return refuse(Code::digest_invalid, "the digest is missing: give it as ?digest=sha256:...");
  Result<Digest> digest = Digest::parse(*text);
  if (!digest) return refuse(Code::digest_invalid, digest.error().message, std::string(*text));
  return *digest;
}

http::Headers upload_headers(const Call& call, const UploadTable::Use& use) {
  const std::int64_t offset = use.upload().offset();
  return {{"Location", call.location("blobs/uploads/" + use.id())},
          {"Docker-Upload-UUID", use.id()},
          {"Range", fmt::format("0-{}", offset > 0 ? offset - 1 : 0)}};
}

// The body's bytes, to the end of the upload. What was taken stays when the client breaks off.
ApiResult<std::int64_t> append_body(Call& call, Upload& upload) {
  Buffer buffer(kReadSize);
  std::int64_t taken = 0;
  for (;;) {
    Result<std::size_t> got = call.exchange.read_body(buffer);
    if (!got) return refuse(Code::blob_upload_invalid, "the body broke off: " + got.error().message);
    if (*got == 0) return taken;
    if (upload.offset() + static_cast<std::int64_t>(*got) > kBlobLimit)
      return refuse(Code::size_invalid, fmt::format("a blob may have at most {} bytes", kBlobLimit));
    API_TRY(upload.write({buffer.data(), *got}));
    taken += static_cast<std::int64_t>(*got);
    call.service.metrics.received(*got);
  }
}

void respond_created(Call& call, const Digest& digest) {
  call.respond(
      201, {{"Location", call.location("blobs/" + digest.text())}, {"Docker-Content-Digest", digest.text()}});
}

ApiResult<void> finish(Call& call, UploadTable::Use& use, const Digest& digest) {
  const std::int64_t size = use.upload().offset();
  Result<Hold> committed = use.upload().commit(digest);
  if (!committed && committed.error().kind == ErrorKind::corrupt) {
    use.over();
    return refuse(Code::digest_invalid, "what was uploaded has another digest than was said", digest.text());
  }
  Hold hold = API_TRY(std::move(committed));
  use.over();
  API_TRY(call.service.catalog->link(call.route.repository, digest, size));
  respond_created(call, digest);
  call.notify("push", digest.text(), "application/octet-stream", size);
  return {};
}

// True when the blob is in the repository now.
ApiResult<bool> mount(Call& call, const Digest& digest) {
  auto from = call.request().query.get("from");
  if (!from || !call.may_mount || !valid_repository(*from)) return false;
  Catalog& catalog = *call.service.catalog;
  const std::optional<std::int64_t> size = API_TRY(catalog.linked_size(*from, digest));
  if (!size) return false;
  Hold hold = call.service.storage->hold(digest);
  if (!hold) return false;
  API_TRY(catalog.link(call.route.repository, digest, *size));
  respond_created(call, digest);
  call.notify("mount", digest.text(), "application/octet-stream", *size, {}, *from);
  return true;
}

// A wrong start is answered with how far the upload is: the client goes on from there.
bool answered_wrong_start(Call& call, const UploadTable::Use& use, const std::optional<ChunkRange>& range) {
  if (!range || range->first == static_cast<std::uint64_t>(use.upload().offset())) return false;
  call.refuse({Code::range_invalid, fmt::format("the upload is at byte {}, and the chunk starts at {}",
                                                use.upload().offset(), range->first)},
              upload_headers(call, use));
  return true;
}

// The header's range, if there is one; it must be as long as the body says it is.
ApiResult<std::optional<ChunkRange>> chunk_range(const Call& call) {
  auto header = call.request().headers.get("Content-Range");
  if (!header) return std::nullopt;
  std::optional<ChunkRange> range = parse_chunk_range(*header);
  if (!range)
    return refuse(Code::blob_upload_invalid, "Content-Range is not \"<first>-<last>\"", std::string(*header));
  auto length = call.request().headers.get("Content-Length");
  if (length && *length != std::to_string(range->last - range->first + 1))
    return refuse(Code::size_invalid,
                  fmt::format("Content-Range {} is not of Content-Length {} bytes", *header, *length));
  return range;
}

ApiResult<void> check_taken(const std::optional<ChunkRange>& range, std::int64_t taken) {
  if (range && static_cast<std::uint64_t>(taken) != range->last - range->first + 1)
    return refuse(Code::size_invalid,
                  fmt::format("the chunk had {} bytes and not {}", taken, range->last - range->first + 1));
  return {};
}

ApiResult<void> patch_upload(Call& call, UploadTable::Use& use) {
  const std::optional<ChunkRange> range = API_TRY(chunk_range(call));
  if (answered_wrong_start(call, use, range)) return {};
  const std::int64_t taken = API_TRY(append_body(call, use.upload()));
  API_TRY(check_taken(range, taken));
  call.respond(202, upload_headers(call, use));
  return {};
}

ApiResult<void> put_upload(Call& call, UploadTable::Use& use) {
  const Digest digest = API_TRY(digest_parameter(call));
  const std::optional<ChunkRange> range = API_TRY(chunk_range(call));
  if (answered_wrong_start(call, use, range)) return {};
  const std::int64_t taken = API_TRY(append_body(call, use.upload()));
  API_TRY(check_taken(range, taken));
  return finish(call, use, digest);
}

}  // namespace

ApiResult<void> serve_uploads(Call& call) {
  if (!call.is("POST")) return no_such_method(call);
  const http::Query& query = call.request().query;
  if (auto mounted = query.get("mount")) {
    Result<Digest> digest = Digest::parse(*mounted);
    if (!digest) return refuse(Code::digest_invalid, digest.error().message, std::string(*mounted));
    if (API_TRY(mount(call, *digest))) return {};
  }
  std::optional<Digest> monolithic;
  if (query.has("digest")) monolithic = API_TRY(digest_parameter(call));
  UploadTable::Use use = API_TRY(call.service.uploads->begin(call.route.repository, call.client()));
  if (!monolithic) {
    call.respond(202, upload_headers(call, use));
    return {};
  }
  ApiResult<std::int64_t> taken = append_body(call, use.upload());
  if (!taken) {  // nobody knows its id: it could not be resumed
    (void)use.upload().abandon();
    use.over();
    return std::unexpected(std::move(taken).error());
  }
  return finish(call, use, *monolithic);
}

ApiResult<void> serve_upload(Call& call) {
  if (!call.is_read() && !call.is("PATCH") && !call.is("PUT") && !call.is("DELETE"))
    return no_such_method(call);
  UploadTable::Use use =
      API_TRY(call.service.uploads->find(call.route.repository, call.route.reference, call.client()));
  if (call.is("PATCH")) return patch_upload(call, use);
  if (call.is("PUT")) return put_upload(call, use);
  if (call.is_read()) {
    call.respond(204, upload_headers(call, use));
    return {};
  }
  API_TRY(use.upload().abandon());
  use.over();
  call.respond(204, {});
  return {};
}

}  // namespace berth::registryd
