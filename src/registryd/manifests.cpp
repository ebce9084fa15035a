// SPDX-License-Identifier: Apache-2.0
// Manifests: distribution-spec, "Pulling manifests", "Pushing Manifests", "Deleting Manifests" and "Deleting
// tags". Their bytes are kept and given back as they came.
#include "base/log.h"
#include "base/text.h"
#include "http/client_watch.h"
#include "oci/reference.h"
#include "registryd/service.h"

namespace berth::registryd {
namespace {

std::unexpected<ApiError> unknown_manifest(std::string_view reference) {
  return refuse(Code::manifest_unknown, "the repository has no such manifest", std::string(reference));
}

// A digest where the reference is one; nothing for a tag.
ApiResult<std::optional<Digest>> digest_of(std::string_view reference) {
  if (reference.find(':') == std::string_view::npos) return std::nullopt;
  Result<Digest> digest = Digest::parse(reference);
  if (!digest) return refuse(Code::digest_invalid, digest.error().message, std::string(reference));
  return *digest;
}

// The stored bytes, verified: what rotted is set aside, so that the next push heals it.
ApiResult<std::string> read_verified(Service& service, const Digest& digest) {
  Result<std::string> bytes = service.storage->read(digest, oci::kDocumentLimit);
  if (!bytes && bytes.error().kind == ErrorKind::not_found) {
    log_error("registry", "the manifest {} is in the catalog and not in the storage; push it again",
              digest.text());
    return unknown_manifest(digest.text());
  }
  std::string read = API_TRY(std::move(bytes));
  if (sha256_of(read) != digest) {
    log_error("registry", "the manifest {} is damaged; push it again", digest.text());
    API_TRY(service.storage->set_aside(digest));
    return unknown_manifest(digest.text());
  }
  return read;
}

ApiResult<void> store(Service& service, const std::string& repository, const std::string& bytes,
                      const Digest& digest, const ManifestFacts& facts, std::string_view tag) {
  Hold hold = API_TRY(service.storage->put(bytes));
  // Blobs and an index's manifests come to a cache when they are asked for.
  const auto children =
      service.upstream ? Catalog::Children::may_come_later : Catalog::Children::must_be_there;
  return service.catalog->put_manifest(repository, digest, static_cast<std::int64_t>(bytes.size()), facts,
                                       tag, children);
}

// Asks the upstream of a pull-through cache, which knows best what a tag means now. When it cannot be reached
// what is here has to do.
ApiResult<void> refresh(Service& service, const http::Exchange& exchange, const std::string& repository,
                        std::string_view reference, const std::optional<Digest>& digest) {
  if (digest && API_TRY(service.catalog->manifest(repository, *digest))) return {};
  if (!digest && service.upstream->is_away() && API_TRY(service.catalog->tag(repository, reference)))
    return {};
  const http::ClientWatch client = API_TRY(http::ClientWatch::begin(exchange));
  Result<UpstreamManifest> fetched = service.upstream->manifest(repository, reference, client.gone());
  if (!fetched && fetched.error().kind == ErrorKind::not_found) return unknown_manifest(reference);
  if (!fetched) {
    log_warning("registry", "{}", fetched.error().message);
    return {};
  }
  const Digest got = sha256_of(fetched->bytes);
  if (digest && got != *digest)
    return std::unexpected(internal_error(
        {ErrorKind::corrupt, 0, fmt::format("the upstream sent {} for {}", got.text(), digest->text())}));
  const ManifestFacts facts = API_TRY(read_manifest_facts(fetched->bytes, fetched->media_type));
  return store(service, repository, fetched->bytes, got, facts, digest ? "" : reference);
}

bool etag_matches(const Call& call, std::string_view digest) {
  std::string_view known = call.request().headers.get_or("If-None-Match", "");
  if (known.size() >= 2 && known.front() == '"') known = known.substr(1, known.size() - 2);
  return known == digest;
}

ApiResult<void> get_manifest(Call& call) {
  const CachedManifestPointer manifest =
      API_TRY(load_manifest(call.service, call.exchange, call.route.repository, call.route.reference));
  http::Headers headers{{"Content-Type", manifest->media_type},
                        {"Docker-Content-Digest", manifest->digest},
                        {"ETag", "\"" + manifest->digest + "\""}};
  if (etag_matches(call, manifest->digest)) {
    call.respond(304, std::move(headers));
    return {};
  }
  call.respond(200, std::move(headers), manifest->bytes);
  if (!call.is("GET")) return {};
  call.service.metrics.sent(manifest->bytes.size());
  const bool by_tag = call.route.reference.find(':') == std::string::npos;
  call.notify("pull", manifest->digest, manifest->media_type,
              static_cast<std::int64_t>(manifest->bytes.size()), by_tag ? call.route.reference : "");
  return {};
}

ApiResult<std::string> read_document(Call& call) {
  std::string text;
  char buffer[16384];
  for (;;) {
    Result<std::size_t> got = call.exchange.read_body(buffer);
    if (!got) return refuse(Code::manifest_invalid, "the body broke off: " + got.error().message);
    if (*got == 0) return text;
    if (text.size() + *got > oci::kDocumentLimit)
      return refuse(Code::manifest_too_large,
                    fmt::format("a manifest may have at most {} bytes", oci::kDocumentLimit));
    text.append(buffer, *got);
  }
}

ApiResult<void> put_manifest(Call& call) {
  const std::string& reference = call.route.reference;
  const std::optional<Digest> expected = API_TRY(digest_of(reference));
  if (!expected && !oci::valid_tag(reference))
    return refuse(Code::tag_invalid, "not a tag: at most 128 letters, digits, _ . -, and no . or - first",
                  reference);
  if (auto length = parse_integer<std::uint64_t>(call.request().headers.get_or("Content-Length", "0"));
      length.value_or(0) > oci::kDocumentLimit)
    return refuse(Code::manifest_too_large,
                  fmt::format("a manifest may have at most {} bytes", oci::kDocumentLimit));
  const std::string bytes = API_TRY(read_document(call));
  const Digest digest = sha256_of(bytes);
  if (expected && *expected != digest)
    return refuse(Code::digest_invalid, fmt::format("the manifest's digest is {}", digest.text()),
                  expected->text());
  std::string_view declared = call.request().headers.get_or("Content-Type", "");
  declared = trim(declared.substr(0, declared.find(';')));
  Result<ManifestFacts> facts = read_manifest_facts(bytes, declared);
  if (!facts) return refuse(Code::manifest_invalid, facts.error().message, digest.text());

  const std::string tag = expected ? "" : reference;
  API_TRY(store(call.service, call.route.repository, bytes, digest, *facts, tag));
  call.service.metrics.received(bytes.size());
  http::Headers headers{{"Location", call.location("manifests/" + digest.text())},
                        {"Docker-Content-Digest", digest.text()}};
  if (facts->subject) headers.add("OCI-Subject", facts->subject->text());
  call.respond(201, std::move(headers));
  call.notify("push", digest.text(), facts->media_type, static_cast<std::int64_t>(bytes.size()), tag);
  return {};
}

ApiResult<void> delete_manifest(Call& call) {
  const std::string& reference = call.route.reference;
  const std::optional<Digest> digest = API_TRY(digest_of(reference));
  Catalog& catalog = *call.service.catalog;
  const bool was_there = digest ? API_TRY(catalog.delete_manifest(call.route.repository, *digest))
                                : API_TRY(catalog.delete_tag(call.route.repository, reference));
  if (!was_there) return unknown_manifest(reference);
  call.respond(202, {});
  call.notify("delete", digest ? reference : "", "", 0, digest ? "" : reference);
  return {};
}

}  // namespace

ApiResult<CachedManifestPointer> load_manifest(Service& service, const http::Exchange& exchange,
                                               std::string_view repository, std::string_view reference) {
  if (!service.upstream || reference.find(':') != std::string_view::npos) {
    CachedManifestPointer cached = service.cache.find(repository, reference);
    service.metrics.cache_asked(cached != nullptr);
    if (cached) return cached;
  }
  std::optional<Digest> digest = API_TRY(digest_of(reference));
  if (!digest && !oci::valid_tag(reference)) return unknown_manifest(reference);
  if (service.upstream) API_TRY(refresh(service, exchange, std::string(repository), reference, digest));
  const std::uint64_t ticket = service.cache.start();
  if (!digest) digest = API_TRY(service.catalog->tag(repository, reference));
  if (!digest) return unknown_manifest(reference);
  std::optional<ManifestRow> row = API_TRY(service.catalog->manifest(repository, *digest));
  if (!row) return unknown_manifest(reference);
  std::string bytes = API_TRY(read_verified(service, *digest));
  auto loaded = std::make_shared<const CachedManifest>(digest->text(), row->media_type, std::move(bytes));
  service.cache.keep(ticket, repository, reference, loaded);
  return loaded;
}

ApiResult<void> serve_manifest(Call& call) {
  if (call.is_read()) return get_manifest(call);
  if (call.is("PUT")) return put_manifest(call);
  if (call.is("DELETE")) return delete_manifest(call);
  return no_such_method(call);
}

}  // namespace berth::registryd
