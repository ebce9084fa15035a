// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include <openssl/evp.h>

#include <cstdlib>

#include "base/text.h"

namespace berth {

Result<Digest> Digest::parse(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  std::string_view hex = text.starts_with(prefix) ? text.substr(prefix.size()) : std::string_view{};
  if (hex.size() != 64 || hex.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return fail(ErrorKind::invalid, "'{}' is not a digest: expected sha256: and 64 lower-case hex digits",
                text.substr(0, 128));
  return Digest(std::string(text));
}

Digest Digest::from_bytes(const std::array<unsigned char, 32>& bytes) {
  return Digest("sha256:" + to_hex(bytes));
}

struct Sha256::State {
  State() : context(EVP_MD_CTX_new()) {
    // Only a lack of memory fails here.
    if (!context || EVP_DigestInit_ex(context, EVP_sha256(), nullptr) != 1) std::abort();
  }
  ~State() { EVP_MD_CTX_free(context); }
  EVP_MD_CTX* context;
};

Sha256::Sha256() : state_(std::make_unique<State>()) {}
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::string_view data) { EVP_DigestUpdate(state_->context, data.data(), data.size()); }

Digest Sha256::finish() {
  std::array<unsigned char, 32> bytes{};
  EVP_DigestFinal_ex(state_->context, bytes.data(), nullptr);
  return Digest::from_bytes(bytes);
}

Digest sha256_of(std::string_view data) {
  Sha256 hash;
  hash.update(data);
  return hash.finish();
}

}  // namespace berth
