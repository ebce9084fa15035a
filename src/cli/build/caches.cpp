// SPDX-License-Identifier: Apache-2.0
#include "cli/build/caches.h"

#include <fcntl.h>

#include <algorithm>

#include "base/file.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/build/fields.h"
#include "cli/build/layout_write.h"
#include "cli/create/security.h"
#include "cli/engine/engine.h"
#include "cli/output/list_format.h"
#include "oci/reference.h"

namespace berth::cli {
namespace {

Result<void> check_reference(std::string_view option, const std::string& reference) {
  const Result<oci::Reference> parsed = oci::Reference::parse(reference);
  if (parsed) return {};
  return fail(ErrorKind::invalid, "{}: invalid ref \"{}\": {}", option, reference, parsed.error().message);
}

Result<void> check_type(std::string_view option, const CacheOption& cache) {
  if (cache.type.empty()) return fail(ErrorKind::invalid, "{}: it has no type=", option);
  if (cache.type == "registry") return check_reference(option, cache.reference);
  if (cache.type == "local") {
    if (!cache.directory.empty()) return {};
    return fail(ErrorKind::invalid, "{}: type=local needs a {}=DIRECTORY", option,
                option == "--cache-to" ? "dest" : "src");
  }
  if (cache.type == "inline" && option == "--cache-to") return {};
  if (cache.type == "gha" || cache.type == "s3" || cache.type == "azblob")
    return fail(ErrorKind::unsupported,
                "{}: type={} is not available: keep the cache at a registry or in a directory", option,
                cache.type);
  return fail(ErrorKind::invalid, "{}: the type \"{}\" is none of registry, local{}", option, cache.type,
              option == "--cache-to" ? " and inline" : "");
}

Result<void> check_rest(Fields& fields, const CacheOption& cache) {
  fields.pass_over({"oci-mediatypes", "image-manifest", "compression-level", "force-compression"});
  return fields.finish(cache.type);
}

json::object as_json(const CacheOption& cache) {
  json::object object{{"type", cache.type}};
  if (!cache.reference.empty()) object["ref"] = cache.reference;
  return object;
}

// The engine reads from it what it needs, while it needs it.
Result<Fd> open_directory(const std::string& path, bool passing) {
  if (!passing)
    return fail(ErrorKind::unsupported,
                "a directory can only be passed to the engine of this machine over its own socket: keep the "
                "cache at a registry");
  Result<Fd> directory = open_file(path, O_RDONLY | O_DIRECTORY);
  if (!directory) return fail(directory.error().kind, "{}", words_of_errno(directory.error().code));
  return directory;
}

Result<void> write_directory(Context& context, const CacheOption& cache, const std::string& held_as) {
  Engine* engine = TRY(context.engine());
  LayoutWriter writer = TRY(LayoutWriter::open(cache.directory));  // before the engine waits for us
  http::Query query;
  query.add("mode", cache.whole ? "max" : "min");
  http::Response response = TRY(engine->call("GET", "/berth/builds/" + held_as + "/cache", query));
  archive::FunctionSource tar([&](std::span<char> buffer) { return response.read(buffer); });
  return writer.write(tar);
}

}  // namespace

Result<CacheOption> parse_cache_from(const std::string& text) {
  CacheOption cache;
  if (text.find('=') == text.npos) {
    cache.type = "registry";
    cache.reference = text;
    TRY(check_reference("--cache-from", text));
    return cache;
  }
  Fields fields = TRY(Fields::parse("--cache-from", text));
  cache.type = fields.take("type");
  cache.reference = fields.take("ref");
  cache.directory = fields.take("src");
  TRY(check_type("--cache-from", cache));
  TRY(check_rest(fields, cache));
  return cache;
}

Result<CacheOption> parse_cache_to(const std::string& text) {
  CacheOption cache;
  if (text == "inline") return CacheOption{.type = "inline"};
  Fields fields = TRY(Fields::parse("--cache-to", text));
  cache.type = fields.take("type");
  cache.reference = fields.take("ref");
  cache.directory = fields.take("dest");
  const std::string mode = to_lower(fields.take("mode"));
  if (!mode.empty() && mode != "min" && mode != "max")
    return fail(ErrorKind::invalid, "--cache-to \"{}\": the mode is min or max", text);
  cache.whole = mode == "max";
  cache.optional = TRY(fields.take_switch("ignore-error", false));
  TRY(check_type("--cache-to", cache));
  TRY(check_rest(fields, cache));
  return cache;
}

bool BuildCaches::passes() const {
  return std::ranges::any_of(from, [](auto& one) { return one.type == "local"; });
}

bool BuildCaches::holds() const {
  return std::ranges::any_of(to, [](auto& one) { return one.type == "local"; });
}

Result<BuildCaches> choose_caches(const Flags& flags) {
  BuildCaches caches;
  for (const std::string& text : flags.list("cache-from")) {
    CacheOption cache = TRY(parse_cache_from(text));
    caches.from.push_back(std::move(cache));
  }
  for (const std::string& text : flags.list("cache-to")) {
    CacheOption cache = TRY(parse_cache_to(text));
    caches.to.push_back(std::move(cache));
  }
  return caches;
}

void add_to_preamble(const BuildCaches& caches, bool passing, json::object& preamble,
                     std::vector<Fd>& descriptors) {
  json::array from, to;
  for (const CacheOption& cache : caches.from) {
    json::object object = as_json(cache);
    if (cache.type == "local") {
      Result<Fd> directory = open_directory(cache.directory, passing);
      if (!directory) {
        print_error(fmt::format("WARNING: the cache {} is not used: {}\n", cache.directory,
                                directory.error().message));
        continue;
      }
      object["descriptor"] = descriptors.size();
      descriptors.push_back(std::move(*directory));
      object["path"] = cache.directory;
    }
    from.push_back(std::move(object));
  }
  for (const CacheOption& cache : caches.to) {
    if (cache.type == "local") continue;
    json::object object = as_json(cache);
    if (cache.whole) object["mode"] = "max";
    if (cache.optional) object["ignoreError"] = true;
    to.push_back(std::move(object));
  }
  if (!from.empty()) preamble["cacheFrom"] = std::move(from);
  if (!to.empty()) preamble["cacheTo"] = std::move(to);
}

Result<void> write_caches(Context& context, const BuildCaches& caches, const std::string& held_as) {
  for (const CacheOption& cache : caches.to) {
    if (cache.type != "local") continue;
    Result<void> written = write_directory(context, cache, held_as);
    if (written) continue;
    if (!cache.optional)
      return std::unexpected(
          std::move(written).error().within(fmt::format("--cache-to {}", cache.directory)));
    print_error(fmt::format("WARNING: --cache-to {}: {}\n", cache.directory, written.error().message));
  }
  return {};
}

}  // namespace berth::cli
