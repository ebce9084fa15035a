// SPDX-License-Identifier: Apache-2.0
// Lists: distribution-spec, "Listing Tags", "Listing Referrers", and the CNCF registry's catalogue.
#include <algorithm>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "http/client_watch.h"
#include "registryd/service.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kMostTags = 10'000;
constexpr std::size_t kMostRepositories = 1000;
constexpr std::size_t kDefaultRepositories = 100;
constexpr std::size_t kMostReferrers = 1000;
constexpr std::size_t kReferrersBytes = 4u << 20;  // of an answer: what clients accept as a manifest
constexpr std::string_view kJson = "application/json; charset=utf-8";

// How many a client wants: ?n=, at most `most`.
ApiResult<std::size_t> wanted(const Call& call, std::size_t otherwise, std::size_t most) {
  auto text = call.request().query.get("n");
  if (!text) return otherwise;
  auto number = parse_integer<std::uint64_t>(*text);
  if (!number)
    return refuse(Code::pagination_invalid, "n must be a number that is not negative", std::string(*text));
  return static_cast<std::size_t>(std::min<std::uint64_t>(*number, most));
}

std::string next_link(std::string_view path, const http::Query& query) {
  return fmt::format("<{}?{}>; rel=\"next\"", path, query.text());
}

// Cuts a list that was asked for with one more than wanted; with more to come, a link is added.
void cut_page(std::vector<std::string>& names, std::size_t count, std::string_view path,
              http::Headers& headers) {
  if (names.size() <= count) return;
  names.resize(count);
  if (names.empty()) return;
  http::Query query;
  query.add("last", names.back());
  query.add("n", std::to_string(count));
  headers.add("Link", next_link(path, query));
}

// Of a cache the upstream knows them; when it cannot be asked, what is here has to do.
ApiResult<std::optional<std::vector<std::string>>> upstream_tags(Call& call, std::string_view last,
                                                                 std::size_t most) {
  if (!call.service.upstream) return std::nullopt;
  if (call.service.upstream->is_away() &&
      API_TRY(call.service.catalog->repository_exists(call.route.repository)))
    return std::nullopt;
  const http::ClientWatch client = API_TRY(http::ClientWatch::begin(call.exchange));
  Result<std::vector<std::string>> tags = call.service.upstream->tags(call.route.repository, client.gone());
  if (!tags && tags.error().kind == ErrorKind::not_found)
    return refuse(Code::name_unknown, "there is no such repository", call.route.repository);
  if (!tags) {
    log_warning("registry", "{}", tags.error().message);
    return std::nullopt;
  }
  if (!last.empty()) tags->erase(tags->begin(), std::ranges::upper_bound(*tags, last));
  if (tags->size() > most) tags->resize(most);
  return std::move(*tags);
}

// At most `most` after `last`.
ApiResult<std::vector<std::string>> tags_of(Call& call, std::string_view last, std::size_t most) {
  if (auto told = API_TRY(upstream_tags(call, last, most))) return std::move(*told);
  Catalog& catalog = *call.service.catalog;
  const std::string& repository = call.route.repository;
  if (!API_TRY(catalog.repository_exists(repository)))
    return refuse(Code::name_unknown, "there is no such repository", repository);
  return API_TRY(catalog.tags(repository, last, most));
}

}  // namespace

ApiResult<void> serve_base(Call& call) {
  if (!call.is_read()) return no_such_method(call);
  call.respond(200, {{"Content-Type", std::string(kJson)}}, "{}");
  return {};
}

ApiResult<void> serve_catalog(Call& call) {
  if (!call.is_read()) return no_such_method(call);
  const std::size_t count = API_TRY(wanted(call, kDefaultRepositories, kMostRepositories));
  std::vector<std::string> names =
      API_TRY(call.service.catalog->repositories(call.request().query.get_or("last", ""), count + 1));
  http::Headers headers{{"Content-Type", std::string(kJson)}};
  cut_page(names, count, "/v2/_catalog", headers);
  json::object body;
  body["repositories"] = to_json(names);
  call.respond(200, std::move(headers), json::serialize(body) + "\n");
  return {};
}

ApiResult<void> serve_tags(Call& call) {
  if (!call.is_read()) return no_such_method(call);
  const std::size_t count = API_TRY(wanted(call, kMostTags, kMostTags));
  const std::string& repository = call.route.repository;
  std::vector<std::string> names = API_TRY(tags_of(call, call.request().query.get_or("last", ""), count + 1));
  http::Headers headers{{"Content-Type", std::string(kJson)}};
  cut_page(names, count, fmt::format("/v2/{}/tags/list", repository), headers);
  json::object body;
  body["name"] = repository;
  body["tags"] = to_json(names);
  call.respond(200, std::move(headers), json::serialize(body) + "\n");
  return {};
}

ApiResult<void> serve_referrers(Call& call) {
  if (!call.is_read()) return no_such_method(call);
  Result<Digest> subject = Digest::parse(call.route.reference);
  if (!subject) return refuse(Code::digest_invalid, subject.error().message, call.route.reference);
  const http::Query& query = call.request().query;
  const std::string_view type = query.get_or("artifactType", "");
  const std::size_t count = std::max<std::size_t>(1, API_TRY(wanted(call, kMostReferrers, kMostReferrers)));
  const std::vector<ManifestRow> rows = API_TRY(call.service.catalog->referrers(
      call.route.repository, *subject, type, query.get_or("last", ""), count + 1));

  std::string list;
  std::size_t taken = 0;
  for (const ManifestRow& row : rows) {
    json::object entry;
    entry["mediaType"] = row.media_type;
    entry["digest"] = row.digest.text();
    entry["size"] = row.size;
    if (!row.artifact_type.empty()) entry["artifactType"] = row.artifact_type;
    std::string text = json::serialize(entry);
    // Text that was checked when the manifest was pushed: it need not be parsed again.
    if (!row.annotations.empty()) text.insert(text.size() - 1, ",\"annotations\":" + row.annotations);
    if (taken == count || (taken > 0 && list.size() + text.size() > kReferrersBytes)) break;
    if (taken++ > 0) list += ',';
    list += text;
  }
  http::Headers headers{{"Content-Type", std::string(oci::media_type::kIndex)}};
  if (!type.empty()) headers.add("OCI-Filters-Applied", "artifactType");
  if (taken < rows.size()) {
    http::Query next;
    if (!type.empty()) next.add("artifactType", type);
    next.add("last", rows[taken - 1].digest.text());
    next.add("n", std::to_string(count));
    headers.add("Link",
                next_link(fmt::format("/v2/{}/referrers/{}", call.route.repository, subject->text()), next));
  }
  call.respond(200, std::move(headers),
               fmt::format("{{\"schemaVersion\":2,\"mediaType\":\"{}\",\"manifests\":[{}]}}\n",
                           oci::media_type::kIndex, list));
  return {};
}

}  // namespace berth::registryd
