// SPDX-License-Identifier: Apache-2.0
#include "registryd/upstream.h"

#include <poll.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "base/buffer.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "http/client.h"
#include "oci/manifest.h"

namespace berth::registryd {
namespace {

constexpr int kRedirects = 5;
constexpr std::size_t kTokenAnswerLimit = 1u << 20;
constexpr std::size_t kTokens = 1000;
constexpr auto kTokenTime =
    std::chrono::seconds(50);  // the least that the token specification promises is 60
constexpr auto kHeadTimeout = std::chrono::seconds(30);
constexpr std::chrono::milliseconds kSilence(60'000);
constexpr std::chrono::milliseconds kSlice(200);  // between two looks at whether to stop
constexpr std::size_t kTagsAnswerLimit = 8u << 20;
constexpr std::size_t kTagPages = 1000, kTags = 100'000;
constexpr std::size_t kReadSize = 128u << 10;
constexpr std::string_view kAccept =
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

struct Url {
  std::string origin;  // "https://host:port"
  std::string target;  // "/path?query"
};

Result<Url> parse_url(std::string_view text) {
  for (std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    const std::size_t path = text.find('/', scheme.size());
    std::string origin(text.substr(0, path));
    if (origin.find('@') != std::string::npos || origin.size() == scheme.size()) break;
    return Url{std::move(origin), path == std::string_view::npos ? "/" : std::string(text.substr(path))};
  }
  return fail(ErrorKind::invalid, "'{}' is not a URL of http or https", text.substr(0, 256));
}

// The parameters of `Bearer realm="...",service="...",scope="..."`.
std::unordered_map<std::string, std::string> parse_challenge(std::string_view text) {
  std::unordered_map<std::string, std::string> parameters;
  while (!text.empty()) {
    const std::size_t equals = text.find("=\"");
    if (equals == std::string_view::npos) break;
    const std::size_t end = text.find('"', equals + 2);
    if (end == std::string_view::npos) break;
    std::string_view name = trim(text.substr(0, equals));
    if (name.starts_with(',')) name = trim(name.substr(1));
    parameters[to_lower(name)] = text.substr(equals + 2, end - equals - 2);
    text.remove_prefix(end + 1);
  }
  return parameters;
}

// An answer and the connection that it still comes over.
struct Answer {
  std::unique_ptr<http::Client> client;
  http::Response response;
};

// The next part of the body, unless the upstream falls silent.
Result<std::size_t> read(Answer& answer, std::span<char> buffer, const std::stop_token& stop = {}) {
  const auto end = std::chrono::steady_clock::now() + kSilence;
  while (!answer.response.buffered()) {
    if (stop.stop_requested()) return fail(ErrorKind::cancelled, "the registry is stopping");
    pollfd polled{answer.response.descriptor(), POLLIN, 0};
    if (polled.fd < 0 || poll(&polled, 1, static_cast<int>(kSlice.count())) > 0) break;
    if (std::chrono::steady_clock::now() > end)
      return fail(ErrorKind::timeout, "nothing came for {} s", kSilence.count() / 1000);
  }
  return answer.response.read(buffer, kSilence);
}

Result<std::string> read_whole(Answer& answer, std::size_t limit) {
  std::string text;
  char buffer[16384];
  for (;;) {
    const std::size_t got = TRY(read(answer, buffer));
    if (got == 0) return text;
    if (text.size() + got > limit) return fail(ErrorKind::invalid, "an answer of more than {} bytes", limit);
    text.append(buffer, got);
  }
}

// Where the rest of a list is: Link: </v2/...?last=x>; rel="next".
std::optional<std::string> next_page(const Answer& answer) {
  const std::string_view link = answer.response.headers.get_or("Link", "");
  const std::size_t open = link.find('<'), close = link.find('>');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open ||
      link.find("next", close) == std::string_view::npos)
    return std::nullopt;
  return std::string(link.substr(open + 1, close - open - 1));
}

class HttpUpstream final : public Upstream {
 public:
  HttpUpstream(const ProxySettings& settings, Url base) : settings_(settings), base_(std::move(base)) {
    while (base_.target.ends_with('/')) base_.target.pop_back();
  }

  Result<UpstreamManifest> manifest(std::string_view repository, std::string_view reference) override {
    Answer answer = TRY(get(repository, fmt::format("/v2/{}/manifests/{}", repository, reference), kAccept));
    std::string type(answer.response.headers.get_or("Content-Type", ""));
    type = type.substr(0, type.find(';'));
    std::string bytes = TRY_AS("read from " + settings_.remote_url, read_whole(answer, oci::kDocumentLimit));
    return UpstreamManifest{std::move(bytes), std::move(type)};
  }

  Result<std::vector<std::string>> tags(std::string_view repository) override {
    const std::string what = fmt::format("the tags of {} at {}", repository, settings_.remote_url);
    const std::string list = fmt::format("/v2/{}/tags/list", repository);
    std::string path = list + "?n=1000";
    std::vector<std::string> tags;
    for (std::size_t pages = 0; pages < kTagPages; ++pages) {
      Answer answer = TRY(get(repository, path, "application/json"));
      const std::optional<std::string> next = next_page(answer);
      const std::string text = TRY_AS(what, read_whole(answer, kTagsAnswerLimit));
      const json::value document = TRY(parse_json(text, what));
      ObjectReader in(document, what);
      std::vector<std::string> page;
      in.read("tags", page);
      TRY(in.finish());
      const bool ends = !next || page.empty();
      std::ranges::move(page, std::back_inserter(tags));
      if (tags.size() > kTags) return fail(ErrorKind::invalid, "{}: more than {} of them", what, kTags);
      if (ends) {
        std::ranges::sort(tags);
        tags.erase(std::ranges::unique(tags).begin(), tags.end());
        return tags;
      }
      path = TRY_AS(what, path_of_page(*next, list));
    }
    return fail(ErrorKind::invalid, "{}: the list does not end", what);
  }

  Result<void> blob(std::string_view repository, const Digest& digest, const Receiver& receiver,
                    const std::stop_token& stop) override {
    Answer answer = TRY(get(repository, fmt::format("/v2/{}/blobs/{}", repository, digest.text()), "*/*"));
    receiver.begin(parse_integer<std::uint64_t>(answer.response.headers.get_or("Content-Length", "")));
    Buffer buffer(kReadSize);
    for (;;) {
      const std::size_t got = TRY_AS("read from " + settings_.remote_url, read(answer, buffer, stop));
      if (got == 0) return {};
      TRY(receiver.write({buffer.data(), got}));
    }
  }

 private:
  static Result<Answer> ask(const Url& url, http::Headers headers) {
    http::Endpoint endpoint = TRY(http::Endpoint::parse(url.origin));
    auto client = std::make_unique<http::Client>(std::move(endpoint));
    client->set_head_timeout(kHeadTimeout);
    http::Response response = TRY(client->request("GET", url.target, std::move(headers)));
    return Answer{std::move(client), std::move(response)};
  }

  // A page that is led to elsewhere is no page of this list.
  Result<std::string> path_of_page(std::string_view next, const std::string& list) const {
    if (next.starts_with('?')) return list + std::string(next);
    std::string path(next);
    if (!next.starts_with('/')) {
      Url url = TRY(parse_url(next));
      if (url.origin != base_.origin)
        return fail(ErrorKind::denied, "the list goes on at {}, another server: not followed", url.origin);
      path = std::move(url.target);
    }
    // get() adds what the upstream's own address begins with.
    if (!base_.target.empty() && path.starts_with(base_.target + "/v2/")) path.erase(0, base_.target.size());
    if (!path.starts_with("/v2/")) return fail(ErrorKind::invalid, "the list goes on outside of /v2/");
    return path;
  }

  std::string basic() const {
    return settings_.username.empty() ? ""
                                      : "Basic " + to_base64(settings_.username + ":" + settings_.password);
  }

  // With what it takes to be let in, and after redirections; any other status than 200 is an error.
  Result<Answer> get(std::string_view repository, const std::string& path, std::string_view accept) {
    std::string authorization = remembered(repository);
    for (int attempt = 0; attempt < 2; ++attempt) {
      Answer answer = TRY(follow({base_.origin, base_.target + path}, accept, authorization));
      const int status = answer.response.status;
      if (status == 200) return answer;
      if (status == 404) return fail(ErrorKind::not_found, "{} has no {}", settings_.remote_url, path);
      if (status != 401)
        return fail(ErrorKind::unavailable, "{} answered {} for {}", settings_.remote_url, status, path);
      const std::string challenge(answer.response.headers.get_or("WWW-Authenticate", ""));
      authorization = TRY(authorize(repository, challenge));
    }
    return fail(ErrorKind::unavailable, "{} refuses {}: check proxy.username and proxy.password",
                settings_.remote_url, path);
  }

  // What lets us in is for this origin alone: a redirection elsewhere goes without it.
  static Result<Answer> follow(Url url, std::string_view accept, const std::string& authorization) {
    const std::string origin = url.origin;
    for (int hop = 0; hop <= kRedirects; ++hop) {
      http::Headers headers{{"Accept", std::string(accept)}};
      if (!authorization.empty() && url.origin == origin) headers.add("Authorization", authorization);
      Answer answer = TRY(ask(url, std::move(headers)));
      const int status = answer.response.status;
      if (status != 301 && status != 302 && status != 303 && status != 307 && status != 308) return answer;
      const std::string location(answer.response.headers.get_or("Location", ""));
      if (location.starts_with('/') && !location.starts_with("//")) {
        url.target = location;
        continue;
      }
      Url next = TRY(parse_url(location));
      if (url.origin.starts_with("https://") && !next.origin.starts_with("https://"))
        return fail(ErrorKind::denied, "{} redirects to plain HTTP", url.origin);
      url = std::move(next);
    }
    return fail(ErrorKind::unavailable, "{} redirects in circles", origin);
  }

  Result<std::string> authorize(std::string_view repository, std::string_view challenge) {
    if (http::equal_ignoring_case(challenge.substr(0, 6), "basic ")) return basic();
    if (!http::equal_ignoring_case(challenge.substr(0, 7), "bearer "))
      return fail(ErrorKind::unavailable, "{} asks for an unknown authentication", settings_.remote_url);
    auto parameters = parse_challenge(challenge.substr(7));
    Url realm = TRY(parse_url(parameters["realm"]));
    const bool tls = base_.origin.starts_with("https://");
    if (tls && !realm.origin.starts_with("https://"))
      return fail(ErrorKind::denied, "{} wants credentials sent over plain HTTP", settings_.remote_url);
    http::Query query;
    query.add("service", parameters["service"]);
    query.add("scope", fmt::format("repository:{}:pull", repository));
    realm.target += (realm.target.find('?') == std::string::npos ? "?" : "&") + query.text();
    http::Headers headers;
    if (std::string credentials = basic(); !credentials.empty()) headers.add("Authorization", credentials);
    Answer answer = TRY(ask(realm, std::move(headers)));
    if (answer.response.status != 200)
      return fail(ErrorKind::unavailable, "{} answered {} when asked for a token", realm.origin,
                  answer.response.status);
    const std::string text = TRY(read_whole(answer, kTokenAnswerLimit));
    json::value document = TRY(parse_json(text, "the token service's answer"));
    ObjectReader in(document, "the token service's answer");
    std::string token, access_token;
    in.read("token", token);
    in.read("access_token", access_token);
    TRY(in.finish());
    std::string made = "Bearer " + (token.empty() ? access_token : token);
    std::lock_guard guard(mutex_);
    if (tokens_.size() >= kTokens) tokens_.clear();
    tokens_[std::string(repository)] = {made, std::chrono::steady_clock::now()};
    return made;
  }

  std::string remembered(std::string_view repository) {
    std::lock_guard guard(mutex_);
    auto found = tokens_.find(std::string(repository));
    if (found == tokens_.end() || std::chrono::steady_clock::now() - found->second.second > kTokenTime)
      return "";
    return found->second.first;
  }

  const ProxySettings settings_;
  Url base_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::pair<std::string, std::chrono::steady_clock::time_point>> tokens_;
};

}  // namespace

Result<std::unique_ptr<Upstream>> make_upstream(const ProxySettings& settings) {
  Url base = TRY_AS("proxy.remoteurl", parse_url(settings.remote_url));
  return std::make_unique<HttpUpstream>(settings, std::move(base));
}

}  // namespace berth::registryd
