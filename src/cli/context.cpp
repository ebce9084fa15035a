// SPDX-License-Identifier: Apache-2.0
#include "cli/context.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "base/file.h"
#include "base/json.h"
#include "cli/engine/engine.h"
#include "cli/engine/start_engine.h"

namespace berth::cli {
namespace {

constexpr std::string_view kDefaultHost = "unix:///run/berth/berth.sock";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string first_of(std::initializer_list<std::string> choices) {
  for (const std::string& choice : choices)
    if (!choice.empty()) return choice;
  return {};
}

std::string chosen_directory(const GlobalOptions& options) {
  std::string home = environment("HOME");
  std::string chosen =
      first_of({options.config_directory, environment("BERTH_CONFIG"), environment("DOCKER_CONFIG")});
  if (!chosen.empty()) return chosen;
  std::string own = home + "/.berth";
  return exists(own + "/config.json") ? own : home + "/.docker";
}

std::optional<http::TlsClientSettings> tls_settings(const GlobalOptions& options) {
  bool verify = options.tls_verify || !environment("DOCKER_TLS_VERIFY").empty();
  if (!verify && !options.tls) return std::nullopt;
  std::string directory = first_of({environment("DOCKER_CERT_PATH"), chosen_directory(options)});
  auto file = [&](const std::string& given, const char* name) {
    std::string path = given.empty() ? directory + "/" + name : given;
    return given.empty() && !exists(path) ? std::string() : path;
  };
  http::TlsClientSettings settings;
  settings.authority = file(options.tls_authority, "ca.pem");
  settings.certificate = file(options.tls_certificate, "cert.pem");
  settings.key = file(options.tls_key, "key.pem");
  settings.verify = verify;
  return settings;
}

// "foo" is a host's name: tcp://foo:2375.
std::string complete_host(const std::string& host, bool tls) {
  if (host.empty()) return std::string(kDefaultHost);
  std::string full = host.find("://") == host.npos ? "tcp://" + host : host;
  bool tcp = full.starts_with("tcp://");
  std::string_view place = std::string_view(full).substr(full.find("://") + 3);
  bool has_port = place.rfind(':') != place.npos &&
                  place.rfind(':') > (place.rfind(']') == place.npos ? 0 : place.rfind(']'));
  if (tcp && !has_port) full += tls ? ":2376" : ":2375";
  return full;
}

}  // namespace

Context::Context(GlobalOptions options) : options_(std::move(options)) {}
Context::~Context() = default;

std::string Context::host() const {
  std::string given = options_.hosts.empty() ? "" : options_.hosts.back();
  return complete_host(first_of({given, environment("BERTH_HOST"), environment("DOCKER_HOST")}),
                       tls_settings(options_).has_value());
}

Result<Engine*> Context::engine() {
  if (engine_) return engine_.get();
  if (options_.hosts.size() > 1) return fail(ErrorKind::invalid, "Specify only one -H");
  std::string address = host();
  http::Endpoint endpoint = TRY(http::Endpoint::parse(address, tls_settings(options_)));
  http::Headers headers;
  for (const auto& [name, value] : configuration().http_headers) headers.set(name, value);
  headers.set("User-Agent", "Berth-Client");
  engine_ = std::make_unique<Engine>(std::move(endpoint), std::move(headers));
  Result<void> ready = engine_->negotiate();
  if (!ready && ready.error().kind == ErrorKind::unavailable && address == kDefaultHost && ::geteuid() == 0) {
    TRY(start_engine(engine_->endpoint().unix_path));
    ready = engine_->negotiate();
  }
  if (!ready) {
    engine_.reset();
    return std::unexpected(std::move(ready).error());
  }
  return engine_.get();
}

const UserConfiguration& Context::configuration() {
  if (configuration_) return *configuration_;
  configuration_ = std::make_unique<UserConfiguration>();
  std::string path = configuration_directory() + "/config.json";
  if (!exists(path)) return *configuration_;  // the usual case, and cheaper than an error that nobody reads
  Result<std::string> text = read_file(path);
  if (!text || text->empty()) return *configuration_;
  Result<json::value> document = parse_json(*text, path);
  if (!document) {
    fmt::print(stderr, "WARNING: Error loading config file: {}\n", document.error().message);
    return *configuration_;
  }
  ObjectReader in(*document, path);
  in.read("psFormat", configuration_->ps_format);
  in.read("imagesFormat", configuration_->images_format);
  in.read("statsFormat", configuration_->stats_format);
  in.read("detachKeys", configuration_->detach_keys);
  in.read("HttpHeaders", configuration_->http_headers);
  if (Result<void> read = in.finish(); !read)
    fmt::print(stderr, "WARNING: Error loading config file: {}\n", read.error().message);
  return *configuration_;
}

std::string Context::configuration_directory() const { return chosen_directory(options_); }

}  // namespace berth::cli
