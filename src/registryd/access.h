// SPDX-License-Identifier: Apache-2.0
// Who may do what. An access control is asked once a request, before anything else is done.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <variant>

#include "base/error.h"
#include "http/message.h"
#include "registryd/api_error.h"
#include "registryd/settings.h"

namespace berth::registryd {

// What a request needs, in the terms of the token specification (distribution, spec/auth/scope.md).
struct Permission {
  std::string type;    // "repository", "registry"
  std::string name;    // "library/bb", "catalog"
  std::string action;  // "pull", "push", "delete", "*"
};

struct Identity {
  std::string user;  // may be empty
};

struct Refusal {
  ApiError error;
  std::string challenge;  // for WWW-Authenticate; may be empty
};

class Access {
 public:
  virtual ~Access() = default;
  virtual std::expected<Identity, Refusal> authorize(const http::Request& request,
                                                     std::span<const Permission> wanted) = 0;
};

// Everybody, passwords, or tokens, as the settings say. The files that they name must be there and sound.
Result<std::unique_ptr<Access>> make_access(const Settings& settings);

Result<std::unique_ptr<Access>> make_htpasswd_access(const HtpasswdSettings& settings);
Result<std::unique_ptr<Access>> make_token_access(const TokenSettings& settings);

}  // namespace berth::registryd
