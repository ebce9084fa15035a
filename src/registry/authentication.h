// SPDX-License-Identifier: Apache-2.0
// Who we are to a registry: credentials as clients send them (X-Registry-Auth), challenges (RFC 9110, section
// 11.6.1; RFC 6750), and answers of token servers (the distribution project's token specification).
#pragma once
#include <chrono>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace berth::registry {

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;  // an OAuth2 refresh token, in place of a password
  std::string registry_token;  // a bearer token that is ready to be sent
  std::string server;          // whom the client means them for; may be empty
  bool empty() const { return username.empty() && identity_token.empty() && registry_token.empty(); }
};

// The header's base64url JSON. Empty, "{}" and "null" are no credentials.
Result<Credentials> parse_auth_header(std::string_view text);

struct Challenge {
  std::string scheme;                             // lower case: "basic", "bearer"
  std::map<std::string, std::string> parameters;  // names in lower case
  bool operator==(const Challenge&) const = default;
};
// One WWW-Authenticate field, which may hold several challenges.
Result<std::vector<Challenge>> parse_challenges(std::string_view text);

// A token server's request: where, and with which query.
struct TokenRequest {
  std::string realm;  // the URL
  std::string service;
  std::vector<std::string> scopes;  // "repository:library/busybox:pull"
};
struct Token {
  std::string text;
  std::chrono::steady_clock::time_point expires;
};
Result<Token> parse_token(std::string_view body);

std::string basic_authorization(const Credentials& credentials);  // "Basic ..."

}  // namespace berth::registry
