// SPDX-License-Identifier: Apache-2.0
// What concerns registries: pull, push, login, and looking at what a registry has.
#include "api/respond.h"
#include "api/routes.h"
#include "http/client_watch.h"
#include "image/transfer.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "registry/lookup.h"

namespace berth::api {
namespace {

// A stream of JSON lines that begins with its first line, so that an error before it is still a status.
class ProgressStream {
 public:
  explicit ProgressStream(Call& call) : call_(call) {}

  Result<void> say(const image::TransferStatus& status) {
    json::object line{{"status", status.text}};
    if (!status.id.empty()) line["id"] = status.id;
    if (status.current > 0 || status.total > 0)
      line["progressDetail"] = {{"current", status.current}, {"total", status.total}};
    else if (!status.id.empty())
      line["progressDetail"] = json::object();
    return write(line);
  }
  Result<void> say(std::string text) { return say(image::TransferStatus{"", std::move(text)}); }
  Result<void> write(const json::object& line) {
    if (!call_.exchange.responded()) TRY(call_.exchange.begin(200, {{"Content-Type", "application/json"}}));
    return call_.exchange.write(json::serialize(line) + "\r\n");
  }

  // A failure once the stream has begun is its last line.
  Result<void> finish(const Result<void>& outcome) {
    if (!outcome && !call_.exchange.responded()) return std::unexpected(outcome.error());
    if (!outcome)
      TRY(write({{"errorDetail", json::object{{"message", outcome.error().message}}},
                 {"error", outcome.error().message}}));
    if (!call_.exchange.responded()) TRY(call_.exchange.begin(200, {{"Content-Type", "application/json"}}));
    return call_.exchange.finish();
  }

 private:
  Call& call_;
};

// A registry that wants credentials is not the engine that wants them: at a 401 Docker's client would ask its
// user for a password.
Error without_login_prompt(Error error, const oci::Reference& name) {
  if (error.kind != ErrorKind::unauthenticated && error.kind != ErrorKind::denied) return error;
  error.kind = ErrorKind::not_found;
  error.message =
      fmt::format("pull access denied for {}, repository does not exist or may require 'docker login': {}",
                  name.familiar_repository(), error.message);
  return error;
}

Result<image::TransferAccess> access_of(Call& call) {
  image::TransferAccess access{.settings = call.engine.settings().registries};
  const std::string_view header = call.request().headers.get("X-Registry-Auth").value_or("");
  access.credentials = TRY_AS("invalid auth config", registry::parse_auth_header(header));
  return access;
}

Result<void> pull_one(Call& call, ProgressStream& stream, const oci::Reference& name,
                      const std::optional<oci::Platform>& platform, const image::TransferAccess& access) {
  const http::ClientWatch client = TRY(http::ClientWatch::begin(call.exchange));
  image::PullRequest request{.name = name, .platform = platform, .access = access, .stop = client.gone()};
  request.on_status = [&](const image::TransferStatus& status) { return stream.say(status); };
  image::Pulled pulled = TRY(call.engine.images().pull(request));
  TRY(stream.say("Digest: " + pulled.digest.text()));
  return stream.say(fmt::format(
      "Status: {} for {}", pulled.newer ? "Downloaded newer image" : "Image is up to date", name.familiar()));
}

Result<std::vector<std::string>> list_tags(Call& call, const oci::Reference& repository,
                                           const image::TransferAccess& access) {
  const http::ClientWatch client = TRY(http::ClientWatch::begin(call.exchange));
  return registry::list_tags(repository, access.settings, access.credentials, client.gone());
}

Result<void> pull_everything(Call& call, ProgressStream& stream, const oci::Reference& repository,
                             const std::optional<oci::Platform>& platform,
                             const image::TransferAccess& access) {
  const std::vector<std::string> tags = TRY(list_tags(call, repository, access));
  if (tags.empty())
    return fail(ErrorKind::not_found, "the repository {} has no tags", repository.familiar_repository());
  for (const std::string& tag : tags) {
    oci::Reference name = TRY(repository.with_tag(tag));
    TRY(pull_one(call, stream, name, platform, access));
  }
  return {};
}

Result<void> push_one(Call& call, ProgressStream& stream, const oci::Reference& name,
                      const std::optional<Digest>& image, const image::TransferAccess& access) {
  const http::ClientWatch client = TRY(http::ClientWatch::begin(call.exchange));
  image::PushRequest request{.name = name, .image = image, .access = access, .stop = client.gone()};
  request.on_status = [&](const image::TransferStatus& status) { return stream.say(status); };
  image::Pushed pushed = TRY(call.engine.images().push(request));
  const std::string& tag = *name.tag();
  TRY(stream.say(fmt::format("{}: digest: {} size: {}", tag, pushed.digest.text(), pushed.size)));
  return stream.write(
      {{"progressDetail", json::object()},
       {"aux", json::object{{"Tag", tag}, {"Digest", pushed.digest.text()}, {"Size", pushed.size}}}});
}

// Beyond Docker's API: `image` is the id of what goes there, whatever the name stands for by now.
Result<void> push(Call& call) {
  oci::Reference name = TRY(oci::Reference::parse(call.path.at("name")));
  if (!call.parameter("tag").empty()) name = TRY(name.with_tag(call.parameter("tag")));
  if (name.digest()) return fail(ErrorKind::invalid, "cannot push a digest reference");
  std::optional<Digest> image;
  if (!call.parameter("image").empty()) image = TRY(Digest::parse(call.parameter("image")));
  if (image && !name.tag()) return fail(ErrorKind::invalid, "a push of an image needs a tag");
  const image::TransferAccess access = TRY(access_of(call));
  std::vector<oci::Reference> names{name};
  if (!name.tag()) names = TRY(call.engine.images().tags_of_repository(name));
  if (names.empty())
    return fail(ErrorKind::not_found, "An image does not exist locally with the tag: {}",
                name.familiar_repository());
  ProgressStream stream(call);
  auto push_all = [&]() -> Result<void> {
    TRY(stream.say(fmt::format("The push refers to repository [{}]", name.repository())));
    for (const oci::Reference& one : names) TRY(push_one(call, stream, one, image, access));
    return {};
  };
  return stream.finish(push_all());
}

Result<void> authenticate(Call& call) {
  const json::value body = TRY(read_json(call));
  ObjectReader in(body, "the credentials");
  registry::Credentials credentials;
  in.read("username", credentials.username);
  in.read("password", credentials.password);
  in.read("identitytoken", credentials.identity_token);
  in.read("serveraddress", credentials.server);
  TRY(in.finish());
  const http::ClientWatch client = TRY(http::ClientWatch::begin(call.exchange));
  TRY(registry::log_in(credentials.server, call.engine.settings().registries, credentials, client.gone()));
  return send_json(call, 200, json::object{{"Status", "Login Succeeded"}, {"IdentityToken", ""}});
}

json::object platform_document(const oci::Platform& platform) {
  json::object document{{"architecture", platform.architecture}, {"os", platform.os}};
  if (!platform.variant.empty()) document["variant"] = platform.variant;
  return document;
}

Result<registry::Description> describe(Call& call) {
  oci::Reference name = TRY(oci::Reference::parse_with_default_tag(call.path.at("name")));
  const image::TransferAccess access = TRY(access_of(call));
  const http::ClientWatch client = TRY(http::ClientWatch::begin(call.exchange));
  Result<registry::Description> found =
      registry::describe(name, access.settings, access.credentials, client.gone());
  if (!found) return std::unexpected(without_login_prompt(std::move(found).error(), name));
  return found;
}

Result<void> distribution(Call& call) {
  const registry::Description found = TRY(describe(call));
  json::array platforms;
  for (const oci::Platform& platform : found.platforms) platforms.push_back(platform_document(platform));
  return send_json(call, 200,
                   json::object{{"Descriptor", json::object{{"mediaType", found.document.media_type},
                                                            {"digest", found.document.digest.text()},
                                                            {"size", found.document.bytes.size()}}},
                                {"Platforms", std::move(platforms)}});
}

// The document itself, verbatim: `manifest inspect`.
Result<void> manifest(Call& call) {
  const registry::Description found = TRY(describe(call));
  return call.exchange.respond(
      200,
      {{"Content-Type", found.document.media_type}, {"Docker-Content-Digest", found.document.digest.text()}},
      found.document.bytes);
}

}  // namespace

Result<void> pull(Call& call) {
  std::string_view tag = call.parameter("tag");
  oci::Reference name = TRY(oci::Reference::parse(call.parameter("fromImage")));
  if (!tag.empty()) {
    if (Result<Digest> digest = Digest::parse(tag))
      name = name.with_digest(*digest);
    else
      name = TRY(name.with_tag(tag));
  }
  std::optional<oci::Platform> platform;
  if (!call.parameter("platform").empty()) platform = TRY(oci::parse_platform(call.parameter("platform")));
  const image::TransferAccess access = TRY(access_of(call));
  ProgressStream stream(call);
  Result<void> pulled = name.name_only() ? pull_everything(call, stream, name, platform, access)
                                         : pull_one(call, stream, name, platform, access);
  if (!pulled) pulled = std::unexpected(without_login_prompt(std::move(pulled).error(), name));
  return stream.finish(pulled);
}

void add_registry_routes(Router& router) {
  router.add("POST", "/images/{name...}/push", push);
  router.add("POST", "/auth", authenticate);
  router.add("GET", "/distribution/{name...}/json", distribution);
  router.add("GET", "/berth/manifests/{name...}", manifest);
}

}  // namespace berth::api
