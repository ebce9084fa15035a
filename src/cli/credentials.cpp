// SPDX-License-Identifier: Apache-2.0
#include "cli/credentials.h"

#include <fcntl.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/process.h"
#include "base/text.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

constexpr std::string_view kDockerHubKey = "https://index.docker.io/v1/";
constexpr std::string_view kTokenUser = "<token>";  // a helper's way to say that the secret is a token

Result<json::object> read_config(const std::string& path) {
  if (!exists(path)) return json::object();
  const std::string text = TRY(read_file(path));
  if (trim(text).empty()) return json::object();
  json::value document = TRY(parse_json(text, path));
  if (!document.is_object()) return fail(ErrorKind::invalid, "{} holds no object", path);
  return std::move(document).as_object();
}

std::string text_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

const json::object* object_in(const json::object& object, std::string_view name) {
  const json::value* value = object.if_contains(name);
  return value ? value->if_object() : nullptr;
}

// The name of the helper for this registry; "" is the file.
Result<std::string> helper_of(const json::object& config, const std::string& registry) {
  std::string name;
  if (const json::object* helpers = object_in(config, "credHelpers")) name = text_in(*helpers, registry);
  if (name.empty()) name = text_in(config, "credsStore");
  // It becomes part of a program's name.
  if (name.find('/') != std::string::npos || name.starts_with('.'))
    return fail(ErrorKind::invalid, "'{}' is no name of a credential helper", name);
  return name;
}

Result<Output> run_helper(const std::string& name, const char* action, const std::string& input) {
  const std::string program = "docker-credential-" + name;
  Result<Output> output = run_program({program, action}, input);
  if (!output)
    return fail(ErrorKind::unavailable, "the credential helper {} that config.json names cannot be run: {}",
                program, output.error().message);
  return output;
}

Result<Credentials> ask_helper(const std::string& name, const std::string& registry) {
  Output output = TRY(run_helper(name, "get", registry));
  if (output.exit_code != 0) {
    if (output.standard_output.find("credentials not found") != std::string::npos) return Credentials{};
    return fail(ErrorKind::unavailable, "docker-credential-{} get: {}", name,
                std::string(trim(output.standard_output)).substr(0, 300));
  }
  const json::value document = TRY(parse_json(output.standard_output, "the credential helper's answer"));
  ObjectReader in(document, "the credential helper's answer");
  std::string user, secret;
  in.read("Username", user);
  in.read("Secret", secret);
  TRY(in.finish());
  if (user == kTokenUser) return Credentials{.username = {}, .password = {}, .identity_token = secret};
  return Credentials{user, secret, {}};
}

Result<Credentials> decode_entry(const json::object& entry, const std::string& registry) {
  Credentials credentials;
  credentials.username = text_in(entry, "username");
  credentials.password = text_in(entry, "password");
  credentials.identity_token = text_in(entry, "identitytoken");
  const std::string auth = text_in(entry, "auth");
  if (auth.empty()) return credentials;
  std::optional<std::string> pair = from_base64(auth);
  if (!pair || pair->find(':') == std::string::npos)
    return fail(ErrorKind::invalid, "the credentials for {} in config.json are damaged; log in again",
                registry);
  const auto [user, password] = split_once(*pair, ':');
  credentials.username = user;
  credentials.password = std::string(password.substr(0, password.find('\0')));
  return credentials;
}

Result<void> write_config(const std::string& directory, const json::object& config) {
  TRY(make_directories(directory, 0700));
  Fd opened = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  return write_file_atomically(opened.get(), "config.json", json::serialize(config) + "\n", 0600,
                               Durability::durable);
}

}  // namespace

std::string credential_key(std::string_view registry) {
  for (std::string_view scheme : {"https://", "http://"})
    if (registry.starts_with(scheme)) registry.remove_prefix(scheme.size());
  registry = registry.substr(0, registry.find('/'));
  if (registry.empty() || registry == "docker.io" || registry == "index.docker.io" ||
      registry == "registry-1.docker.io")
    return std::string(kDockerHubKey);
  return std::string(registry);
}

Result<Credentials> CredentialStore::find(const std::string& registry) const {
  const json::object config = TRY(read_config(path()));
  const std::string helper = TRY(helper_of(config, registry));
  if (!helper.empty()) return ask_helper(helper, registry);
  const json::object* auths = object_in(config, "auths");
  if (!auths) return Credentials{};
  for (const auto& [name, value] : *auths)
    if (value.is_object() && (std::string_view(name) == registry || credential_key(name) == registry))
      return decode_entry(value.get_object(), registry);
  return Credentials{};
}

Result<std::set<std::string>> CredentialStore::registries() const {
  const json::object config = TRY(read_config(path()));
  std::set<std::string> names;
  for (std::string_view member : {"auths", "credHelpers"})
    if (const json::object* entries = object_in(config, member))
      for (const auto& entry : *entries) names.emplace(entry.key());
  const std::string helper = TRY(helper_of(config, ""));
  if (helper.empty()) return names;
  const Output output = TRY(run_helper(helper, "list", ""));
  if (output.exit_code != 0) return names;  // not every helper can
  const json::value list = TRY(parse_json(output.standard_output, "the credential helper's list"));
  if (const json::object* entries = list.if_object())
    for (const auto& entry : *entries) names.emplace(entry.key());
  return names;
}

Result<bool> CredentialStore::store(const std::string& registry, const Credentials& credentials) {
  json::object config = TRY(read_config(path()));
  const std::string helper = TRY(helper_of(config, registry));
  if (!helper.empty()) {
    const bool token = !credentials.identity_token.empty();
    const json::object input{{"ServerURL", registry},
                             {"Username", token ? std::string(kTokenUser) : credentials.username},
                             {"Secret", token ? credentials.identity_token : credentials.password}};
    Output output = TRY(run_helper(helper, "store", json::serialize(input)));
    if (output.exit_code != 0)
      return fail(ErrorKind::unavailable, "docker-credential-{} store: {}", helper,
                  std::string(trim(output.standard_output)).substr(0, 300));
    return false;
  }
  json::value& auths = config["auths"];
  if (!auths.is_object()) auths = json::object();
  json::object entry{{"auth", to_base64(credentials.username + ":" + credentials.password)}};
  if (!credentials.identity_token.empty()) entry["identitytoken"] = credentials.identity_token;
  auths.get_object()[registry] = std::move(entry);
  TRY(write_config(directory_, config));
  return true;
}

Result<bool> CredentialStore::erase(const std::string& registry) {
  json::object config = TRY(read_config(path()));
  const std::string helper = TRY(helper_of(config, registry));
  if (!helper.empty()) {
    Output output = TRY(run_helper(helper, "erase", registry));
    return output.exit_code == 0;
  }
  json::value* auths = config.if_contains("auths");
  if (!auths || !auths->is_object()) return false;
  std::vector<std::string> names;
  for (const auto& [name, value] : auths->get_object())
    if (std::string_view(name) == registry || credential_key(name) == registry) names.emplace_back(name);
  for (const std::string& name : names) auths->get_object().erase(name);
  if (!names.empty()) TRY(write_config(directory_, config));
  return !names.empty();
}

std::string encode_auth(const Credentials& credentials, const std::string& registry) {
  json::object document;
  if (!credentials.username.empty()) document["username"] = credentials.username;
  if (!credentials.password.empty()) document["password"] = credentials.password;
  if (!credentials.identity_token.empty()) document["identitytoken"] = credentials.identity_token;
  if (!credentials.empty()) document["serveraddress"] = registry;
  std::string text = to_base64(json::serialize(document));
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

Result<std::string> auth_header(const CredentialStore& store, const std::string& image) {
  Result<oci::Reference> name = oci::Reference::parse(image);
  if (!name) return encode_auth({}, "");
  const std::string registry = credential_key(name->domain());
  Credentials credentials = TRY(store.find(registry));
  return encode_auth(credentials, registry);
}

Result<std::string> all_auths_header(const CredentialStore& store,
                                     const std::function<void(const Error&)>& warn) {
  json::object all;
  for (const std::string& registry : TRY(store.registries())) {
    const Result<Credentials> found = store.find(registry);
    if (!found) warn(found.error());
    if (!found || found->empty()) continue;
    all[registry] = json::object{{"username", found->username},
                                 {"password", found->password},
                                 {"identitytoken", found->identity_token}};
  }
  return all.empty() ? std::string() : to_base64(json::serialize(all));
}

}  // namespace berth::cli
