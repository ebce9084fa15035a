// SPDX-License-Identifier: Apache-2.0
// For people and monitoring: /, /ui/<repository>, /metrics, /healthz. Read-only pages without scripts or
// anything from elsewhere; all that they show was written by clients and is escaped.
#include <algorithm>

#include "base/json.h"
#include "base/text.h"
#include "registryd/names.h"
#include "registryd/service.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kRows = 100;  // of a list, on one page
constexpr std::string_view kStyle =
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px "
    "solid "
    "#ddd;vertical-align:top}code{font-size:13px;word-break:break-all}a{color:#0a58a8}h1 "
    "a{text-decoration:none}";

std::string escape(std::string_view text) {
  std::string made;
  made.reserve(text.size());
  for (char c : text) {
    switch (c) {
      case '&':
        made += "&amp;";
        break;
      case '<':
        made += "&lt;";
        break;
      case '>':
        made += "&gt;";
        break;
      case '"':
        made += "&quot;";
        break;
      case '\'':
        made += "&#39;";
        break;
      default:
        made += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return made;
}

std::string size_text(std::int64_t bytes) { return format_size_decimal(static_cast<double>(bytes)); }

std::string short_digest(const Digest& digest) { return digest.text().substr(0, 19); }

std::string link_to(std::string_view repository, std::string_view reference, std::string_view text) {
  return fmt::format("<a href=\"/ui/{}?ref={}\">{}</a>", repository, percent_encode(reference), escape(text));
}

std::string frame(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width\"><title>{0}</title><style>{1}</style></head>\n<body><h1><a "
      "href=\"/\">Berth registry</a></h1>\n{2}</body></html>\n",
      escape(title), kStyle, body);
}

void send_page(http::Exchange& exchange, int status, std::string_view title, std::string_view body) {
  (void)exchange.respond(
      status,
      {{"Content-Type", "text/html; charset=utf-8"},
       {"Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"},
       {"X-Content-Type-Options", "nosniff"},
       {"Referrer-Policy", "no-referrer"},
       {"Cache-Control", "no-store"}},
      frame(title, body));
}

std::string more_link(std::string_view path, std::string_view last) {
  return fmt::format("<p><a href=\"{}?last={}\">more</a></p>\n", path, percent_encode(last));
}

ApiResult<std::string> repository_list(Service& service, const http::Query& query) {
  std::vector<std::string> names =
      API_TRY(service.catalog->repositories(query.get_or("last", ""), kRows + 1));
  const CatalogTotals totals = API_TRY(service.catalog->totals());
  std::string body =
      fmt::format("<p>{} repositories, {} tags, {} manifests</p>\n<table><tr><th>Repository</th></tr>\n",
                  totals.repositories, totals.tags, totals.manifests);
  const bool more = names.size() > kRows;
  if (more) names.resize(kRows);
  for (const std::string& name : names)
    body += fmt::format("<tr><td><a href=\"/ui/{0}\">{1}</a></td></tr>\n", name, escape(name));
  body += "</table>\n";
  if (more) body += more_link("/", names.back());
  return body;
}

// What an image weighs: its config and layers, without what is foreign.
std::int64_t image_size(const oci::Manifest& manifest) {
  std::int64_t sum = manifest.config.size;
  for (const oci::Descriptor& layer : manifest.layers)
    if (layer.size <= INT64_MAX - sum) sum += layer.size;
  return sum;
}

struct Summary {
  std::string kind, size, platforms;
};

Summary summary_of(const CachedManifest& manifest) {
  Result<std::variant<oci::Manifest, oci::Index>> parsed = oci::parse_manifest_or_index(manifest.bytes);
  if (!parsed) return {};
  if (const auto* image = std::get_if<oci::Manifest>(&*parsed)) {
    const bool is_image = oci::is_config(image->config.media_type);
    return {is_image ? "image" : "artifact", size_text(image_size(*image)), ""};
  }
  std::string platforms;
  for (const oci::Descriptor& entry : std::get<oci::Index>(*parsed).manifests)
    if (entry.platform) platforms += (platforms.empty() ? "" : ", ") + oci::format_platform(*entry.platform);
  return {"index", "", std::move(platforms)};
}

ApiResult<std::string> tag_list(Service& service, const http::Exchange& exchange,
                                const std::string& repository) {
  const http::Query& query = exchange.request().query;
  if (!API_TRY(service.catalog->repository_exists(repository)))
    return refuse(Code::name_unknown, "there is no such repository");
  std::vector<TagRow> rows =
      API_TRY(service.catalog->tag_rows(repository, query.get_or("last", ""), kRows + 1));
  const bool more = rows.size() > kRows;
  if (more) rows.erase(rows.begin() + kRows, rows.end());
  std::string body = fmt::format(
      "<h2>{}</h2>\n<table><tr><th>Tag</th><th>Digest</th><th>Kind</th><th>Size</th>"
      "<th>Platforms</th></tr>\n",
      escape(repository));
  for (const TagRow& row : rows) {
    Summary summary;
    if (auto manifest = load_manifest(service, exchange, repository, row.digest.text()))
      summary = summary_of(**manifest);
    body += fmt::format("<tr><td>{}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                        link_to(repository, row.name, row.name), short_digest(row.digest), summary.kind,
                        summary.size, escape(summary.platforms));
  }
  body += "</table>\n";
  if (more) body += more_link("/ui/" + repository, rows.back().name);
  return body;
}

std::string layer_table(const oci::Manifest& manifest) {
  std::string body = "<h3>Layers</h3>\n<table><tr><th>Digest</th><th>Type</th><th>Size</th></tr>\n";
  auto row = [&](const oci::Descriptor& blob) {
    body += fmt::format("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n", blob.digest.text(),
                        escape(blob.media_type), size_text(blob.size));
  };
  row(manifest.config);
  for (const oci::Descriptor& layer : manifest.layers) row(layer);
  return body + "</table>\n";
}

std::string platform_table(const std::string& repository, const oci::Index& index) {
  std::string body = "<h3>Platforms</h3>\n<table><tr><th>Platform</th><th>Manifest</th><th>Type</th></tr>\n";
  for (const oci::Descriptor& entry : index.manifests)
    body += fmt::format("<tr><td>{}</td><td><code>{}</code></td><td>{}</td></tr>\n",
                        entry.platform ? escape(oci::format_platform(*entry.platform)) : "-",
                        link_to(repository, entry.digest.text(), short_digest(entry.digest)),
                        escape(entry.media_type));
  return body + "</table>\n";
}

ApiResult<std::string> referrer_table(Service& service, const std::string& repository, const Digest& digest) {
  const std::vector<ManifestRow> rows =
      API_TRY(service.catalog->referrers(repository, digest, "", "", kRows));
  if (rows.empty()) return std::string();
  std::string body =
      "<h3>Referrers</h3>\n<table><tr><th>Manifest</th><th>Artifact type</th><th>Size</th></tr>\n";
  for (const ManifestRow& row : rows)
    body += fmt::format("<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>\n",
                        link_to(repository, row.digest.text(), short_digest(row.digest)),
                        escape(row.artifact_type), size_text(row.size));
  return body + "</table>\n";
}

ApiResult<std::string> manifest_page(Service& service, const http::Exchange& exchange,
                                     const std::string& repository, std::string_view reference) {
  const CachedManifestPointer manifest = API_TRY(load_manifest(service, exchange, repository, reference));
  std::string body =
      fmt::format("<h2><a href=\"/ui/{0}\">{0}</a> {1}</h2>\n<p><code>{2}</code><br>{3}, {4}</p>\n",
                  repository, escape(reference), manifest->digest, escape(manifest->media_type),
                  size_text(static_cast<std::int64_t>(manifest->bytes.size())));
  if (auto parsed = oci::parse_manifest_or_index(manifest->bytes)) {
    if (const auto* image = std::get_if<oci::Manifest>(&*parsed))
      body += layer_table(*image);
    else
      body += platform_table(repository, std::get<oci::Index>(*parsed));
  }
  const Digest digest = API_TRY(Digest::parse(manifest->digest));
  body += API_TRY(referrer_table(service, repository, digest));
  return body;
}

ApiResult<std::string> page_body(Service& service, const http::Exchange& exchange) {
  const std::string& path = exchange.request().path;
  const http::Query& query = exchange.request().query;
  if (path == "/") return repository_list(service, query);
  const std::string repository = path.substr(4);
  if (!valid_repository(repository)) return refuse(Code::not_found, "there is no such page");
  if (auto reference = query.get("ref")) return manifest_page(service, exchange, repository, *reference);
  return tag_list(service, exchange, repository);
}

void serve_html(Service& service, http::Exchange& exchange) {
  const http::Request& request = exchange.request();
  if (service.settings.token)
    return send_page(exchange, 403, "Berth registry", "<p>These pages are off: access is by tokens.</p>\n");
  if (auto identity = service.access->authorize(request, {}); !identity) {
    (void)exchange.respond(401, {{"WWW-Authenticate", identity.error().challenge}}, "");
    return;
  }
  ApiResult<std::string> body = page_body(service, exchange);
  if (body) return send_page(exchange, 200, "Berth registry", *body);
  send_page(exchange, status_of(body.error().code), "Berth registry",
            "<p>" + escape(body.error().message) + "</p>\n");
}

void serve_metrics(Service& service, http::Exchange& exchange) {
  Metrics::Gauges gauges;
  if (Result<CatalogTotals> totals = service.catalog->totals()) {
    gauges.repositories = totals->repositories;
    gauges.manifests = totals->manifests;
    gauges.tags = totals->tags;
    gauges.blobs = totals->blobs;
  }
  gauges.connections = service.count_connections();
  gauges.uploads = service.uploads->size();
  gauges.notifications_dropped = service.notifier.dropped();
  (void)exchange.respond(200, {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
                         service.metrics.text(gauges));
}

void serve_health(Service& service, http::Exchange& exchange) {
  Result<CatalogTotals> totals = service.catalog->totals();
  if (!totals) (void)internal_error(totals.error());
  (void)exchange.respond(totals ? 200 : 503, {{"Content-Type", "application/json"}},
                         totals ? "{}\n" : "{\"status\":\"database\"}\n");
}

}  // namespace

bool serve_page(Service& service, http::Exchange& exchange) {
  const http::Request& request = exchange.request();
  const bool page = request.path == "/" || request.path.starts_with("/ui/");
  if (!page && request.path != "/metrics" && request.path != "/healthz") return false;
  if (request.method != "GET" && request.method != "HEAD")
    (void)exchange.respond(405, {{"Allow", "GET, HEAD"}}, "");
  else if (request.path == "/metrics")
    serve_metrics(service, exchange);
  else if (request.path == "/healthz")
    serve_health(service, exchange);
  else
    serve_html(service, exchange);
  return true;
}

}  // namespace berth::registryd
