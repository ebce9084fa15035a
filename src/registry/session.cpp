// SPDX-License-Identifier: Apache-2.0
#include "registry/session.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <random>
#include <thread>
#include <variant>

#include "base/buffer.h"
#include "base/json.h"
#include "base/text.h"
#include "oci/tag_list.h"

namespace berth::registry {
namespace {

constexpr std::size_t kErrorLimit = 64u << 10;
constexpr std::size_t kErrorShown = 300;
constexpr std::size_t kBuffer = 256u << 10;
constexpr int kAllAttempts = 100;  // of one blob, also if each brings a little
constexpr int kStalledUploads =
    2;  // of one blob: a registry that stops reading or answering is given up then
constexpr std::uint64_t kUploadChunk = 64u << 20;
// Slower than this over a whole window, or over an attempt, is a server that plays with us.
constexpr std::uint64_t kBytesASecond = 100;
constexpr std::chrono::seconds kWindow(30);
constexpr std::uint64_t kWindowBytes = 30 * kBytesASecond;
constexpr std::chrono::milliseconds kFirstPause(200), kLongestPause(8'000), kLongestWish(30'000);

// Whether another attempt may bring what this one did not.
bool passes(const Error& error) {
  if (error.code == ECONNREFUSED || error.code == EHOSTUNREACH || error.code == ENETUNREACH) return false;
  return error.kind == ErrorKind::unavailable || error.kind == ErrorKind::timeout ||
         error.kind == ErrorKind::system;
}

bool passes(int status) { return status == 429 || (status >= 500 && status != 501 && status != 505); }

// Growing pauses between attempts, a little random so that many clients do not come back at once.
class Patience {
 public:
  explicit Patience(int attempts) : left_(attempts - 1) {}

  void progress(int attempts) {
    left_ = attempts - 1;
    pause_ = kFirstPause;
  }
  // False: it was the last attempt, or nobody waits any more.
  bool pause(const std::stop_token& stop, std::optional<std::chrono::milliseconds> wish = {}) {
    if (left_ <= 0) return false;
    --left_;
    std::uniform_int_distribution<int> some(75, 125);
    auto length = pause_ * some(random_) / 100;
    if (wish) length = std::clamp<std::chrono::milliseconds>(*wish, kFirstPause, kLongestWish);
    pause_ = std::min(pause_ * 2, kLongestPause);
    const auto end = std::chrono::steady_clock::now() + length;
    while (std::chrono::steady_clock::now() < end) {
      if (stop.stop_requested()) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return true;
  }

 private:
  int left_;
  std::chrono::milliseconds pause_ = kFirstPause;
  std::minstd_rand random_{std::random_device{}()};
};

std::optional<std::chrono::milliseconds> wished_pause(const Answer& answer) {
  std::optional<std::string_view> text = answer.headers().get("Retry-After");
  if (!text) return std::nullopt;
  std::optional<std::uint32_t> seconds = parse_integer<std::uint32_t>(*text);
  if (!seconds) return std::nullopt;
  return std::chrono::milliseconds(std::min<std::uint64_t>(*seconds, 3600) * 1000);
}

http::Headers accept_manifests() {
  using namespace oci::media_type;
  return {{"Accept", fmt::format("{}, {}, {}, {}", kIndex, kManifest, kDockerIndex, kDockerManifest)}};
}

std::string media_type_of(const Answer& answer) {
  const std::string_view field = answer.headers().get("Content-Type").value_or("");
  return std::string(trim(field.substr(0, field.find(';'))));
}

// Printable and short: a registry's words end in messages and logs.
std::string shown(std::string_view text) {
  std::string clean(text.substr(0, kErrorShown));
  std::ranges::replace_if(
      clean, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  return clean;
}

ErrorKind kind_of_status(int status) {
  if (status == 401) return ErrorKind::unauthenticated;
  if (status == 403) return ErrorKind::denied;
  if (status == 404) return ErrorKind::not_found;
  return passes(status) ? ErrorKind::unavailable : ErrorKind::invalid;
}

// "bytes 100-199/200": where a partial answer begins.
std::optional<std::uint64_t> range_start(const Answer& answer) {
  std::optional<std::string_view> field = answer.headers().get("Content-Range");
  if (!field || !field->starts_with("bytes ")) return std::nullopt;
  return parse_integer<std::uint64_t>(field->substr(6, field->find('-') - 6));
}

Result<void> skip_bytes(archive::Source& source, std::uint64_t count) {
  Buffer buffer(kBuffer);
  while (count > 0) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(count, buffer.size()));
    const std::size_t got = TRY(source.read({buffer.data(), wanted}));
    if (got == 0) return fail(ErrorKind::corrupt, "what is uploaded has become shorter");
    count -= got;
  }
  return {};
}

}  // namespace

Error refusal(Answer& answer, std::string_view what) {
  std::string words;
  if (Result<std::string> body = answer.read_whole(kErrorLimit)) {
    if (Result<json::value> document = parse_json(*body, "the registry's error");
        document && document->is_object()) {
      const json::value* errors = document->get_object().if_contains("errors");
      if (errors && errors->is_array() && !errors->get_array().empty()) {
        ObjectReader in(errors->get_array()[0], "the registry's error");
        std::string code, message;
        in.read("code", code);
        in.read("message", message);
        words = message.empty() ? to_lower(code) : message;
      }
    }
  }
  const int status = answer.status();
  if (words.empty()) words = fmt::format("{} {}", status, http::reason_phrase(status));
  const std::string& advice = answer.advice();
  return {kind_of_status(status), 0,
          fmt::format("{}: {}{}{}", what, shown(words), advice.empty() ? "" : "; ", advice)};
}

Result<std::unique_ptr<Session>> Session::open(const Endpoint& endpoint, const Settings& settings,
                                               const Credentials& credentials, const std::string& actions,
                                               const std::stop_token& stop) {
  std::unique_ptr<Session> session(new Session(endpoint, settings, credentials, actions));
  Patience patience(settings.attempts);
  for (;;) {
    Result<void> connected = session->transport_.connect(stop);
    if (connected) return session;
    if (!passes(connected.error()) || !patience.pause(stop))
      return std::unexpected(std::move(connected).error());
  }
}

std::string Session::target(std::string_view kind, std::string_view name) const {
  return fmt::format("/v2/{}/{}/{}", endpoint().repository, kind, name);
}

Result<Answer> Session::get(std::string_view method, const std::string& where, const http::Headers& headers,
                            const std::stop_token& stop) {
  Patience patience(settings_.attempts);
  for (;;) {
    Result<Answer> answer =
        transport_.send({.method = std::string(method), .target = where, .headers = headers, .stop = stop});
    if (answer && !passes(answer->status())) return answer;
    if (!answer && !passes(answer.error())) return answer;
    std::optional<std::chrono::milliseconds> wish = answer ? wished_pause(*answer) : std::nullopt;
    if (!patience.pause(stop, wish)) return answer;
  }
}

Result<FetchedDocument> Session::manifest(const std::string& reference, const std::stop_token& stop) {
  const bool by_digest = reference.find(':') != std::string::npos;
  const std::string name =
      fmt::format("{}/{}{}{}", endpoint().host, endpoint().repository, by_digest ? "@" : ":", reference);
  Answer answer = TRY(get("GET", target("manifests", reference), accept_manifests(), stop));
  if (answer.status() != 200) return std::unexpected(refusal(answer, "manifest for " + name));
  std::string type = media_type_of(answer);
  std::string bytes = TRY_AS("manifest for " + name, answer.read_whole(oci::kDocumentLimit));
  Digest digest = sha256_of(bytes);
  std::string promised =
      by_digest ? reference : std::string(answer.headers().get("Docker-Content-Digest").value_or(""));
  if (!promised.empty() && promised.starts_with("sha256:") && promised != digest.text())
    return fail(ErrorKind::corrupt, "the registry sent a manifest for {} whose digest is {}: it is not used",
                name, digest.text());
  return FetchedDocument{std::move(bytes), std::move(type), std::move(digest)};
}

Result<std::vector<std::string>> Session::tags(const std::stop_token& stop) {
  std::string where = target("tags", "list?n=1000");
  const std::string what = fmt::format("tags of {}/{}", endpoint().host, endpoint().repository);
  oci::TagList list(what);
  for (;;) {
    Answer answer = TRY(get("GET", where, {}, stop));
    if (answer.status() != 200) return std::unexpected(refusal(answer, what));
    const std::string body = TRY_AS(what, answer.read_whole(oci::TagList::kPageBytes));
    std::optional<std::string> next = TRY(list.add(body, answer.headers().get("Link").value_or("")));
    if (!next) return std::move(list).sorted();
    if (*next == where) return fail(ErrorKind::invalid, "{}: the registry's list does not end", what);
    where = *std::move(next);
    // Relative to the list's own address.
    if (where.starts_with('?')) where = target("tags", "list" + where);
    if (!where.starts_with('/') && !transport_.is_own(where))
      return fail(ErrorKind::denied, "{}: the registry's list goes on at another server: not followed", what);
  }
}

Result<std::string> Session::document(const oci::Descriptor& descriptor, const std::stop_token& stop) {
  if (descriptor.size > static_cast<std::int64_t>(oci::kDocumentLimit))
    return fail(ErrorKind::invalid, "{} has {} bytes; the limit for a document is {}",
                descriptor.digest.text(), descriptor.size, oci::kDocumentLimit);
  archive::StringSink sink;
  TRY(blob(descriptor, 0, sink, stop));
  if (sha256_of(sink.text()) != descriptor.digest)
    return fail(ErrorKind::corrupt, "the registry {} sent other bytes than those of {}", endpoint().host,
                descriptor.digest.text());
  return sink.take();
}

struct Session::Interruption {
  std::optional<Error> error;                     // what ended an attempt that brought something
  std::optional<std::chrono::milliseconds> wish;  // the pause that the registry asks for
};

// One attempt; returns how many bytes more there are.
Result<std::uint64_t> Session::blob_part(const oci::Descriptor& descriptor, std::uint64_t offset,
                                         archive::Sink& sink, const std::stop_token& stop,
                                         Interruption& interruption) {
  const auto size = static_cast<std::uint64_t>(descriptor.size);
  http::Headers headers;
  if (offset > 0) headers.add("Range", fmt::format("bytes={}-", offset));
  Answer answer = TRY(transport_.send({.method = "GET",
                                       .target = target("blobs", descriptor.digest.text()),
                                       .headers = headers,
                                       .stop = stop}));
  if (answer.status() != 200 && answer.status() != 206) {
    interruption.wish = wished_pause(answer);
    return std::unexpected(refusal(answer, "blob " + descriptor.digest.text()));
  }
  std::uint64_t position = 0;  // of the next byte that the answer brings
  if (answer.status() == 206) {
    std::optional<std::uint64_t> start = range_start(answer);
    if (!start || *start > offset)
      return fail(ErrorKind::invalid, "the registry {} sent another part of {} than was asked for",
                  endpoint().host, descriptor.digest.text());
    position = *start;
  }
  Buffer buffer(kBuffer);
  std::uint64_t added = 0, window = 0;
  auto window_end = std::chrono::steady_clock::now() + kWindow;
  while (offset + added < size) {
    Result<std::size_t> got = answer.read(buffer);
    if (got && *got == 0) got = fail(ErrorKind::unavailable, "the download ended too early");
    if (!got) {
      if (added > 0) interruption.error = std::move(got).error();
      if (added > 0) return added;
      return std::unexpected(std::move(got).error());
    }
    std::string_view bytes(buffer.data(), *got);
    // What came before, where the server does not know ranges.
    const std::uint64_t wanted_from = offset + added;
    const std::uint64_t behind =
        position < wanted_from ? std::min<std::uint64_t>(wanted_from - position, *got) : 0;
    position += *got;
    bytes.remove_prefix(static_cast<std::size_t>(behind));
    if (bytes.size() > size - wanted_from)
      return fail(ErrorKind::corrupt, "the registry {} sends more than the {} bytes of {}", endpoint().host,
                  size, descriptor.digest.text());
    TRY(sink.write(bytes));
    added += bytes.size();
    window += *got;
    if (const auto time = std::chrono::steady_clock::now(); time > window_end) {
      if (window < kWindowBytes)
        return fail(ErrorKind::cancelled, "the registry {} sends fewer than 100 bytes a second: given up",
                    endpoint().host);
      window = 0;
      window_end = time + kWindow;
    }
  }
  return added;
}

Result<void> Session::blob(const oci::Descriptor& descriptor, std::uint64_t offset, archive::Sink& sink,
                           const std::stop_token& stop) {
  const auto size = static_cast<std::uint64_t>(descriptor.size);
  // The sink's own failures must not be taken for the network's, and tried again.
  std::optional<Error> sink_failure;
  archive::FunctionSink guarded([&](std::string_view bytes) -> Result<void> {
    Result<void> written = sink.write(bytes);
    if (!written) sink_failure = written.error();
    return written;
  });
  Patience patience(settings_.attempts);
  for (int attempts = 0; offset < size; ++attempts) {
    Interruption interruption;
    const auto begun = std::chrono::steady_clock::now();
    Result<std::uint64_t> added = blob_part(descriptor, offset, guarded, stop, interruption);
    if (sink_failure) return std::unexpected(*std::move(sink_failure));
    std::optional<Error> failure = std::move(interruption.error);
    if (added) {
      offset += *added;
      if (!failure) continue;
      const std::chrono::duration<double> lasted = std::chrono::steady_clock::now() - begun;
      if (static_cast<double>(*added) >= lasted.count() * kBytesASecond)
        patience.progress(settings_.attempts);
    } else {
      failure = std::move(added).error();
    }
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "cancelled");
    if (!passes(*failure) || attempts >= kAllAttempts || !patience.pause(stop, interruption.wish))
      return std::unexpected(std::move(*failure).within(
          fmt::format("download {} from {}", descriptor.digest.text(), endpoint().host)));
  }
  return {};
}

Result<bool> Session::has_blob(const Digest& digest, const std::stop_token& stop) {
  Answer answer = TRY(get("HEAD", target("blobs", digest.text()), {}, stop));
  if (answer.status() == 200) return true;
  if (answer.status() == 404) return false;
  return std::unexpected(refusal(answer, "blob " + digest.text()));
}

namespace {

std::string with_digest(std::string location, const Digest& digest) {
  location += location.find('?') == std::string::npos ? '?' : '&';
  return location + "digest=" + percent_encode(digest.text());
}

Result<std::string> location_of(const Answer& answer, const Endpoint& endpoint) {
  std::optional<std::string_view> location = answer.headers().get("Location");
  if (!location)
    return fail(ErrorKind::invalid,
                "the registry {} took an upload and did not say where: it has no Location", endpoint.host);
  return std::string(*location);
}

// The bytes of an upload that the registry has, from "Range: 0-99".
std::uint64_t received_bytes(const Answer& answer) {
  std::string_view field = answer.headers().get("Range").value_or("");
  if (field.starts_with("bytes=")) field.remove_prefix(6);
  const auto [first, last] = split_once(field, '-');
  std::optional<std::uint64_t> end = parse_integer<std::uint64_t>(last);
  return first == "0" && end && *end > 0 ? *end + 1 : 0;
}

}  // namespace

Result<Uploaded> Session::send_blob(const Upload& upload, std::string location, const std::stop_token& stop) {
  std::unique_ptr<archive::Source> plain;
  std::optional<archive::DigestSource> source;
  std::uint64_t received = 0;
  Patience patience(settings_.attempts);
  bool at_end = upload.size && *upload.size == 0;
  while (!at_end) {
    if (!source) {
      plain = TRY(upload.open());
      source.emplace(*plain);
      TRY(skip_bytes(*source, received));
    }
    std::optional<Error> own_failure;
    http::BodySource read = [&](std::span<char> buffer) -> Result<std::size_t> {
      Result<std::size_t> got = stop.stop_requested()
                                    ? Result<std::size_t>(fail(ErrorKind::cancelled, "cancelled"))
                                    : source->read(buffer);
      if (!got)
        own_failure = got.error();
      else if (upload.progress)
        upload.progress(source->size());
      return got;
    };
    Request request{.method = "PATCH",
                    .target = location,
                    .headers = {{"Content-Type", "application/octet-stream"}},
                    .stop = stop};
    if (upload.size) {
      const std::uint64_t chunk = std::min(kUploadChunk, *upload.size - received);
      request.headers.add("Content-Range", fmt::format("{}-{}", received, received + chunk - 1));
      request.body = http::SizedBody{read, chunk};
    } else {
      request.body = read;
    }
    Result<Answer> answer = transport_.send(std::move(request));
    if (own_failure) return std::unexpected(*std::move(own_failure));
    if (answer && (answer->status() == 202 || answer->status() == 201 || answer->status() == 204)) {
      if (answer->headers().has("Location")) location = TRY(location_of(*answer, endpoint()));
      received = source->size();
      at_end = !upload.size || received >= *upload.size;
      patience.progress(settings_.attempts);
      continue;
    }
    if (answer && !passes(answer->status()) && answer->status() != 401 && answer->status() != 416)
      return std::unexpected(refusal(*answer, "upload to " + endpoint().host));
    if (!answer && !passes(answer.error())) return std::unexpected(std::move(answer).error());
    // Asked how far it came, the registry may have the part that was cut, or have forgotten the upload.
    Error failure = answer ? refusal(*answer, "upload to " + endpoint().host) : std::move(answer).error();
    if (!patience.pause(stop)) return std::unexpected(std::move(failure));
    Answer status = TRY(get("GET", location, {}, stop));
    if (status.status() != 204 && status.status() != 202 && status.status() != 200)
      return std::unexpected(std::move(failure));
    if (status.headers().has("Location")) location = TRY(location_of(status, endpoint()));
    received = received_bytes(status);
    source.reset();
  }
  const std::uint64_t size = source ? source->size() : 0;
  const Digest digest = source ? source->finish() : sha256_of("");
  if (upload.digest && *upload.digest != digest)
    return fail(ErrorKind::corrupt, "what was to be uploaded as {} is {}", upload.digest->text(),
                digest.text());
  Answer done = TRY(get("PUT", with_digest(location, digest), {}, stop));
  if (done.status() != 201 && done.status() != 204)
    return std::unexpected(refusal(done, "upload to " + endpoint().host));
  const std::string_view named = done.headers().get("Docker-Content-Digest").value_or(digest.text());
  if (named != digest.text())
    return fail(ErrorKind::corrupt, "the registry {} stored {} as {}", endpoint().host, digest.text(),
                shown(named));
  return Uploaded{digest, size, Uploaded::How::sent};
}

Result<Uploaded> Session::upload(const Upload& upload, const std::stop_token& stop) {
  if (upload.digest && TRY(has_blob(*upload.digest, stop)))
    return Uploaded{*upload.digest, upload.size.value_or(0), Uploaded::How::present};
  std::string where = target("blobs", "uploads/");
  const bool mount =
      upload.digest && !upload.mount_from.empty() && upload.mount_from != endpoint().repository;
  if (mount) {
    transport_.also_read(upload.mount_from);
    where += fmt::format("?mount={}&from={}", percent_encode(upload.digest->text()),
                         percent_encode(upload.mount_from));
  }
  Patience patience(settings_.attempts);
  for (int stalled = 0;;) {
    Answer begun = TRY(get("POST", where, {}, stop));
    if (mount && begun.status() == 201)
      return Uploaded{*upload.digest, upload.size.value_or(0), Uploaded::How::mounted};
    if (begun.status() != 202) return std::unexpected(refusal(begun, "upload to " + endpoint().host));
    const std::string location = TRY(location_of(begun, endpoint()));
    Result<Uploaded> sent = send_blob(upload, location, stop);
    if (!sent && sent.error().kind == ErrorKind::timeout && ++stalled >= kStalledUploads) return sent;
    if (sent || !passes(sent.error()) || !patience.pause(stop)) return sent;
    where = target("blobs", "uploads/");  // from the start
  }
}

Result<Digest> Session::put_manifest(const std::string& reference, std::string_view bytes,
                                     std::string_view media_type, const std::stop_token& stop) {
  const std::string name = fmt::format("{}/{}:{}", endpoint().host, endpoint().repository, reference);
  Patience patience(settings_.attempts);
  for (;;) {
    Request request{.method = "PUT", .target = target("manifests", reference), .stop = stop};
    request.headers.add("Content-Type", media_type);
    request.body = bytes;
    Result<Answer> answer = transport_.send(std::move(request));
    if (answer && answer->status() == 201) {
      const Digest digest = sha256_of(bytes);
      const std::string_view named = answer->headers().get("Docker-Content-Digest").value_or(digest.text());
      if (named != digest.text())
        return fail(ErrorKind::corrupt, "the registry stored the manifest {} as {}", digest.text(),
                    shown(named));
      return digest;
    }
    const bool again = answer ? passes(answer->status()) : passes(answer.error());
    if (again && patience.pause(stop)) continue;
    if (!answer) return std::unexpected(std::move(answer).error());
    return std::unexpected(refusal(*answer, "push " + name));
  }
}

}  // namespace berth::registry
