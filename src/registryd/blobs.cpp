// SPDX-License-Identifier: Apache-2.0
// Blobs: distribution-spec, "Pulling blobs" and "Deleting Blobs".
#include <algorithm>
#include <limits>

#include "base/buffer.h"
#include "base/log.h"
#include "http/client_watch.h"
#include "registryd/service.h"

namespace berth::registryd {
namespace {

constexpr std::string_view kOctets = "application/octet-stream";
constexpr std::chrono::milliseconds kSlice(200);  // between two looks at whether the client is still there
constexpr std::size_t kReadSize = 64u << 10;

std::unexpected<ApiError> unknown_blob(const Digest& digest) {
  return refuse(Code::blob_unknown, "the repository has no such blob", digest.text());
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

// Bytes on their way from an upstream may turn out to be others: nobody is to keep those.
enum class Bytes { verified, to_be_verified };

http::Headers headers_of(const Digest& digest, Bytes bytes) {
  return {{"Content-Type", std::string(kOctets)},
          {"Docker-Content-Digest", digest.text()},
          {"Accept-Ranges", "bytes"},
          {"Cache-Control", bytes == Bytes::verified ? "max-age=31536000" : "no-store"},
          {"ETag", "\"" + digest.text() + "\""}};
}

void begin(Call& call, const Digest& digest, Bytes bytes, std::uint64_t size,
           const std::optional<ByteRange>& range) {
  http::Headers headers = headers_of(digest, bytes);
  headers.add("Content-Length", std::to_string(range ? range->length : size));
  if (range)
    headers.add("Content-Range",
                fmt::format("bytes {}-{}/{}", range->begin, range->begin + range->length - 1, size));
  call.begin(range ? 206 : 200, std::move(headers));
}

void send(Call& call, const Blob& blob, const Digest& digest, const std::optional<ByteRange>& range) {
  const auto size = static_cast<std::uint64_t>(blob.size);
  const ByteRange part = range.value_or(ByteRange{0, size});
  begin(call, digest, Bytes::verified, size, range);
  if (!call.exchange.write_file(blob.file.get(), part.begin, part.length)) return;
  (void)call.exchange.finish();
  if (!call.is("HEAD")) call.service.metrics.sent(part.length);
}

// The part that is asked for; nothing: all of it. False: there is no such part, and that was answered.
bool read_range(Call& call, std::int64_t size, std::optional<ByteRange>& range) {
  auto header = call.request().headers.get("Range");
  if (!header || !call.is("GET")) return true;
  auto parsed = parse_range(*header, static_cast<std::uint64_t>(size));
  if (!parsed) {
    call.refuse(parsed.error(), {{"Content-Range", fmt::format("bytes */{}", size)}});
    return false;
  }
  range = *parsed;
  return true;
}

bool has_it_already(const Call& call, const Digest& digest) {
  return call.request().headers.get_or("If-None-Match", "") == "\"" + digest.text() + "\"";
}

bool answered_unchanged(Call& call, const Digest& digest) {
  if (!has_it_already(call, digest)) return false;
  call.respond(304, {{"Docker-Content-Digest", digest.text()}, {"ETag", "\"" + digest.text() + "\""}});
  return true;
}

ApiResult<void> get_stored(Call& call, const Digest& digest, std::int64_t size) {
  if (answered_unchanged(call, digest)) return {};
  Blob blob = API_TRY(open_whole(call.service, digest, size));
  if (call.is("HEAD") && API_TRY(call.service.catalog->is_idle_link(call.route.repository, digest)))
    call.service.vouched.add(digest);
  std::optional<ByteRange> range;
  if (!read_range(call, size, range)) return {};
  send(call, blob, digest, range);
  if (call.is("GET")) call.notify("pull", digest.text(), kOctets, size);
  return {};
}

// ---- a cache's blobs, while they come

// Until `enough` says so, the fetch has ended, or the client is gone: false then.
template <class Enough>
bool wait_until(Call& call, const Fetch& fetch, Fetch::Progress& seen, const Enough& enough) {
  while (!seen.ended && !enough(seen)) {
    if (call.exchange.hung_up()) return false;
    seen = fetch.wait_for_more(seen, kSlice);
  }
  return true;
}

// From `at` to `end`, or to the blob's own; returns what was sent, nothing when the answer breaks off. The
// last byte, which makes the answer whole, waits until the blob is known to be right.
std::optional<std::uint64_t> pass_on(Call& call, const Fetch& fetch, Fetch::Progress seen, std::int64_t at,
                                     std::int64_t end) {
  const std::int64_t from = at;
  Buffer buffer(kReadSize);
  const auto sendable = [&](const Fetch::Progress& now) {
    return std::min(now.ended ? end : end - 1, now.ready);
  };
  while (at < end) {
    if (!wait_until(call, fetch, seen, [&](const Fetch::Progress& now) { return sendable(now) > at; }))
      return std::nullopt;
    if (seen.failure) return std::nullopt;
    if (at >= seen.ready) break;  // the end of one whose size was not told
    const auto wanted = std::min(static_cast<std::int64_t>(buffer.size()), sendable(seen) - at);
    Result<std::size_t> got = fetch.read(at, {buffer.data(), static_cast<std::size_t>(wanted)});
    if (!got || !call.exchange.write({buffer.data(), *got})) return std::nullopt;
    at += static_cast<std::int64_t>(*got);
  }
  if (!call.exchange.finish()) return std::nullopt;
  return static_cast<std::uint64_t>(at - from);
}

// For who wants to know whether there is such a blob, or has it: that needs none of its bytes.
ApiResult<void> describe_unfetched(Call& call, const Digest& digest) {
  Service& service = call.service;
  std::optional<std::uint64_t> size;
  const std::shared_ptr<const Fetch> fetch = service.fetches->find(call.route.repository, digest);
  if (const std::optional<std::int64_t> told = fetch ? fetch->progress().size : std::nullopt) {
    size = static_cast<std::uint64_t>(*told);
  } else {
    const http::ClientWatch client = API_TRY(http::ClientWatch::begin(call.exchange));
    Result<std::optional<std::uint64_t>> asked =
        service.upstream->blob_size(call.route.repository, digest, client.gone());
    if (!asked && asked.error().kind == ErrorKind::not_found) return unknown_blob(digest);
    size = API_TRY(std::move(asked));
  }
  if (answered_unchanged(call, digest)) return {};
  if (size)
    begin(call, digest, Bytes::to_be_verified, *size, std::nullopt);
  else
    call.begin(200, headers_of(digest, Bytes::to_be_verified));
  (void)call.exchange.finish();
  return {};
}

ApiResult<void> get_fetched(Call& call, const Digest& digest, const Fetch& fetch) {
  Fetch::Progress seen = fetch.progress();
  // There is no byte to hold back of one that is said to have none.
  if (!wait_until(call, fetch, seen, [](const Fetch::Progress& now) { return now.begun && now.size != 0; }))
    return refuse(Code::unavailable, "the client did not wait", digest.text());
  if (seen.failure && seen.failure->kind == ErrorKind::not_found) return unknown_blob(digest);
  if (seen.failure) return std::unexpected(internal_error(*seen.failure));
  const Bytes bytes = seen.ended ? Bytes::verified : Bytes::to_be_verified;
  std::optional<ByteRange> range;
  if (seen.size && !read_range(call, *seen.size, range)) return {};
  if (seen.size)
    begin(call, digest, bytes, static_cast<std::uint64_t>(*seen.size), range);
  else
    call.begin(200, headers_of(digest, bytes));
  const auto at = range ? static_cast<std::int64_t>(range->begin) : 0;
  const auto end = range       ? at + static_cast<std::int64_t>(range->length)
                   : seen.size ? *seen.size
                               : std::numeric_limits<std::int64_t>::max();
  const std::optional<std::uint64_t> sent = pass_on(call, fetch, seen, at, end);
  if (!sent) return {};  // cut, since the answer was not finished
  call.service.metrics.sent(*sent);
  call.notify("pull", digest.text(), kOctets, seen.size.value_or(static_cast<std::int64_t>(*sent)));
  return {};
}

ApiResult<void> get_blob(Call& call, const Digest& digest) {
  Service& service = call.service;
  for (;;) {
    std::optional<std::int64_t> linked = API_TRY(service.catalog->linked_size(call.route.repository, digest));
    if (linked) return get_stored(call, digest, *linked);
    if (!service.fetches) return unknown_blob(digest);
    if (call.is("HEAD") || has_it_already(call, digest)) return describe_unfetched(call, digest);
    Result<std::shared_ptr<const Fetch>> fetch = service.fetches->join(call.route.repository, digest);
    if (!fetch && fetch.error().kind == ErrorKind::exhausted)
      return refuse(Code::too_many_requests, fetch.error().message + "; try again in a moment",
                    digest.text());
    const std::shared_ptr<const Fetch> joined = API_TRY(std::move(fetch));
    if (joined) return get_fetched(call, digest, *joined);
  }
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
