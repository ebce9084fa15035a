// SPDX-License-Identifier: Apache-2.0
#include "registry/lookup.h"

#include "base/json.h"
#include "registry/endpoints.h"
#include "registry/transport.h"

namespace berth::registry {
namespace {

Result<std::unique_ptr<Session>> open(const oci::Reference& name, const Settings& settings,
                                      const Credentials& credentials, const std::stop_token& stop) {
  const std::vector<Endpoint> endpoints = TRY(endpoints_of(name, settings));
  return Session::open(endpoints.back(), settings, credentials, "pull", stop);
}

Result<std::vector<oci::Platform>> platforms_of(Session& session, std::string_view bytes,
                                                const std::stop_token& stop) {
  std::variant<oci::Manifest, oci::Index> parsed = TRY(oci::parse_manifest_or_index(bytes));
  std::vector<oci::Platform> platforms;
  if (auto* index = std::get_if<oci::Index>(&parsed)) {
    for (const oci::Descriptor& entry : index->manifests)
      if (entry.platform && entry.platform->os != "unknown") platforms.push_back(*entry.platform);
    return platforms;
  }
  const oci::Descriptor& config = std::get<oci::Manifest>(parsed).config;
  if (!oci::is_config(config.media_type)) return platforms;
  const std::string text = TRY(session.document(config, stop));
  const json::value document = TRY(parse_json(text, "the image's config"));
  ObjectReader in(document, "the image's config");
  oci::Platform platform;
  in.read("os", platform.os);
  in.read("architecture", platform.architecture);
  in.read("variant", platform.variant);
  TRY(in.finish());
  platforms.push_back(std::move(platform));
  return platforms;
}

}  // namespace

Result<std::vector<std::string>> list_tags(const oci::Reference& name, const Settings& settings,
                                           const Credentials& credentials, const std::stop_token& stop) {
  std::unique_ptr<Session> session = TRY(open(name, settings, credentials, stop));
  return session->tags(stop);
}

Result<Description> describe(const oci::Reference& name, const Settings& settings,
                             const Credentials& credentials, const std::stop_token& stop) {
  std::unique_ptr<Session> session = TRY(open(name, settings, credentials, stop));
  const std::string wanted =
      name.digest() ? name.digest()->text() : name.tag().value_or(std::string(oci::kDefaultTag));
  FetchedDocument document = TRY(session->manifest(wanted, stop));
  std::vector<oci::Platform> platforms = TRY(platforms_of(*session, document.bytes, stop));
  return Description{std::move(document), std::move(platforms)};
}

Result<void> log_in(const std::string& server, const Settings& settings, const Credentials& credentials,
                    const std::stop_token& stop) {
  std::string host = server;
  if (const std::size_t mark = host.find("://"); mark != std::string::npos) host.erase(0, mark + 3);
  host = host.substr(0, host.find('/'));
  if (host.empty() || host == "index.docker.io" || host == "registry-1.docker.io")
    host = std::string(oci::kDefaultDomain);
  // Any repository will do: what is wanted of the name is its host, checked and translated.
  Result<oci::Reference> name = oci::Reference::parse(host + "/any/name");
  if (!name || name->domain() != host)
    return fail(ErrorKind::invalid, "'{}' is no registry's address: host[:port] is", server);
  std::vector<Endpoint> endpoints = TRY(endpoints_of(*name, settings));
  endpoints.back().repository.clear();
  Transport transport(endpoints.back(), settings, credentials, "pull");
  TRY(transport.log_in(stop));
  return {};
}

}  // namespace berth::registry
