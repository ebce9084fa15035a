// SPDX-License-Identifier: Apache-2.0
#include "registryd/upstream.h"

#include <algorithm>
#include <mutex>
#include <unordered_map>

#include "base/buffer.h"
#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "http/client.h"
#include "oci/manifest.h"
#include "oci/tag_list.h"

namespace berth::registryd {
namespace {

constexpr int kRedirects = 5;
constexpr std::size_t kTokenAnswerLimit = 1u << 20;
constexpr std::size_t kTokens = 1000;
constexpr auto kTokenTime =
    std::chrono::seconds(50);  // the least that the token specification promises is 60
using Time = std::chrono::steady_clock::time_point;
Time now() { return std::chrono::steady_clock::now(); }

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
  int hops = 0;  // redirections on the way
};

// What is asked, and who waits for it.
struct Question {
  std::string_view method;
  std::string_view repository;
  std::string path;
  std::string_view accept;
  const std::stop_token& stop;
};

class HttpUpstream final : public Upstream {
 public:
  HttpUpstream(const ProxySettings& settings, Url base) : settings_(settings), base_(std::move(base)) {
    while (base_.target.ends_with('/')) base_.target.pop_back();
  }

  Result<UpstreamManifest> manifest(std::string_view repository, std::string_view reference,
                                    const std::stop_token& stop) override {
    return watched(stop, [&] { return get_manifest(repository, reference, stop); });
  }

  Result<std::vector<std::string>> tags(std::string_view repository, const std::stop_token& stop) override {
    return watched(stop, [&] { return get_tags(repository, stop); });
  }

  bool is_away() const override {
    std::lock_guard guard(mutex_);
    return now() < away_until_;
  }

  Result<std::optional<std::uint64_t>> blob_size(std::string_view repository, const Digest& digest,
                                                 const std::stop_token& stop) override {
    Answer answer = TRY(get({"HEAD", repository, blob_path(repository, digest), "*/*", stop}));
    // An object store where the upstream keeps the blob may have let in a GET alone.
    if (answer.response.status != 200) return std::nullopt;
    return parse_integer<std::uint64_t>(answer.response.headers.get_or("Content-Length", ""));
  }

  Result<void> blob(std::string_view repository, const Digest& digest, const Receiver& receiver,
                    const std::stop_token& stop) override {
    Answer answer = TRY(get({"GET", repository, blob_path(repository, digest), "*/*", stop}));
    receiver.begin(parse_integer<std::uint64_t>(answer.response.headers.get_or("Content-Length", "")));
    Buffer buffer(kReadSize);
    const auto window = settings_.patience.window;
    const std::uint64_t least =
        UpstreamPatience::kLeastSpeed * static_cast<std::uint64_t>(window.count()) / 1000;
    std::uint64_t in_window = 0;
    for (Time window_end = now() + window;;) {
      const std::size_t got = TRY_AS("read from " + settings_.remote_url,
                                     answer.response.read(buffer, settings_.patience.silence, stop));
      if (got == 0) return {};
      TRY(receiver.write({buffer.data(), got}));
      in_window += got;
      if (now() < window_end) continue;
      if (in_window < least)
        return fail(ErrorKind::timeout, "{} sends fewer than {} bytes a second: given up",
                    settings_.remote_url, UpstreamPatience::kLeastSpeed);
      in_window = 0;
      window_end = now() + window;
    }
  }

 private:
  // Remembers how it went: who comes next need not wait for what is not there.
  template <class Work>
  std::invoke_result_t<Work> watched(const std::stop_token& stop, const Work& work) {
    const Time begun = now();
    std::invoke_result_t<Work> got = work();
    if (stop.stop_requested()) return got;
    const bool answered = got || got.error().kind == ErrorKind::not_found;
    std::lock_guard guard(mutex_);
    if (answered)
      away_until_ = {};
    else if (now() - begun > settings_.patience.slow)
      away_until_ = now() + settings_.patience.away;
    return got;
  }

  Result<UpstreamManifest> get_manifest(std::string_view repository, std::string_view reference,
                                        const std::stop_token& stop) {
    const Time end = now() + settings_.patience.document;
    const std::string path = fmt::format("/v2/{}/manifests/{}", repository, reference);
    Answer answer = TRY(get({"GET", repository, path, kAccept, stop}));
    std::string type(answer.response.headers.get_or("Content-Type", ""));
    type = type.substr(0, type.find(';'));
    std::string bytes =
        TRY_AS("read from " + settings_.remote_url, read_whole(answer, oci::kDocumentLimit, end, stop));
    return UpstreamManifest{std::move(bytes), std::move(type)};
  }

  Result<std::vector<std::string>> get_tags(std::string_view repository, const std::stop_token& stop) {
    const Time end = now() + settings_.patience.document;
    const std::string what = fmt::format("the tags of {} at {}", repository, settings_.remote_url);
    const std::string first = fmt::format("/v2/{}/tags/list", repository);
    std::string path = first + "?n=1000";
    oci::TagList list(what);
    for (;;) {
      Answer answer = TRY(get({"GET", repository, path, "application/json", stop}));
      const std::string text = TRY_AS(what, read_whole(answer, oci::TagList::kPageBytes, end, stop));
      std::optional<std::string> next = TRY(list.add(text, answer.response.headers.get_or("Link", "")));
      if (!next) return std::move(list).sorted();
      path = TRY_AS(what, path_of_page(*next, first));
    }
  }

  Result<std::string> read_whole(Answer& answer, std::size_t limit, Time end,
                                 const std::stop_token& stop) const {
    std::string text;
    char buffer[16384];
    for (;;) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - now());
      if (left.count() <= 0) return fail(ErrorKind::timeout, "it comes too slowly");
      const std::size_t got =
          TRY(answer.response.read(buffer, std::min(left, settings_.patience.silence), stop));
      if (got == 0) return text;
      if (text.size() + got > limit)
        return fail(ErrorKind::invalid, "an answer of more than {} bytes", limit);
      text.append(buffer, got);
    }
  }

  static std::string blob_path(std::string_view repository, const Digest& digest) {
    return fmt::format("/v2/{}/blobs/{}", repository, digest.text());
  }

  Result<Answer> ask(std::string_view method, const Url& url, http::Headers headers,
                     const std::stop_token& stop) const {
    http::Endpoint endpoint = TRY(http::Endpoint::parse(url.origin));
    auto client = std::make_unique<http::Client>(std::move(endpoint));
    client->set_head_timeout(settings_.patience.silence);
    http::Response response = TRY(client->request(method, url.target, std::move(headers), {}, stop));
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

  // With what it takes to be let in, and after redirections; any other status than 200 is an error, but for
  // that of a HEAD that was led elsewhere.
  Result<Answer> get(const Question& question) {
    const std::string& path = question.path;
    std::string authorization = remembered(question.repository);
    for (int attempt = 0; attempt < 2; ++attempt) {
      Answer answer = TRY(follow({base_.origin, base_.target + path}, question, authorization));
      const int status = answer.response.status;
      if (status == 200 || (question.method == "HEAD" && answer.hops > 0 && status != 404)) return answer;
      if (status == 404) return fail(ErrorKind::not_found, "{} has no {}", settings_.remote_url, path);
      if (status != 401)
        return fail(ErrorKind::unavailable, "{} answered {} for {}", settings_.remote_url, status, path);
      const std::string challenge(answer.response.headers.get_or("WWW-Authenticate", ""));
      authorization = TRY(authorize(question.repository, challenge, question.stop));
    }
    return fail(ErrorKind::unavailable, "{} refuses {}: check proxy.username and proxy.password",
                settings_.remote_url, path);
  }

  // What lets us in is for this origin alone: a redirection elsewhere goes without it.
  Result<Answer> follow(Url url, const Question& question, const std::string& authorization) const {
    const std::string origin = url.origin;
    for (int hop = 0; hop <= kRedirects; ++hop) {
      http::Headers headers{{"Accept", std::string(question.accept)}};
      if (!authorization.empty() && url.origin == origin) headers.add("Authorization", authorization);
      Answer answer = TRY(ask(question.method, url, std::move(headers), question.stop));
      answer.hops = hop;
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

  Result<std::string> authorize(std::string_view repository, std::string_view challenge,
                                const std::stop_token& stop) {
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
    const Time end = now() + settings_.patience.document;
    Answer answer = TRY(ask("GET", realm, std::move(headers), stop));
    if (answer.response.status != 200)
      return fail(ErrorKind::unavailable, "{} answered {} when asked for a token", realm.origin,
                  answer.response.status);
    const std::string text = TRY(read_whole(answer, kTokenAnswerLimit, end, stop));
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
  mutable std::mutex mutex_;  // guards what follows
  Time away_until_;
  std::unordered_map<std::string, std::pair<std::string, Time>> tokens_;
};

}  // namespace

Result<std::unique_ptr<Upstream>> make_upstream(const ProxySettings& settings) {
  Url base = TRY_AS("proxy.remoteurl", parse_url(settings.remote_url));
  return std::make_unique<HttpUpstream>(settings, std::move(base));
}

}  // namespace berth::registryd
