// SPDX-License-Identifier: Apache-2.0
// Credentials for registries, as Docker's clients keep them: in config.json ("auths", base64, mode 0600), or
// with a helper program that config.json names ("credsStore" for all, "credHelpers" for one registry):
// docker-credential-<name> get|store|erase, which speaks JSON on its standard streams.
#pragma once
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"

namespace berth::cli {

struct Credentials {
  std::string username;
  std::string password;
  std::string identity_token;
  bool empty() const { return username.empty() && identity_token.empty(); }
};

class CredentialStore {
 public:
  // `directory` has config.json, or will have it.
  explicit CredentialStore(std::string directory) : directory_(std::move(directory)) {}

  Result<Credentials> find(const std::string& registry) const;  // empty when there are none
  // Under which names there may be some: what config.json and the helper for all list.
  Result<std::set<std::string>> registries() const;
  // True: in plain text, which the user should know.
  Result<bool> store(const std::string& registry, const Credentials& credentials);
  Result<bool> erase(const std::string& registry);  // whether there were any
  std::string path() const { return directory_ + "/config.json"; }

 private:
  std::string directory_;
};

// Under which credentials are filed: "https://index.docker.io/v1/" for Docker Hub, else the host.
std::string credential_key(std::string_view registry);

// The value of X-Registry-Auth for the registry of an image's name: credentials, or "{}".
Result<std::string> auth_header(const CredentialStore& store, const std::string& image);
// The value of X-Registry-Config, for who does not know yet which registries it takes: all credentials, or
// "". Those that a helper does not give are left out, and `warn` is told.
Result<std::string> all_auths_header(const CredentialStore& store,
                                     const std::function<void(const Error&)>& warn);
std::string encode_auth(const Credentials& credentials, const std::string& registry);

}  // namespace berth::cli
