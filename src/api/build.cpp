// SPDX-License-Identifier: Apache-2.0
// POST /build: Docker's classic door. The context is the request's body, a tar, or a file of a Git or HTTP
// server.
#include <fcntl.h>

#include "api/build_caches.h"
#include "api/build_call.h"
#include "api/build_entitlements.h"
#include "api/build_events.h"
#include "api/build_preamble.h"
#include "api/build_progress.h"
#include "api/line_queue.h"
#include "api/respond.h"
#include "api/routes.h"
#include "api/valid_text.h"
#include "archive/compression.h"
#include "archive/unpack.h"
#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "build/builder.h"
#include "build/copy_files.h"
#include "build/download.h"
#include "build/git_fetch.h"
#include "dockerfile/dockerfile.h"
#include "http/client_watch.h"
#include "oci/platform.h"
#include "oci/reference.h"
#include "registry/lookup.h"
#include "sys/rooted_path.h"

namespace berth::api {
namespace {

Result<std::map<std::string, std::string>> string_map(Call& call, std::string_view name) {
  std::map<std::string, std::string> values;
  const std::string_view text = call.parameter(name);
  if (text.empty()) return values;
  const json::value document = TRY(parse_json(text, name));
  if (document.is_null()) return values;
  if (!document.is_object()) return fail(ErrorKind::invalid, "{} must be an object of texts", name);
  for (const auto& member : document.get_object()) {
    if (member.value().is_null()) continue;  // a build argument that the client's environment does not have
    if (!member.value().is_string())
      return fail(ErrorKind::invalid, "{}.{} must be a text", name, std::string_view(member.key()));
    values[std::string(member.key())] = std::string(member.value().get_string());
  }
  return values;
}

Result<std::int64_t> number(Call& call, std::string_view name) {
  const std::string_view text = call.parameter(name);
  if (text.empty()) return 0;
  const std::optional<std::int64_t> value = parse_integer<std::int64_t>(text);
  if (!value) return fail(ErrorKind::invalid, "{} must be a number: {}", name, text);
  return *value;
}

Result<void> read_limits(Call& call, build::StepSettings& settings) {
  settings.memory = TRY(number(call, "memory"));
  settings.memory_swap = TRY(number(call, "memswap"));
  settings.cpu_shares = TRY(number(call, "cpushares"));
  settings.cpu_period = TRY(number(call, "cpuperiod"));
  settings.cpu_quota = TRY(number(call, "cpuquota"));
  settings.shm_size = TRY(number(call, "shmsize"));
  settings.cpuset_cpus = call.parameter("cpusetcpus");
  settings.cpuset_mems = call.parameter("cpusetmems");
  settings.cgroup_parent = call.parameter("cgroupparent");
  if (const std::string_view text = call.parameter("ulimits"); !text.empty()) {
    json::value limits = TRY(parse_json(text, "ulimits"));
    const json::value document = json::object{{"ulimits", std::move(limits)}};
    ObjectReader in(document, "");  // keeps a reference
    in.read_objects("ulimits", [&](ObjectReader& one) {
      build::Limit limit;
      one.read("Name", limit.name);
      one.read("Soft", limit.soft);
      one.read("Hard", limit.hard);
      settings.limits.push_back(std::move(limit));
    });
    TRY(in.finish());
  }
  return {};
}

// X-Registry-Config: {"registry.example": {"username": ..}, ..}, of which the builder takes the ones it
// needs.
Result<std::map<std::string, registry::Credentials>> read_credentials(Call& call) {
  std::map<std::string, registry::Credentials> credentials;
  const std::string_view header = call.request().headers.get("X-Registry-Config").value_or("");
  if (header.empty()) return credentials;
  const std::optional<std::string> text = from_base64(header);
  if (!text) return fail(ErrorKind::invalid, "X-Registry-Config is not base64");
  const json::value document = TRY(parse_json(*text, "X-Registry-Config"));
  ObjectReader in(document, "X-Registry-Config");
  in.each_object([&](std::string_view server, ObjectReader& one) {
    registry::Credentials& entry = credentials[std::string(server)];
    one.read("username", entry.username);
    one.read("password", entry.password);
    one.read("identitytoken", entry.identity_token);
    one.read("registrytoken", entry.registry_token);
  });
  TRY(in.finish());
  return credentials;
}

Result<build::BuildRequest> read_request(Call& call) {
  build::BuildRequest request;
  request.arguments = TRY(string_map(call, "buildargs"));
  request.labels = TRY(string_map(call, "labels"));
  request.target = call.parameter("target");
  request.no_cache = call.flag("nocache");
  request.pull = call.flag("pull");
  request.settings.network = call.parameter("networkmode");
  for (const std::string_view host : call.request().query.all("extrahosts"))
    if (!host.empty()) request.settings.extra_hosts.emplace_back(host);
  TRY(read_limits(call, request.settings));
  if (const std::string_view platform = call.parameter("platform"); !platform.empty())
    request.platform = TRY(oci::parse_platform(platform));
  for (const std::string_view name : call.request().query.all("t")) {
    if (name.empty()) continue;
    oci::Reference reference = TRY(oci::Reference::parse_with_default_tag(name));
    if (reference.digest())
      return fail(ErrorKind::invalid, "refusing to create a tag with a digest reference");
    request.names.push_back(std::move(reference));
  }
  if (call.flag("squash"))
    return fail(ErrorKind::unsupported, "squash is only supported with experimental mode");
  request.registries = call.engine.settings().registries;
  request.credentials = TRY(read_credentials(call));
  TRY(read_cache_images(call, request));
  return request;
}

Result<std::string> ignore_file(int root, const std::string& dockerfile) {
  for (const std::string& name : {dockerfile + ".dockerignore", std::string(".dockerignore")}) {
    Result<std::string> text = sys::read_file_in_root(root, name);
    if (text) return text;
    if (text.error().kind != ErrorKind::not_found) return std::unexpected(std::move(text).error());
  }
  return std::string();
}

// What was sent, as a tree. The client has left out what .dockerignore names, or it has not: it is looked at
// again.
Result<void> read_context(const std::string& directory, std::string file_name, build::BuildRequest& request) {
  auto tree = std::make_shared<build::Tree>();
  tree->root = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  if (file_name.empty()) file_name = "Dockerfile";
  Result<std::string> text =
      sys::read_file_in_root(tree->root.get(), file_name, dockerfile::kLongestDockerfile);
  if (!text && text.error().kind == ErrorKind::not_found)
    return fail(ErrorKind::invalid, "Cannot locate specified Dockerfile: {}", file_name);
  request.dockerfile = TRY(std::move(text));
  request.dockerfile_name = file_name;
  const std::string rules = TRY(ignore_file(tree->root.get(), file_name));
  tree->ignore = TRY_AS(".dockerignore", dockerfile::IgnoreRules::parse(rules));
  request.context = std::move(tree);
  return {};
}

Result<void> unpack_context(archive::Source& sent, const std::string& directory,
                            const std::stop_token& stop) {
  Fd root = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  std::unique_ptr<archive::Source> plain = TRY(archive::decompress(sent, build::kLargestContext));
  archive::UnpackOptions options;
  options.devices = false;
  options.keep_owner = false;
  options.max_bytes = build::kLargestContext;
  options.max_entries = build::kMostContextEntries;
  options.stop = stop;
  TRY_AS("the build context", archive::unpack(*plain, root.get(), options));
  return {};
}

// Returns where its files are.
Result<std::string> check_out_context(const std::string& url, const std::string& directory,
                                      const build::BuildRequest& request, const std::stop_token& stop) {
  const auto agent = request.agents.find("default");
  const build::GitAccess access{.secrets = request.secrets,
                                .directory = directory,
                                .stop = stop,
                                .agent = agent == request.agents.end() ? nullptr : &agent->second};
  const dockerfile::GitReference reference = TRY(dockerfile::parse_git_reference(url));
  const build::GitCommit commit = TRY(build::resolve_git(reference, access));
  return build::check_out_git(reference, commit, reference.keep_git_directory.value_or(false), access);
}

// An HTTP context is a tar, or else a Dockerfile.
Result<void> fetch_context(const std::string& url, const std::string& directory,
                           const std::stop_token& stop) {
  if (!url.starts_with("http://") && !url.starts_with("https://"))
    return fail(ErrorKind::invalid, "a build context is not fetched from {}", url);
  build::Download download = TRY(build::download_url(url, directory, stop));
  if (lseek(download.file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "read what was downloaded");
  const bool archived = build::is_archive(download.file.get());
  if (lseek(download.file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "read what was downloaded");
  archive::FdSource source(download.file.get());
  if (archived) return unpack_context(source, directory, stop);
  if (lseek(download.file.get(), 0, SEEK_SET) != 0) return fail_errno(errno, "read what was downloaded");
  archive::FdSource again(download.file.get());
  archive::StringSink text;
  TRY(archive::copy_stream(again, text, dockerfile::kLongestDockerfile));
  Fd root = TRY(open_file(directory, O_RDONLY | O_DIRECTORY));
  return write_file_atomically(root.get(), "Dockerfile", text.text(), 0644, Durability::visible);
}

// All that is said of a build goes out through here: what Dockerfiles and programs say is any bytes, and JSON
// is UTF-8.
std::string valid_json(const json::object& said) { return valid_text(json::serialize(said)); }

Result<void> report(ClassicProgress& progress, const build::BuildRequest& request,
                    const build::BuildOutcome& outcome, bool quiet) {
  if (!outcome.unused_arguments.empty() && !quiet)
    progress.say(fmt::format("[Warning] One or more build-args {} were not consumed\n",
                             "[" + join(outcome.unused_arguments, " ") + "]"));
  progress.line({{"aux", json::object{{"ID", outcome.image.text()}}}});
  if (quiet) {
    progress.say(outcome.image.text() + "\n");
    return {};
  }
  progress.say(fmt::format("Successfully built {}\n", outcome.image.short_hex()));
  for (const oci::Reference& name : request.record ? request.names : std::vector<oci::Reference>())
    progress.say(fmt::format("Successfully tagged {}\n", name.familiar()));
  return {};
}

// The last line of a build that has failed; before the first there is still a status to answer with.
Result<void> report_failure(Call& call, LineQueue& queue, const Error& error, const auto& line) {
  queue.finish();
  if (!call.exchange.responded()) return std::unexpected(error);
  line({{"errorDetail", json::object{{"message", error.message}}}, {"error", error.message}});
  return call.exchange.finish();
}

Result<void> build_with_events(Call& call, const build::BuildRequest& request, json::object warnings,
                               LineQueue& queue, const EventProgress::Write& write) {
  EventProgress progress(write);
  auto line = [&](const json::object& one) { progress.line(one); };
  if (!warnings.at("warnings").as_array().empty()) line({{"check", std::move(warnings)}});
  const Result<build::BuildOutcome> outcome = call.engine.builder().build(request, progress);
  if (!outcome) return report_failure(call, queue, outcome.error(), line);
  if (!outcome->unused_arguments.empty()) line({{"unused", to_json(outcome->unused_arguments)}});
  line({{"aux", json::object{{"ID", outcome->image.text()}}}});
  queue.finish();
  return call.exchange.finish();
}

Result<void> build_image(Call& call) {
  build::BuildRequest request = TRY(read_request(call));
  const BuildPreamble preamble = TRY(read_build_preamble(call, request));
  TRY(check_entitlements(call.engine.build_policy(), request));
  const build::Workspace workspace = TRY(call.engine.builder().workspace());
  std::string directory = workspace.path();
  const std::string remote(call.parameter("remote"));
  if (!preamble.passed && (remote.empty() || remote == "client-session")) {
    BodySource body(call.exchange);
    TRY(unpack_context(body, directory, {}));
  }
  const http::ClientWatch client = TRY(http::ClientWatch::begin(call.exchange));
  if (dockerfile::is_git_reference(remote))
    directory = TRY(check_out_context(remote, directory, request, client.gone()));
  else if (!remote.empty() && remote != "client-session")
    TRY(fetch_context(remote, directory, client.gone()));
  if (!preamble.passed) TRY(read_context(directory, std::string(call.parameter("dockerfile")), request));
  request.stop = client.gone();
  const image::ImageStore& images = call.engine.images();
  if (preamble.answer.call != "build") {
    const json::object document = TRY(answer_build_call(preamble.answer.call, request, images));
    return call.exchange.respond(200, {{"Content-Type", "application/json"}}, valid_json(document) + "\n");
  }
  json::object warnings = TRY(check_before_build(request, images));
  LineQueue queue([&](std::string_view text) {
    const bool begun =
        call.exchange.responded() || call.exchange.begin(200, {{"Content-Type", "application/json"}});
    return begun && call.exchange.write(text);
  });
  auto write = [&](const json::object& line, Keep keep) {
    return queue.push(valid_json(line) + "\r\n", keep);
  };
  if (preamble.answer.vertices) return build_with_events(call, request, std::move(warnings), queue, write);
  const bool quiet = call.flag("q");
  ClassicProgress progress(write, quiet);
  const Result<build::BuildOutcome> outcome = call.engine.builder().build(request, progress);
  progress.flush();
  if (!outcome)
    return report_failure(call, queue, outcome.error(),
                          [&](const json::object& line) { progress.line(line); });
  TRY(report(progress, request, *outcome, quiet));
  queue.finish();
  return call.exchange.finish();
}

Result<void> prune(Call& call) {
  build::PruneOptions options;
  options.all = call.flag("all");
  options.keep_bytes = TRY(number(call, "keep-storage"));
  if (options.keep_bytes == 0) options.keep_bytes = TRY(number(call, "reserved-space"));
  Filters filters = TRY(read_filters(call));
  for (const std::string& text : filters["until"]) options.unused_since = TRY(parse_time_or_ago(text, now()));
  const build::PruneOutcome outcome = TRY(call.engine.builder().prune(options));
  return send_json(call, 200,
                   json::object{{"CachesDeleted", to_json(outcome.ids)}, {"SpaceReclaimed", outcome.bytes}});
}

Result<void> cancel(Call& call) { return send_empty(call, 200); }

}  // namespace

void add_build_routes(Router& router) {
  router.add("POST", "/build", build_image);
  router.add("POST", "/build/prune", prune);
  router.add("POST", "/build/cancel", cancel);
}

}  // namespace berth::api
