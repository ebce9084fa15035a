// SPDX-License-Identifier: Apache-2.0
// Commands that talk to registries, all through the engine: pull, push, login, logout, manifest inspect.
#include <termios.h>
#include <unistd.h>

#include "base/json.h"
#include "base/text.h"
#include "cli/commands/common.h"
#include "cli/commands/pull.h"
#include "cli/credentials.h"
#include "cli/output/list_format.h"
#include "cli/stream/terminal.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

Result<oci::Reference> parse_name(const std::string& text) {
  Result<oci::Reference> name = oci::Reference::parse(text);
  if (!name) return fail(ErrorKind::invalid, "invalid reference format: {}", name.error().message);
  return name;
}

Result<int> pull(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  oci::Reference name = TRY(parse_name(invocation.words[0]));
  const bool all = flags.on("all-tags"), quiet = flags.on("quiet");
  if (all && !name.name_only()) return fail(ErrorKind::invalid, "tag can't be used with --all-tags/-a");
  if (!all && name.name_only()) {
    name = name.with_default_tag();
    if (!quiet) print_out("Using default tag: latest\n");
  }
  PullOptions options{flags.text("platform"), quiet, STDOUT_FILENO, all};
  TRY(pull_image(invocation.context, name, options));
  print_out(name.text() + "\n");
  return 0;
}

Result<int> push(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  oci::Reference name = TRY(parse_name(invocation.words[0]));
  const bool all = flags.on("all-tags"), quiet = flags.on("quiet");
  if (name.digest()) return fail(ErrorKind::invalid, "cannot push a digest reference");
  if (all && name.tag()) return fail(ErrorKind::invalid, "tag can't be used with --all-tags/-a");
  if (!all && !name.tag()) {
    name = name.with_default_tag();
    if (!quiet) print_out("Using default tag: latest\n");
  }
  http::Query query;
  if (name.tag()) query.add("tag", *name.tag());
  const CredentialStore store(invocation.context.configuration_directory());
  http::Headers headers{{"X-Registry-Auth", TRY(auth_header(store, name.familiar_repository()))}};
  Engine* engine = TRY(invocation.context.engine());
  const std::string path = "/images/" + segment(name.familiar_repository()) + "/push";
  http::Response response = TRY(engine->call("POST", path, query, headers));
  TRY(show_progress(response, STDOUT_FILENO, quiet));
  if (quiet) print_out(name.text() + "\n");
  return 0;
}

// A line from the terminal, without showing it when it is a secret.
Result<std::string> prompt(std::string_view question, bool secret) {
  print_out(std::string(question));
  termios shown{};
  const bool hide = secret && tcgetattr(STDIN_FILENO, &shown) == 0;
  if (hide) {
    termios hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
  }
  std::string line;
  char byte;
  while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n') line += byte;
  if (hide) {
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    print_out("\n");
  }
  return line;
}

Result<std::string> password_of(const Flags& flags) {
  if (flags.on("password-stdin")) {
    std::string text;
    char buffer[4096];
    for (ssize_t got; (got = read(STDIN_FILENO, buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<std::size_t>(got));
      if (text.size() > 64u << 10) return fail(ErrorKind::invalid, "the password is too long");
    }
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
    return text;
  }
  if (flags.given("password")) {
    print_error("WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
    return flags.text("password");
  }
  if (!is_terminal(STDIN_FILENO))
    return fail(ErrorKind::invalid, "Error: Cannot perform an interactive login from a non TTY device");
  return prompt("Password: ", true);
}

Result<int> login(Invocation& invocation) {
  const Flags& flags = invocation.flags;
  const std::string registry = credential_key(invocation.words.empty() ? "" : invocation.words[0]);
  if (flags.given("password") && flags.on("password-stdin"))
    return fail(ErrorKind::invalid, "--password and --password-stdin are mutually exclusive");
  if (flags.on("password-stdin") && !flags.given("username"))
    return fail(ErrorKind::invalid, "Must provide --username with --password-stdin");
  CredentialStore store(invocation.context.configuration_directory());
  Credentials credentials;
  if (!flags.given("username") && !flags.given("password")) {
    credentials = TRY(store.find(registry));
    if (!credentials.empty()) print_out("Authenticating with existing credentials...\n");
  }
  if (credentials.empty()) {
    credentials.username = flags.text("username");
    if (credentials.username.empty()) {
      if (!is_terminal(STDIN_FILENO))
        return fail(ErrorKind::invalid, "Error: Cannot perform an interactive login from a non TTY device");
      credentials.username = TRY(prompt("Username: ", false));
    }
    credentials.password = TRY(password_of(flags));
    if (credentials.username.empty() || credentials.password.empty())
      return fail(ErrorKind::invalid, "a login needs a user's name and a password");
  }
  Engine* engine = TRY(invocation.context.engine());
  json::object body{{"username", credentials.username},
                    {"password", credentials.password},
                    {"identitytoken", credentials.identity_token},
                    {"serveraddress", registry}};
  http::Response response = TRY(engine->post_json("/auth", {}, body));
  const json::value answer = TRY(read_json(response, "the engine's answer"));
  if (std::string token = text_of(answer, "IdentityToken"); !token.empty())
    credentials.identity_token = token;
  if (TRY(store.store(registry, credentials)))
    print_error(
        fmt::format("\nWARNING! Your credentials are stored unencrypted in '{}'.\n"
                    "Configure a credential helper (\"credsStore\") to have them encrypted.\n\n",
                    store.path()));
  const std::string status = text_of(answer, "Status");
  print_out((status.empty() ? "Login Succeeded" : status) + "\n");
  return 0;
}

Result<int> logout(Invocation& invocation) {
  const std::string given = invocation.words.empty() ? "" : invocation.words[0];
  const std::string registry = credential_key(given);
  CredentialStore store(invocation.context.configuration_directory());
  if (!TRY(store.erase(registry))) {
    print_out(fmt::format("Not logged in to {}\n", given.empty() ? registry : given));
    return 0;
  }
  print_out(fmt::format("Removing login credentials for {}\n", given.empty() ? registry : given));
  return 0;
}

Result<int> inspect_manifest(Invocation& invocation) {
  oci::Reference name = TRY(parse_name(invocation.words[0])).with_default_tag();
  const CredentialStore store(invocation.context.configuration_directory());
  http::Headers headers{{"X-Registry-Auth", TRY(auth_header(store, name.familiar_repository()))}};
  Engine* engine = TRY(invocation.context.engine());
  http::Response response =
      TRY(engine->call("GET", "/berth/manifests/" + segment(name.familiar()), {}, headers));
  const std::string type(response.headers.get_or("Content-Type", ""));
  const std::string digest(response.headers.get_or("Docker-Content-Digest", ""));
  const std::string text = TRY(response.read_whole(16u << 20));
  if (!invocation.flags.on("verbose")) {
    print_out(text + (text.ends_with('\n') ? "" : "\n"));
    return 0;
  }
  const json::value document = TRY(parse_json(text, "the manifest"));
  print_out(json::serialize(json::object{
                {"Ref", name.text()},
                {"Descriptor", json::object{{"mediaType", type}, {"digest", digest}, {"size", text.size()}}},
                {"Manifest", document}}) +
            "\n");
  return 0;
}

Result<int> search(Invocation&) {
  return fail(ErrorKind::unsupported,
              "searching is not offered: registries have no common way to search; look at their web pages");
}

constexpr FlagSpec kPullFlags[] = {
    {"all-tags", 'a', "", "Download all tagged images in the repository"},
    {"disable-content-trust", 0, "", "Skip image verification", "true", nullptr, "", true},
    {"platform", 0, "string", "Platform of the image, if the registry has several"},
    {"quiet", 'q', "", "Suppress verbose output"},
};
constexpr FlagSpec kPushFlags[] = {
    {"all-tags", 'a', "", "Push all tags of an image to the repository"},
    {"disable-content-trust", 0, "", "Skip image signing", "true", nullptr, "", true},
    {"quiet", 'q', "", "Suppress verbose output"},
};
constexpr FlagSpec kLoginFlags[] = {
    {"password", 'p', "string", "Password or personal access token"},
    {"password-stdin", 0, "", "Take the password from stdin"},
    {"username", 'u', "string", "Username"},
};
constexpr FlagSpec kManifestFlags[] = {
    {"insecure", 0, "", "Allow communication with an insecure registry", "", nullptr, "", true},
    {"verbose", 'v', "", "Output additional info including platform"},
};

constexpr Command kCommands[] = {
    {"image pull|pull", "[OPTIONS] NAME[:TAG|@DIGEST]", "Download an image from a registry", kPullFlags, 1, 1,
     pull},
    {"image push|push", "[OPTIONS] NAME[:TAG]", "Upload an image to a registry", kPushFlags, 1, 1, push},
    {"login", "[OPTIONS] [SERVER]", "Log in to a registry", kLoginFlags, 0, 1, login},
    {"logout", "[SERVER]", "Log out from a registry", {}, 0, 1, logout},
    {"manifest inspect", "[OPTIONS] NAME[:TAG|@DIGEST]", "Show a manifest of a registry", kManifestFlags, 1,
     1, inspect_manifest},
    {"search",
     "[OPTIONS] TERM",
     "Search a registry for images (not offered)",
     {},
     0,
     kAnyNumber,
     search,
     false,
     false},
};

}  // namespace

std::span<const Command> registry_commands() { return kCommands; }

}  // namespace berth::cli
