// SPDX-License-Identifier: Apache-2.0
#include "registryd/access.h"

namespace berth::registryd {
namespace {

class OpenAccess final : public Access {
 public:
  std::expected<Identity, Refusal> authorize(const http::Request&, std::span<const Permission>) override {
    return Identity{};
  }
};

}  // namespace

Result<std::unique_ptr<Access>> make_access(const Settings& settings) {
  if (settings.htpasswd) return make_htpasswd_access(*settings.htpasswd);
  if (settings.token) return make_token_access(*settings.token);
  return std::make_unique<OpenAccess>();
}

}  // namespace berth::registryd
