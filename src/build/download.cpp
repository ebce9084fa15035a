// SPDX-License-Identifier: Apache-2.0
#include "build/download.h"

#include <fcntl.h>

#include <chrono>
#include <ctime>
#include <vector>

#include "archive/stream.h"
#include "base/file.h"
#include "base/text.h"
#include "build/tree.h"
#include "http/client.h"

namespace berth::build {
namespace {

constexpr auto kSilence = std::chrono::minutes(1);

struct Parts {
  std::string origin;  // "https://host:port"
  std::string target;  // "/path?query"
};

Result<Parts> take_apart(const std::string& url) {
  const std::size_t host = url.find("://") + 3;
  const std::size_t path = std::min(url.find_first_of("/?#", host), url.size());
  Parts parts{url.substr(0, path), url.substr(path, url.find('#', path) - path)};
  if (path == host) return fail(ErrorKind::invalid, "{} names no host", url);
  if (parts.origin.find('@') != std::string::npos)
    return fail(ErrorKind::invalid,
                "{}: a URL with a name or a password in it would be kept in the image's history", url);
  if (!parts.target.starts_with('/')) parts.target = "/" + parts.target;
  for (const char c : url)
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f)
      return fail(ErrorKind::invalid, "the URL has a blank in it: {}", url);
  return parts;
}

std::string name_of(const std::string& target) {
  std::string_view path = std::string_view(target).substr(0, target.find('?'));
  const std::string decoded = percent_decode(path, false).value_or(std::string(path));
  std::string name = decoded.substr(decoded.find_last_of('/') + 1);
  if (name == "." || name == ".." || name.find('\0') != std::string::npos) name.clear();
  return name;
}

// "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, section 5.6.7).
Timestamp parse_http_date(std::string_view text) {
  std::tm time{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%a, %d %b %Y %H:%M:%S GMT", &time);
  if (!end || *end != 0) return {};
  return {static_cast<std::int64_t>(timegm(&time)) * 1'000'000'000};
}

Result<std::string> follow(const Parts& from, std::string_view location) {
  if (location.starts_with("http://") || location.starts_with("https://")) return std::string(location);
  if (location.starts_with("//"))
    return from.origin.substr(0, from.origin.find("//")) + std::string(location);
  if (location.starts_with('/')) return from.origin + std::string(location);
  if (location.empty()) return fail(ErrorKind::corrupt, "{} redirects to nowhere", from.origin);
  return from.origin + from.target.substr(0, from.target.find_last_of('/') + 1) + std::string(location);
}

Result<Download> keep(http::Response& response, const Parts& parts, const std::string& directory,
                      const std::stop_token& stop) {
  Fd file = TRY(open_file(directory, O_TMPFILE | O_RDWR, 0600));
  Sha256 digest;
  std::vector<char> buffer(256u << 10);
  std::uint64_t whole = 0;
  for (;;) {
    const std::size_t size = TRY(response.read(buffer, kSilence, stop));
    if (size == 0) break;
    whole += size;
    if (whole > kLargestContext)
      return fail(ErrorKind::exhausted, "more than {} bytes come, which is more than is taken",
                  kLargestContext);
    const std::string_view data(buffer.data(), size);
    digest.update(data);
    TRY(write_all(file.get(), data));
  }
  return Download{name_of(parts.target), digest.finish(),
                  parse_http_date(response.headers.get("Last-Modified").value_or("")), std::move(file)};
}

}  // namespace

Result<Download> download_url(const std::string& url, const std::string& directory,
                              const std::stop_token& stop) {
  TRY(make_directories(directory, 0700));
  std::string at = url;
  std::string name;
  for (int redirects = 0; redirects <= kMostRedirects; ++redirects) {
    Parts parts = TRY(take_apart(at));
    std::optional<http::TlsClientSettings> tls;
    if (parts.origin.starts_with("https://")) tls.emplace();
    http::Client client(TRY(http::Endpoint::parse(parts.origin, tls)));
    client.set_head_timeout(kSilence);
    http::Response response = TRY(client.request(
        "GET", parts.target, {{"User-Agent", "berth"}, {"Accept-Encoding", "identity"}}, {}, stop));
    if (redirects == 0) name = name_of(parts.target);
    if (response.status == 200) {
      Download download = TRY_AS(url, keep(response, parts, directory, stop));
      download.name = name;  // as it was asked for
      return download;
    }
    const bool redirect = response.status >= 301 && response.status <= 308 && response.status != 304;
    if (!redirect) return fail(ErrorKind::not_found, "{} was answered with status {}", url, response.status);
    at = TRY(follow(parts, response.headers.get("Location").value_or("")));
    if (!at.starts_with("http://") && !at.starts_with("https://"))
      return fail(ErrorKind::denied, "{} redirects to {}", url, at);
    if (url.starts_with("https://") && at.starts_with("http://"))
      return fail(ErrorKind::denied, "{} redirects from https to plain http: {}", url, at);
  }
  return fail(ErrorKind::unavailable, "{} redirects more than {} times", url, kMostRedirects);
}

}  // namespace berth::build
