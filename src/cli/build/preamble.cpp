// SPDX-License-Identifier: Apache-2.0
#include "cli/build/preamble.h"

#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/build/named_contexts.h"
#include "cli/build/ssh.h"
#include "cli/create/mount.h"
#include "cli/create/security.h"

namespace berth::cli {
namespace {

constexpr std::size_t kLargestSecret = 500u << 10;  // the engine has the same limit

struct SecretSource {
  std::string id;
  std::string type;  // "", "file" or "env"
  std::string file;
  std::string variable;
};

Result<SecretSource> parse_secret(const std::string& text) {
  SecretSource secret;
  for (const std::string& field : TRY_AS("invalid --secret", parse_csv(text))) {
    const auto [key, value] = split_once(field, '=');
    const std::string name = to_lower(key);
    if (field.find('=') == field.npos)
      return fail(ErrorKind::invalid, "invalid --secret: \"{}\" must be a key=value pair", field);
    if (name == "id")
      secret.id = value;
    else if (name == "type")
      secret.type = value;
    else if (name == "src" || name == "source")
      secret.file = value;
    else if (name == "env")
      secret.variable = value;
    else
      return fail(ErrorKind::invalid, "invalid --secret: unexpected key \"{}\"", key);
  }
  if (secret.id.empty()) return fail(ErrorKind::invalid, "invalid --secret: it has no id (id=NAME)");
  if (!secret.type.empty() && secret.type != "file" && secret.type != "env")
    return fail(ErrorKind::invalid, "invalid --secret {}: the type \"{}\" is neither file nor env", secret.id,
                secret.type);
  return secret;
}

// Without a source a secret is the variable of its name, or else the file.
void complete(SecretSource& secret) {
  if (secret.type == "env" && secret.variable.empty()) secret.variable = std::exchange(secret.file, {});
  if (!secret.variable.empty() || !secret.file.empty()) return;
  const bool variable = secret.type != "file" && (secret.type == "env" || std::getenv(secret.id.c_str()));
  (variable ? secret.variable : secret.file) = secret.id;
}

Result<std::string> read_secret(const SecretSource& secret) {
  Result<std::string> bytes;
  if (secret.variable.empty()) {
    bytes = read_file(secret.file, kLargestSecret);
    if (!bytes && bytes.error().code != 0)
      return fail(bytes.error().kind, "the secret {}: open {}: {}", secret.id, secret.file,
                  words_of_errno(bytes.error().code));
  } else {
    const char* value = std::getenv(secret.variable.c_str());
    if (!value)
      return fail(ErrorKind::not_found, "the secret {}: the environment has no variable {}", secret.id,
                  secret.variable);
    bytes = std::string(value);
  }
  if (!bytes || bytes->size() > kLargestSecret)
    return fail(ErrorKind::invalid, "the secret {} is larger than {} bytes", secret.id, kLargestSecret);
  return bytes;
}

Result<json::object> secrets(const Flags& flags) {
  json::object all;
  for (const std::string& text : flags.list("secret")) {
    SecretSource secret = TRY(parse_secret(text));
    complete(secret);
    const std::string bytes = TRY(read_secret(secret));
    all[secret.id] = to_base64(bytes);
  }
  return all;
}

Result<std::vector<std::string>> allowed(const Flags& flags) {
  const std::vector<std::string>& names = flags.list("allow");
  for (const std::string& name : names)
    if (name != "network.host" && name != "security.insecure" && name != "device" &&
        !name.starts_with("device="))
      return fail(ErrorKind::invalid,
                  "invalid --allow \"{}\": it must be network.host, security.insecure, device or device=NAME",
                  name);
  return names;
}

Result<json::object> agents(const Flags& flags, bool passing, Preamble& preamble) {
  json::object all;
  const std::vector<std::string>& wanted = flags.list("ssh");
  if (!wanted.empty() && !passing)
    return fail(ErrorKind::unsupported,
                "--ssh {}: an agent can only be passed to the engine of this machine over its own socket",
                split_once(wanted.front(), '=').first);
  SshAgents opened = TRY(open_ssh_agents(flags));
  for (auto& [id, socket] : opened.sockets) {
    all[id] = preamble.descriptors.size();
    preamble.descriptors.push_back(std::move(socket));
  }
  preamble.agents = std::move(opened.own);
  return all;
}

}  // namespace

Result<Preamble> build_preamble(const Flags& flags, json::object document, std::vector<Fd> descriptors,
                                LocalContext* passed, bool passing) {
  Preamble preamble{.text = {}, .descriptors = std::move(descriptors), .agents = {}};
  if (passed) {
    json::object local = describe_directory(*passed, preamble.descriptors);
    local["name"] = passed->dockerfile_name;
    local["dockerfile"] = to_base64(passed->dockerfile);
    document["local"] = std::move(local);
  }
  if (json::object all = TRY(secrets(flags)); !all.empty()) document["secrets"] = std::move(all);
  if (const auto& stages = flags.list("no-cache-filter"); !stages.empty())
    document["noCacheStages"] = to_json(stages);
  if (json::object all = TRY(named_contexts(flags, passing, preamble.descriptors)); !all.empty())
    document["contexts"] = std::move(all);
  if (const std::vector<std::string> names = TRY(allowed(flags)); !names.empty())
    document["allow"] = to_json(names);
  if (json::object all = TRY(agents(flags, passing, preamble)); !all.empty())
    document["ssh"] = std::move(all);
  if (document.empty()) return preamble;
  const std::string text = json::serialize(document);
  preamble.text = std::to_string(text.size()) + "\n" + text;
  return preamble;
}

}  // namespace berth::cli
