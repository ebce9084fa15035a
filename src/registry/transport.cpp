// SPDX-License-Identifier: Apache-2.0
#include "registry/transport.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "base/log.h"
#include "base/text.h"
#include "base/version.h"

namespace berth::registry {
namespace {

constexpr int kRedirects = 5;
constexpr std::size_t kIdleClients = 8;  // an origin
constexpr std::size_t kTokenAnswerLimit = 1u << 20;
constexpr std::size_t kRefusalLimit = 64u << 10;
constexpr std::size_t kUrlLimit = 16u << 10;

struct Url {
  std::string origin;  // "https://host:port", lower case, the port always there
  std::string host;    // "host[:port]" as written
  std::string target;  // "/path?query"
  bool tls = false;
};

Result<Url> parse_url(std::string_view text) {
  Url url;
  url.tls = text.starts_with("https://");
  if ((!url.tls && !text.starts_with("http://")) || text.size() > kUrlLimit ||
      std::ranges::any_of(text, [](unsigned char c) { return c <= ' ' || c == 0x7f; }))
    return fail(ErrorKind::invalid, "the registry gave an address that is none: '{}'", text.substr(0, 200));
  std::string_view rest = text.substr(url.tls ? 8 : 7);
  const std::size_t end = std::min(rest.find_first_of("/?#"), rest.size());
  url.host = rest.substr(0, end);
  if (url.host.empty() || url.host.find('@') != std::string::npos)
    return fail(ErrorKind::invalid, "the registry gave an address without a plain host: '{}'",
                text.substr(0, 200));
  rest.remove_prefix(end);
  rest = rest.substr(0, rest.find('#'));
  url.target = rest.starts_with('/') ? std::string(rest) : "/" + std::string(rest);
  const http::Endpoint parsed = TRY(http::Endpoint::parse((url.tls ? "https://" : "http://") + url.host));
  url.origin = fmt::format("{}://{}:{}", url.tls ? "https" : "http", to_lower(parsed.host), parsed.port);
  return url;
}

// A Location field, which may be absolute, "//host/path", or "/path".
Result<std::string> resolve(std::string_view location, const Url& base) {
  if (location.starts_with("http://") || location.starts_with("https://")) return std::string(location);
  const std::string_view scheme = base.tls ? "https:" : "http:";
  if (location.starts_with("//")) return fmt::format("{}{}", scheme, location);
  if (location.starts_with('/')) return fmt::format("{}//{}{}", scheme, base.host, location);
  return fail(ErrorKind::invalid, "the registry gave a relative address: '{}'", location.substr(0, 200));
}

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// A server that answers a TLS greeting in plain HTTP: how OpenSSL calls that depends on its version.
bool speaks_plainly(const Error& error) {
  for (std::string_view sign : {"wrong version number", "packet length too long", "http request"})
    if (error.message.find(sign) != std::string::npos) return true;
  return false;
}

bool can_resend(const http::RequestBody& body) {
  return std::holds_alternative<std::monostate>(body) || std::holds_alternative<std::string_view>(body);
}

}  // namespace

struct Transport::State {
  std::mutex mutex;
  std::map<std::string, std::vector<http::Client>> idle;  // by origin
  std::optional<Url> base;
  std::optional<Challenge> challenge;
  std::optional<Token> token;
  std::vector<std::string> other_repositories;
};

// A client on loan from the transport's state, which outlives it: answers do not outlive their transport.
struct Answer::Lent {
  Lent(Transport::State& from, std::string of, std::chrono::milliseconds how_long, std::stop_token until)
      : state(&from), origin(std::move(of)), patience(how_long), stop(std::move(until)) {}
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;

  Transport::State* state;
  std::string origin;
  std::optional<http::Client> client;
  std::chrono::milliseconds patience;
  std::stop_token stop;

  ~Lent() {
    if (!client) return;
    std::lock_guard lock(state->mutex);
    std::vector<http::Client>& idle = state->idle[origin];
    if (idle.size() < kIdleClients) idle.push_back(*std::move(client));
  }
};

Answer::Answer(std::unique_ptr<Lent> lent, http::Response response, std::string url)
    : lent_(std::move(lent)), response_(std::move(response)), url_(std::move(url)) {}
Answer::Answer(Answer&&) noexcept = default;
Answer& Answer::operator=(Answer&& other) noexcept {
  std::swap(lent_, other.lent_);
  std::swap(response_, other.response_);
  std::swap(url_, other.url_);
  std::swap(advice_, other.advice_);
  return *this;
}
Answer::~Answer() = default;

Result<std::size_t> Answer::read(std::span<char> buffer) {
  Result<std::size_t> got = response_.read(buffer, lent_->patience, lent_->stop);
  if (!got && got.error().kind == ErrorKind::timeout)
    return fail(ErrorKind::timeout, "nothing came for {} s", lent_->patience.count() / 1000);
  return got;
}

Result<std::string> Answer::read_whole(std::size_t limit) {
  std::string text;
  char buffer[16384];
  const auto end = std::chrono::steady_clock::now() + 4 * lent_->patience;
  for (;;) {
    const std::size_t got = TRY(read(buffer));
    if (got == 0) return text;
    text.append(buffer, got);
    if (text.size() > limit)
      return fail(ErrorKind::invalid, "the answer is longer than the {} bytes that are allowed", limit);
    if (std::chrono::steady_clock::now() > end)
      return fail(ErrorKind::timeout, "the answer comes too slowly");
  }
}

Transport::Transport(Endpoint endpoint, const Settings& settings, Credentials credentials,
                     std::string actions)
    : endpoint_(std::move(endpoint)),
      settings_(settings),
      credentials_(std::move(credentials)),
      actions_(std::move(actions)),
      state_(std::make_unique<State>()) {}
Transport::~Transport() = default;

Result<void> Transport::connect(const std::stop_token& stop) {
  std::vector<std::string> schemes = {endpoint_.scheme};
  if (endpoint_.scheme.empty()) schemes = {"https", "http"};
  std::optional<Error> failure;
  for (const std::string& scheme : schemes) {
    const std::string base = fmt::format("{}://{}{}", scheme, endpoint_.host, endpoint_.base_path);
    state_->base = TRY(parse_url(base));
    Request ping{.method = "GET", .target = base + "/v2/", .stop = stop};
    Result<Answer> answer = send_to(ping.target, ping);
    if (!answer) {
      failure = std::move(answer).error();
      if (stop.stop_requested()) break;
      if (scheme == "https" && !endpoint_.insecure && speaks_plainly(*failure))
        failure->message += fmt::format(
            "; it seems to speak plain HTTP: to allow that, name {} in \"insecure-registries\" of "
            "daemon.json",
            endpoint_.host);
      continue;
    }
    if (answer->status() == 401) {
      TRY(learn(answer->headers()));
    } else if (answer->status() >= 500 || answer->status() == 429) {
      return fail(ErrorKind::unavailable, "the registry {} answers {} {}", endpoint_.host, answer->status(),
                  http::reason_phrase(answer->status()));
    } else if (answer->status() != 200 && answer->status() != 403) {
      // A server of another kind may listen here: the next scheme may be the right one.
      failure =
          Error{ErrorKind::unsupported, 0,
                fmt::format("{} is no registry: GET /v2/ answers {}", endpoint_.host, answer->status())};
      continue;
    }
    (void)answer->read_whole(kRefusalLimit);
    return {};
  }
  return std::unexpected(*std::move(failure));
}

Result<void> Transport::log_in(const std::stop_token& stop) {
  TRY(connect(stop));
  if (!state_->challenge) return {};
  Result<Answer> answer = send({.method = "GET", .target = "/v2/", .stop = stop});
  if (!answer) return std::unexpected(std::move(answer).error());
  if (answer->status() == 200) return {};
  return fail(ErrorKind::unauthenticated, "Get \"{}\": unauthorized: incorrect username or password",
              state_->base->origin + endpoint_.base_path + "/v2/");
}

bool Transport::is_own(std::string_view url) const {
  const Result<Url> parsed = parse_url(url);
  return parsed && parsed->origin == state_->base->origin;
}

std::string Transport::how_to_log_in() const {
  if (endpoint_.mirror) return "";  // it is never shown credentials
  const std::string login =
      endpoint_.host == "registry-1.docker.io" ? "berth login" : "berth login " + endpoint_.host;
  return credentials_.empty() ? "log in with: " + login
                              : "the credentials are not accepted; log in anew with: " + login;
}

void Transport::also_read(const std::string& other) {
  std::lock_guard lock(state_->mutex);
  if (other == endpoint_.repository || std::ranges::count(state_->other_repositories, other) > 0) return;
  state_->other_repositories.push_back(other);
  state_->token.reset();
}

Result<void> Transport::learn(const http::Headers& headers) {
  std::optional<Challenge> best;
  for (const auto& [name, value] : headers) {
    if (to_lower(name) != "www-authenticate") continue;
    std::vector<Challenge> challenges = TRY(parse_challenges(value));
    for (Challenge& challenge : challenges) {
      const bool bearer = challenge.scheme == "bearer";
      if (bearer || (challenge.scheme == "basic" && !best)) best = std::move(challenge);
      if (bearer) break;
    }
  }
  if (!best)
    return fail(ErrorKind::unauthenticated,
                "the registry {} asks for a kind of authentication that is not supported", endpoint_.host);
  std::lock_guard lock(state_->mutex);
  state_->challenge = std::move(best);
  state_->token.reset();
  return {};
}

Result<std::string> Transport::authorization(const std::stop_token& stop) {
  std::optional<Challenge> challenge;
  {
    std::lock_guard lock(state_->mutex);
    challenge = state_->challenge;
    if (state_->token && std::chrono::steady_clock::now() < state_->token->expires)
      return "Bearer " + state_->token->text;
  }
  if (!credentials_.registry_token.empty()) return "Bearer " + credentials_.registry_token;
  if (!challenge) return std::string();
  if (challenge->scheme == "basic")
    return credentials_.username.empty() ? std::string() : basic_authorization(credentials_);
  Token token = TRY(fetch_token(*challenge, stop));
  std::string value = "Bearer " + token.text;
  std::lock_guard lock(state_->mutex);
  state_->token = std::move(token);
  return value;
}

Result<Token> Transport::fetch_token(const Challenge& challenge, const std::stop_token& stop) {
  auto parameter = [&](const char* name) {
    auto found = challenge.parameters.find(name);
    return found == challenge.parameters.end() ? std::string() : found->second;
  };
  const Url realm = TRY_AS("the registry's token server", parse_url(parameter("realm")));
  if (!realm.tls && !endpoint_.insecure)
    return fail(ErrorKind::denied, "the registry {} names a token server without TLS, {}: not trusted",
                endpoint_.host, realm.host);
  std::vector<std::string> scopes;
  if (!endpoint_.repository.empty())
    scopes.push_back(fmt::format("repository:{}:{}", endpoint_.repository, actions_));
  {
    std::lock_guard lock(state_->mutex);
    for (const std::string& other : state_->other_repositories)
      scopes.push_back(fmt::format("repository:{}:pull", other));
  }
  http::Query query;
  if (!parameter("service").empty()) query.add("service", parameter("service"));
  Request request{.method = "GET", .follow_redirects = false, .stop = stop};
  std::string form;
  if (!credentials_.identity_token.empty()) {
    query.add("grant_type", "refresh_token");
    query.add("client_id", "berth");
    query.add("refresh_token", credentials_.identity_token);
    query.add("scope", join(scopes, " "));
    form = query.text();
    request.method = "POST";
    request.headers.add("Content-Type", "application/x-www-form-urlencoded");
    request.body = std::string_view(form);
    request.target = realm.origin + realm.target;
  } else {
    for (const std::string& scope : scopes) query.add("scope", scope);
    if (!credentials_.username.empty()) {
      query.add("account", credentials_.username);
      request.headers.add("Authorization", basic_authorization(credentials_));
    }
    const char joint = realm.target.find('?') == std::string::npos ? '?' : '&';
    request.target = fmt::format("{}{}{}{}", realm.origin, realm.target, joint, query.text());
  }
  Answer answer = TRY_AS("ask the token server of " + endpoint_.host, send_to(request.target, request));
  if (answer.status() == 401 || answer.status() == 403)
    return fail(ErrorKind::unauthenticated, "{}: unauthorized: the token server {} refuses {}{}{}",
                endpoint_.host, realm.host, credentials_.empty() ? "anonymous access" : "these credentials",
                endpoint_.mirror ? "" : "; ", how_to_log_in());
  const std::string body =
      TRY_AS("the token server of " + endpoint_.host, answer.read_whole(kTokenAnswerLimit));
  if (answer.status() != 200)
    return fail(answer.status() >= 500 || answer.status() == 429 ? ErrorKind::unavailable : ErrorKind::denied,
                "the token server {} of {} answers {}", realm.host, endpoint_.host, answer.status());
  return parse_token(body);
}

Result<Answer> Transport::send_to(const std::string& text, Request& request) {
  const Url url = TRY(parse_url(text));
  auto lent = std::make_unique<Answer::Lent>(*state_, url.origin, settings_.patience, request.stop);
  {
    std::lock_guard lock(state_->mutex);
    std::vector<http::Client>& idle = state_->idle[url.origin];
    if (!idle.empty()) {
      lent->client = std::move(idle.back());
      idle.pop_back();
    }
  }
  if (!lent->client) {
    std::optional<http::TlsClientSettings> tls;
    // The certificates in certs.d are for the registry, not for whom it sends us to.
    if (url.tls && url.origin == state_->base->origin) tls = TRY(tls_for(endpoint_, settings_));
    if (url.tls && !tls) tls = http::TlsClientSettings{.verify = !endpoint_.insecure};
    http::Endpoint server = TRY(http::Endpoint::parse((url.tls ? "https://" : "http://") + url.host, tls));
    server.proxy = TRY(proxy_for(url.host, url.tls, settings_.proxies));
    lent->client.emplace(std::move(server));
    lent->client->set_head_timeout(settings_.patience);
  }
  http::Headers headers = request.headers;
  headers.set("User-Agent", fmt::format("berth/{}", kVersion));
  http::Response response =
      TRY(lent->client->request(request.method, url.target, std::move(headers), request.body, request.stop));
  return Answer(std::move(lent), std::move(response), text);
}

Result<Answer> Transport::send(Request request) {
  std::string url = request.target;
  if (request.target.starts_with('/')) url = state_->base->origin + endpoint_.base_path + request.target;
  const http::Headers plain = request.headers;
  bool asked = false;
  for (int hops = 0; hops <= kRedirects;) {
    const Url parsed = TRY(parse_url(url));
    if (!parsed.tls && state_->base->tls && !endpoint_.insecure)
      return fail(ErrorKind::denied, "the registry {} redirects from https to plain http at {}: not followed",
                  endpoint_.host, parsed.host);
    request.headers = plain;
    const bool own = parsed.origin == state_->base->origin;
    if (own)
      if (std::string value = TRY(authorization(request.stop)); !value.empty())
        request.headers.set("Authorization", value);
    Answer answer = TRY(send_to(url, request));
    if (answer.status() == 401 && own && !asked && can_resend(request.body) &&
        answer.headers().has("WWW-Authenticate")) {
      asked = true;
      TRY(learn(answer.headers()));
      (void)answer.read_whole(kRefusalLimit);
      continue;
    }
    if (!is_redirect(answer.status()) || !request.follow_redirects ||
        (request.method != "GET" && request.method != "HEAD")) {
      if (answer.status() == 401 && own) answer.advice_ = how_to_log_in();
      return answer;
    }
    std::optional<std::string_view> location = answer.headers().get("Location");
    if (!location) return fail(ErrorKind::invalid, "the registry {} redirects to nowhere", endpoint_.host);
    url = TRY(resolve(*location, parsed));
    ++hops;
  }
  return fail(ErrorKind::unavailable, "the registry {} redirects in a loop ({} times): asked for {}",
              endpoint_.host, kRedirects, request.target.substr(0, 200));
}

}  // namespace berth::registry
