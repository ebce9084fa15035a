// SPDX-License-Identifier: Apache-2.0
// Bearer tokens of a separate service (distribution, spec/auth/token.md): JSON web tokens, RS256 or ES256,
// signed by a key whose certificate is in the bundle.
#include <openssl/bio.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <ctime>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "registryd/access.h"

namespace berth::registryd {
namespace {

constexpr std::size_t kTokenLimit = 32u << 10;
constexpr std::int64_t kLeewaySeconds = 60;  // between the service's clock and ours

template <auto function>
struct Freer {
  template <class T>
  void operator()(T* object) const noexcept {
    function(object);
  }
};
using Key = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freer<X509_free>>;
using Bytes = std::unique_ptr<BIO, Freer<BIO_free>>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, Freer<EVP_MD_CTX_free>>;
using Signature = std::unique_ptr<ECDSA_SIG, Freer<ECDSA_SIG_free>>;

const unsigned char* data_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// A JSON web token has r and s side by side; OpenSSL wants them as DER.
std::optional<std::string> der_signature(std::string_view raw) {
  if (raw.size() != 64) return std::nullopt;
  Signature signature(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(data_of(raw), 32, nullptr);
  BIGNUM* s = BN_bin2bn(data_of(raw.substr(32)), 32, nullptr);
  if (!signature || !r || !s || ECDSA_SIG_set0(signature.get(), r, s) != 1) return std::nullopt;
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(signature.get(), &der);
  if (size <= 0) return std::nullopt;
  std::string made(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return made;
}

bool verifies(EVP_PKEY* key, std::string_view algorithm, std::string_view signed_part, std::string_view raw) {
  // The key decides what its signatures are; the token must agree, and cannot choose (no "none", no HMAC).
  const bool rsa = EVP_PKEY_base_id(key) == EVP_PKEY_RSA;
  const bool p256 = EVP_PKEY_base_id(key) == EVP_PKEY_EC && EVP_PKEY_bits(key) == 256;
  if (algorithm == "RS256" ? !rsa : algorithm == "ES256" ? !p256 : true) return false;
  std::optional<std::string> signature = rsa ? std::string(raw) : der_signature(raw);
  if (!signature) return false;
  DigestContext context(EVP_MD_CTX_new());
  const bool good = context &&
                    EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key) == 1 &&
                    EVP_DigestVerify(context.get(), data_of(*signature), signature->size(),
                                     data_of(signed_part), signed_part.size()) == 1;
  ERR_clear_error();
  return good;
}

Result<std::vector<Key>> read_keys(const std::string& path) {
  const std::string text = TRY(read_file(path));
  Bytes input(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  std::vector<Key> keys;
  while (Certificate certificate{PEM_read_bio_X509(input.get(), nullptr, nullptr, nullptr)})
    if (EVP_PKEY* key = X509_get_pubkey(certificate.get())) keys.emplace_back(key);
  ERR_clear_error();
  if (keys.empty()) return fail(ErrorKind::invalid, "{} holds no certificate", path);
  return keys;
}

struct Claims {
  std::string issuer, subject;
  std::vector<std::string> audience;
  std::int64_t expires = 0, not_before = 0;
  struct Grant {
    std::string type, name;
    std::vector<std::string> actions;
  };
  std::vector<Grant> grants;
};

Result<Claims> parse_claims(std::string_view text) {
  json::value document = TRY(parse_json(text, "the token"));
  ObjectReader in(document, "the token");
  Claims claims;
  in.read("iss", claims.issuer);
  in.read("sub", claims.subject);
  // A fraction is allowed in a NumericDate, and nobody sends one.
  in.read("exp", claims.expires);
  in.read("nbf", claims.not_before);
  if (const json::value* audience = in.find("aud"); audience && audience->is_string())
    claims.audience = {std::string(audience->get_string())};
  else
    in.read("aud", claims.audience);
  in.read_objects("access", [&](ObjectReader& inner) {
    Claims::Grant grant;
    inner.read("type", grant.type);
    inner.read("name", grant.name);
    inner.read("actions", grant.actions);
    claims.grants.push_back(std::move(grant));
  });
  TRY(in.finish());
  return claims;
}

bool allows(const Claims& claims, const Permission& wanted) {
  return std::ranges::any_of(claims.grants, [&](const Claims::Grant& grant) {
    return grant.type == wanted.type && grant.name == wanted.name &&
           std::ranges::any_of(grant.actions, [&](const std::string& action) {
             return action == wanted.action || action == "*";
           });
  });
}

class TokenAccess final : public Access {
 public:
  TokenAccess(const TokenSettings& settings, std::vector<Key> keys)
      : settings_(settings), keys_(std::move(keys)) {}

  std::expected<Identity, Refusal> authorize(const http::Request& request,
                                             std::span<const Permission> wanted) override {
    std::string_view header = request.headers.get_or("Authorization", "");
    if (!http::equal_ignoring_case(header.substr(0, 7), "bearer "))
      return refusal(Code::unauthorized, "a token is required", wanted, "");
    Result<Claims> claims = verify(trim(header.substr(7)));
    if (!claims) return refusal(Code::unauthorized, claims.error().message, wanted, "invalid_token");
    for (const Permission& permission : wanted)
      if (!allows(*claims, permission))
        return refusal(Code::denied,
                       fmt::format("the token does not allow to {} {} {}", permission.action, permission.type,
                                   permission.name),
                       wanted, "insufficient_scope");
    return Identity{claims->subject};
  }

 private:
  Result<Claims> verify(std::string_view token) const {
    const std::vector<std::string_view> parts = split(token.substr(0, kTokenLimit + 1), '.');
    if (token.size() > kTokenLimit || parts.size() != 3)
      return fail(ErrorKind::unauthenticated, "the token is malformed");
    std::optional<std::string> head = from_base64(parts[0]), body = from_base64(parts[1]),
                               signature = from_base64(parts[2]);
    if (!head || !body || !signature) return fail(ErrorKind::unauthenticated, "the token is malformed");
    json::value document = TRY(parse_json(*head, "the token's head"));
    ObjectReader in(document, "the token's head");
    std::string algorithm;
    in.read("alg", algorithm);
    TRY(in.finish());
    std::string_view signed_part = token.substr(0, parts[0].size() + 1 + parts[1].size());
    if (!std::ranges::any_of(
            keys_, [&](const Key& key) { return verifies(key.get(), algorithm, signed_part, *signature); }))
      return fail(ErrorKind::unauthenticated, "the token's signature is of no known key");
    Claims claims = TRY(parse_claims(*body));
    const std::int64_t time = std::time(nullptr);
    if (claims.issuer != settings_.issuer)
      return fail(ErrorKind::unauthenticated, "the token is of another issuer");
    if (std::ranges::find(claims.audience, settings_.service) == claims.audience.end())
      return fail(ErrorKind::unauthenticated, "the token is for another service");
    if (time > claims.expires + kLeewaySeconds)
      return fail(ErrorKind::unauthenticated, "the token has expired");
    if (time < claims.not_before - kLeewaySeconds)
      return fail(ErrorKind::unauthenticated, "the token is not valid yet");
    return claims;
  }

  std::unexpected<Refusal> refusal(Code code, std::string message, std::span<const Permission> wanted,
                                   std::string_view reason) const {
    std::string challenge =
        fmt::format("Bearer realm=\"{}\",service=\"{}\"", settings_.realm, settings_.service);
    std::string scope;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      const bool same = i > 0 && wanted[i].type == wanted[i - 1].type && wanted[i].name == wanted[i - 1].name;
      scope += same ? "," + wanted[i].action
                    : fmt::format("{}{}:{}:{}", i > 0 ? " " : "", wanted[i].type, wanted[i].name,
                                  wanted[i].action);
    }
    if (!scope.empty()) challenge += fmt::format(",scope=\"{}\"", scope);
    if (!reason.empty()) challenge += fmt::format(",error=\"{}\"", reason);
    // Too small a scope is a 401 as well: clients fetch a larger token then.
    return std::unexpected(Refusal{{code == Code::denied ? Code::unauthorized : code, std::move(message)},
                                   std::move(challenge)});
  }

  const TokenSettings settings_;
  const std::vector<Key> keys_;
};

}  // namespace

Result<std::unique_ptr<Access>> make_token_access(const TokenSettings& settings) {
  std::vector<Key> keys = TRY_AS("auth.token.rootcertbundle", read_keys(settings.certificates));
  return std::make_unique<TokenAccess>(settings, std::move(keys));
}

}  // namespace berth::registryd
