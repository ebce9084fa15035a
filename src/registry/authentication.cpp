// SPDX-License-Identifier: Apache-2.0
#include "registry/authentication.h"

#include <algorithm>

#include "base/json.h"
#include "base/text.h"

namespace berth::registry {
namespace {

constexpr std::size_t kAuthHeaderLimit = 64u << 10;
constexpr std::size_t kTokenLimit = 64u << 10;
constexpr std::int64_t kShortestLife = 60, kLongestLife = 3600;  // seconds

// The grammar of a challenge: scheme SP parameter *( "," parameter ), where a comma may also begin the next
// challenge.
class ChallengeReader {
 public:
  explicit ChallengeReader(std::string_view text) : rest_(text) {}

  Result<std::vector<Challenge>> read() {
    std::vector<Challenge> challenges;
    for (skip(); !rest_.empty(); skip()) {
      const std::string_view word = take_token();
      if (word.empty()) return malformed();
      skip_blanks();
      if (rest_.starts_with('=') && !challenges.empty()) {
        rest_.remove_prefix(1);
        challenges.back().parameters[to_lower(word)] = TRY(take_value());
      } else {
        challenges.push_back({.scheme = to_lower(word)});
      }
    }
    return challenges;
  }

 private:
  std::unexpected<Error> malformed() const {
    return fail(ErrorKind::invalid, "the registry's WWW-Authenticate header is malformed");
  }
  void skip_blanks() {
    while (rest_.starts_with(' ') || rest_.starts_with('\t')) rest_.remove_prefix(1);
  }
  void skip() {
    while (!rest_.empty() && std::string_view(" \t,").find(rest_.front()) != std::string_view::npos)
      rest_.remove_prefix(1);
  }
  std::string_view take_token() {
    const std::size_t end = std::min(rest_.find_first_of(" \t,=\"()<>@;\\/[]?{}"), rest_.size());
    const std::string_view token = rest_.substr(0, end);
    rest_.remove_prefix(end);
    return token;
  }
  Result<std::string> take_value() {
    skip_blanks();
    if (!rest_.starts_with('"')) {
      // Unquoted values with slashes are wrong and common.
      const std::size_t end = std::min(rest_.find_first_of(", \t"), rest_.size());
      std::string value(rest_.substr(0, end));
      rest_.remove_prefix(end);
      return value;
    }
    std::string value;
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == '"') {
        rest_.remove_prefix(i + 1);
        return value;
      }
      if (rest_[i] == '\\' && ++i == rest_.size()) break;
      value += rest_[i];
    }
    return malformed();
  }

  std::string_view rest_;
};

}  // namespace

Result<Credentials> parse_auth_header(std::string_view text) {
  Credentials credentials;
  if (text.empty()) return credentials;
  if (text.size() > kAuthHeaderLimit) return fail(ErrorKind::invalid, "X-Registry-Auth is too long");
  std::optional<std::string> decoded = from_base64(text);
  if (!decoded) return fail(ErrorKind::invalid, "X-Registry-Auth is not base64url");
  if (trim(*decoded).empty()) return credentials;
  const json::value document = TRY(parse_json(*decoded, "X-Registry-Auth"));
  if (document.is_null()) return credentials;
  ObjectReader in(document, "X-Registry-Auth");
  std::string both;
  in.read("username", credentials.username);
  in.read("password", credentials.password);
  in.read("auth", both);
  in.read("identitytoken", credentials.identity_token);
  in.read("registrytoken", credentials.registry_token);
  in.read("serveraddress", credentials.server);
  TRY(in.finish());
  if (credentials.username.empty() && !both.empty()) {
    std::optional<std::string> pair = from_base64(both);
    if (!pair) return fail(ErrorKind::invalid, "the 'auth' of X-Registry-Auth is not base64");
    const auto [user, password] = split_once(*pair, ':');
    credentials.username = user;
    credentials.password = password;
  }
  return credentials;
}

Result<std::vector<Challenge>> parse_challenges(std::string_view text) {
  return ChallengeReader(text).read();
}

Result<Token> parse_token(std::string_view body) {
  const json::value document = TRY(parse_json(body, "the token server's answer"));
  ObjectReader in(document, "the token server's answer");
  std::string token, access_token;
  std::int64_t life = kShortestLife;
  in.read("token", token);
  in.read("access_token", access_token);
  in.read("expires_in", life);
  TRY(in.finish());
  if (token.empty()) token = access_token;
  if (token.empty()) return fail(ErrorKind::unauthenticated, "the token server's answer holds no token");
  if (token.size() > kTokenLimit || token.find_first_of("\r\n \t") != std::string::npos)
    return fail(ErrorKind::invalid, "the token server's token is malformed");
  life = std::clamp(life, kShortestLife, kLongestLife);
  // Renewed a little early: a token must not expire on its way.
  return Token{token, std::chrono::steady_clock::now() + std::chrono::seconds(life * 9 / 10)};
}

std::string basic_authorization(const Credentials& credentials) {
  return "Basic " + to_base64(credentials.username + ":" + credentials.password);
}

}  // namespace berth::registry
