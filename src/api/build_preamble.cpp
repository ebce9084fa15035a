// SPDX-License-Identifier: Apache-2.0
#include "api/build_preamble.h"

#include <sys/stat.h>
#include <unistd.h>

#include <limits>

#include "api/build_agents.h"
#include "api/build_caches.h"
#include "api/build_call.h"
#include "api/build_contexts.h"
#include "api/build_results.h"
#include "base/json.h"
#include "base/text.h"
#include "dockerfile/dockerfile.h"

namespace berth::api {
namespace {

constexpr std::string_view kType = "application/vnd.berth.build";
constexpr std::string_view kWhat = "the build's preamble";
constexpr std::size_t kLargestDocument = 16u << 20;
constexpr std::size_t kLargestSecret = 500u << 10;
constexpr std::size_t kLargestSecrets = 8u << 20;
constexpr std::size_t kLongestSize = 10;  // digits

// Of a directory that came along, by its place among the descriptors.
struct PassedDirectory {
  std::uint64_t descriptor = 0;
  std::string ignore;  // base64
};

struct LocalContext {
  std::string name, dockerfile;  // the Dockerfile's name as the user sees it, and its text in base64
  PassedDirectory directory;
};

bool read_passed(ObjectReader& object, PassedDirectory& passed) {
  std::optional<std::uint64_t> descriptor;
  object.read("descriptor", descriptor);
  object.read("ignore", passed.ignore);
  passed.descriptor = descriptor.value_or(std::numeric_limits<std::uint64_t>::max());
  return descriptor.has_value();
}

Result<std::string> read_exactly(http::Exchange& exchange, std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t at = 0; at < size;) {
    const std::size_t got = TRY(exchange.read_body({text.data() + at, size - at}));
    if (got == 0) return fail(ErrorKind::invalid, "{} ends too early", kWhat);
    at += got;
  }
  return text;
}

// The first line.
Result<std::size_t> read_size(http::Exchange& exchange) {
  std::string digits;
  for (;;) {
    const std::string byte = TRY(read_exactly(exchange, 1));
    if (byte == "\n") break;
    digits += byte;
    if (digits.size() > kLongestSize) return fail(ErrorKind::invalid, "{} begins with no size", kWhat);
  }
  const std::optional<std::size_t> size = parse_integer<std::size_t>(digits);
  if (!size) return fail(ErrorKind::invalid, "{} begins with no size", kWhat);
  if (*size > kLargestDocument)
    return fail(ErrorKind::invalid, "{} is larger than {} bytes", kWhat, kLargestDocument);
  return *size;
}

Result<void> read_answer(ObjectReader& in, BuildAnswer& answer) {
  std::string progress;
  in.read("call", answer.call);
  in.read("progress", progress);
  if (answer.call != "build" && !is_build_call(answer.call))
    return fail(ErrorKind::unsupported, "the call \"{}\" is not known to this version", answer.call);
  answer.vertices = progress == "vertices";
  return {};
}

Result<void> add_secrets(const std::map<std::string, std::string>& encoded, build::BuildRequest& request) {
  std::size_t total = 0;
  for (const auto& [id, text] : encoded) {
    std::optional<std::string> bytes = from_base64(text);
    if (!bytes) return fail(ErrorKind::invalid, "the secret {} is not base64", id);
    if (bytes->size() > kLargestSecret)
      return fail(ErrorKind::invalid, "the secret {} is larger than {} bytes", id, kLargestSecret);
    total += bytes->size();
    if (total > kLargestSecrets)
      return fail(ErrorKind::invalid, "all secrets together are larger than {} bytes", kLargestSecrets);
    request.secrets[id] = std::move(*bytes);
  }
  return {};
}

// With the permissions of the client's user: an engine that is asked by somebody does not read for him what
// he could not read himself.
Result<std::shared_ptr<build::Tree>> tree_of(const Call& call, Fd directory, const std::string& ignore,
                                             std::string_view what) {
  const http::Peer& peer = call.request().peer;
  struct stat status;
  if (fstat(directory.get(), &status) != 0) return fail_errno(errno, "look at the {}", what);
  if (!S_ISDIR(status.st_mode)) return fail(ErrorKind::invalid, "the {} is not a directory", what);
  auto tree = std::make_shared<build::Tree>();
  tree->root = std::move(directory);
  tree->live = true;
  struct stat own;
  if (stat(call.engine.settings().build_directory().c_str(), &own) == 0)
    tree->hidden = {.device = own.st_dev, .inode = own.st_ino};
  if (peer.uid != geteuid())
    tree->reader = sys::UserIdentity{.uid = peer.uid, .gid = peer.gid, .groups = peer.groups};
  const std::optional<std::string> rules = from_base64(ignore);
  if (!rules) return fail(ErrorKind::invalid, "the ignore file in {} is not base64", kWhat);
  tree->ignore = TRY_AS(".dockerignore", dockerfile::IgnoreRules::parse(*rules));
  return tree;
}

// Each is taken once.
class PassedDirectories {
 public:
  explicit PassedDirectories(Call& call) : call_(call), descriptors_(call.exchange.take_descriptors()) {}

  Result<std::shared_ptr<build::Tree>> take(const PassedDirectory& passed,
                                            std::string_view what = "build context") {
    if (passed.descriptor >= descriptors_.size() || !descriptors_[passed.descriptor])
      return fail(ErrorKind::invalid, "the {} was not passed along with the request", what);
    return tree_of(call_, std::move(descriptors_[passed.descriptor]), passed.ignore, what);
  }

  std::vector<Fd>& descriptors() { return descriptors_; }

 private:
  const Call& call_;
  std::vector<Fd> descriptors_;
};

// Its Dockerfile and ignore file come as texts: the client has read them, from wherever they are.
Result<void> take_local(const LocalContext& local, PassedDirectories& passed, build::BuildRequest& request) {
  const std::optional<std::string> text = from_base64(local.dockerfile);
  if (!text) return fail(ErrorKind::invalid, "the Dockerfile in {} is not base64", kWhat);
  if (text->size() > dockerfile::kLongestDockerfile)
    return fail(ErrorKind::invalid, "the Dockerfile is longer than {} bytes", dockerfile::kLongestDockerfile);
  request.dockerfile = *text;
  request.dockerfile_name = local.name;
  request.context = TRY(passed.take(local.directory));
  return {};
}

}  // namespace

Result<BuildPreamble> read_build_preamble(Call& call, build::BuildRequest& request) {
  if (call.request().headers.get("Content-Type").value_or("") != kType) return BuildPreamble();
  const std::size_t size = TRY(read_size(call.exchange));
  const std::string text = TRY(read_exactly(call.exchange, size));
  const json::value document = TRY(parse_json(text, kWhat));
  std::map<std::string, std::string> secrets;
  std::vector<std::string> stages, allowed;
  ObjectReader in(document, kWhat);
  in.read("secrets", secrets);
  in.read("noCacheStages", stages);
  in.read("allow", allowed);
  std::map<std::string, std::uint64_t> agents;
  in.read_object("ssh", [&](ObjectReader& ids) {
    if (!document.at("ssh").is_object()) return;  // which is refused
    for (const auto& member : document.at("ssh").get_object())
      ids.read(std::string_view(member.key()), agents[std::string(member.key())]);
  });
  std::optional<LocalContext> local;
  in.read_object("local", [&](ObjectReader& object) {
    local.emplace();
    object.read("name", local->name);
    object.read("dockerfile", local->dockerfile);
    read_passed(object, local->directory);
  });
  std::vector<PassedContext> contexts;
  TRY(read_build_contexts(in, request, contexts));
  BuildAnswer answer;
  TRY(read_answer(in, answer));
  TRY(read_build_outputs(call, in, request));
  const std::vector<PassedCache> caches = TRY(read_build_caches(in, request));
  TRY(in.finish());
  PassedDirectories passed(call);
  for (const PassedContext& context : contexts) {
    build::NamedContext& named = request.named_contexts[context.name];
    auto& tree = named.layout ? named.layout->directory : named.tree;
    tree = TRY(passed.take({.descriptor = context.descriptor, .ignore = context.ignore}));
  }
  for (const PassedCache& cache : caches)
    request.cache_from[cache.source].directory =
        TRY(passed.take({.descriptor = cache.descriptor, .ignore = {}}, "cache"));
  if (local) TRY(take_local(*local, passed, request));
  request.no_cache_stages.insert(stages.begin(), stages.end());
  request.entitlements.insert(allowed.begin(), allowed.end());
  TRY(add_agents(agents, passed.descriptors(), call.request().peer, request));
  TRY(add_secrets(secrets, request));
  return BuildPreamble{.passed = local.has_value(), .answer = std::move(answer)};
}

}  // namespace berth::api
